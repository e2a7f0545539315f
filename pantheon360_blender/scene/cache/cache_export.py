"""The 3D cache as a file for other programs: what every stage reads of it, which no exporter of meshes writes."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from ...core.errors import CacheError
from ..app import units
from . import cache_objects


def export(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, path: Path) -> int:
    """Write all points of the visible caches to a .ply or .npz file, Z up, in metres. Returns how many they are.

    Raises CacheError without points, PointCloudError for another suffix, FileError if it cannot be written.
    """
    cloud = cache_objects.evaluated_points(depsgraph)
    if not len(cloud):
        raise CacheError("No points of a 3D cache are visible.", advice="Show it in the viewport.")
    metre = units.per_metre(scene)
    metres = cloud if metre == 1 else cloud.transformed(np.diag([1 / metre, 1 / metre, 1 / metre, 1.0]))
    metres.save(path)
    return len(metres)

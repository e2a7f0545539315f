"""Captures moved to where a reconstruction found them."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Matrix

from ...core.jobs.reconstruct_settings import PosedCapture
from ...core.jobs.reuse import STILL
from ...core.panorama import cameras
from ..app import access
from . import capture_objects


def place(scene: bpy.types.Scene, posed: Sequence[PosedCapture]) -> list[str]:
    """Move captures to their solved poses, by their labels; their levelling stays as the artist set it.

    posed: in the scene's units. Returns sentences about captures that could not be moved: renamed, deleted, linked, or
    held by keyframes or constraints.
    """
    missed = []
    by_label = capture_objects.labelled(scene)
    moved = [(by_label.get(one.name), one) for one in posed if one.registered]
    for obj, one in moved:
        if obj is None:
            missed.append(f"{one.name} is not in the scene any more.")
            continue
        if obj.library is not None:
            missed.append(f"{one.name} is linked from another file, which alone can move it for good.")
        settings = access.of_object(obj)
        levelling = cameras.rotation_from_angles(settings.yaw, settings.pitch, settings.roll)
        world_from_object = one.pose.copy()
        world_from_object[:3, :3] @= levelling.T
        scale = np.linalg.norm(np.array(obj.matrix_world, dtype=np.float64)[:3, :3], axis=0)
        world_from_object[:3, :3] *= np.where(scale > 0, scale, 1.0)
        obj.matrix_world = Matrix(world_from_object.tolist())
    depsgraph = access.evaluated(scene)
    for obj, one in moved:
        if obj is not None and np.abs(capture_objects.pose(obj, depsgraph) - one.pose).max() > 10 * STILL:
            missed.append(f"{one.name} is held where it is by keyframes, a constraint or its parent's scale.")
    return missed

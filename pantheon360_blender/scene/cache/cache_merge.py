"""Adding to the 3D cache: the points that are there keep what they carry, the artist's own attributes too.

A point's source is the place of its capture among the scene's captures. Captures come, go and are renamed; the cache
object has the names by which its points were numbered (cache.CAPTURES), so that they are found again.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ...core.errors import CacheError
from ...core.points.point_cloud import PointCloud
from ..app.access import of_scene
from ..captures import capture_objects
from . import attributes, cache_objects

REPLACE, MERGE = "REPLACE", "MERGE"
"""What becomes of the points that are there."""
RESULTS = [
    (REPLACE, "Replace", "The new points replace those in the 3D cache"),
    (MERGE, "Merge", "The new points are added to those in the 3D cache"),
]
"""The same as items of an enum property."""


def merge(scene: bpy.types.Scene, cloud: PointCloud) -> bpy.types.Object:
    """Add a point cloud to the scene's cache; the object is made if there is none.

    cloud: world coordinates, sources by the captures' present order, by which those that are there are numbered, too.
    Points that are not finite are left out. Raises CacheError if the cache is being edited, has shape keys, or is
    linked from another file.
    """
    obj = cache_objects.find(scene)
    mesh: Any = None if obj is None else obj.data
    if obj is None or mesh is None or not len(mesh.vertices):
        return cache_objects.replace(scene, cloud)
    refuse_unmergeable(obj)
    renumber(scene, obj)
    _append(mesh, cache_objects.to_local(obj, cloud.finite()))
    obj.update_tag()
    of_scene(scene).cache = obj
    return obj


def refuse_unmergeable(obj: bpy.types.Object) -> None:
    """Raise CacheError if points cannot be added to a cache now."""
    cache_objects.refuse_unchangeable(obj)
    mesh: Any = obj.data
    if mesh.shape_keys:
        raise CacheError(
            f"{obj.name} has shape keys, which know nothing of new points.",
            advice="Apply or remove them in its Object Data properties.",
        )


def note_captures(scene: bpy.types.Scene, obj: bpy.types.Object) -> None:
    """Note the captures that a cache's sources count, in their present order, if an earlier version did not."""
    if obj.get(cache_objects.CAPTURES) is None:
        obj[cache_objects.CAPTURES] = "\n".join(capture_objects.labelled(scene))


def renumber(scene: bpy.types.Scene, obj: bpy.types.Object) -> None:
    """Renumber the sources of a cache's points by the captures' present order; -1 if a capture is gone."""
    note_captures(scene, obj)
    before = str(obj[cache_objects.CAPTURES]).split("\n")
    now = {label: index for index, label in enumerate(capture_objects.labelled(scene))}
    mesh: Any = obj.data
    points = attributes.read(mesh)
    renumbered = points.renumbered([now.get(name, -1) for name in before])
    if points.source is not None and renumbered.source is not None and (renumbered.source != points.source).any():
        mesh.attributes[attributes.SOURCE].data.foreach_set("value", renumbered.source)
        mesh.update()
    obj[cache_objects.CAPTURES] = "\n".join(now)


def _append(mesh: Any, cloud: PointCloud) -> None:
    """Add the points of a cloud, local coordinates, to a mesh's vertices. Their other attributes are Blender's 0."""
    known, light = attributes.read(mesh), _light(mesh)
    mesh.vertices.add(len(cloud))
    attributes.store(mesh, PointCloud.concatenate([known, cloud]))
    if light is None:
        return
    colours = mesh.attributes[attributes.COLOUR].data  # those there may be finer than bytes: colour match is taken back
    stored: np.ndarray = np.empty(4 * len(mesh.vertices), np.float32)
    colours.foreach_get("color", stored)
    stored[: len(light)] = light
    colours.foreach_set("color", stored)
    mesh.update()


def _light(mesh: Any) -> np.ndarray | None:
    """(4 N,) float32 linear colours of a mesh's vertices; None if an artist took them away."""
    attribute = mesh.attributes.get(attributes.COLOUR)
    if attribute is None or attribute.domain != "POINT" or attribute.data_type not in ("FLOAT_COLOR", "BYTE_COLOR"):
        return None
    light: np.ndarray = np.empty(4 * len(mesh.vertices), np.float32)
    attribute.data.foreach_get("color", light)
    return light

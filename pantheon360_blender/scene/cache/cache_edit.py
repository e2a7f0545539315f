"""Edits of the 3D cache: each takes points away, merges them or changes their colours, in the cache's own mesh.

What may take seconds is a job: it reads the points when it is made, and changes the cache in its last step.
Distances are the world's. What a cache's modifiers do comes after these edits, as with any mesh.
"""

from __future__ import annotations

from typing import Any

import bmesh
import bpy
import numpy as np

from ...core.errors import CacheError
from ...core.points import colour_match, containment, outliers, thinning
from ...core.points.colour_match import ColourMatch
from ...core.points.point_cloud import INVENTED, PointCloud
from ...core.progress import Job, Progress
from ..app import meshes
from ..app.access import ObjectReference, of_object
from . import attributes, cache_objects, content

GAIN = "colour_gain"
"""Attribute: the factors by which colour match changed each point's light, so that it can be taken back."""


def chosen(scene: bpy.types.Scene, active: bpy.types.Object | None) -> bpy.types.Object | None:
    """The cache that edits go to: the active object if it is one, else the scene's."""
    if active is not None and of_object(active).is_cache and active.type == "MESH":
        return active
    return cache_objects.find(scene)


def keep(obj: bpy.types.Object, which: np.ndarray) -> int:
    """Remove all points but those that `which`, (N,) bool, names; all attributes of the others stay.

    Returns how many were removed. Raises CacheError if the cache cannot be changed, or nothing would be left.
    """
    cache_objects.refuse_unchangeable(obj)
    removed = len(which) - int(np.count_nonzero(which))
    if removed == len(which):
        raise CacheError(f"None of the {removed:,} points of {obj.name} would be left.", advice="Choose other values.")
    mesh: Any = obj.data
    if removed and _is_bare(obj):
        _keep_vertices(mesh, which)
    elif removed:
        _keep_in_bmesh(mesh, which)
    obj.update_tag()
    return removed


def threshold(obj: bpy.types.Object, least: float) -> int:
    """Remove points whose confidence is less, or no number. Raises CacheError if the cache has none."""
    confidence = attributes.any_values(obj.data, attributes.CONFIDENCE)
    if confidence is None:
        raise CacheError(f"The points of {obj.name} do not say how sure they are.", advice="Remove floaters instead.")
    return keep(obj, confidence >= np.float32(least))


def remove_invented(obj: bpy.types.Object) -> int:
    """Remove points that a painter made up. Returns how many. Raises CacheError if nothing would be left."""
    source = attributes.any_values(obj.data, attributes.SOURCE)
    mesh: Any = obj.data
    return 0 if source is None else keep(obj, source.reshape(len(mesh.vertices), -1)[:, 0] != INVENTED)


def remove_floaters(obj: bpy.types.Object, strictness: float = 3.0, neighbours: int = 8) -> Job[int]:
    """Remove points that stand alone; see core.outliers. Returns how many."""
    points = _world_points(obj)
    cloud = PointCloud(points, np.zeros((len(points), 3), np.uint8), footprint=_world_footprint(obj))
    return _keeping(obj, outliers.finding(cloud, strictness, neighbours), False)


def thin(obj: bpy.types.Object, size: float, nearest: bool = False) -> Job[int]:
    """Leave one point in each voxel of `size` metres; see core.thinning. Returns how many points went.

    nearest: keep the point nearest to the mean as it was; else the mean itself. The artist's own attributes are that
    point's in both cases.
    """
    cache_objects.refuse_unchangeable(obj)
    return _thinning(ObjectReference(obj), _state(obj), _cloud(obj), size, nearest)


def _thinning(
    reference: ObjectReference, state: tuple[str, bytes], cloud: PointCloud, size: float, nearest: bool
) -> Job[int]:
    merged, stand = yield from thinning.merging(cloud, size, "nearest" if nearest else "mean")
    yield Progress("Storing points")
    obj = _still(reference, state)
    which = np.zeros(len(cloud), np.bool_)
    which[stand] = True
    removed = keep(obj, which)
    local = cache_objects.to_local(obj, merged.selected(np.argsort(stand)))  # in the order of the points that stay
    mesh: Any = obj.data
    if not nearest:
        attributes.store(mesh, local)
    elif local.footprint is not None:  # all else is as it was
        mesh.attributes[attributes.FOOTPRINT].data.foreach_set("value", local.footprint)
    mesh.update()
    obj.update_tag()
    return removed


def _keeping(obj: bpy.types.Object, finding: Job[np.ndarray], wanted: bool) -> Job[int]:
    """Keep the points for which a job says what is wanted. Returns how many were removed."""
    cache_objects.refuse_unchangeable(obj)
    return _kept(ObjectReference(obj), _state(obj), finding, wanted)


def _kept(reference: ObjectReference, state: tuple[str, bytes], finding: Job[np.ndarray], wanted: bool) -> Job[int]:
    found = yield from finding
    yield Progress("Storing points")
    return keep(_still(reference, state), found == wanted)


def _state(obj: bpy.types.Object) -> tuple[str, bytes]:
    """What a job reads of a cache: its points and where they stand."""
    return content.digest(obj.data), np.array(obj.matrix_world, np.float64).tobytes()


def _still(reference: ObjectReference, state: tuple[str, bytes]) -> bpy.types.Object:
    """The cache as a job began with it. Raises CacheError if the artist changed it meanwhile, or undid a change."""
    obj = reference.find()
    mesh: Any = None if obj is None else obj.data
    if obj is None or not isinstance(mesh, bpy.types.Mesh) or _state(obj) != state:
        raise CacheError(f"{reference.name} was changed or removed while its points were read.", advice="Do it again.")
    return obj


def crop(obj: bpy.types.Object, box: bpy.types.Object, inside: bool = True) -> int:
    """Keep the points inside, or outside, an object's bounds in its own frame. Returns how many were removed."""
    low, high = bounds(box)
    world_from_box = np.array(box.matrix_world, np.float64)
    if abs(np.linalg.det(world_from_box[:3, :3])) < 1e-12:
        raise CacheError(f"{box.name} is flat: nothing is inside it.", advice="Scale it up.")
    local = meshes.transformed(_world_points(obj), np.linalg.inv(world_from_box))
    return keep(obj, ((local >= low) & (local <= high)).all(axis=1) == inside)


def bounds(box: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner, (3,) float64, of an object in its own frame; an Empty's are those of its display."""
    if box.type == "EMPTY":
        size = np.full(3, float(box.empty_display_size))
        return -size, size
    corners = np.array([tuple(corner) for corner in box.bound_box], np.float64)
    return corners.min(axis=0), corners.max(axis=0)


def mask(obj: bpy.types.Object, by: bpy.types.Object, depsgraph: bpy.types.Depsgraph, inside: bool = False) -> Job[int]:
    """Keep the points inside, or outside, a closed mesh as its modifiers leave it. Returns how many were removed.

    Raises CacheError if the mesh is open: nothing is inside it.
    """
    triangles = meshes.world_triangles([by], depsgraph)
    if not containment.edges_are_shared(triangles):
        raise CacheError(
            f"{by.name} is not closed: what is inside it cannot be told.",
            advice="Fill its holes, or give it thickness with a Solidify modifier.",
        )
    return _keeping(obj, containment.finding(_world_points(obj), triangles), inside)


def match_colours(obj: bpy.types.Object, voxel: float = 0.0, white_balance: bool = True) -> Job[ColourMatch]:
    """Bring the colours of the cache's captures to agree where they overlap; see core.colour_match.

    voxel: metres; 0 is four times the points' spacing. What was done is kept with the points for `restore_colours`.
    Raises CacheError if points do not say which capture they are from.
    """
    cache_objects.refuse_unchangeable(obj)
    source = attributes.any_values(obj.data, attributes.SOURCE)
    colours = attributes.any_values(obj.data, attributes.COLOUR)
    if source is None or source.dtype != np.int32 or colours is None or colours.ndim != 2:
        raise CacheError(
            f"The points of {obj.name} do not say which capture they are from.", advice="Build the cache again."
        )
    points = _world_points(obj)
    if not voxel:
        cloud = PointCloud(points, np.zeros((len(points), 3), np.uint8), footprint=_world_footprint(obj))
        voxel = 4.0 * float(np.median(outliers.spacing(cloud.finite())))
    matching = colour_match.estimating(points, colours[:, :3], source, voxel, white_balance=white_balance)
    return _matched(ObjectReference(obj), _state(obj), source, matching)


def _matched(
    reference: ObjectReference, state: tuple[str, bytes], source: np.ndarray, matching: Job[ColourMatch]
) -> Job[ColourMatch]:
    match = yield from matching
    yield Progress("Storing colors")
    gains = np.concatenate([match.gains, np.ones((1, 3))]).astype(np.float32)  # the last row: unknown, -1
    _multiply(_still(reference, state), gains[np.where(source < 0, -1, source)])
    return match


def restore_colours(obj: bpy.types.Object) -> None:
    """Take back what colour match did to the points. Raises CacheError if it did nothing."""
    cache_objects.refuse_unchangeable(obj)
    gain = _gain(obj)
    if gain is None:
        raise CacheError(f"The colors of {obj.name} were not matched.")
    _multiply(obj, 1.0 / gain)
    mesh: Any = obj.data
    mesh.attributes.remove(mesh.attributes[GAIN])


def is_matched(obj: bpy.types.Object) -> bool:
    """Whether there is something for `restore_colours` to take back."""
    mesh: Any = obj.data
    return GAIN in mesh.attributes


def _multiply(obj: bpy.types.Object, gain: np.ndarray) -> None:
    """Multiply the light of the points by (N, 3) factors, and note them."""
    mesh: Any = obj.data
    colours, before = attributes.any_values(obj.data, attributes.COLOUR), _gain(obj)
    assert colours is not None
    colours[:, :3] *= gain
    mesh.attributes[attributes.COLOUR].data.foreach_set("color", colours.ravel())
    if before is None:
        mesh.attributes.new(GAIN, "FLOAT_VECTOR", "POINT")
        before = np.ones_like(gain)
    mesh.attributes[GAIN].data.foreach_set("vector", np.asarray(before * gain, np.float32).ravel())
    mesh.update()
    obj.update_tag()


def _gain(obj: bpy.types.Object) -> np.ndarray | None:
    """(N, 3) float32 factors by which the points' colours were matched; 1 for points that were merged in since."""
    gain = attributes.any_values(obj.data, GAIN)
    return None if gain is None else np.where(gain > 0, gain, np.float32(1))


def _cloud(obj: bpy.types.Object) -> PointCloud:
    """All points of a cache's mesh with what a PointCloud carries, those that are not finite too; world."""
    mesh: Any = obj.data
    return attributes.read(mesh).transformed(np.array(obj.matrix_world, np.float64))


def _world_points(obj: bpy.types.Object) -> np.ndarray:
    """(N, 3) float32 metres, world: all points of a cache's mesh, those that are not finite too."""
    local = attributes.any_values(obj.data, "position")
    assert local is not None
    world_from_object = np.array(obj.matrix_world, np.float64)
    if (world_from_object == np.eye(4)).all():
        return local
    return meshes.transformed(local, world_from_object).astype(np.float32)


def _world_footprint(obj: bpy.types.Object) -> np.ndarray | None:
    footprint = attributes.any_values(obj.data, attributes.FOOTPRINT)
    if footprint is None or footprint.dtype != np.float32:
        return None
    scale = np.cbrt(abs(np.linalg.det(np.array(obj.matrix_world, np.float64)[:3, :3])))
    return np.asarray(footprint * np.float32(scale))


def _is_bare(obj: bpy.types.Object) -> bool:
    """Whether a cache is nothing but vertices with attributes that can be carried over as arrays."""
    mesh: Any = obj.data
    kinds = {each.data_type for each in mesh.attributes if each.domain == "POINT" and not each.is_internal}
    return not (len(mesh.edges) or len(mesh.polygons) or mesh.shape_keys or obj.vertex_groups) and kinds <= set(
        attributes.FIELDS
    )


def _keep_vertices(mesh: Any, which: np.ndarray) -> None:
    there = [each for each in mesh.attributes if each.domain == "POINT" and not each.is_internal]
    kept = [(each.name, each.data_type, attributes.values_of(each, len(which))[which]) for each in there]
    active = mesh.color_attributes.active_color_name
    mesh.clear_geometry()
    mesh.vertices.add(int(np.count_nonzero(which)))
    for name, kind, values in kept:
        attribute = mesh.attributes.get(name) or mesh.attributes.new(name, kind, "POINT")
        attribute.data.foreach_set(attributes.FIELDS[kind][0], np.ascontiguousarray(values).ravel())
    if active:
        mesh.color_attributes.active_color_name = active
        mesh.color_attributes.render_color_index = mesh.color_attributes.active_color_index
    mesh.update()


def _keep_in_bmesh(mesh: Any, which: np.ndarray) -> None:
    """For caches that an artist gave edges, vertex groups or shape keys."""
    editing = bmesh.new()
    try:
        editing.from_mesh(mesh)
        editing.verts.ensure_lookup_table()
        gone = [editing.verts[index] for index in np.flatnonzero(~which).tolist()]
        bmesh.ops.delete(editing, geom=gone, context="VERTS")
        editing.to_mesh(mesh)
    finally:
        editing.free()
    mesh.update()

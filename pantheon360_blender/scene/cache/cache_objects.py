"""The 3D cache in the scene: a mesh of coloured vertices, shown as points, edited with ordinary tools.

Its vertices carry colour, confidence, source and footprint. A Mesh to Points modifier shows them; every stage reads
the evaluated object, so that what an artist deletes, moves or adds modifiers to is what is splatted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ...core.errors import CacheError
from ...core.points.point_cloud import PointCloud
from ..app import registration
from ..app.access import of_object, of_scene
from ..captures import capture_objects
from . import attributes
from .attributes import StoredPoints, optional_values, point_count
from .display import cache_material, points_node_group

NAME = "3D Cache"

CAPTURES = "pantheon360_captures"
"""Custom property of a cache object: names, one a line, of the captures that the `source` of its points counts."""
REPORT = "pantheon360_report"
"""Custom property of a cache object: what its reconstruction found, for people."""
FOLDER = "pantheon360_folder"
"""Custom property of a cache object: the job folder its points are from."""
LOOK = "pantheon360_look"
"""Custom property of a cache object whose points are the first look of a reconstruction: the job folder. The finished
points take their place."""

ADDITIONS = "pantheon360_additions"
"""Custom property of a cache object: ids, one a line, of the jobs whose points were added to it."""

_log = logging.getLogger(__name__)


def find(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The scene's cache object, or None; one that was deleted from the scene does not count."""
    obj: bpy.types.Object | None = of_scene(scene).cache
    if obj is not None and obj.name in scene.objects and obj.type == "MESH":
        return obj
    return next((obj for obj in scene.objects if of_object(obj).is_cache and obj.type == "MESH"), None)


def replace(scene: bpy.types.Scene, cloud: PointCloud) -> bpy.types.Object:
    """Put a point cloud (world coordinates) into the scene's cache; the object is made if there is none.

    Its sources count the scene's captures in their present order, which is noted on the object.
    The object, its transform, its parent and its modifiers stay; its vertices and their attributes are exchanged.
    Points that are not finite are left out with a warning in the log.
    Raises CacheError if the cache is being edited, or is linked from another file.
    """
    finite = cloud.finite()
    if len(finite.points) < len(cloud.points):
        _log.warning("%d points of the cache are not finite and were left out", len(cloud.points) - len(finite.points))
    obj = find(scene) or _new(scene)
    fill(obj, finite)
    of_scene(scene).cache = obj
    obj[CAPTURES] = "\n".join(capture_objects.labelled(scene))
    obj[ADDITIONS] = ""
    return obj


def note_addition(obj: bpy.types.Object, job_id: str) -> None:
    """Note that a cache has the points of a job besides those that were there."""
    obj[ADDITIONS] = "\n".join([*additions(obj), job_id])


def additions(obj: bpy.types.Object) -> list[str]:
    """Ids of the jobs whose points were added to a cache. Points that replace all others forget them."""
    return str(obj.get(ADDITIONS) or "").split()


def fill(obj: bpy.types.Object, cloud: PointCloud) -> None:
    """Exchange a cache object's points for those of a cloud: finite, world coordinates.

    Raises CacheError if the cache is being edited, or is linked from another file.
    """
    refuse_unchangeable(obj)
    mesh: Any = obj.data
    if mesh.shape_keys:
        obj.shape_key_clear()  # of other points: Blender would stretch them over the new ones
    mesh.clear_geometry()
    mesh.vertices.add(len(cloud))
    attributes.store(mesh, to_local(obj, cloud))
    obj.update_tag()


def to_local(obj: bpy.types.Object, cloud: PointCloud) -> PointCloud:
    """A cloud of world coordinates in an object's own."""
    world_from_object = np.array(obj.matrix_world, dtype=np.float64)
    same = (world_from_object == np.eye(4)).all()
    return cloud if same else cloud.transformed(np.linalg.inv(world_from_object))


def refuse_unchangeable(obj: bpy.types.Object | None) -> None:
    """Raise CacheError if a cache's points cannot be exchanged now; None is a cache still to be made."""
    if obj is None:
        return
    if obj.mode != "OBJECT":
        raise CacheError(f"{obj.name} is being edited.", advice="Leave its Edit Mode, then do it again.")
    if obj.data is None or obj.data.library is not None:
        raise CacheError(
            f"{obj.name} is linked from another file: new points in it would be lost when this one is saved.",
            advice="Make it local with Object > Relations > Make Local, or remove it from the scene.",
        )


def evaluated_points(depsgraph: bpy.types.Depsgraph) -> PointCloud:
    """All points of the visible caches, as modifiers, parents, animation and the artist's edits leave them.

    Visible means: for the depsgraph's viewport or render. Instances of a cache count as well.
    Returns world coordinates, footprints in metres; empty if there is no cache.
    """
    return stored_points(depsgraph).cloud()


@dataclass(frozen=True)
class _Part:
    """One component of a cache. cache: the session's number of its object."""

    cache: int
    points: StoredPoints
    world_from_object: np.ndarray

    @property
    def key(self) -> tuple[int, bytes]:
        """What the components of one instance of a cache have in common."""
        return self.cache, self.world_from_object.tobytes()

    def ordered(self) -> tuple[PointCloud, np.ndarray | None]:
        """The finite points, world coordinates, and their places in the cache's own mesh.

        The latter are None if our node group did not number them.
        """
        cloud, order = self.points.cloud(), self.points.order
        if order is None:
            return cloud.finite().transformed(self.world_from_object), None
        sound = np.isfinite(cloud.points).all(axis=1) & (order > 0)
        if not sound.all():
            cloud, order = cloud.selected(sound), order[sound]
        return cloud.transformed(self.world_from_object), order


@dataclass(frozen=True)
class CachePoints:
    """The points of the visible caches as Blender stores them, to be made one cloud in any thread."""

    parts: Sequence[_Part]

    def __len__(self) -> int:
        return sum(len(part.points.points) for part in self.parts)

    def cloud(self) -> PointCloud:
        """World coordinates, footprints in metres."""
        grouped = (list(group) for _, group in groupby(self.parts, lambda part: part.key))
        return PointCloud.concatenate([_in_order([part.ordered() for part in group]) for group in grouped])

    def same_as(self, other: CachePoints) -> bool:
        """Whether both are splatted alike. Comparing a million points costs some milliseconds."""
        return [part.key for part in self.parts] == [part.key for part in other.parts] and all(
            one.points.same_as(two.points) for one, two in zip(self.parts, other.parts, strict=True)
        )


def stored_points(depsgraph: bpy.types.Depsgraph) -> CachePoints:
    """What `evaluated_points` makes a cloud of. It is quick: some milliseconds for a million points."""
    return CachePoints([_Part(uid, attributes.stored(data), world) for uid, data, world in components(depsgraph)])


def components(depsgraph: bpy.types.Depsgraph) -> Iterator[tuple[int, Any, np.ndarray]]:
    """The components of the visible caches that have points: each cache's mesh, point cloud, what its nodes instanced.

    Yields the session's number of the cache's object, its evaluated data, which lives until the next one is asked for,
    and world_from_object (4, 4) float64.
    """
    for instance in depsgraph.object_instances:
        obj: Any = instance.object
        shown = of_object(obj.original).is_cache and instance.show_self and obj.type in ("MESH", "POINTCLOUD")
        if shown and point_count(obj.data):
            yield obj.original.session_uid, obj.data, np.array(instance.matrix_world, dtype=np.float64)


def shown_points(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> tuple[PointCloud, np.ndarray]:
    """What a viewport shows of one cache: its points, local coordinates, and their radii (N,) float32, metres.

    Points that our node group holds back are not among them.
    """
    evaluated: Any = obj.evaluated_get(depsgraph)
    geometry = evaluated.evaluated_geometry()  # its parts live as long as it does
    parts = [data for data in (geometry.mesh, geometry.pointcloud) if data is not None and point_count(data)]
    radii = np.concatenate([*(_radii(data) for data in parts), np.empty(0, np.float32)])
    return PointCloud.concatenate([attributes.read_finite(data) for data in parts]), radii


def _radii(data: Any) -> np.ndarray:
    """(N,) float32; 0 for a mesh's vertices, which have none. Not finite points are left out as read_finite does."""
    count = point_count(data)
    radii = optional_values(data, "radius", count, np.float32)
    sound = np.isfinite(attributes.read_values(data, "position", "vector", 3, count, np.float32)).all(axis=1)
    return np.asarray((np.zeros(count, np.float32) if radii is None else radii)[sound])


def _in_order(parts: Sequence[tuple[PointCloud, np.ndarray | None]]) -> PointCloud:
    """One cloud of a cache's shown and held back points, as they are in its mesh: what is shown changes no frame."""
    cloud = PointCloud.concatenate([part for part, _ in parts])
    orders = [order for _, order in parts if order is not None]
    if len(parts) < 2 or len(orders) < len(parts):
        return cloud
    return cloud.selected(np.argsort(np.concatenate(orders), kind="stable"))


def _new(scene: bpy.types.Scene) -> bpy.types.Object:
    mesh = bpy.data.meshes.new(NAME)
    obj = bpy.data.objects.new(NAME, mesh)
    of_object(obj).is_cache = True
    material = cache_material()
    mesh.materials.append(material)
    scene.collection.objects.link(obj)
    modifier: Any = obj.modifiers.new("Points", "NODES")
    modifier.node_group = points_node_group(material)
    return obj


@persistent
def _release_deleted(scene: bpy.types.Scene, _depsgraph: Any = None) -> None:
    """Forget a cache that the artist deleted: as its last user, the scene would keep it in every file saved."""
    obj = of_scene(scene).cache
    if obj is not None and obj.users <= 1:
        of_scene(scene).cache = None


_HANDLERS = {"depsgraph_update_post": _release_deleted}


def register() -> None:
    registration.add_handlers(_HANDLERS)


def unregister() -> None:
    registration.remove_handlers(_HANDLERS)

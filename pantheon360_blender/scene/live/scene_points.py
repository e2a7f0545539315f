"""The points of a scene's visible caches on the graphics card, all of them, as the geometry pass has them.

Blender's arrays are copied where they are looked at; a thread makes them ready for the card. Until it has, the points
before are shown. A cache that is only moved keeps its points.
"""

from __future__ import annotations

import itertools
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..app import registration
from ..app.access import of_object
from ..cache import attributes, cache_objects
from . import card_points, refining
from .card_points import CardPoints, PackedPoints

Key = tuple[int, int]
"""The session's number of a cache's object, and which of its components it is."""

Content = tuple[int, int]


@dataclass(frozen=True)
class Placed:
    """Points on the card, and where their object is.

    world_from_points: (4, 4) float64. cache: the session's number of the object. shown: factor on the points' sizes in
    viewports, None if viewports do not show them.
    """

    points: CardPoints
    world_from_points: np.ndarray
    cache: int
    shown: float | None


_versions = itertools.count()


class ScenePoints:
    """The points that a depsgraph shows.

    version: another one whenever `placed` returns something else, in all of the session.
    """

    def __init__(self) -> None:
        self.version = next(_versions)
        self._placed: list[Placed] = []
        self._known: dict[Key, tuple[Content, CardPoints, float | None]] = {}  # content they are of, points, size shown
        self._packing: dict[Key, tuple[Content, Future[tuple[PackedPoints, float | None]]]] = {}
        self._worlds: dict[Key, np.ndarray] = {}
        self._looked = -1

    @property
    def count(self) -> int:
        """How many points are on the card."""
        return sum(each.points.count for each in self._placed)

    def placed(self, depsgraph: bpy.types.Depsgraph) -> list[Placed]:
        """What can be drawn now; the picture is refined once there is more."""
        if self._looked != _changes.counter:
            self._looked = _changes.counter
            self._look(depsgraph)
        return self._placed

    def is_ready(self) -> bool:
        """Whether all of the points are on the card."""
        return not self._packing

    def refine(self) -> bool:
        """Upload what the thread has made ready; whether there is more to come."""
        for key, (content, future) in list(self._packing.items()):
            if future.done():
                del self._packing[key]
                packed, shown = future.result()
                self._known[key] = content, card_points.upload(packed), shown
        if not self._packing:
            self._arrange()
        return bool(self._packing)

    def redraw(self) -> None:
        refining.redraw_viewports()

    def wait(self) -> None:
        """Have all points on the card: for tests and figures."""
        for _, future in self._packing.values():
            future.result()
        self.refine()

    def _look(self, depsgraph: bpy.types.Depsgraph) -> None:
        found: dict[Key, np.ndarray] = {}
        counted: dict[int, int] = {}
        for uid, data, world in cache_objects.components(depsgraph):
            key = uid, counted.get(uid, 0)
            counted[uid] = key[1] + 1
            found[key] = world
            content = _changes.content(uid)
            if self._known.get(key, (None,))[0] != content and self._packing.get(key, (None,))[0] != content:
                radii = attributes.optional_values(data, "radius", attributes.point_count(data), np.float32)
                work = partial(_packed, attributes.stored(data), radii)
                self._packing[key] = content, _thread().submit(work)
        self._worlds = found
        for gone in [key for key in self._packing if key not in found]:
            self._packing.pop(gone)[1].cancel()
        if self._packing:
            refining.soon(self)
        else:
            self._arrange()

    def _arrange(self) -> None:
        for gone in [key for key in self._known if key not in self._worlds]:
            del self._known[gone]
        placed = [
            Placed(self._known[key][1], world, key[0], self._known[key][2])
            for key, world in self._worlds.items()
            if key in self._known
        ]
        same = len(placed) == len(self._placed) and all(
            one.points is two.points and np.array_equal(one.world_from_points, two.world_from_points)
            for one, two in zip(placed, self._placed, strict=True)
        )
        if not same:
            self._placed = placed
            self.version = next(_versions)


def _packed(stored: attributes.StoredPoints, radii: np.ndarray | None) -> tuple[PackedPoints, float | None]:
    """The finite points, and how large viewports show them. radii: of the spheres that Blender would draw."""
    cloud = stored.cloud()
    sound = np.isfinite(cloud.points).all(axis=1)
    if stored.order is not None:
        sound &= stored.order > 0  # other than the ends of the edge that hides bare vertices
    packed = card_points.pack(cloud if sound.all() else cloud.selected(sound))
    if radii is None:  # bare vertices: what our node group holds back, and what an artist's modifiers made
        return packed, None if stored.order is not None else 1.0
    own = cloud.footprint[sound] * np.float32(0.5**0.5) if cloud.footprint is not None else np.zeros(0, np.float32)
    known = own > 0
    return packed, float(np.median(radii[sound][known] / own[known])) if known.any() else 1.0


class _Changes:
    """What has changed in this session.

    counted: how often each cache's geometry has, by its number. undone: how often something was undone, which may have
    changed all of them. counter: of anything that may matter.
    """

    def __init__(self) -> None:
        self.counted: dict[int, int] = {}
        self.undone = 0
        self.counter = 0

    def content(self, uid: int) -> Content:
        """What tells a cache's points from earlier ones."""
        return self.undone, self.counted.get(uid, 0)


_changes = _Changes()
_threads: list[ThreadPoolExecutor] = []
_of_scene: dict[int, ScenePoints] = {}


def _thread() -> ThreadPoolExecutor:
    if not _threads:
        _threads.append(ThreadPoolExecutor(1, thread_name_prefix="pantheon360-live"))
    return _threads[0]


def of(scene: bpy.types.Scene) -> ScenePoints:
    """Those of a scene, shared by all that shows them."""
    return _of_scene.setdefault(scene.session_uid, ScenePoints())


def note_updates(depsgraph: Any) -> None:
    """Look at what a depsgraph says has changed."""
    for update in depsgraph.updates:
        changed: Any = update.id
        kind = changed.id_type
        if kind == "OBJECT":
            original = changed.original
            if of_object(original).is_cache:
                _changes.counter += 1
                if update.is_updated_geometry:
                    _changes.counted[original.session_uid] = _changes.counted.get(original.session_uid, 0) + 1
        elif kind in ("SCENE", "COLLECTION"):  # what is there, and what is visible
            _changes.counter += 1


def forget_all() -> None:
    """Let go of all points: for another file."""
    _changes.counter += 1
    _changes.counted.clear()
    for points in _of_scene.values():
        refining.drop(points)
    _of_scene.clear()


@persistent
def _after_change(_scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    if _of_scene:
        note_updates(depsgraph)


@persistent
def _after_undo(*_: Any) -> None:
    """What is shown stays until it has been looked at anew."""
    _changes.undone += 1
    _changes.counter += 1


@persistent
def _before_loading(*_: Any) -> None:
    forget_all()


HANDLERS = {
    "depsgraph_update_post": _after_change,
    "frame_change_post": _after_change,
    "undo_post": _after_undo,
    "redo_post": _after_undo,
    "load_pre": _before_loading,
}
"""Called by Blender once something has been drawn."""


class _Watch:
    watching = False


def watch() -> None:
    """Have Blender tell what changes; only once something is shown, so that enabling the extension runs nothing."""
    if not _Watch.watching:
        registration.add_handlers(HANDLERS)
        _Watch.watching = True


def free() -> None:
    """Let go of all points, the thread and the handlers."""
    forget_all()
    if _Watch.watching:
        registration.remove_handlers(HANDLERS)
        _Watch.watching = False
    for thread in _threads:
        thread.shutdown(wait=False, cancel_futures=True)
    _threads.clear()

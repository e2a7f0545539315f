"""The cache's points in a 3D viewport, as the graphics card draws them: few while the view moves, all at rest.

A redraw whose view is another one draws as many points as it has time for; a timer adds the others, and the viewport is
drawn again when all are there. Any other redraw copies what is there.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from ..app.access import of_object
from . import panorama_shader, refining, scene_points, view_shader
from .scene_points import Placed

_MOST = 6  # viewports whose points are kept
_COARSER = 3  # pixels of a viewport a pixel of its view has while it moves, if not all points can be drawn
_LARGEST_GROWTH = 6.0  # factor on the size of points while there are few of them
_pace = refining.Pace()


class CacheView:
    """The points of one viewport. done: whether all of them are in the picture."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.done = True
        self._fine = view_shader.ViewLayer(*size)
        self._coarse = view_shader.ViewLayer(*(max(1, side // _COARSER) for side in size))
        self._left: list[tuple[Placed, int]] = []
        self._begun = False
        self._key: tuple[Any, ...] = ()
        self._view = np.eye(4), np.eye(4)

    def draw(self, view: tuple[np.ndarray, np.ndarray], placed: list[Placed], version: object) -> None:
        """Draw the points over what is being drawn.

        view: camera_from_world and clip_from_camera. version: of what is placed.
        """
        key = (view[0].tobytes(), view[1].tobytes(), version)
        if key != self._key:
            self._key, self._view = key, view
            self._begin(placed)
        if placed:
            view_shader.compose(self._fine if self.done else self._coarse)

    def _begin(self, placed: list[Placed]) -> None:
        count = sum(each.points.count for each in placed)
        share = min(_pace.portion / max(count, 1), 1.0)
        self.done = share == 1.0
        self._left = [] if self.done else [(each, 0) for each in placed]
        layer = self._fine if self.done else self._coarse
        layer.clear()
        self._begun = False
        if not self.done:
            refining.soon(self, refining.REST)
        began = time.perf_counter()
        for each in placed:
            portion = range(math.ceil(each.points.count * share))
            growth = min(share**-0.5, _LARGEST_GROWTH) * (each.shown or 1.0)
            layer.splat(each.points, portion, self._view, each.world_from_points, growth)
        panorama_shader.wait()
        _pace.note(int(count * share), time.perf_counter() - began)

    def refine(self) -> bool:
        """Add a portion of points; whether there are more."""
        if self._left:
            began = time.perf_counter()
            if not self._begun:
                self._fine.clear()
                self._begun = True
            each, first = self._left.pop(0)
            portion = range(first, min(first + _pace.portion, each.points.count))
            self._fine.splat(each.points, portion, self._view, each.world_from_points, each.shown or 1.0)
            if portion.stop < each.points.count:
                self._left.insert(0, (each, portion.stop))
            panorama_shader.wait()
            _pace.note(len(portion), time.perf_counter() - began)
        self.done = not self._left
        return not self.done

    def redraw(self) -> None:
        refining.redraw_viewports(("VIEW_3D",))


_views: dict[int, CacheView] = {}


def draw(context: Any) -> None:
    """Draw the visible caches' points into the viewport at hand."""
    scene_points.watch()
    depsgraph = context.evaluated_depsgraph_get()
    points = scene_points.of(context.scene)
    wanted = {
        obj.session_uid
        for obj in context.scene.objects
        if of_object(obj).is_cache and obj.mode == "OBJECT" and obj.visible_get(viewport=context.space_data)
    }
    placed = [each for each in points.placed(depsgraph) if each.shown is not None and each.cache in wanted]
    region, view = context.region, context.region_data
    shown = _of(region.as_pointer(), (region.width, region.height))
    matrices = (np.array(view.view_matrix, np.float64), np.array(view.window_matrix, np.float64))
    shown.draw(matrices, placed, (points.version, frozenset(wanted)))


def _of(region: int, size: tuple[int, int]) -> CacheView:
    """That of a region, anew if it has another size; those that were drawn last are kept."""
    found = _views.pop(region, None)
    if found is None or found.size != size:
        if found is not None:
            refining.drop(found)
        found = CacheView(size)
    _views[region] = found
    while len(_views) > _MOST:
        refining.drop(_views.pop(next(iter(_views))))
    return found


def free() -> None:
    """Let go of what is on the card."""
    for view in _views.values():
        refining.drop(view)
    _views.clear()

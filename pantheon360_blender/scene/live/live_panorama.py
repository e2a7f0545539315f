"""The panorama that the scene's camera sees now, kept up to date as a texture.

When the camera, the frame or the cache changes, a redraw draws as many points as it has time for, enlarged so that
surfaces close; a timer adds the others. Without a graphics card that can do it, a thread has the processor's pass draw
it, at reduced size. Nothing waits.
"""

from __future__ import annotations

import logging
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import bpy
import gpu
import numpy as np

from ...core.points.point_cloud import PointCloud
from ...core.render import image_based, splatting
from ..app.access import of_scene, scene_of
from ..cache import cache_objects
from ..camera import camera_path
from . import panorama_shader, photographs, refining, scene_points
from .photographs import PHOTOGRAPHS, Shown

WITHOUT_CARD = 512
"""Pixels of a panorama that the processor draws."""

_MOST = 4  # panoramas that are kept: of several scenes, and sizes of viewports
_CAPTURES = 3  # behind the points: the nearest ones
_LARGEST_GROWTH = 4.0  # factor on the size of points while there are few of them

_gpu: Any = gpu  # its classes' constructors are unknown to type checkers
_log = logging.getLogger(__name__)


class LivePanorama:
    """A panorama of some width. done: whether all points are in it."""

    def __init__(self, width: int, *, marks: bool = False) -> None:
        """marks: whether what is unseen, guessed and covered is tinted."""
        self.width = width
        self.marks = marks
        self.done = True
        self._painter: _OnCard | _OnProcessor | None = None
        self._key: tuple[Any, ...] = ()

    def texture(self, depsgraph: bpy.types.Depsgraph) -> Any:
        """The newest picture, sRGB values, or None if there is none yet.

        Raises RenderError if the scene has no camera.
        """
        scene_points.watch()
        photographs.watch()
        scene = scene_of(depsgraph)
        pose = camera_path.pose(depsgraph)
        points = scene_points.of(scene)
        placed = points.placed(depsgraph)
        shown = nearest(PHOTOGRAPHS.shown(scene, depsgraph), pose)
        near = float(of_scene(scene).near)
        key = (
            pose.tobytes(),
            points.version,
            near,
            tuple((id(each.texture), each.pose.tobytes()) for each in shown),
        )
        if self._painter is None:
            self._painter = _OnCard(self.width, self.marks) if card_can() else _OnProcessor(self)
        if key != self._key:
            self._key = key
            self.done = False
            self._painter.begin(depsgraph, pose, placed, shown, near)
            refining.soon(self, refining.REST)
        return self._painter.picture

    def refine(self) -> bool:
        """Add a portion of points; whether there are more."""
        self.done = self._painter is None or not self._painter.go_on()
        return not self.done

    def redraw(self) -> None:
        refining.redraw_viewports()

    def free(self) -> None:
        """Let go of what is on the card."""
        refining.drop(self)
        if isinstance(self._painter, _OnProcessor):
            self._painter.stop()
        self._painter, self._key = None, ()


def nearest(shown: list[Shown], pose: np.ndarray) -> list[Shown]:
    """The captures that stand nearest to a camera, the nearest first."""
    return sorted(shown, key=lambda each: float(np.linalg.norm(each.pose[:3, 3] - pose[:3, 3])))[:_CAPTURES]


class _Card:
    """What is known of the graphics card. able: whether it draws panoramas; None before it was tried."""

    able: bool | None = None


def card_can() -> bool:
    """Whether the graphics card draws panoramas, which takes compute shaders and atomic minima."""
    if _Card.able is None:
        try:
            panorama_shader.prepare()
            _Card.able = True
        except Exception:  # what is raised differs with Blender's backends
            _Card.able = False
            _log.warning("The graphics card cannot draw the live panorama: the processor does, at reduced size")
    return _Card.able


_pace = refining.Pace()


class _OnCard:
    """Draws with the graphics card."""

    def __init__(self, width: int, marks: bool) -> None:
        self._marks = marks
        self._target = panorama_shader.Picture(width, width // 2, "RGBA8")
        self._sky = panorama_shader.Picture(width // 2, width // 4, "RGBA16F")
        self._fine, self._coarse = panorama_shader.Layer(width), panorama_shader.Layer(width)
        self._left: list[tuple[scene_points.Placed, int]] = []
        self._pose, self._near = np.eye(4), 0.0
        self._resolved = True

    @property
    def picture(self) -> Any:
        """The texture; to be asked for while something is drawn."""
        if not self._resolved:
            self._resolve()
        return self._target.texture

    def begin(
        self,
        _depsgraph: bpy.types.Depsgraph,
        pose: np.ndarray,
        placed: list[scene_points.Placed],
        shown: list[Shown],
        near: float,
    ) -> None:
        """Draw what there is time for."""
        self._pose, self._near = pose, near
        count = sum(each.points.count for each in placed)
        share = min(_pace.portion / max(count, 1), 1.0)
        growth = min(math.sqrt(1.0 / share), _LARGEST_GROWTH)
        first = self._fine if share == 1.0 else self._coarse
        began = time.perf_counter()
        first.clear()
        for each in placed:
            portion = range(math.ceil(each.points.count * share))
            first.splat(each.points, portion, pose, each.world_from_points, near, growth)
        distances = np.array([np.linalg.norm(each.pose[:3, 3] - pose[:3, 3]) for each in shown])
        weights = image_based.nearness(distances).tolist() if len(shown) else []
        behind = [(each.texture, each.pose, weight) for each, weight in zip(shown, weights, strict=True)]
        panorama_shader.draw_sky(self._sky, behind, pose)
        self._left = [] if share == 1.0 else [(each, 0) for each in placed]
        if self._left:
            self._fine.clear()
        self._resolve()
        panorama_shader.wait()
        _pace.note(int(count * share), time.perf_counter() - began)

    def go_on(self) -> bool:
        """Draw a portion of what is left; whether there is more."""
        if not self._left:
            return False
        began = time.perf_counter()
        each, first = self._left.pop(0)
        portion = range(first, min(first + _pace.portion, each.points.count))
        self._fine.splat(each.points, portion, self._pose, each.world_from_points, self._near)
        if portion.stop < each.points.count:
            self._left.insert(0, (each, portion.stop))
        panorama_shader.wait()
        self._resolved = bool(self._left)
        _pace.note(len(portion), time.perf_counter() - began)
        return bool(self._left)

    def _resolve(self) -> None:
        coarse = self._coarse if self._left else None
        panorama_shader.resolve(self._target, self._fine, coarse, self._sky, marks=self._marks)
        self._resolved = True


class _OnProcessor:
    """Has a thread draw with the processor: the newest wish when the one before is fulfilled."""

    def __init__(self, owner: LivePanorama) -> None:
        self.picture: Any = None
        self._owner = owner
        self._width = min(owner.width, WITHOUT_CARD)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="pantheon360-live")
        self._drawing: Future[np.ndarray] | None = None
        self._wish: tuple[np.ndarray, float] | None = None
        self._cloud: tuple[int, PointCloud] | None = None

    def begin(
        self,
        depsgraph: bpy.types.Depsgraph,
        pose: np.ndarray,
        _placed: list[scene_points.Placed],
        _shown: list[Shown],
        near: float,
    ) -> None:
        version = scene_points.of(scene_of(depsgraph)).version
        if self._cloud is None or self._cloud[0] != version:
            self._cloud = version, cache_objects.evaluated_points(depsgraph)
        self._wish = pose, near

    def go_on(self) -> bool:
        """Show what the thread has drawn, and give it what is wished by now; whether it is at work."""
        if self._drawing is not None and self._drawing.done():
            self.picture = _texture(self._drawing.result())
            self._drawing = None
            self._owner.redraw()
        if self._drawing is None and self._wish is not None and self._cloud is not None:
            (pose, near), self._wish = self._wish, None
            draw = partial(_drawn, self._cloud[1], pose, self._width, near, self._owner.marks)
            self._drawing = self._threads.submit(draw)
        return self._drawing is not None

    def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _drawn(cloud: PointCloud, pose: np.ndarray, width: int, near: float, marks: bool) -> np.ndarray:
    """(H, W, 4) float32, first row at the bottom: sRGB values, and 1 where points are."""
    footprint = cloud.footprint if cloud.footprint is not None else 0.0
    frame = splatting.splat_footprints(cloud.points, cloud.colours, footprint, pose, width, near=near)
    frame = splatting.with_confidence(frame, cloud.confidence)
    colour = np.where(
        frame.coverage[..., None], frame.colour / np.float32(255.0), np.array(panorama_shader.UNKNOWN, np.float32)
    )
    if marks:
        sure = frame.sureness[..., None]
        guessed, covered = np.array([panorama_shader.GUESSED, panorama_shader.COVERED], np.float32)
        tint = np.where(frame.coverage[..., None], guessed + (covered - guessed) * sure, panorama_shader.UNSEEN)
        colour = colour + (tint - colour) * np.float32(0.45)
    return np.asarray(np.concatenate([colour, frame.coverage[..., None]], axis=2, dtype=np.float32)[::-1])


def _texture(picture: np.ndarray) -> Any:
    height, width = picture.shape[:2]
    buffer = _gpu.types.Buffer("FLOAT", picture.size, np.ascontiguousarray(picture).ravel())
    return _gpu.types.GPUTexture((width, height), format="RGBA8", data=buffer)


_panoramas: dict[tuple[int, int, bool], LivePanorama] = {}


def of(scene: bpy.types.Scene, width: int, *, marks: bool = False) -> LivePanorama:
    """The live panorama of a scene at this width, shared by all viewports that show it."""
    key = (scene.session_uid, width, marks)
    found = _panoramas.pop(key, None) or LivePanorama(width, marks=marks)
    _panoramas[key] = found  # the last of them was asked for last
    while len(_panoramas) > _MOST:
        _panoramas.pop(next(iter(_panoramas))).free()
    return found


def free() -> None:
    """Let go of everything that is on the card, of threads, timers and handlers."""
    for panorama in _panoramas.values():
        panorama.free()
    _panoramas.clear()
    scene_points.free()
    photographs.free()
    refining.stop()
    panorama_shader.free()
    _Card.able = None

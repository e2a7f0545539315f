"""Rendered shading in the 3D viewport: through the scene's camera, the panorama that it will render.

It stands in the camera's frame, as F12 has it, at most as wide as the viewport can show; what the viewport looks at
otherwise is left to the overlay of the cache's points. While the camera moves the graphics card draws the live
panorama; the draft, which takes longer, comes when the hand rests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import bpy
import gpu
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
from gpu_extras.presets import draw_texture_2d

from ...core.points.point_cloud import PointCloud
from ..app.access import of_scene
from ..camera import camera_path
from ..captures.colour import scene_linear
from ..live import live_panorama, panorama_shader, refining
from .geometry_pass import even_width, points

WIDEST = 1024
"""Pixels: each redraw waits for the picture, and ten times a second should be possible with a million points."""

Painting = Callable[[PointCloud, np.ndarray, int], np.ndarray]
"""Cloud, pose and width to the draft, (H, W, 3) uint8 sRGB."""

_gpu: Any = gpu  # its classes' constructors are unknown to type checkers


class RenderedView:
    """One viewport's picture; made again when the scene, the camera or the viewport's size has changed."""

    def __init__(self) -> None:
        self._cloud: PointCloud | None = None
        self._shows: tuple[Any, ...] = ()
        self._wanted: tuple[Any, ...] = ()
        self._since = 0.0
        self._texture: Any = None

    def _moves(self, wanted: tuple[Any, ...]) -> bool:
        """Whether the camera, the scene or the viewport has changed a moment ago."""
        if wanted != self._wanted:
            self._wanted, self._since = wanted, time.monotonic()
        return time.monotonic() - self._since < refining.REST

    def refine(self) -> bool:
        """Nothing is refined here: whether the hand still moves."""
        return time.monotonic() - self._since < refining.REST

    def redraw(self) -> None:
        """The hand rests: the draft is painted."""
        refining.redraw_viewports(("VIEW_3D",))

    def forget(self) -> None:
        """The scene has changed: its points are read, and the picture is painted, anew."""
        self._cloud, self._shows, self._wanted = None, (), ()

    def draw(self, context: Any, depsgraph: bpy.types.Depsgraph, paint: Painting) -> None:
        """Draw the panorama into the camera's frame, in scene-linear colours; nothing if none is looked through.

        Raises RenderError, CacheError and CaptureError if there is nothing to show.
        """
        if context.region_data.view_perspective != "CAMERA":
            return
        left, low, width, height = camera_frame(context)
        pose = camera_path.pose(depsgraph)
        wide = even_width(max(2, min(int(width), WIDEST)))
        wanted = (wide, pose.tobytes())
        marks = bool(of_scene(context.scene).live_marks)  # of points, which the draft hides
        moves = self._shows != wanted and self._moves(wanted)
        if (marks or moves) and not bpy.app.background and live_panorama.card_can():
            live = live_panorama.of(context.scene, wide, marks=marks)
            panorama_shader.show(live.texture(depsgraph), (left, low, width, height), 1.0)
            if not marks:
                refining.soon(self, refining.REST)
            return
        if self._shows != wanted:
            self._cloud = self._cloud or points(depsgraph)
            self._texture = _texture(paint(self._cloud, pose, wide))
            self._shows = wanted
        draw_texture_2d(self._texture, (left, low), width, height)


def camera_frame(context: Any) -> tuple[float, float, float, float]:
    """Where the camera's frame lies in the viewport's region: left, low, width and height in pixels."""
    scene, camera = context.scene, context.scene.camera
    corners = camera.data.view_frame(scene=scene)
    world = camera.matrix_world.normalized()
    places = [location_3d_to_region_2d(context.region, context.region_data, world @ corner) for corner in corners]
    across, up = zip(*(place[:2] for place in places), strict=True)
    return min(across), min(up), max(across) - min(across), max(up) - min(up)


def _texture(picture: np.ndarray) -> Any:
    """A picture (H, W, 3) uint8 sRGB as a texture of scene-linear colours, its first row on top."""
    height, width = picture.shape[:2]
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = scene_linear(picture)[::-1]
    data = _gpu.types.Buffer("FLOAT", pixels.size, pixels.ravel())
    return _gpu.types.GPUTexture((width, height), format="RGBA16F", data=data)

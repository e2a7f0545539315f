"""The last coverage check as a plot at the foot of the 3D viewport: what each frame sees, and where warnings are.

The blue area is what is surely covered, the pale one on top what is guessed, the orange line the largest hole.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import blf
import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

from ..pantheon360_blender.scene.app import units
from ..pantheon360_blender.scene.app.access import of_window_manager
from ..pantheon360_blender.scene.camera import coverage_check
from ..pantheon360_blender.scene.translation import translated

Colour = tuple[float, float, float, float]

WIDTH, HEIGHT, MARGIN, FOOT = 380, 96, 16, 48
"""Pixels at Blender's usual interface scale; the foot is left to the panel that adjusts the last operation."""

BACKGROUND: Colour = (0.07, 0.07, 0.07, 0.78)
COVERED: Colour = (0.28, 0.56, 0.86, 0.85)
GUESSED: Colour = (0.62, 0.72, 0.82, 0.6)
HOLE: Colour = (1.0, 0.62, 0.15, 1.0)
REFERENCE: Colour = (1.0, 1.0, 1.0, 0.35)
CURRENT: Colour = (1.0, 1.0, 1.0, 0.9)
TEXT: Colour = (0.92, 0.92, 0.92, 1.0)
WARNINGS: dict[str, Colour] = {
    "leaves": (0.92, 0.22, 0.2, 0.9),
    "touches": (0.93, 0.3, 0.75, 0.9),
    "fast": (0.98, 0.85, 0.2, 0.9),
}
_TITLE, _BAND = 20, 5  # of the height: the line of text on top, a band of warnings at the foot

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shape:
    """Something of one colour; kind as in gpu: "TRIS", "LINES" or "LINE_STRIP"; vertices (N, 2) float32, pixels."""

    kind: str
    colour: Colour
    vertices: np.ndarray


@dataclass
class _Plot:
    """What is kept between redraws; `failed` once the graphics system refused, so that it is said only once."""

    handle: Any = None
    failed: bool = False


_plot = _Plot()


def shapes(checked: coverage_check.Checked, corner: tuple[float, float], scale: float, frame: float) -> list[Shape]:
    """The plot, back to front.

    corner: of its lower left, pixels. scale: of the interface. frame: the current one.
    """
    path = checked.path
    left, bottom = corner
    width, height = WIDTH * scale, HEIGHT * scale
    low = bottom + 3 * _BAND * scale
    tall = height - (3 * _BAND + _TITLE) * scale
    first, last = float(path.frames[0]), float(path.frames[-1])

    def across(frames: np.ndarray) -> np.ndarray:
        return np.asarray(left + np.clip((frames - first) / max(last - first, 1.0), 0.0, 1.0) * width)

    x = across(path.frames.astype(np.float64))
    found = [
        Shape("TRIS", BACKGROUND, _rectangle(left, bottom, width, height)),
        Shape("TRIS", COVERED, _area(x, np.full_like(x, low), low + (path.covered - path.guessed) * tall)),
        Shape("TRIS", GUESSED, _area(x, low + (path.covered - path.guessed) * tall, low + path.covered * tall)),
        Shape("LINES", REFERENCE, _points([left, left + width], [low + path.reference * tall] * 2)),
        Shape("LINE_STRIP", HOLE, _points(x, low + path.hole * tall)),
    ]
    for row, kind in enumerate(WARNINGS):
        for warning in checked.warnings:
            if warning.kind == kind:
                start, end = across(np.array([warning.first, warning.last], np.float64))
                # Half a frame to both sides, so that a single frame is seen too.
                wide = max(end - start, 2 * scale)
                band = _rectangle(start, bottom + row * _BAND * scale, wide, (_BAND - 1) * scale)
                found.append(Shape("TRIS", WARNINGS[kind], band))
    now = float(across(np.array([frame], np.float64))[0])
    found.append(Shape("LINES", CURRENT, _points([now, now], [bottom, low + tall])))
    return found


def title(scene: bpy.types.Scene, checked: coverage_check.Checked, frame: float) -> str:
    """What the frame nearest to the current one sees, in the scene's units."""
    path = checked.path
    index = int(np.abs(path.frames - frame).argmin())
    state = translated("OUT OF DATE") + "   " if coverage_check.outdated(scene) else ""
    return state + translated(
        "covered {covered:.0%}, {guessed:.0%} guessed   hole {hole:.0%}   nearest {nearest}   {speed}",
        covered=path.covered[index],
        guessed=path.guessed[index],
        hole=path.hole[index],
        nearest=units.length(scene, path.nearest[index]),
        speed=units.speed(scene, path.speed[index]),
    )


def _draw() -> None:
    context: Any = bpy.context
    if _plot.failed or not context.space_data.overlay.show_overlays:
        return
    if not of_window_manager(context.window_manager).show_coverage_plot:
        return
    checked = coverage_check.stored(context.scene)
    if checked is None or not len(checked.path.frames):
        return
    try:
        _draw_plot(context, checked)
    except Exception:
        _plot.failed = True
        _log.exception("The coverage plot cannot be drawn")


def _draw_plot(context: Any, checked: coverage_check.Checked) -> None:
    scale = context.preferences.system.ui_scale
    tools = next((region.width for region in context.area.regions if region.type == "TOOLS"), 0)
    overlap = context.preferences.system.use_region_overlap
    corner = ((tools if overlap and tools > 1 else 0) + MARGIN * scale, FOOT * scale)
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    gpu.state.blend_set("ALPHA")
    for shape in shapes(checked, corner, scale, context.scene.frame_current_final):
        batch: Any = batch_for_shader(shader, shape.kind, {"pos": shape.vertices.tolist()})
        shader.bind()
        shader.uniform_float("color", shape.colour)
        batch.draw(shader)
    gpu.state.blend_set("NONE")
    font = 0
    blf.size(font, 11 * scale)
    blf.color(font, *TEXT)
    blf.position(font, corner[0] + 6 * scale, corner[1] + (HEIGHT - _TITLE + 6) * scale, 0)
    blf.draw(font, title(context.scene, checked, context.scene.frame_current_final))


def _points(x: Any, y: Any) -> np.ndarray:
    return np.asarray(np.stack([np.asarray(x), np.asarray(y)], axis=-1), np.float32)


def _rectangle(x: float, y: float, width: float, height: float) -> np.ndarray:
    return _area(np.array([x, x + width]), np.array([y, y]), np.array([y + height, y + height]))


def _area(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(6 (n - 1), 2) corners of the triangles between two curves."""
    below, above = _points(x, low), _points(x, high)
    corners = np.stack([below[:-1], below[1:], above[1:], below[:-1], above[1:], above[:-1]], axis=1)
    return np.asarray(corners.reshape(-1, 2))


def register() -> None:
    if not bpy.app.background:
        _plot.handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    if _plot.handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_plot.handle, "WINDOW")
    _plot.handle = None
    _plot.failed = False

"""The captures' photographs in 3D viewports, in place of the meshes that Blender shows in textured shading alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bpy

from ..pantheon360_blender.scene.app.access import of_object
from ..pantheon360_blender.scene.captures import preview_sphere
from ..pantheon360_blender.scene.live import live_panorama, photograph_spheres
from ..pantheon360_blender.scene.render.render_engine import PANTHEON360_RenderEngine

_log = logging.getLogger(__name__)


@dataclass
class _Overlay:
    """What is kept between redraws; `failed` once the graphics system refused, so that it is said only once."""

    handle: Any = None
    failed: bool = False
    drawn: bool = False


_overlay = _Overlay()


def _draw() -> None:
    context: Any = bpy.context
    if _overlay.failed or not context.space_data.overlay.show_overlays:
        return
    if _is_panorama(context) or not any(of_object(each).is_capture for each in context.scene.objects):
        return
    try:
        _overlay.drawn = True
        photograph_spheres.draw(context)
        if not preview_sphere.are_drawn_elsewhere():
            _soon(_replace_meshes)
    except Exception:
        _overlay.failed = True
        _soon(_show_meshes)
        _log.exception("Photographs cannot be shown on their spheres")


def _is_panorama(context: Any) -> bool:
    """Whether the viewport shows a panorama in the camera's frame, in which spheres would stand elsewhere."""
    rendered = context.space_data.shading.type == "RENDERED" and context.engine == PANTHEON360_RenderEngine.bl_idname
    return bool(rendered and context.region_data.view_perspective == "CAMERA")


def _soon(work: Callable[[], None]) -> None:
    """Do something to Blender's data once it is not being drawn."""
    if not bpy.app.timers.is_registered(work):
        bpy.app.timers.register(work, first_interval=0.0)


def _replace_meshes() -> None:
    preview_sphere.draw_elsewhere(True)


def _show_meshes() -> None:
    preview_sphere.draw_elsewhere(False)


def register() -> None:
    if not bpy.app.background:
        _overlay.handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")


def unregister() -> None:
    if _overlay.handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_overlay.handle, "WINDOW")
    for work in (_replace_meshes, _show_meshes):
        if bpy.app.timers.is_registered(work):
            bpy.app.timers.unregister(work)
    if _overlay.drawn:  # else its file was not run
        preview_sphere.draw_elsewhere(False)
        live_panorama.free()
    _overlay.handle = None
    _overlay.failed = _overlay.drawn = False

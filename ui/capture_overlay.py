"""The captures' photographs in 3D viewports, in place of the meshes that Blender shows in textured shading alone."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import bpy

from ..pantheon360_blender.scene.captures import preview_sphere
from ..pantheon360_blender.scene.live import live_panorama, photograph_spheres

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
    if not any(each.pantheon360.is_capture for each in context.scene.objects):
        return
    try:
        _overlay.drawn = True
        photograph_spheres.draw(context)
        if not preview_sphere.are_drawn_elsewhere():
            bpy.app.timers.register(_replace_meshes, first_interval=0.0)
    except Exception:
        _overlay.failed = True
        _log.exception("Photographs cannot be shown on their spheres")


def _replace_meshes() -> None:
    preview_sphere.draw_elsewhere(True)


def register() -> None:
    if not bpy.app.background:
        _overlay.handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")


def unregister() -> None:
    if _overlay.handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_overlay.handle, "WINDOW")
    if bpy.app.timers.is_registered(_replace_meshes):
        bpy.app.timers.unregister(_replace_meshes)
    if _overlay.drawn:  # else its file was not run
        preview_sphere.draw_elsewhere(False)
        live_panorama.free()
    _overlay.handle = None
    _overlay.failed = _overlay.drawn = False

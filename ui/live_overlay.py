"""The live panorama in a corner of 3D viewports and over whole image editors, with a switch in their headers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import blf
import bpy
import gpu
from bpy.app.handlers import persistent
from gpu_extras.batch import batch_for_shader

from ..pantheon360_blender.core.errors import PantheonError
from ..pantheon360_blender.scene.app import registration
from ..pantheon360_blender.scene.app.access import of_scene
from ..pantheon360_blender.scene.cache import cache_objects
from ..pantheon360_blender.scene.live import live_panorama, panorama_shader, refining
from ..pantheon360_blender.scene.shot import look_around
from ..pantheon360_blender.scene.translation import translated

TITLE = "Live Panorama"
MARGIN, LINE = 12, 20
"""Pixels at Blender's usual interface scale: around the picture, and of the line of text on top of it."""
LEAST_WIDTH = 160
"""The same: a viewport that has no room for it shows no panorama."""

GIZMOS = 96
"""The same: width of what Blender draws at the top right, the gizmo that turns the view and the buttons below it."""
TEXTS = 64
"""The same: height of the lines that Blender writes at the top left."""
FOOT = 152
"""The same: height of what may stand at the foot on the left, the coverage plot or the last operation's panel."""

_FRAME = (0.07, 0.07, 0.07, 0.85)
_WRITING = (0.92, 0.92, 0.92, 1.0)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Free:
    """The part of a viewport's region that other regions leave, in pixels."""

    left: float
    bottom: float
    right: float
    top: float


@dataclass
class _Overlay:
    """What is kept between redraws; `failed` once the graphics system refused, so that it is said only once."""

    handle: Any = None
    editor_handle: Any = None
    failed: bool = False
    drawn: bool = False


_overlay = _Overlay()


def place(free: Free, corner: str, share: float, scale: float) -> tuple[float, float, float, float] | None:
    """Where the picture is: left, bottom, width, height in pixels; None if there is no room.

    corner, share: the scene's settings. scale: of Blender's interface.
    """
    margin, line = MARGIN * scale, LINE * scale
    aside = GIZMOS * scale if corner == "TOP_RIGHT" else margin
    above = margin + (TEXTS * scale if corner == "TOP_LEFT" else 0.0)
    below = FOOT * scale if corner == "BOTTOM_LEFT" else margin
    broad = free.right - free.left - margin - aside
    high = free.top - free.bottom - above - below - line
    width = min(share * (free.right - free.left), broad, 2 * high)
    if width < LEAST_WIDTH * scale:
        return None
    height = width / 2
    left = free.left + margin if corner.endswith("LEFT") else free.right - aside - width
    bottom = free.bottom + below if corner.startswith("BOTTOM") else free.top - above - line - height
    return float(round(left)), float(round(bottom)), float(round(width)), float(round(height))


def free_part(context: Any) -> Free:
    """What of the region at hand no other region lies over."""
    region = context.region
    left, bottom, right, top = 0.0, 0.0, float(region.width), float(region.height)
    if context.preferences.system.use_region_overlap:
        for other in context.area.regions:
            if other.type == "WINDOW" or other.width <= 1 or other.height <= 1:
                continue
            if other.type in ("TOOLS", "UI"):
                if other.x + other.width / 2 < region.x + region.width / 2:
                    left = max(left, other.x + other.width - region.x)
                else:
                    right = min(right, other.x - region.x)
            elif other.y > region.y + region.height / 2:
                top = min(top, other.y - region.y)
            else:
                bottom = max(bottom, other.y + other.height - region.y)
    return Free(left, bottom, right, top)


def is_offered(context: Any) -> bool:
    """Whether there is something to show in this viewport: a cache, and a camera."""
    scene = context.scene
    return (
        scene.camera is not None
        and cache_objects.find(scene) is not None
        and not look_around.is_here(context.workspace)
    )


def _draw() -> None:
    context: Any = bpy.context
    settings = of_scene(context.scene)
    shown = settings.live and context.space_data.overlay.show_overlays
    if _overlay.failed or not shown or not is_offered(context):
        return
    scale = context.preferences.system.ui_scale
    placed = place(free_part(context), settings.live_corner, settings.live_size, scale)
    if placed is not None:
        _show(context, placed, settings.live_opacity)


def _draw_in_editor() -> None:
    context: Any = bpy.context
    settings = of_scene(context.scene)
    if _overlay.failed or not settings.live_in_editors or not is_offered(context):
        return
    scale = context.preferences.system.ui_scale
    free = free_part(context)
    width = min(free.right - free.left, 2 * (free.top - free.bottom - LINE * scale))
    if width >= LEAST_WIDTH * scale:
        left = round((free.left + free.right - width) / 2)
        bottom = round((free.bottom + free.top - LINE * scale - width / 2) / 2)
        _show(context, (float(left), float(bottom), float(width), width / 2), 1.0)


def _show(context: Any, placed: tuple[float, float, float, float], opacity: float) -> None:
    """Draw the scene's live panorama with its title. placed: left, bottom, width, height in pixels."""
    settings = of_scene(context.scene)
    scale = context.preferences.system.ui_scale
    _overlay.drawn = True
    try:
        depsgraph = context.evaluated_depsgraph_get()
        width = min(settings.live_width, 2 * max(64, round(placed[2] / 64) * 64))
        panorama = live_panorama.of(context.scene, width - width % 2, marks=settings.live_marks)
        texture = panorama.texture(depsgraph)
        _draw_picture(texture, placed, scale, opacity)
        _write(title(context.scene, panorama.done), placed, scale)
    except PantheonError:
        return  # the scene has no camera at this frame
    except Exception:
        _overlay.failed = True
        _log.exception("The live panorama cannot be shown")


def title(scene: Any, done: bool) -> str:
    """What stands above the picture."""
    values = {"camera": scene.camera.name, "frame": scene.frame_current}
    told = f"{translated(TITLE)}   {translated('{camera}, frame {frame}', **values)}"
    return told if done else f"{told}   {translated('refining')}"


def _draw_picture(texture: Any, placed: tuple[float, float, float, float], scale: float, opacity: float) -> None:
    left, bottom, width, height = placed
    border = 2 * scale
    frame = (left - border, bottom - border, width + 2 * border, height + LINE * scale + border)
    gpu.state.blend_set("ALPHA")
    flat = gpu.shader.from_builtin("UNIFORM_COLOR")
    flat.bind()
    flat.uniform_float("color", (*_FRAME[:3], _FRAME[3] * opacity))
    _rectangle(flat, *frame).draw(flat)
    if texture is not None:
        panorama_shader.show(texture, placed, opacity)
    gpu.state.blend_set("NONE")


def _rectangle(shader: Any, x: float, y: float, width: float, height: float) -> Any:
    corners = [(x, y), (x + width, y), (x, y + height), (x + width, y + height)]
    return batch_for_shader(shader, "TRI_STRIP", {"pos": corners})


def _write(text: str, placed: tuple[float, float, float, float], scale: float) -> None:
    left, bottom, width, height = placed
    font = 0
    blf.size(font, 11 * scale)
    blf.color(font, *_WRITING)
    blf.enable(font, blf.CLIPPING)
    blf.clipping(font, left, bottom, left + width, bottom + height + LINE * scale)
    blf.position(font, left + 4 * scale, bottom + height + 6 * scale, 0)
    blf.draw(font, text)
    blf.disable(font, blf.CLIPPING)


def draw_switch(header: Any, context: Any) -> None:
    """Drawn at the end of Blender's own header."""
    if is_offered(context):
        header.layout.prop(of_scene(context.scene), "live", text="", icon="VIEW_PERSPECTIVE", toggle=True)


def draw_editor_switch(header: Any, context: Any) -> None:
    """Drawn at the end of the image editor's own header."""
    if is_offered(context):
        header.layout.prop(of_scene(context.scene), "live_in_editors", text="", icon="VIEW_PERSPECTIVE", toggle=True)


@persistent
def _after_change(scene: bpy.types.Scene, *_: Any) -> None:
    """Image editors are not drawn again because a camera moves."""
    if of_scene(scene).live_in_editors:
        refining.redraw_viewports(("IMAGE_EDITOR",))


_HANDLERS = {"depsgraph_update_post": _after_change, "frame_change_post": _after_change}


def register() -> None:
    bpy.types.VIEW3D_HT_header.append(draw_switch)
    bpy.types.IMAGE_HT_header.append(draw_editor_switch)
    if not bpy.app.background:
        registration.add_handlers(_HANDLERS)
        _overlay.editor_handle = bpy.types.SpaceImageEditor.draw_handler_add(
            _draw_in_editor, (), "WINDOW", "POST_PIXEL"
        )
        _overlay.handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    bpy.types.VIEW3D_HT_header.remove(draw_switch)
    bpy.types.IMAGE_HT_header.remove(draw_editor_switch)
    registration.remove_handlers(_HANDLERS)
    if _overlay.handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_overlay.handle, "WINDOW")
        bpy.types.SpaceImageEditor.draw_handler_remove(_overlay.editor_handle, "WINDOW")
    if _overlay.drawn:  # else its file was not run
        live_panorama.free()
    _overlay.handle = _overlay.editor_handle = None
    _overlay.failed = _overlay.drawn = False

"""A result where it can be watched, playing: in the Video Editing workspace's sequencers, from within, or both.

Blender makes a workspace's areas only when it is drawn: what needs them waits for that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import bpy

from ...core.errors import RenderError
from ..app import access, versions
from ..app.access import SceneReference
from . import look_around

View = Literal["SEQUENCER", "AROUND", "BOTH"]
"""Where a result is shown."""
WORKSPACE = "Video Editing"
_TEMPLATE = "startup/bl_app_templates_system/Video_Editing/startup.blend"
_PATIENCE, _PAUSE = 80, 0.1  # how often it is looked whether the areas are there, and seconds between
_DRAWN = 10  # pixels across that an area has once it is drawn

_log = logging.getLogger(__name__)
_window: Any = None
_steps: Iterator[None] = iter(())
_tries = 0


def show(context: Any, results: bpy.types.Scene, strip: Any, view: View = "SEQUENCER") -> None:
    """Go to where the result is shown, from the strip's first frame on, and play once that is drawn.

    Raises JobError if it cannot be looked around in, since its files are gone.
    """
    global _window, _steps, _tries
    if view != "SEQUENCER":
        look_around.require(strip)
    first, after = versions.strip_range(strip)
    results.frame_set(first)
    results.use_preview_range = True  # it plays this strip in a loop, whatever else the scene has
    results.frame_preview_start, results.frame_preview_end = max(first, 0), max(after - 1, 0)
    if context.window is None:
        return
    back = (context.workspace.name, context.scene.name)
    if view != "SEQUENCER":
        look_around.place(results, strip)
    if view != "AROUND" and (workspace := _workspace(context)) is not None:
        context.window.workspace = workspace
        versions.assign_sequencer(context.window, results)
    _window, _steps, _tries = context.window, _showing(context.window, SceneReference(results), view, back), 0
    if not bpy.app.timers.is_registered(_go_on):
        bpy.app.timers.register(_go_on, first_interval=_PAUSE)


def _workspace(context: Any) -> Any:
    """The workspace for editing videos, of this file or from Blender's template; None if neither can be had."""
    found = bpy.data.workspaces.get(WORKSPACE)
    if found is not None:
        return found
    template = next((path for folder in bpy.utils.script_paths() if (path := Path(folder) / _TEMPLATE).is_file()), None)
    if template is None:
        return None
    try:
        with context.temp_override(window=context.window):
            bpy.ops.workspace.append_activate(idname=WORKSPACE, filepath=str(template))
    except RuntimeError:
        _log.warning("The workspace %s cannot be added", WORKSPACE, exc_info=True)
    return bpy.data.workspaces.get(WORKSPACE)


def _go_on() -> float | None:
    """Timer: the next step, until there is none or Blender does not draw what is waited for."""
    global _tries
    _tries += 1
    if _window not in access.windows():
        return None  # it was closed
    try:
        next(_steps)
    except (StopIteration, RenderError):  # at the end, or the scene was deleted
        return None
    return _PAUSE if _tries < _PATIENCE else None


def _showing(window: Any, results: SceneReference, view: View, back: tuple[str, str]) -> Iterator[None]:
    """Frame, look around and play as soon as the window shows what is needed. back: as of look_around.enter."""
    if view != "AROUND":
        while not (areas := _sequencers(window)) or any(area.width < _DRAWN for area in areas):
            yield
        versions.assign_sequencer(window, results.scene)
        yield
    if view != "SEQUENCER":
        yield from look_around.enter(window, results.scene, back, split=view == "BOTH")
        yield
    _frame(window, _sequencers(window))
    with bpy.context.temp_override(window=window, screen=window.screen, area=window.screen.areas[0]):
        if not window.screen.is_animation_playing:
            bpy.ops.screen.animation_play()


def _sequencers(window: Any) -> list[Any]:
    return [area for area in window.screen.areas if area.type == "SEQUENCE_EDITOR"]


def _frame(window: Any, areas: list[Any]) -> None:
    for area in areas:
        for region in area.regions:
            if region.type in ("WINDOW", "PREVIEW") and region.width > 1:
                with bpy.context.temp_override(window=window, area=area, region=region):
                    framing: tuple[Any, ...] = (bpy.ops.sequencer.view_selected, bpy.ops.sequencer.view_all_preview)
                    for operator in framing:
                        if operator.poll():
                            operator()


def register() -> None:
    """Nothing is needed before something is shown."""


def unregister() -> None:
    """Forget what waits for a workspace to be drawn."""
    if bpy.app.timers.is_registered(_go_on):
        bpy.app.timers.unregister(_go_on)

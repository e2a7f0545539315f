"""A result where it can be watched: the Video Editing workspace, its sequencers on the results, playing.

Blender makes a workspace's areas only when it is drawn: what needs them waits for that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

from ..app import versions

WORKSPACE = "Video Editing"
_TEMPLATE = "startup/bl_app_templates_system/Video_Editing/startup.blend"
_PATIENCE, _PAUSE = 40, 0.1  # how often it is looked whether the areas are there, and seconds between

_log = logging.getLogger(__name__)
_waiting: Callable[[], float | None] | None = None


def show(context: Any, results: bpy.types.Scene, strip: Any) -> None:
    """Go to the workspace, show the results in it from the strip's first frame on, and play once that is drawn."""
    first, after = versions.strip_range(strip)
    results.frame_set(first)
    results.use_preview_range = True  # it plays this strip in a loop, whatever else the scene has
    results.frame_preview_start, results.frame_preview_end = max(first, 0), max(after - 1, 0)
    if context.window is None:
        return
    workspace = _workspace(context)
    if workspace is not None:
        context.window.workspace = workspace
    versions.assign_sequencer(context.window, results)
    _later(context.window, results)


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


def _later(window: Any, results: bpy.types.Scene) -> None:
    """Frame and play as soon as the window shows a sequencer."""
    global _waiting
    name, tries = results.name, 0

    def look() -> float | None:
        nonlocal tries
        tries += 1
        shown = bpy.data.scenes.get(name)
        areas: list[Any] = [area for area in window.screen.areas if area.type == "SEQUENCE_EDITOR"] if shown else []
        if shown is None or tries > _PATIENCE:
            return None
        if not areas or any(area.width < 10 for area in areas):
            return _PAUSE
        versions.assign_sequencer(window, shown)
        _frame_and_play(window, areas)
        return None

    _waiting = look
    bpy.app.timers.register(look, first_interval=_PAUSE)


def _frame_and_play(window: Any, areas: list[Any]) -> None:
    for area in areas:
        for region in area.regions:
            if region.type in ("WINDOW", "PREVIEW") and region.width > 1:
                with bpy.context.temp_override(window=window, area=area, region=region):
                    framing: tuple[Any, ...] = (bpy.ops.sequencer.view_selected, bpy.ops.sequencer.view_all_preview)
                    for operator in framing:
                        if operator.poll():
                            operator()
    with bpy.context.temp_override(window=window, screen=window.screen, area=areas[0]):
        if not window.screen.is_animation_playing:
            bpy.ops.screen.animation_play()


def register() -> None:
    """Nothing is needed before something is shown."""


def unregister() -> None:
    """Forget what waits for a workspace to be drawn."""
    if _waiting is not None and bpy.app.timers.is_registered(_waiting):
        bpy.app.timers.unregister(_waiting)

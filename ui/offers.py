"""What Blender says of unfinished jobs when it starts and when a file is opened: go on, deliver, or later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ..pantheon360_blender.core import inputs
from ..pantheon360_blender.scene.app import registration
from ..pantheon360_blender.scene.background import listing
from ..pantheon360_blender.scene.translation import translated

_SOON = 1.0
"""Seconds until the interface has been drawn."""
MOST = 5
"""Jobs that are offered at once; the panel has all of them."""


def draw(menu: Any, _context: Any) -> None:
    """The popup."""
    layout = menu.layout
    for item in _offered()[:MOST]:
        verb, icon, text = _offer(item)
        if verb == "wm.open_mainfile":
            button = layout.operator(verb, text=text, icon=icon)
            button.filepath, button.load_ui = item.entry.blend, True
        else:
            layout.operator(verb, text=text, icon=icon).job = item.entry.id
    layout.label(text="The panel Jobs has them, too", icon="INFO")


def _offered() -> list[listing.Item]:
    """This file's jobs; in a new file, those of files that are still there."""
    here = listing.offers()
    if here or bpy.data.filepath:
        return here
    wanted = (*listing.UNFINISHED, "finished")
    others = [item for item in listing.items() if item.condition in wanted and not item.is_gone]
    return [item for item in others if item.entry.blend and inputs.is_file(Path(item.entry.blend))]


def _offer(item: listing.Item) -> tuple[str, str, str]:
    """(operator, icon, text) for a job."""
    title = item.entry.title
    if not item.is_here:
        file = Path(item.entry.blend).name
        return "wm.open_mainfile", "FILE_FOLDER", translated("Open {file} to Go On with {job}", file=file, job=title)
    if item.condition == "finished":
        return "pantheon360.deliver_job", "IMPORT", translated("Deliver {job}", job=title)
    return "pantheon360.resume_job", "PLAY", translated("Resume {job}", job=title)


def _show() -> None:
    manager = bpy.context.window_manager
    if manager is None or not manager.windows or not _offered():
        return
    with bpy.context.temp_override(window=manager.windows[0]):
        manager.popup_menu(draw, title="Unfinished Jobs", icon="TIME")


@persistent
def _look(*_: Any) -> None:
    if not bpy.app.background and not bpy.app.timers.is_registered(_show):
        bpy.app.timers.register(_show, first_interval=_SOON)


_HANDLERS = {"load_post": _look}


def register() -> None:
    registration.add_handlers(_HANDLERS)
    _look()


def unregister() -> None:
    if bpy.app.timers.is_registered(_show):
        bpy.app.timers.unregister(_show)
    registration.remove_handlers(_HANDLERS)

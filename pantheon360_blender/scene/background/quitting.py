"""Blender quits while jobs are at work: they stop, or a process of its own goes on with them.

Blender asks no add-on whether it may quit. Its preferences therefore say what becomes of jobs, and Quit from the
keyboard asks (operators/jobs.py).
"""

from __future__ import annotations

import sys
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ...core.errors import BackendError
from ...core.jobs import child, registry
from ..app import preferences
from . import queue

_decided: str | None = None


def in_hand() -> list[registry.Entry]:
    """Jobs that are at work in this Blender or wait in it, in their order; what is being delivered is done already."""
    current = queue.current()
    working = [current.entry] if current is not None and not current.delivers else []
    return working + queue.queued()


def decide(choice: str) -> None:
    """Let this choice, of the preference `when_quitting`, stand before the preference, once."""
    global _decided
    _decided = choice


def leave() -> int | None:
    """Stop what is at work, and start the process that goes on with it if that is wished. Returns its id."""
    ids = [entry.id for entry in in_hand()]
    for job_id in reversed(ids):
        queue.pause(job_id)
    if not ids or _choice() != "GO_ON":
        return None
    try:
        return child.start_detached(preferences.backend_python(), ("backend", "jobs", *ids))
    except BackendError:
        return None  # they are paused, and offered the next time


def _choice() -> str:
    global _decided
    decided, _decided = _decided, None
    addon = preferences.of_addon()
    return decided or (str(addon.when_quitting) if addon is not None else "PAUSE")


@persistent
def _on_exit(*_: Any) -> None:
    leave()


def register() -> None:
    handlers = getattr(bpy.app.handlers, "exit_pre", None)  # Blender 5.1 and newer
    if handlers is not None:
        handlers.append(_on_exit)


def unregister() -> None:
    """Blender before 5.1 says that it quits by disabling all add-ons at once, and in no other way."""
    handlers = getattr(bpy.app.handlers, "exit_pre", None)
    if handlers is None:
        if _all_are_disabled():
            leave()
    elif _on_exit in handlers:
        handlers.remove(_on_exit)


def _all_are_disabled() -> bool:
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "disable_all" and frame.f_globals.get("__name__") == "addon_utils":
            return True
        frame = frame.f_back
    return False

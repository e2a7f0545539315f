"""Which jobs a scene remembers: notes in custom properties, so that they are saved with it, and outlive undo.

A job neither begins nor ends with an undo step, but undo takes custom properties back to what they were. What was noted
since the file was opened is therefore put back after each undo and redo.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from . import paths, registration

_noted: dict[tuple[int, str], Path] = {}
"""(a scene's session_uid, property) -> folder of the job, of notes that were made since the file was opened."""


def note(scene: bpy.types.Scene, key: str, folder: Path) -> None:
    """Remember a job's folder on a scene. key: of the custom property."""
    _noted[scene.session_uid, key] = folder
    scene[key] = paths.relative_path(folder)


def noted(scene: bpy.types.Scene, key: str) -> Path | None:
    """The folder that a scene remembers, or None. Cheap enough for a panel."""
    path = scene.get(key)
    return paths.absolute_path(path) if isinstance(path, str) and path else None


def forget(scene: bpy.types.Scene, key: str) -> None:
    """Remember no job under this key."""
    _noted.pop((scene.session_uid, key), None)
    if scene.get(key) is not None:
        del scene[key]


@persistent
def _put_back(*_: Any) -> None:
    for scene in bpy.data.scenes:
        for (number, key), folder in _noted.items():
            if number == scene.session_uid:
                scene[key] = paths.relative_path(folder)


@persistent
def _forget_all(*_: Any) -> None:
    """Another file was read: its scenes have notes of their own."""
    _noted.clear()


_HANDLERS = {"undo_post": _put_back, "redo_post": _put_back, "load_post": _forget_all}


def register() -> None:
    registration.add_handlers(_HANDLERS)


def unregister() -> None:
    registration.remove_handlers(_HANDLERS)
    _noted.clear()

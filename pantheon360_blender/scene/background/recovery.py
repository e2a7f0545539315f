"""What a file does not know of its jobs: scenes that lost their identity, results that were never saved, other names.

A file that was not saved since a job began does not have the identity that its scene was given then; one that was not
saved since a delivery does not have the results. Both are mended when it is opened.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ...core.jobs import registry
from ...core.jobs.registry import Entry
from ..app import identity, registration
from . import delivery

_called = ""
"""Path of the file that is open, as it was last opened or saved."""


def find_lost() -> list[str]:
    """Ids of jobs that were delivered into this file after it was saved, and whose results are not in it; they are
    finished again in the registry.
    """
    saved = _saved()
    lost = [entry.id for entry in registry.entries() if saved is not None and _is_lost(entry, saved)]
    for job_id in lost:
        registry.note(job_id, state="finished")
    return lost


def give_identities() -> None:
    """Let scenes of this file be known again by what their jobs know them by, if the file was not saved since."""
    for entry in registry.entries():
        if not _is_of_this_file(entry) or identity.find(bpy.data.scenes, entry.identity) is not None:
            continue
        named = bpy.data.scenes.get(entry.scene)
        if named is not None and not identity.known_of(named) and entry.identity:
            identity.give(named, entry.identity)


def follow(before: str, now: str) -> None:
    """Let the jobs of this file belong to it under the name that it was saved by, and know that it has their results.

    before: what it was called, empty if it had no name.
    """
    for entry in registry.entries():
        foreign = entry.condition in registry.IN_HAND and not entry.is_ours
        if foreign or delivery.scene_of(entry) is None:
            continue
        if entry.state == "delivered":
            if entry.delivered_to != now and delivery.is_here(entry):
                registry.note(entry.id, delivered_to=now)
        elif entry.blend != now and (entry.is_ours or entry.blend == before):
            registry.note(entry.id, blend=now)


def _is_of_this_file(entry: Entry) -> bool:
    return bool(entry.blend) and bool(bpy.data.filepath) and Path(entry.blend) == Path(bpy.data.filepath)


def _saved() -> float | None:
    """When this file was saved, seconds since 1970; None if it was not."""
    with suppress(OSError):
        return Path(bpy.data.filepath).stat().st_mtime if bpy.data.filepath else None
    return None


def _is_lost(entry: Entry, saved: float) -> bool:
    here = bool(entry.delivered_to) and Path(entry.delivered_to) == Path(bpy.data.filepath)
    if entry.state != "delivered" or not here or delivery.scene_of(entry) is None:
        return False
    with suppress(ValueError):
        return datetime.fromisoformat(entry.updated).timestamp() > saved and not delivery.is_here(entry)
    return False


@persistent
def _on_load(*_: Any) -> None:
    global _called
    _called = bpy.data.filepath
    give_identities()
    find_lost()


@persistent
def _on_save(*_: Any) -> None:
    global _called
    before, _called = _called, bpy.data.filepath
    follow(before, bpy.data.filepath)


_HANDLERS = {"load_post": _on_load, "save_post": _on_save}


def register() -> None:
    registration.add_handlers(_HANDLERS)


def unregister() -> None:
    registration.remove_handlers(_HANDLERS)

"""Results that were delivered into a file that was then not saved: when the file is opened they are offered again."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ...core.jobs import registry
from ...core.jobs.registry import Entry
from ..app import paths, registration
from ..cache import cache_objects
from ..shot import strips
from . import delivery


def find_lost() -> list[str]:
    """Ids of jobs that were delivered after this file was saved, and whose results are not in it; they are finished
    again in the registry.
    """
    saved = _saved()
    lost = [entry.id for entry in registry.entries() if saved is not None and _is_lost(entry, saved)]
    for job_id in lost:
        registry.note(job_id, state="finished")
    return lost


def _saved() -> float | None:
    """When this file was saved, seconds since 1970; None if it was not."""
    with suppress(OSError):
        return Path(bpy.data.filepath).stat().st_mtime if bpy.data.filepath else None
    return None


def _is_lost(entry: Entry, saved: float) -> bool:
    if entry.state != "delivered" or not entry.path.is_dir() or delivery.scene_of(entry) is None:
        return False
    with suppress(ValueError):
        return datetime.fromisoformat(entry.updated).timestamp() > saved and not _is_here(entry)
    return False


def _is_here(entry: Entry) -> bool:
    """Whether this file has what was made of a job."""
    if entry.kind == "paint":
        return bool(strips.made_of(entry.id))
    caches = (obj.get(cache_objects.FOLDER) for obj in bpy.data.objects)
    return any(isinstance(found, str) and paths.absolute_path(found) == entry.path for found in caches)


@persistent
def _on_load(*_: Any) -> None:
    find_lost()


_HANDLERS = {"load_post": _on_load}


def register() -> None:
    registration.add_handlers(_HANDLERS)


def unregister() -> None:
    registration.remove_handlers(_HANDLERS)

"""Jobs that are not wanted any more, and what they take of the disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import bpy

from ...core import inputs, temporary
from ...core.errors import BackendError, JobError
from ...core.jobs import lock, registry
from ...core.jobs.job_folder import JobFolder
from ...core.jobs.registry import Entry
from ..app import job_notes
from ..shot import shot
from ..sources import reconstruct


def remove(entry: Entry) -> int:
    """Take a job out of the list and delete its folder. Returns the bytes that are free again.

    A folder that does not say which job it holds is left where it is: whoever looks for it finds it by the list's last
    words. Raises JobError if another process has the job in hand, or its folder holds another job.
    """
    if entry.condition in registry.IN_HAND and not entry.is_ours:
        raise JobError(f"{entry.title} is in hand of another process.", advice="Stop it there.")
    freed = _delete(entry) if inputs.is_folder(entry.path) and not entry.path.is_symlink() else 0
    for scene in bpy.data.scenes:
        for key in (shot.UNFINISHED, reconstruct.PREVIOUS):
            if job_notes.noted(scene, key) == entry.path:
                job_notes.forget(scene, key)
    registry.remove(entry.id)
    return freed


def _delete(entry: Entry) -> int:
    """Delete a job's folder if it is that, and nobody paints in it."""
    if entry.path.name.startswith(".") and entry.path.suffix == ".part":  # it was never complete
        named = f"-{entry.id}." in entry.path.name
        return _discard(entry.path) if named else 0
    try:
        folder: JobFolder = JobFolder.open(entry.path)
    except JobError:
        return 0
    if folder.id != entry.id:
        raise JobError(f"{entry.path} holds another job by now.", advice="Delete it yourself if it is not needed.")
    try:
        with lock.locked(folder.output):
            pass
    except BackendError as error:
        raise JobError(error.text, advice=error.advice, code=error.code) from error
    return _discard(entry.path)


def _discard(folder: Path) -> int:
    freed = size(folder)
    temporary.remove(folder)
    return freed


def size(folder: Path) -> int:
    """Bytes of the files in a folder and below it; links count as what they are."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(place) / name).lstat().st_size
    return total

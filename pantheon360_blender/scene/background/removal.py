"""Jobs that are not wanted any more, and what they take of the disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import bpy

from ...core.errors import JobError
from ...core.jobs import registry
from ...core.jobs.job_folder import JobFolder
from ...core.jobs.registry import Entry
from ..app import job_notes
from ..shot import shot
from ..sources import reconstruct


def remove(entry: Entry) -> int:
    """Take a job out of the list and delete its folder. Returns the bytes that are free again.

    Raises JobError if another Blender has it in hand, or its folder holds another job.
    """
    if entry.condition in registry.IN_HAND and not entry.is_ours:
        raise JobError(f"{entry.title} is in hand of another Blender.", advice="Stop it there.")
    freed = 0
    if entry.path.is_dir() and not entry.path.is_symlink():
        folder: JobFolder = JobFolder.open(entry.path)
        if folder.id != entry.id:
            raise JobError(f"{entry.path} holds another job by now.", advice="Delete it yourself if it is not needed.")
        freed = size(entry.path)
        folder.discard()
    for scene in bpy.data.scenes:
        for key in (shot.UNFINISHED, reconstruct.PREVIOUS):
            if job_notes.noted(scene, key) == entry.path:
                job_notes.forget(scene, key)
    registry.remove(entry.id)
    return freed


def size(folder: Path) -> int:
    """Bytes of the files in a folder and below it; links count as what they are."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(place) / name).lstat().st_size
    return total

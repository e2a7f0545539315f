"""Jobs that are not wanted any more, and what they take of the disk."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import bpy

from ...core import inputs, temporary
from ...core.errors import BackendError, FileError, JobError
from ...core.jobs import lock, registry
from ...core.jobs.job_folder import JobFolder
from ...core.jobs.registry import Entry
from ...core.plain_text import filled
from ..app import job_notes
from ..shot import shot
from ..sources import reconstruct


@dataclass(frozen=True)
class Removed:
    """What became of a job's files. bytes: that are free again. left: its folder, if that is still there."""

    bytes: int
    left: Path | None = None

    @property
    def text(self) -> str:
        """The same for people."""
        if self.left is None:
            return filled("{size:.1f} MB are free again", size=self.bytes / 1e6)
        return filled(
            "The job is forgotten, but {folder} stays. Delete it yourself if it is not needed", folder=self.left
        )


def remove(entry: Entry) -> Removed:
    """Take a job out of the list and delete its folder. Returns what became of that.

    A folder that does not say which job it holds is left where it is. Raises JobError as `is_deletable`.
    """
    removed = _delete(entry.path) if is_deletable(entry) else Removed(0, _existing(entry.path))
    if entry.state == "preparing":  # what was written of it has a temporary name
        temporary.remove_abandoned(entry.path.parent)
    for scene in bpy.data.scenes:
        for key in (shot.UNFINISHED, reconstruct.PREVIOUS):
            if job_notes.noted(scene, key) == entry.path:
                job_notes.forget(scene, key)
    registry.remove(entry.id)
    return removed


def is_deletable(entry: Entry) -> bool:
    """Whether a job's folder is there and says that it holds this job.

    Raises JobError if another process has the job in hand, it is still prepared, or its folder holds another job.
    """
    if entry.condition == "preparing" and entry.is_ours:
        raise JobError(f"{entry.title} is being prepared.", advice="Cancel that first.")
    if entry.condition in registry.IN_HAND and not entry.is_ours:
        raise JobError(f"{entry.title} is in hand of another process.", advice="Stop it there.")
    if not inputs.is_folder(entry.path) or entry.path.is_symlink():
        return False
    try:
        folder: JobFolder = JobFolder.open(entry.path)
    except (JobError, FileError):
        return False
    if folder.id != entry.id:
        raise JobError(f"{entry.path} holds another job by now.", advice="Delete it yourself if it is not needed.")
    _require_idle(folder)
    return True


def _require_idle(folder: JobFolder) -> None:
    """Raise JobError if a process paints in a folder."""
    try:
        with suppress(FileError), lock.locked(folder.output):  # without a lock it cannot be told
            pass
    except BackendError as error:
        raise JobError(error.text, advice=error.advice, code=error.code) from error


def _delete(folder: Path) -> Removed:
    """Delete a folder, or what can be deleted of it: a file that a viewer has open stays on Windows."""
    before = size(folder)
    temporary.remove(folder)
    left = _existing(folder)
    return Removed(before - (size(left) if left else 0), left)


def _existing(path: Path) -> Path | None:
    return path if inputs.is_folder(path) else None


def size(folder: Path) -> int:
    """Bytes of the files in a folder and below it; links count as what they are."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(place) / name).lstat().st_size
    return total

"""A scene's jobs in the person's registry, from the moment their folder is begun until they are delivered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import bpy

from ...core.errors import FileError
from ...core.jobs import registry
from ...core.jobs.job_folder import JobFolder
from ...core.jobs.registry import Entry, State
from . import identity


@contextmanager
def preparing(scene: bpy.types.Scene, folder: JobFolder, kind: str) -> Iterator[None]:
    """Enter a job while its folder is written. Afterwards it waits for somebody to work on it.

    It is entered by the path that its folder will have: there is never a complete folder that no job leads to.
    If writing fails or is cancelled, the folder is removed and the job is out again.
    """
    _enter(scene, folder, kind, "preparing", folder.kept_path)
    try:
        yield
    except BaseException:
        folder.discard()
        with suppress(FileError):
            registry.remove(folder.id)
        raise
    registry.note(folder.id, folder=str(folder.path), state="paused")


def adopt(scene: bpy.types.Scene, folder: JobFolder, kind: str) -> None:
    """Enter a job that was begun for a scene elsewhere, or before there was a registry, or that was moved since."""
    known = registry.find(folder.id)
    if known is None:
        _enter(scene, folder, kind, "paused", folder.path)
    elif known.condition not in registry.IN_HAND:
        registry.note(folder.id, folder=str(folder.path), blend=bpy.data.filepath, identity=identity.of(scene))


def note_delivered(folder: JobFolder) -> None:
    """Note that this file has the results of a job."""
    registry.note(folder.id, state="delivered", delivered_to=bpy.data.filepath, error="", repair="")


def note_captures(folder: JobFolder, captures: Mapping[str, bpy.types.Object]) -> None:
    """Note which objects a job's captures are, so that they are known when their names have changed.

    captures: by the labels that they have in the job.
    """
    registry.note(folder.id, captures={label: identity.of(obj) for label, obj in captures.items()})


def _enter(scene: bpy.types.Scene, folder: JobFolder, kind: str, state: State, path: Path) -> None:
    entry = Entry(
        folder.id,
        kind,
        title=_title(scene),
        folder=str(path),
        blend=bpy.data.filepath,
        scene=scene.name,
        identity=identity.of(scene),
        state=state,
    )
    with suppress(FileError):
        registry.add(entry)


def _title(scene: bpy.types.Scene) -> str:
    """What a list calls a job: the file and the scene."""
    blend = Path(bpy.data.filepath).stem
    return f"{blend}, {scene.name}" if blend else scene.name

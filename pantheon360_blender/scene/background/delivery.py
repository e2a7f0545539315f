"""The way of a job that was prepared: the backend's work, then its results in the scene that it was begun for.

Nothing here holds Blender's data while the backend works: the scene is looked for when the results are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bpy

from ...core.errors import JobError
from ...core.jobs.job_folder import PaintFolder, ReconstructFolder
from ...core.jobs.registry import Entry
from ...core.progress import Job, Notices, Progress, observed
from ..app import identity
from ..app.access import ObjectReference
from ..shot import shot
from ..sources import reconstruct

GOES_ON = "Resume goes on from there."


def work(entry: Entry) -> Job[str]:
    """Do what is missing of a job, then deliver it. Returns a sentence on what became of it.

    Raises JobError if its folder is gone or damaged, BackendError, and what `deliver` raises.
    """
    if entry.kind == "reconstruct":
        yield from reconstruct.compute(ReconstructFolder.open(entry.path))
        return (yield from deliver(entry))
    notices = Notices()
    yield from observed(shot.paint(PaintFolder.open(entry.path), resume=GOES_ON), notices)
    return (yield from deliver(entry, notices.warnings))


def deliver(entry: Entry, warnings: Sequence[str] = ()) -> Job[str]:
    """Bring finished results into the scene that they were made for, once nobody is in the way.

    A scene that is not in this file gets them when its file is open. Returns a sentence. Raises what delivering raises.
    """
    yield from _until_ready(entry)
    scene = scene_of(entry)
    if scene is None:
        return f"{entry.title} is finished. Deliver it when {_file(entry)} is open."
    if entry.kind == "reconstruct":
        built = reconstruct.deliver(scene, ReconstructFolder.open(entry.path), _captures(entry))
        left = [f"{name} was not posed: {reason}" for name, reason in built.left.items()]
        for warning in (*left, *built.notes):
            yield Progress("Delivering", 1, 1, warning=warning)
        return built.text
    strip = yield from shot.deliver(scene, PaintFolder.open(entry.path), warnings=warnings, resume=GOES_ON)
    return f"Strip {strip.name} is in scene {strip.id_data.name}; Show Result plays it"


def scene_of(entry: Entry) -> bpy.types.Scene | None:
    """The scene of this file that a job was begun for, or None.

    It is known by its identity. One that lost it, in a file that was not saved since, is known by its name.
    """
    found = identity.scene(entry.identity, entry.scene)
    if found is not None or not _is_of_this_file(entry):
        return found
    named = bpy.data.scenes.get(entry.scene)
    return named if named is not None and not identity.known_of(named) else None


def require_scene(entry: Entry) -> bpy.types.Scene:
    """`scene_of`. Raises JobError that says which file to open."""
    scene = scene_of(entry)
    if scene is None:
        raise JobError(f"Scene {entry.scene} of this job is not in this file.", advice=f"Open {_file(entry)}.")
    return scene


def _until_ready(entry: Entry) -> Job[None]:
    """Wait while delivering would disturb: a render reads the scene, or the artist edits what would be replaced."""
    while is_rendering() or (entry.kind == "reconstruct" and bpy.context.mode != "OBJECT"):
        yield Progress("Finished; delivered in Object Mode", waiting=True)


def is_rendering() -> bool:
    """Whether a render reads scenes in a thread of its own now."""
    app: Any = bpy.app
    return bool(app.is_job_running("RENDER"))


def _is_of_this_file(entry: Entry) -> bool:
    return bool(entry.blend) and bool(bpy.data.filepath) and Path(entry.blend) == Path(bpy.data.filepath)


def _captures(entry: Entry) -> Mapping[str, ObjectReference]:
    """The job's captures that are still there, by the labels that they have in it."""
    found = {label: identity.object(known) for label, known in entry.captures.items()}
    return {label: ObjectReference(obj) for label, obj in found.items() if obj is not None}


def _file(entry: Entry) -> str:
    return Path(entry.blend).name if entry.blend else "the file it was begun in"

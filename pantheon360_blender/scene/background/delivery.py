"""The way of a job that was prepared: the backend's work, then its results in the scene that it was begun for.

Nothing here holds Blender's data while the backend works: the scene is looked for when the results are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import bpy

from ...core.errors import JobError
from ...core.jobs import registry
from ...core.jobs.job_folder import ExtendFolder, PaintFolder, ReconstructFolder
from ...core.jobs.registry import Entry
from ...core.progress import Job, Notices, Progress, observed
from ..app import access, identity, jobs, paths
from ..app.access import ObjectReference
from ..cache import cache_objects
from ..camera import path_ends
from ..captures import capture_objects
from ..shot import shot, strips
from ..sources import painted_frames, reconstruct

GOES_ON = "Resume goes on from there."

_OF_CACHE = ("reconstruct", "extend")
"""Kinds of jobs whose results are points of the cache."""

_STROKES = (
    "SCULPT_",
    "PAINT_",
    "TRANSFORM_",
    "GREASE_PENCIL_",
    "GPENCIL_",
    "PARTICLE_",
    "VIEW3D_OT_",
    "OBJECT_",
    "MESH_",
    "CURVE",
    "UV_",
    "NODE_",
    "SEQUENCER_",
    "PANTHEON360_",
)
"""Modal operators that are in the middle of a change: pushing an undo step beneath them crashes Blender or falsifies
what they do. Others, as screencasts are, never end."""


def work(entry: Entry) -> Job[list[str]]:
    """Do what is missing of a job. Returns what was warned of.

    Raises JobError if its folder is gone or damaged, or another process works on it, BackendError.
    """
    if entry.kind == "reconstruct":
        folder = ReconstructFolder.open(entry.path)
        yield from _with_looks(entry, folder, reconstruct.compute(folder))
        return []
    if entry.kind == "extend":
        yield from painted_frames.compute(ExtendFolder.open(entry.path))
        return []
    notices = Notices()
    yield from observed(shot.paint(PaintFolder.open(entry.path), resume=GOES_ON), notices)
    return notices.warnings


def _with_looks(entry: Entry, folder: ReconstructFolder, computing: Job[None]) -> Job[None]:
    """The work, and whatever it has to show of its points in the scene, as soon as nobody is in the way there.

    Each look can be undone by itself; a job that is stopped leaves the last one.
    """
    fresh = False
    with closing(computing):
        while True:
            try:
                step = next(computing)
            except StopIteration:
                return
            fresh = fresh or bool(step.preview)
            yield replace(step, preview="")  # points are no picture for the panel
            if fresh and is_ready(entry) and is_for_this_file(entry):
                fresh = False
                yield from _show(entry, folder)


def _show(entry: Entry, folder: ReconstructFolder) -> Job[None]:
    scene = scene_of(entry)
    if scene is None or not reconstruct.can_show(scene):
        return
    looking = reconstruct.show(scene, folder, _captures(scene, entry))
    with closing(looking):
        while True:
            if not is_ready(entry):  # the next look comes instead
                return
            try:
                yield next(looking)
            except StopIteration as end:
                if end.value:
                    jobs.push_undo(f"{entry.title}: First Look")
                return
            except ReferenceError:  # the scene is gone
                return


def deliver(entry: Entry, warnings: Sequence[str] = ()) -> Job[str]:
    """Bring finished results into the scene of this file that they were made for; whoever drives it asks `is_ready`
    before each step. Returns a sentence. Raises JobError if the scene is not here, and what delivering raises.
    """
    scene = require_scene(entry)
    if is_here(entry):
        registry.note(entry.id, state="delivered", delivered_to=bpy.data.filepath)
        return f"The results of {entry.title} are in this file already"
    if entry.kind == "reconstruct":
        is_first = reconstruct.can_show(scene)
        built = yield from reconstruct.deliver(scene, ReconstructFolder.open(entry.path), _captures(scene, entry))
        left = [f"{name} was not posed: {reason}" for name, reason in built.left.items()]
        for warning in (*left, *built.notes):
            yield Progress("Delivering", 1, 1, warning=warning)
        return " ".join(filter(None, (built.text, _first_path(require_scene(entry), built.posed) if is_first else "")))
    if entry.kind == "extend":
        return (yield from painted_frames.deliver(scene, ExtendFolder.open(entry.path))).text
    strip = yield from shot.deliver(scene, PaintFolder.open(entry.path), warnings=warnings, resume=GOES_ON)
    return f"Strip {strip.name} is in scene {strip.id_data.name}; Show Result plays it"


def _first_path(scene: bpy.types.Scene, posed: Sequence[str]) -> str:
    """Before there was a cache there was nothing to move through: see path_ends.begin_path."""
    there = capture_objects.labelled(scene)
    return path_ends.begin_path(scene, [there[label] for label in posed if label in there])


def is_for_this_file(entry: Entry) -> bool:
    """Whether results may be delivered unasked: the job was begun from this file, and its scene is there."""
    begun_here = Path(entry.blend) == Path(bpy.data.filepath) if entry.blend else not bpy.data.filepath
    return begun_here and scene_of(entry) is not None


def is_ready(entry: Entry) -> bool:
    """Whether delivering disturbs nobody now: no render reads the scene, no stroke is being made, and the artist does
    not edit what would be replaced.
    """
    if jobs.is_rendering() or any(_is_stroke(name) for name in _modal_operators()):
        return False
    scene = scene_of(entry)
    cache = cache_objects.find(scene) if scene is not None and entry.kind in _OF_CACHE else None
    return cache is None or cache.mode == "OBJECT"


def is_here(entry: Entry) -> bool:
    """Whether this file has what was made of a job."""
    if entry.kind == "paint":
        return bool(strips.made_of(entry.id))
    if entry.kind == "extend":
        return any(entry.id in cache_objects.additions(obj) for obj in bpy.data.objects)
    caches = (obj.get(cache_objects.FOLDER) for obj in bpy.data.objects)
    return any(isinstance(found, str) and paths.absolute_path(found) == entry.path for found in caches)


def scene_of(entry: Entry) -> bpy.types.Scene | None:
    """The scene of this file that a job was begun for, or None."""
    return identity.find(bpy.data.scenes, entry.identity, entry.scene)


def require_scene(entry: Entry) -> bpy.types.Scene:
    """`scene_of`. Raises JobError that says which file to open."""
    scene = scene_of(entry)
    if scene is None:
        raise JobError(f"Scene {entry.scene} of this job is not in this file.", advice=f"Open {file_of(entry)}.")
    return scene


def file_of(entry: Entry) -> str:
    """What to open for a job."""
    return Path(entry.blend).name if entry.blend else "the file it was begun in"


def _modal_operators() -> Iterator[str]:
    for window in access.windows():
        yield from (operator.bl_idname for operator in getattr(window, "modal_operators", ()))


def _is_stroke(name: str) -> bool:
    return name.startswith(_STROKES)


def _captures(scene: bpy.types.Scene, entry: Entry) -> Mapping[str, ObjectReference]:
    """The job's captures that the scene still has, by the labels that they have in it."""
    found = {label: identity.find(scene.objects, known) for label, known in entry.captures.items()}
    return {label: ObjectReference(obj) for label, obj in found.items() if obj is not None}

"""The 3D cache from captures: a job folder out, the backend's work, and its results back into the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core import files, geography, repairs
from ...core.engine import advice, requirements
from ...core.errors import CaptureError, PantheonError
from ...core.formats import panorama_metadata
from ...core.jobs import reconstruct_settings as results
from ...core.jobs import registry, reuse
from ...core.jobs.job import ReconstructJob
from ...core.jobs.job_folder import ReconstructFolder
from ...core.jobs.reconstruct_settings import PosedCapture, ReconstructionSettings
from ...core.points.point_cloud import PointCloud
from ...core.progress import Job, Progress, in_thread
from ..app import access, backend_process, job_notes, job_tracking, paths, plugin_items, software, units
from ..app.access import ObjectReference, SceneReference
from ..app.disabled_reason import DisabledReason
from ..app.preferences import is_online
from ..cache import attributes, cache_merge, cache_objects
from ..cache.cache_objects import FOLDER, LOOK, REPORT
from ..captures import capture_files, capture_objects
from ..captures.decoding import Wanted
from ..captures.placing import place

FEATURE_WIDTH = 3072
"""Pixels across at which captures are handed to the pose solver; finer ones gain nothing."""

LOOKING = "First look ready"
"""Phase in which points that are not finished come into the scene."""

PREVIOUS = "pantheon360_reconstruction"
"""Custom property of a scene: folder of its last reconstruction, whose finished stages the next one may take over."""


@dataclass(frozen=True)
class Built:
    """What a reconstruction brought into the scene.

    cache: name of the object. points: how many are new. posed: captures that were registered. left: names and reasons
    of those that were not. notes: what the artist should know. text: the whole report.
    """

    cache: str
    points: int
    posed: list[str]
    left: dict[str, str]
    notes: list[str]
    text: str


def build(scene: bpy.types.Scene, *, root: Path | None = None, **choices: Any) -> Job[Built]:
    """The whole way from captures to the 3D cache: prepare, reconstruct, deliver. Arguments as `prepare`'s.

    If it fails or is cancelled, nothing in the scene has changed, and the next call goes on where it stopped.
    """
    reference, captures = SceneReference(scene), capture_objects.references(scene)
    folder = yield from begin(scene, root=root, **choices)
    yield from compute(folder)
    return (yield from deliver(reference.scene, folder, captures))


def begin(scene: bpy.types.Scene, *, root: Path | None = None, **choices: Any) -> Job[ReconstructFolder]:
    """What `build` does before the backend works. Returns the prepared folder, which the scene remembers."""
    reference = SceneReference(scene)
    yield Progress("Looking for the backend")
    if not _built_before(reference.scene):  # stages that are taken over need no packages: the backend says what does
        settings = ReconstructionSettings.from_json(settings_of(reference.scene).to_json() | choices)
        backend_process.require(requirements.of_reconstruction(settings), "building a 3D cache")
    folder = yield from prepare(reference.scene, root=root, **choices)
    remember(reference.scene, folder)
    return folder


def remember(scene: bpy.types.Scene, folder: ReconstructFolder) -> None:
    """Note a prepared job on its scene: the next one may take over what this one has finished."""
    job_notes.note(scene, PREVIOUS, folder.path)


def compute(folder: ReconstructFolder) -> Job[None]:
    """Have the backend do what is missing of a reconstruction."""
    with registry.at_work(folder.id, folder.path):
        yield from backend_process.run(folder)


def disabled_reason(scene: bpy.types.Scene) -> DisabledReason | None:
    """Why a cache cannot be built, or None."""
    found = len(capture_objects.in_scene(scene))
    chosen = access.of_scene(scene)
    if not found:
        return DisabledReason("Import 360° captures first", repairs.IMPORT_CAPTURES)
    poses, dense = _way(chosen, found)
    way = ReconstructionSettings(
        poses=poses,
        dense=dense,
        complete=bool(chosen.reconstruction_complete),
        guess_by=str(chosen.reconstruction_guesses).lower(),
    )
    if _built_before(scene):
        return None
    if lacks := backend_process.lacking(requirements.of_reconstruction(way)):
        return DisabledReason(requirements.lacking(lacks), repairs.INSTALL_ENGINE)
    return None


def ways(scene: bpy.types.Scene, memory_gb: float | None = None) -> list[advice.Way]:
    """The ways to a cache of the scene's captures, the best first. memory_gb: of the device, or None."""
    places = np.array([obj.matrix_world.translation for obj in capture_objects.in_scene(scene)]).reshape(-1, 3)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.diag(np.full(len(places), np.inf))
    nearest = distances.min(axis=1, initial=np.inf)
    apart = float(np.median(nearest)) / units.per_metre(scene) if len(places) > 1 else None
    return advice.ways(plugin_items.reconstructor_plugins().values(), len(places), apart=apart, memory_gb=memory_gb)


# Out


def prepare(scene: bpy.types.Scene, *, root: Path | None = None, **choices: Any) -> Job[ReconstructFolder]:
    """Write a job folder: captures at the width they are worked on, masks, poses, GPS positions and settings.

    root: folder in which the job's own new folder is made; None takes the scene's. choices: any setting of
    ReconstructionSettings, before the scene's.
    Returns the sealed folder, with what is still valid of the scene's last reconstruction in it. Raises CaptureError
    if a capture cannot be read or there are too few, JobError if settings contradict, FileError.
    """
    reference = SceneReference(scene)
    settings = ReconstructionSettings.from_json(settings_of(scene).to_json() | choices)
    objects = capture_objects.references(scene)
    if len(objects) < (1 if settings.reconstructor and settings.poses != results.SOLVE else 2):
        raise CaptureError(
            f"{len(objects)} captures are too few to tell depth from.",
            advice="Import another capture of the place, or project one onto geometry.",
            repair=repairs.IMPORT_CAPTURES,
        )
    folder = ReconstructFolder.new(root or paths.jobs_root(scene), f"{paths.shot_name(scene)}-cache")
    with job_tracking.preparing(scene, folder, "reconstruct"):
        job_tracking.note_captures(folder, {label: each.object for label, each in objects.items()})
        entries = []
        for index, (label, each) in enumerate(objects.items()):
            step = Progress("Writing captures", index, len(objects), text=label)
            yield step
            depsgraph = access.evaluated(reference.scene)
            wanted = Wanted(_width(settings), enlarge=False, multiple=4)
            loaded = yield from capture_objects.reading(each.object, wanted, step, depsgraph, label=label)
            metres = units.moved(loaded.pose, 1 / units.per_metre(reference.scene))
            written = partial(folder.write_capture, replace(loaded, pose=metres))
            entries.append((yield from in_thread(written, step)))
        step = Progress("Sealing the job folder", len(objects), len(objects))
        yield step
        made_by = software.versions()
        folder.seal(ReconstructJob(name=folder.name, captures=entries, settings=settings.to_json(), software=made_by))
        previous = _previous(reference.scene)
        if previous is not None:
            yield from in_thread(partial(reuse.take_over, previous, folder), step)
    return folder


def settings_of(scene: bpy.types.Scene) -> ReconstructionSettings:
    """The scene's settings and what its captures know of their places."""
    units.adopt(scene)
    chosen, metre = access.of_scene(scene), units.per_metre(scene)
    weights = str(chosen.reconstruction_weights).strip()
    poses, dense = _way(chosen, len(capture_objects.in_scene(scene)))
    return ReconstructionSettings(
        poses=poses,
        dense=dense,
        width=max(64, round(chosen.reconstruction_width / 64) * 64),
        confidence=round(float(chosen.reconstruction_confidence), 6),
        complete=bool(chosen.reconstruction_complete),
        guess_by=str(chosen.reconstruction_guesses).lower(),
        nearest_only=bool(chosen.nearest_capture_only),
        camera_height=round(float(chosen.eye_height) / metre, 6) or None,
        priors=priors(capture_objects.labelled(scene), metre),
        options=_options(weights, bool(chosen.reconstruction_download) and is_online()),
    )


def _way(chosen: Any, captures: int) -> tuple[str, str]:
    """How so many captures are posed and made dense, as ReconstructionSettings has it.

    One alone has nothing to be posed by or compared with: it stays where it is, and its room or street is guessed.
    """
    poses, dense = str(chosen.reconstruction_poses).lower(), str(chosen.reconstruction_dense).lower()
    if captures != 1:
        return poses, dense
    alone = advice.ONE_CAPTURE if dense in (results.SWEEP, results.NONE) else dense
    return results.GIVEN if poses == results.SOLVE else poses, alone


def _options(weights: str, download: bool) -> dict[str, Any]:
    """The reconstructor's own, as ReconstructionSettings has them."""
    return ({"weights": _weights(weights)} if weights else {}) | ({"download": True} if download else {})


def _weights(chosen: str) -> str:
    """A folder's absolute path; a hub's id as it is."""
    path = paths.absolute_path(chosen)
    return str(path) if chosen.startswith("//") or path.is_dir() else chosen


def priors(objects: Mapping[str, bpy.types.Object], metre: float = 1.0) -> dict[str, dict[str, Any]]:
    """What photographs say of where they were taken: metres in the world, and compass headings.

    objects: captures by their labels. metre: in the scene's units.

    GPS lies in the world where the captures as they stand agree with it best, so that building again moves nothing.
    """
    places = {label: capture_objects.position(obj) for label, obj in objects.items()}
    origin = next((place for place in places.values() if place is not None), None)
    local = {
        name: geography.local_metres(place, origin) for name, place in places.items() if place is not None and origin
    }
    stands = {label: np.array(obj.matrix_world, dtype=np.float64)[:3, 3] / metre for label, obj in objects.items()}
    shift = np.median([stands[name] - place for name, place in local.items()], axis=0) if local else np.zeros(3)
    return {
        label: {"position": (local[label] + shift).tolist() if label in local else None, "heading": _heading(obj)}
        for label, obj in objects.items()
    }


def _heading(obj: bpy.types.Object) -> float | None:
    """What the photograph's own metadata says; None if its file is not there any more, or another one by now."""
    settings = access.of_object(obj)
    path = Path(bpy.path.abspath(settings.source_path or ""))
    with suppress(PantheonError, OSError):
        if path.is_file() and settings.image.get(capture_files.SOURCE) in (None, files.sha256(path)):
            return panorama_metadata.read(path).heading
    return None


def _width(settings: ReconstructionSettings) -> int:
    """Pixels across that the stages of a job can use of a capture."""
    wanted = max(settings.width, FEATURE_WIDTH) if settings.poses == results.SOLVE else settings.width
    return max(wanted, FEATURE_WIDTH if settings.learned else 0)


# What an earlier reconstruction has finished already


def _built_before(scene: bpy.types.Scene) -> bool:
    """Whether there is a folder of an earlier reconstruction. Cheap enough for a button."""
    path = scene.get(PREVIOUS)
    return isinstance(path, str) and bool(path) and paths.absolute_path(path).is_dir()


def _previous(scene: bpy.types.Scene) -> ReconstructFolder | None:
    path = job_notes.noted(scene, PREVIOUS)
    if path is not None:
        with suppress(PantheonError):
            return ReconstructFolder.open(path)
    return None


# Back


def deliver(
    scene: bpy.types.Scene, folder: ReconstructFolder, captures: Mapping[str, ObjectReference] | None = None
) -> Job[Built]:
    """Bring a finished reconstruction into a scene: poses onto captures, points into the cache, the report beside them.

    captures: those of the job by the labels that they have in it; they may have other names by now. The scene changes
    in the last step.
    Raises JobError if results are missing or damaged, PointCloudError, CacheError if the cache is being edited.
    """
    reference, step = SceneReference(scene), Progress("Bringing the points into the scene")
    yield step
    metre = units.per_metre(reference.scene)
    posed, solution, text, cloud = yield from in_thread(partial(_results, folder, metre), step)
    ready, numbers = cloud, None
    while (now := _numbers(reference.scene, _called(reference.scene, posed, captures or {}))) != numbers:
        ready, numbers = (yield from in_thread(partial(_stored_as, cloud, now), step)), now
    posed = _called(reference.scene, posed, captures or {})
    return _delivered(reference.scene, folder, metre, posed, solution, text, ready)


def can_show(scene: bpy.types.Scene) -> bool:
    """Whether a first look may enter a scene: it takes nothing away but another first look."""
    cache = cache_objects.find(scene)
    return cache is None or cache.get(LOOK) is not None


def show(
    scene: bpy.types.Scene, folder: ReconstructFolder, captures: Mapping[str, ObjectReference] | None = None
) -> Job[bool]:
    """Bring the points of a reconstruction at work into a scene that `can_show` them, and its captures to their poses.

    captures: as of `deliver`, whose points take their place. The scene changes in the last step, if at all.
    Returns whether it changed: the points may be gone or damaged, or somebody has made a cache meanwhile.
    """
    reference, step = SceneReference(scene), Progress(LOOKING)
    metre = units.per_metre(reference.scene)
    yield step
    try:
        posed, cloud = yield from in_thread(partial(_look, folder, metre), step)
    except PantheonError:
        return False
    posed = _called(reference.scene, posed, captures or {})
    numbers = _numbers(reference.scene, posed)
    ready = yield from in_thread(partial(_stored_as, cloud, numbers), step)
    scene = reference.scene
    if not can_show(scene) or numbers != _numbers(scene, posed):
        return False
    obj = cache_objects.replace(scene, ready)
    obj[LOOK] = paths.relative_path(folder.path)
    obj[REPORT] = f"A first look: {len(ready):,} points. The finished ones take their place."
    if ReconstructionSettings.from_json(folder.job.settings).poses != results.GIVEN:
        place(scene, [replace(one, pose=units.moved(one.pose, metre)) for one in posed])
    return True


def _look(folder: ReconstructFolder, metre: float) -> tuple[list[PosedCapture], PointCloud]:
    """Poses and points of a first look, finite and in the scene's unit."""
    posed, _ = results.read_poses(folder.path)
    cloud = PointCloud.load(folder.path / results.LOOK_FILE)
    return posed, cloud if metre == 1 else cloud.transformed(units.scaling(metre))


def _results(folder: ReconstructFolder, metre: float) -> tuple[list[PosedCapture], dict[str, Any], str, PointCloud]:
    """Poses, what is said of them, the report's text, and the points, finite and in the scene's unit."""
    posed, solution = results.read_poses(folder.path)
    report = results.read_report(folder.path)
    cloud = PointCloud.load(folder.path / results.CACHE_FILE)
    return posed, solution, report["text"], cloud if metre == 1 else cloud.transformed(units.scaling(metre))


def _delivered(
    scene: bpy.types.Scene,
    folder: ReconstructFolder,
    metre: float,
    posed: list[PosedCapture],
    solution: dict[str, Any],
    text: str,
    cloud: PointCloud,
) -> Built:
    posed = [replace(one, pose=units.moved(one.pose, metre)) for one in posed]
    merging = access.of_scene(scene).reconstruction_cache == "MERGE" and not can_show(scene)
    obj = (cache_merge.merge if merging else cache_objects.replace)(scene, cloud)
    obj.pop(LOOK, None)
    obj[REPORT] = text
    obj[FOLDER] = paths.relative_path(folder.path)
    job_tracking.note_delivered(folder)
    notes = [str(note) for note in solution.get("notes", [])]
    if ReconstructionSettings.from_json(folder.job.settings).poses != results.GIVEN:
        notes += place(scene, posed)
    left = {one.name: one.reason for one in posed if not one.registered}
    return Built(obj.name, len(cloud), [one.name for one in posed if one.registered], left, notes, text)


def _called(
    scene: bpy.types.Scene, posed: Sequence[PosedCapture], captures: Mapping[str, ObjectReference]
) -> list[PosedCapture]:
    """The captures by the labels that they have in the scene by now."""
    found = {label: obj for label, each in captures.items() if (obj := each.find()) is not None}
    called = {label: capture_objects.label_of(scene, obj) for label, obj in found.items()}
    return [replace(one, name=called.get(one.name, one.name)) for one in posed]


def _numbers(scene: bpy.types.Scene, posed: Sequence[PosedCapture]) -> list[int]:
    """The captures' present places in the scene: some may have come or gone while the backend worked."""
    order = {label: index for index, label in enumerate(capture_objects.labelled(scene))}
    return [order.get(one.name, -1) for one in posed]


def _stored_as(cloud: PointCloud, numbers: Sequence[int]) -> PointCloud:
    """The points with their sources by those places, ready to be stored."""
    return attributes.prepare(cloud.renumbered(numbers))

"""A shot: everything a painter needs of a scene, written into a job folder that is complete without Blender."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core.errors import JobError, PantheonError, RenderError
from ...core.jobs import registry
from ...core.jobs.job import Anchor, CaptureEntry, PaintJob
from ...core.jobs.job_fields import MAXIMUM_FRAMES
from ...core.jobs.job_folder import JobFolder, PaintFolder
from ...core.panorama.capture import UnreadCapture
from ...core.points.point_cloud import PointCloud
from ...core.progress import Job, Notices, Progress, in_thread, observed
from ...core.render import splatting
from ..app import access, backend_process, job_notes, job_tracking, software, units
from ..app.access import SceneReference
from ..app.paths import jobs_root, shot_name
from ..cache import cache_objects
from ..cache.cache_objects import CachePoints
from ..camera import camera_path
from ..render import geometry_pass
from . import painters, strips

UNFINISHED = "pantheon360_unfinished"
"""Custom property of a scene: folder of the job that was begun for it and not yet delivered."""

RESUME = "Resume goes on from there."
"""What the interface says of finished frames."""


def generate(scene: bpy.types.Scene, **choices: Any) -> Job[Any]:
    """The whole way from the scene to a strip: prepare, paint, deliver. Keyword arguments as `prepare`'s.

    Returns the strip. If painting fails or is cancelled, the folder with its finished frames is kept and the scene
    remembers it for `resume`.
    """
    reference = SceneReference(scene)
    folder = yield from begin(scene, **choices)
    return (yield from finish(reference.scene, folder))


def begin(scene: bpy.types.Scene, **choices: Any) -> Job[PaintFolder]:
    """What `generate` does before the backend paints. Returns the prepared folder, which the scene remembers."""
    reference = SceneReference(scene)
    painter = str(choices.get("painter") or access.of_scene(scene).painter).lower()
    yield Progress("Looking for the backend")
    backend_process.require(painters.packages(painter), f"the {painter} painter")
    folder = yield from prepare(reference.scene, **choices)
    remember(reference.scene, folder)
    return folder


def resume(scene: bpy.types.Scene) -> Job[Any]:
    """Go on with the scene's unfinished job where it stopped. Returns the strip.

    Raises JobError if there is none or its folder is gone or damaged.
    """
    return (yield from finish(scene, _open_unfinished(scene)))


def adopt(scene: bpy.types.Scene) -> Job[PaintFolder]:
    """Make the scene's unfinished job one of this person's, wherever it was begun. Returns its folder.

    Raises JobError as `resume`.
    """
    yield Progress("Opening the job")
    folder = _open_unfinished(scene)
    job_tracking.adopt(scene, folder, "paint")
    return folder


def _open_unfinished(scene: bpy.types.Scene) -> PaintFolder:
    path = unfinished(scene)
    if path is None:
        raise JobError(f"Scene {scene.name} has no unfinished job.", advice="Generate it from the start.")
    return PaintFolder.open(path)


def unfinished(scene: bpy.types.Scene) -> Path | None:
    """The folder of the scene's job that was begun and not delivered, or None. Cheap enough for a panel."""
    return job_notes.noted(scene, UNFINISHED)


def remember(scene: bpy.types.Scene, folder: PaintFolder) -> None:
    """Note a prepared job on its scene, so that `resume` finds it, in a saved file too."""
    job_notes.note(scene, UNFINISHED, folder.path)


def finish(scene: bpy.types.Scene, folder: PaintFolder, source: str | None = None, *, resume: str = RESUME) -> Job[Any]:
    """Paint what is missing of a prepared job and deliver it as a strip; source: as `strips.deliver`'s.

    resume: as `paint`'s. Returns the strip.
    """
    reference, notices = SceneReference(scene), Notices()
    yield from observed(paint(folder, resume=resume), notices)
    return (yield from deliver(reference.scene, folder, source, notices.warnings, resume=resume))


def deliver(
    scene: bpy.types.Scene,
    folder: PaintFolder,
    source: str | None = None,
    warnings: Sequence[str] = (),
    *,
    resume: str = RESUME,
) -> Job[Any]:
    """Put a painted job into the sequencer. Arguments as of `finish` and `strips.deliver`. Returns the strip."""
    reference = SceneReference(scene)
    with _frames_kept(folder, resume):
        strip = yield from strips.deliver(reference.scene, folder, source, warnings)
    scene = reference.scene
    if unfinished(scene) == folder.path:  # another one may have been prepared meanwhile
        job_notes.forget(scene, UNFINISHED)
    job_tracking.note_delivered(folder)
    return strip


def paint(folder: JobFolder, *, resume: str = RESUME) -> Job[None]:
    """Have the backend do what is missing of a job. resume: what an error says of how to go on from there."""
    with registry.at_work(folder.id, folder.path), _frames_kept(folder, resume):
        yield from backend_process.run(folder)


@contextmanager
def _frames_kept(folder: JobFolder, resume: str) -> Iterator[None]:
    """Let an error say that what is finished is kept, if it is."""
    try:
        yield
    except PantheonError as error:
        if not folder.path.is_dir():
            raise
        advice = f"{error.advice} Finished frames are kept in {folder.path}; {resume}".strip()
        raise type(error)(error.text, advice=advice, code=error.code, repair=error.repair, log=error.log) from error


def prepare(
    scene: bpy.types.Scene,
    frames: Sequence[int] | None = None,
    *,
    root: Path | None = None,
    painter: str | None = None,
    seed: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Job[PaintFolder]:
    """Write a job folder: camera path, captures, geometry and footprint frames, anchors, settings, versions, hashes.

    frames: Blender's frame numbers; None takes the scene's range and the shot's frame step.
    root: folder in which the job's own new folder is made; None takes the scene's (`jobs_root`).
    painter, seed: None takes the scene's settings. settings: of the painter, before the scene's (painters.settings).
    The cache is read anew for each frame only if it differs between them, and then surfaces show points.
    The folder is removed if this fails or is cancelled.
    Returns the sealed folder. Raises RenderError without camera or with an empty range, CaptureError without
    captures, CacheError without points, JobError if the painter's settings are not usable, FileError if the
    folder cannot be written.
    """
    reference = SceneReference(scene)
    chosen = access.of_scene(scene)
    numbers = list(frames) if frames is not None else camera_path.frame_numbers(scene, chosen.frame_step)
    if len(numbers) > MAXIMUM_FRAMES:
        raise RenderError(
            f"The shot has {len(numbers):,} frames; {MAXIMUM_FRAMES:,} are the most.", advice="Divide it."
        )
    width, near = geometry_pass.even_width(chosen.width), float(chosen.near)
    painter = (painter or str(chosen.painter)).lower()
    seed = str(chosen.seed).strip() if seed is None else seed
    fps = scene.render.fps / scene.render.fps_base
    painting = painters.settings(scene, painter, settings)
    PaintJob.check(width=width, fps=fps, frames=numbers, painter=painter, seed=seed)
    own_pixels = bool(chosen.own_pixels) and painter != painters.DIFFUSION  # models learned what points look like
    wide = geometry_pass.capture_width(width, own_pixels)
    captures = geometry_pass.unread_captures(access.evaluated(scene), wide)
    root = root or jobs_root(scene)
    poses, cloud = yield from _survey(scene, numbers)
    folder = PaintFolder.new(root, shot_name(reference.scene))
    with job_tracking.preparing(reference.scene, folder, "paint"):
        entries = []
        for index, capture in enumerate(captures):
            step = Progress("Writing captures", index, len(captures), text=capture.name)
            yield step
            read = yield from capture.reading(step)
            entries.append((yield from in_thread(partial(folder.write_capture, read), step)))
        if own_pixels and cloud is not None:
            yield from _write_ranges(folder, entries, cloud, near)
        yield from _write_geometry(reference, folder, numbers, poses, cloud, width, near)
        yield Progress("Sealing the job folder")
        scene = reference.scene
        folder.seal(
            PaintJob(
                name=folder.name,
                width=width,
                fps=fps,
                frames=numbers,
                cameras=poses,
                captures=entries,
                anchors=anchors(numbers, poses, captures, units.per_metre(reference.scene)),
                painter=painter,
                settings={"near": near, **painting},
                seed=seed,
                software=software.versions(),
            )
        )
    return folder


def anchors(
    frames: Sequence[int], poses: np.ndarray, captures: Sequence[UnreadCapture], metre: float = 1.0
) -> list[Anchor]:
    """Frames whose camera stands at a capture, each with the nearest one. metre: in the poses' units."""
    places = [capture.pose for capture in captures]
    stands = ((frame, camera_path.stands_at(pose, places, metre)) for frame, pose in zip(frames, poses, strict=True))
    return [Anchor(frame=int(frame), capture=captures[place].name) for frame, place in stands if place is not None]


class _Survey:
    """Reads the camera at each frame, and whether the cache's points are the same at all of them."""

    def __init__(self) -> None:
        self.points: CachePoints | None = None
        self.animated = False
        self._touched = True

    def __call__(self, depsgraph: bpy.types.Depsgraph) -> np.ndarray:
        if self._touched and not self.animated:
            points = cache_objects.stored_points(depsgraph)
            if not len(points):
                raise geometry_pass.without_points(access.scene_of(depsgraph))
            self.animated = self.points is not None and not self.points.same_as(points)
            self.points = self.points or points
            self._touched = False
        return camera_path.pose(depsgraph)

    def frame_changed(self, _scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
        """Handler: note whether the new frame evaluated anything that can hold cache points."""
        updates = depsgraph.updates if depsgraph is not None else ()
        self._touched = self._touched or any(_may_hold_points(update.id) for update in updates)


def _survey(scene: bpy.types.Scene, frames: Sequence[int]) -> Job[tuple[np.ndarray, PointCloud | None]]:
    """(F, 4, 4) poses of the path, and the cache's points if they are the same at every frame, else None."""
    survey, reference = _Survey(), SceneReference(scene)
    handlers: Any = bpy.app.handlers.frame_change_post
    handlers.append(survey.frame_changed)
    try:
        poses = yield from camera_path.visit(scene, frames, survey, "Camera path")
    finally:
        with suppress(ValueError):  # another file was read meanwhile: Blender forgets handlers then
            handlers.remove(survey.frame_changed)
    cloud = None
    if survey.points is not None and not survey.animated:
        cloud = yield from in_thread(survey.points.cloud, Progress("Reading the 3D cache"))
        if not len(cloud.points):
            raise geometry_pass.without_points(reference.scene)
    return np.array(poses, dtype=np.float64).reshape(-1, 4, 4), cloud


def _may_hold_points(updated: Any) -> bool:
    """Whether an ID that a frame change evaluated is a cache or might instance one."""
    if not isinstance(updated, bpy.types.Object):
        return False
    instances = updated.is_instancer or any(modifier.type == "NODES" for modifier in updated.modifiers)
    return instances or bool(access.of_object(updated).is_cache)


def _write_ranges(folder: PaintFolder, captures: Sequence[CaptureEntry], cloud: PointCloud, near: float) -> Job[None]:
    """How far away is what each capture sees, by a cache that is the same at every frame."""
    for index, capture in enumerate(captures):
        step = Progress("Looking from captures", index, len(captures), text=capture["name"])
        yield step
        yield from in_thread(partial(_write_range, folder, capture, cloud, near), step)


def _write_range(folder: PaintFolder, capture: CaptureEntry, cloud: PointCloud, near: float) -> None:
    folder.write_range(capture, geometry_pass.capture_range(cloud, np.array(capture["pose"]), near))


def _write_geometry(
    reference: SceneReference,
    folder: PaintFolder,
    frames: Sequence[int],
    poses: np.ndarray,
    cloud: PointCloud | None,
    width: int,
    near: float,
) -> Job[None]:
    """Geometry and footprint frames. A cloud of None is read anew at every frame."""
    for index, (frame, pose) in enumerate(zip(frames, poses, strict=True)):
        step = Progress("Geometry pass", index, len(frames), text=f"frame {frame}")
        yield step
        points = cloud
        if points is None:
            points = yield from in_thread(_points_at(reference.scene, frame).cloud, step)
        yield from in_thread(partial(_write_frame, folder, frame, points, pose, width, near), step)
    yield Progress("Geometry pass", len(frames), len(frames))


def _write_frame(folder: PaintFolder, frame: int, cloud: PointCloud, pose: np.ndarray, width: int, near: float) -> None:
    folder.write_geometry("geometry", frame, geometry_pass.geometry_frame(cloud, pose, width, near))
    footprints = geometry_pass.footprint_frame(cloud, pose, width, near)
    folder.write_geometry("footprint", frame, splatting.with_confidence(footprints, cloud.confidence))


def _points_at(scene: bpy.types.Scene, frame: int) -> CachePoints:
    with camera_path.frame_restored(scene):
        points = cache_objects.stored_points(camera_path.go_to(scene, frame))
    if not len(points):
        raise geometry_pass.without_points(scene)
    return points

"""Points of the 3D cache from a take: what its painter made up, where the cache had nothing to show.

A job folder out (frames of the take, the cache as it is now), the backend's work, and the points back into the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core import budget, repairs
from ...core.engine import requirements
from ...core.errors import CacheError, JobError
from ...core.formats import png
from ...core.jobs import registry
from ...core.jobs.job import ExtendJob
from ...core.jobs.job_folder import ExtendFolder, PaintFolder
from ...core.panorama import equirectangular
from ...core.plain_text import filled
from ...core.points.point_cloud import INVENTED_CONFIDENCE, PointCloud
from ...core.progress import Job, Progress, in_thread
from ...core.render import splatting
from ..app import access, backend_process, job_tracking, paths, software, units
from ..app.access import SceneReference
from ..app.disabled_reason import DisabledReason
from ..cache import cache_merge, cache_objects

MOST_FRAMES = 24
"""Frames of a take that are looked at, evenly along it."""
MOST_WIDTH = 2048
"""Pixels across at which they are: finer ones would be more points than a cache needs."""
LEAST_AGREEMENT = 0.75
"""Share of what a take saw of the cache that must still be there."""
_SAME = 0.1
"""Natural log of range within which a pixel still shows the surface that it did."""
_COMPARED = 3
"""Frames in which that is looked at."""
_NEEDS = ("completing surfaces",)


@dataclass(frozen=True)
class Added:
    """What a take brought: name of the cache object, new points, and one sentence on it."""

    cache: str
    points: int
    text: str


def add(scene: bpy.types.Scene, take: PaintFolder, *, root: Path | None = None) -> Job[Added]:
    """The whole way from a take to points in the cache. Arguments as `begin`'s."""
    reference = SceneReference(scene)
    folder = yield from begin(scene, take, root=root)
    yield from compute(folder)
    return (yield from deliver(reference.scene, folder))


def disabled_reason(scene: bpy.types.Scene) -> DisabledReason | None:
    """Why no take can be added to a scene's cache; None if one can."""
    obj = cache_objects.find(scene)
    if obj is None:
        return DisabledReason("Takes add to a 3D cache: build or project one first", repairs.BUILD_CACHE)
    if obj.mode != "OBJECT":
        return DisabledReason("Leave the cache's Edit Mode first")
    if access.of_object(obj).least_confidence > INVENTED_CONFIDENCE:
        return DisabledReason("The cache's Least Confidence would hide the new points: set it to 0")
    if lacks := backend_process.lacking(requirements.packages(_NEEDS)):
        return DisabledReason(requirements.lacking(lacks), repairs.INSTALL_ENGINE)
    return None


def compute(folder: ExtendFolder) -> Job[None]:
    """Have the backend find the points of a prepared job."""
    with registry.at_work(folder.id, folder.path):
        yield from backend_process.run(folder)


# Out


def begin(scene: bpy.types.Scene, take: PaintFolder, *, root: Path | None = None) -> Job[ExtendFolder]:
    """Write a job folder: frames of the take, what their painter was shown nothing of, captures, and the cache.

    root: folder in which the job's own new folder is made; None takes the scene's.
    Returns the sealed folder. Raises CacheError if there is no cache, it cannot be changed, would hide the points, or
    is not what the take was painted from; JobError if the take is not finished or damaged; BackendError, FileError.
    """
    reference = SceneReference(scene)
    obj = cache_objects.find(scene)
    _require_changeable(scene, obj)
    yield Progress("Looking for the backend")
    backend_process.require(requirements.packages(_NEEDS), "adding a take to the cache")
    points = cache_objects.stored_points(access.evaluated(reference.scene))
    if not len(points):
        raise CacheError(f"The 3D cache of scene {reference.name} has no visible points.", advice="Show it.")
    step = Progress("Comparing with the take", 0, _COMPARED)
    cloud = yield from in_thread(points.cloud, step)
    yield from _compare(take, cloud)
    scene, frames = reference.scene, evenly(take.job.frames, MOST_FRAMES)
    metre, width = units.per_metre(scene), min(take.job.width, MOST_WIDTH)
    folder = ExtendFolder.new(root or paths.jobs_root(scene), f"{paths.shot_name(scene)}-take")
    with job_tracking.preparing(scene, folder, ExtendJob.kind):
        for index, frame in enumerate(frames):
            step = Progress("Writing frames", index, len(frames), text=f"frame {frame}")
            yield from in_thread(partial(_write_frame, folder, take, frame, width), step)
        entries = []
        for index, entry in enumerate(take.job.captures):
            step = Progress("Writing captures", index, len(take.job.captures), text=entry["name"])
            captured = yield from in_thread(partial(take.read_capture, entry), step)
            metres = replace(captured, pose=units.moved(captured.pose, 1 / metre))
            entries.append((yield from in_thread(partial(folder.write_capture, metres), step)))
        scaled = cloud if metre == 1 else cloud.transformed(units.scaling(1 / metre))
        yield from in_thread(partial(folder.write_known, scaled), Progress("Writing the 3D cache"))
        yield Progress("Sealing the job folder")
        folder.seal(
            ExtendJob(
                name=folder.name,
                width=width,
                frames=frames,
                cameras=np.stack([units.moved(take.job.camera(frame), 1 / metre) for frame in frames]),
                captures=entries,
                settings={"near": _near(take) / metre},
                software=software.versions(),
            )
        )
    return folder


def evenly(frames: Sequence[int], most: int) -> list[int]:
    """At most so many of the frames, from the first to the last."""
    places = np.linspace(0, len(frames) - 1, min(most, len(frames)))
    return [int(frames[index]) for index in np.rint(places).astype(int)]


def _require_changeable(scene: bpy.types.Scene, obj: bpy.types.Object | None) -> None:
    """Raise CacheError if nothing can be added to the scene's cache."""
    if obj is None:
        raise CacheError(
            f"Scene {scene.name} has no 3D cache that a take could add to.",
            advice="Build or project one.",
            repair=repairs.BUILD_CACHE,
        )
    cache_merge.refuse_unmergeable(obj)
    least = access.of_object(obj).least_confidence
    if least > INVENTED_CONFIDENCE:
        raise CacheError(
            f"{obj.name} hides points of less confidence than {least:.2g}: those of a take have {INVENTED_CONFIDENCE}.",
            advice="Set its Least Confidence to 0.",
        )


def _compare(take: PaintFolder, cloud: PointCloud) -> Job[None]:
    """Look whether the cache is still what a take was painted from. cloud: in the scene's units.

    Raises CacheError if it is not, JobError if the take is not finished or lacks its geometry.
    """
    same, seen = 0, 0
    for index, frame in enumerate(evenly(take.job.frames, _COMPARED)):
        step = Progress("Comparing with the take", index, _COMPARED, text=f"frame {frame}")
        agree, covered = yield from in_thread(partial(_agreement, take, frame, cloud), step)
        same, seen = same + agree, seen + covered
    if not seen:
        raise CacheError("The take saw nothing of the 3D cache.", advice="Choose another take.")
    if same < LEAST_AGREEMENT * seen:
        raise CacheError(
            f"The 3D cache is not what this take was painted from: of what the take saw of it, {same / seen:.0%} is "
            "still there.",
            advice="Generate the video again from the cache as it is now, and add that take.",
        )


def _agreement(take: PaintFolder, frame: int, cloud: PointCloud) -> tuple[int, int]:
    """Pixels of a frame in which the cache is as the take saw it, and all in which the take saw it."""
    _require_painted(take, frame)
    before = take.read_surfaces(frame)
    footprint = cloud.footprint if cloud.footprint is not None else 0.0
    pose, width = take.job.camera(frame), take.job.width
    now = splatting.splat_footprints(cloud.points, cloud.colours, footprint, pose, width, near=_near(take))
    both = before.coverage & now.coverage
    same = np.abs(np.log(now.depth[both] / before.depth[both])) < _SAME
    return int(np.count_nonzero(same)), int(np.count_nonzero(before.coverage))


def _write_frame(folder: ExtendFolder, take: PaintFolder, frame: int, width: int) -> None:
    _require_painted(take, frame)
    made_up = ~take.read_surfaces(frame).coverage
    image = png.read(take.frame_file(frame), budget.exactly(*take.job.size))
    image = equirectangular.resize(image, width)
    folder.write_painted(frame, image, equirectangular.resize(made_up, width))


def _require_painted(take: PaintFolder, frame: int) -> None:
    if lack := take.lack(frame):
        raise JobError(
            f"Frame {frame} of the take in {take.path} {lack}.", advice="Resume its job, or choose another take."
        )


def _near(take: PaintFolder) -> float:
    """Within so much of the camera the take saw no point; the scene's units."""
    near: Any = take.job.settings.get("near", 0.0)
    return float(near) if isinstance(near, (int, float)) and near >= 0 else 0.0


# Back


def deliver(scene: bpy.types.Scene, folder: ExtendFolder) -> Job[Added]:
    """Bring the points of a finished job into the cache. The scene changes in the last step.

    Raises PointCloudError if they are damaged, CacheError if the cache is gone, is being edited or linked.
    """
    reference, step = SceneReference(scene), Progress("Bringing the points into the scene")
    yield step
    metre = units.per_metre(reference.scene)
    cloud = yield from in_thread(partial(_ready, folder, metre), step)
    obj = cache_objects.find(reference.scene)
    if obj is None:
        raise CacheError(
            f"The 3D cache of scene {reference.name} that these points belong to is gone.",
            advice="Undo its removal, then deliver the job again.",
        )
    if len(cloud):
        obj = cache_merge.merge(reference.scene, cloud)
    cache_objects.note_addition(obj, folder.id)
    job_tracking.note_delivered(folder)
    return Added(obj.name, len(cloud), _text(obj, len(cloud)))


def _ready(folder: ExtendFolder, metre: float) -> PointCloud:
    """The points in the scene's units."""
    cloud = PointCloud.load(folder.invented_file)
    return (cloud if metre == 1 else cloud.transformed(units.scaling(metre))).finite()


def _text(obj: bpy.types.Object, count: int) -> str:
    if not count:
        return filled("The take shows nothing that {name} lacks", name=obj.name)
    return filled(
        "{count:,} invented points were added to {name}; a Least Confidence above 0.05 hides them",
        count=count, name=obj.name,
    )  # fmt: skip

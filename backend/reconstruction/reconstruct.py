"""A job of kind "reconstruct": captures in, poses, range maps and one point cloud out, stage by stage.

A stage whose files are whole in the job folder is skipped, so that an interrupted job goes on where it stopped. This
module imports numpy alone; other packages are looked for before a stage begins.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pantheon360_blender.core import progress
from pantheon360_blender.core.errors import BackendError, CaptureError, JobError, PointCloudError
from pantheon360_blender.core.jobs import reconstruct_settings as results
from pantheon360_blender.core.jobs.job_folder import ReconstructFolder
from pantheon360_blender.core.jobs.reconstruct_settings import PosedCapture, ReconstructionSettings
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.progress import Progress

from . import compilation, depth_map, kept, memory, packages, report
from .depth_map import DepthMap

if TYPE_CHECKING:
    from .dense.sweep import Estimate

FINER = 2
"""Points along a side of a pixel of the range maps: photographs are finer than estimated ranges."""


def run(folder: ReconstructFolder) -> progress.Job[None]:
    """Do what is missing of a job: `poses.json`, `depth/*.npz`, `guesses/*.npz`, `cache.npz` and `report.json`.

    Yields progress; closing the generator stops it within a step, and finished stages are kept.
    Raises BackendError if packages are missing, with how to get them; CaptureError if the captures cannot be
    reconstructed; JobError if an input is damaged.
    """
    settings = ReconstructionSettings.from_json(folder.job.settings)
    folder.begin()
    require_packages(settings, folder)
    yield from folder.verification()
    captures = yield from _read_captures(folder)
    if settings.dense == results.SWEEP and _stored_cloud(folder, results.CACHE_FILE) is None:
        memory.check(captures, settings.width)  # before poses are solved, which takes long
    seconds: dict[str, float] = {}
    if settings.poses == results.MODEL:
        posed, solution, maps = yield from _timed(_by_model(folder, settings, captures), "model", seconds)
    else:
        posed, solution = yield from _timed(_pose(folder, settings, captures), "poses", seconds)
        captures = [replace(each, pose=one.pose) for each, one in zip(captures, posed, strict=True)]
        maps = yield from _timed(_dense(folder, settings, captures, posed, solution), "dense points", seconds)
    captures = [replace(each, pose=one.pose) for each, one in zip(captures, posed, strict=True)]
    learned = None
    if settings.guesser and _stored_cloud(folder, results.CACHE_FILE) is None:
        learned = yield from _timed(_guesses(folder, settings, captures, posed, maps, solution), "guesses", seconds)
    cloud = yield from _timed(_cloud(folder, settings, captures, maps, learned), "cloud", seconds)
    yield Progress("Writing the report", 0, 1)
    found = report.report(settings, captures, posed, solution, maps, cloud, seconds)
    folder.output.write_json(results.REPORT_FILE, found)
    folder.output.remove(results.LOOK_FILE)
    yield Progress("Writing the report", 1, 1)


def is_finished(folder: ReconstructFolder) -> bool:
    """Whether all results are there, are of this job and can be read."""
    if folder.has_results_of_another_job():
        return False
    try:
        results.read_poses(folder.path)
        results.read_report(folder.path)
        PointCloud.load(folder.path / results.CACHE_FILE)
        return True
    except (JobError, PointCloudError):
        return False


# What is needed


def require_packages(settings: ReconstructionSettings, folder: ReconstructFolder) -> None:
    """Check that this Python has the packages of the stages that remain.

    Raises BackendError that says what is missing and how to get it.
    """
    from . import reconstructors

    learned = reconstructors.named(settings.learned) if settings.learned else None
    posed = _stored_poses(folder)
    which = [index for index, one in enumerate(posed[0]) if one.registered] if posed else []
    stages = []
    if settings.poses == results.SOLVE and posed is None:
        stages.append("solving poses")
    dense = settings.dense != results.NONE and (posed is None or _stored_maps(folder, which) is None)
    if dense:
        stages.append("dense points")
    guess = settings.guesses and _stored_cloud(folder, results.CACHE_FILE) is None
    if guess:
        stages.append("completing surfaces")
    if settings.guesser and posed is not None and _stored_maps(folder, which, results.GUESSES_FOLDER) is not None:
        learned = None
    advice = packages.require(stages)
    lack = learned.missing(settings.options) if learned is not None and (guess if settings.guesser else dense) else ""
    if lack:
        raise BackendError(lack, advice=advice, code="missing-package")


# Stages


def _read_captures(folder: ReconstructFolder) -> progress.Job[list[Capture]]:
    captures = []
    entries = folder.job.captures
    for index, entry in enumerate(entries):
        yield Progress("Reading captures", index, len(entries), text=entry["name"])
        captures.append(folder.read_capture(entry))
    return captures


def _pose(
    folder: ReconstructFolder, settings: ReconstructionSettings, captures: Sequence[Capture]
) -> progress.Job[tuple[list[PosedCapture], dict[str, Any]]]:
    """Where the captures stand: as stored by an earlier run, as given, or solved."""
    stored = _stored_poses(folder)
    if stored is not None:
        return stored
    if settings.poses == results.GIVEN:
        posed = [PosedCapture(each.name, each.pose, True) for each in captures]
        solution: dict[str, Any] = {"method": results.GIVEN}
    else:
        posed, solution = yield from _solve(folder, settings, captures)
        _remove_what_follows(folder)
    results.write_poses(folder.output, posed, solution)
    return posed, solution


def _remove_what_follows(folder: ReconstructFolder) -> None:
    """Remove maps and points, if there are any: they were made of poses that were solved before."""
    for name in (results.DEPTH_FOLDER, results.GUESSES_FOLDER):
        for path in sorted((folder.path / name).glob("*.npz")):
            folder.output.remove(f"{name}/{path.name}")
    folder.output.remove(results.CACHE_FILE)
    folder.output.remove(results.LOOK_FILE)


def _solve(
    folder: ReconstructFolder, settings: ReconstructionSettings, captures: Sequence[Capture]
) -> progress.Job[tuple[list[PosedCapture], dict[str, Any]]]:
    from .poses.pose_priors import PosePrior
    from .poses.poses import PoseOptions, solve_poses

    distance = settings.distance
    options = PoseOptions(
        camera_height=settings.camera_height,
        distance=(distance[0], distance[1], float(distance[2])) if distance else None,
        seed=int(folder.job.seed) % (1 << 31),
    )
    priors = []
    for each in captures:
        known = settings.priors.get(each.name, {"position": None, "heading": None})
        place = None if known["position"] is None else np.array(known["position"], dtype=np.float64)
        priors.append(PosePrior(position=place, heading=known["heading"]))
    with compilation.ahead(settings.dense == results.SWEEP) as compiled:
        found = yield from solve_poses(captures, priors, options)
        yield from compiled
    _write_cloud(folder, results.SPARSE_FILE, found.points)
    rows = zip(found.names, found.poses, found.registered, found.reasons, strict=True)
    posed = [PosedCapture(name, pose, bool(known), reason) for name, pose, known, reason in rows]
    solution = {
        "method": results.SOLVE,
        "scale_from": found.scale_from,
        "north_from": found.north_from,
        "camera_height": found.camera_height,
        "reprojection_error_degrees": _number(found.reprojection_error),
        "observed": [int(count) for count in found.observed],
        "tilts_degrees": [_number(tilt) for tilt in found.tilts],
        "sparse_points": len(found.points),
        "notes": list(found.notes),
    }
    return posed, solution


def _dense(
    folder: ReconstructFolder,
    settings: ReconstructionSettings,
    captures: Sequence[Capture],
    posed: Sequence[PosedCapture],
    solution: dict[str, Any],
) -> progress.Job[list[DepthMap | None]]:
    """A range map for each registered capture, None for the others, and for all if only sparse points are wanted."""
    if settings.dense == results.NONE:
        return [None] * len(captures)
    which = [index for index, one in enumerate(posed) if one.registered]
    maps = {index: depth_map.read(folder.path / _depth_file(folder, index)) for index in which}
    if None in maps.values():
        yield Progress("Preparing range maps")
        folder.output.remove(results.CACHE_FILE)  # it was made of other maps
        seen = [captures[index] for index in which]
        if settings.reconstructor:
            found = yield from _reconstruction(folder, settings, seen, results.GIVEN)
            solution["notes"] = [*solution.get("notes", []), *found.notes]
            maps = dict(zip(which, found.maps, strict=True))
            yield from _store_maps(folder, maps)
        else:
            yield from _sweep(folder, settings, seen, maps)
    kept.remove(folder.output)
    return [maps.get(index) for index in range(len(captures))]


def _sweep(
    folder: ReconstructFolder,
    settings: ReconstructionSettings,
    captures: Sequence[Capture],
    maps: dict[int, DepthMap | None],
) -> progress.Job[None]:
    """Make and write the maps that are None. captures: those of all maps, in their order."""
    from .dense.sweep import DenseOptions, estimate

    decided = [folder.job.inputs, folder.job.captures, settings.width, [each.pose.tolist() for each in captures]]
    steps = kept.KeptSteps(folder.output, kept.key_of(decided))

    def look(so_far: Estimate) -> progress.Job[None]:
        yield from _look(folder, settings, captures, list(maps), so_far)

    found = yield from estimate(captures, DenseOptions(width=settings.width), steps, look)
    for place, index in enumerate(maps):
        if maps[index] is None:
            yield Progress("Judging confidence", place, len(maps))
            made = maps[index] = found.depth_map(place)
            yield Progress("Writing depth", place, len(maps))
            depth_map.write(folder.output, _depth_file(folder, index), made)


def _look(
    folder: ReconstructFolder,
    settings: ReconstructionSettings,
    captures: Sequence[Capture],
    which: Sequence[int],
    so_far: Estimate,
) -> progress.Job[None]:
    """Write the points of an estimate that is not finished: `look.npz`. which: the captures' numbers in the job."""
    maps = []
    for place, capture in enumerate(captures):
        yield Progress("First look", place, len(captures), text=capture.name)
        maps.append(so_far.depth_map(place))
    seen = yield from progress.map_progress(points(settings, captures, maps), _as_look)
    if len(seen):
        _write_cloud(folder, results.LOOK_FILE, seen.renumbered(which))
        yield Progress("First look ready", 1, 1)


def _as_look(step: Progress) -> Iterable[Progress]:
    """Steps of fusing and the like, which come again at the end."""
    return (replace(step, phase="First look"),)


def _by_model(
    folder: ReconstructFolder, settings: ReconstructionSettings, captures: Sequence[Capture]
) -> progress.Job[tuple[list[PosedCapture], dict[str, Any], list[DepthMap | None]]]:
    """Poses and range maps by a model, from one pass."""
    stored = _stored_poses(folder)
    if stored is not None:
        which = [index for index, one in enumerate(stored[0]) if one.registered]
        maps = _stored_maps(folder, which)
        if maps is not None:
            return *stored, [maps.get(index) for index in range(len(captures))]
    _remove_what_follows(folder)
    found = yield from _reconstruction(folder, settings, captures, results.MODEL)
    posed = [
        PosedCapture(each.name, pose, bool(known), "" if known else "the model did not register it.")
        for each, pose, known in zip(captures, found.poses, found.registered, strict=True)
    ]
    solution = {
        "method": settings.reconstructor,
        "scale_from": "model" if found.scale_known else "nothing",
        "notes": list(found.notes),
    }
    yield from _store_maps(folder, {index: each for index, each in enumerate(found.maps) if each is not None})
    results.write_poses(folder.output, posed, solution)
    return posed, solution, list(found.maps)


def _reconstruction(
    folder: ReconstructFolder, settings: ReconstructionSettings, captures: Sequence[Capture], poses: str
) -> progress.Job[Any]:
    from . import reconstructors
    from .rig import LAYOUTS, Rig

    own = dict(settings.options)
    name = own.pop("layout", "horizon")
    if name not in LAYOUTS:
        raise JobError(f"There is no crop layout {name!r}.", advice=f"Known are: {', '.join(sorted(LAYOUTS))}.")
    options = {"width": settings.width, "camera_height": settings.camera_height, **own, "poses": poses}
    sparse = _stored_cloud(folder, results.SPARSE_FILE)
    if sparse is not None:
        options["points"] = sparse.points
    rigs = [Rig(each, LAYOUTS[name]) for each in captures]
    return (yield from reconstructors.named(settings.learned).reconstruct(rigs, options))


def _guesses(
    folder: ReconstructFolder,
    settings: ReconstructionSettings,
    captures: Sequence[Capture],
    posed: Sequence[PosedCapture],
    maps: Sequence[DepthMap | None],
    solution: dict[str, Any],
) -> progress.Job[list[DepthMap | None]]:
    """What the learned reconstructor that guesses makes of each registered capture; None for the others.

    maps: of the sweep, which tell the shift of inverse ranges if the network leaves it open.
    """
    which = [index for index, one in enumerate(posed) if one.registered]
    guesses = _stored_maps(folder, which, results.GUESSES_FOLDER)
    if guesses is None:
        found = yield from _reconstruction(folder, settings, [captures[index] for index in which], results.GIVEN)
        solution["notes"] = [*solution.get("notes", []), *found.notes]
        guesses = dict(zip(which, found.maps, strict=True))
        if found.affine:
            guesses = {index: _without_shift(each, maps[index]) for index, each in guesses.items()}
        yield from _store_maps(folder, guesses, results.GUESSES_FOLDER)
    return [guesses.get(index) for index in range(len(captures))]


def _without_shift(guess: DepthMap | None, swept: DepthMap | None) -> DepthMap | None:
    """A network's ranges with the scale and the shift of inverse range at which they fit the sweep's."""
    from . import alignment

    if guess is None or swept is None:
        return guess
    fitted = alignment.to_measured(guess.range, swept.range, swept.confidence, shift=True, slowly=False)
    return guess if fitted is None else replace(guess, range=fitted)


def _cloud(
    folder: ReconstructFolder,
    settings: ReconstructionSettings,
    captures: Sequence[Capture],
    maps: Sequence[DepthMap | None],
    learned: Sequence[DepthMap | None] | None,
) -> progress.Job[PointCloud]:
    """The one cloud, as stored in `cache.npz` by an earlier run, or made. Raises CaptureError if no point is left."""
    stored = _stored_cloud(folder, results.CACHE_FILE)
    if stored is not None and len(stored):
        return stored
    if settings.dense == results.NONE:
        sparse = _stored_cloud(folder, results.SPARSE_FILE)
        cloud = sparse if sparse is not None else PointCloud.empty()
        sure = cloud.confidence is None or cloud.confidence >= settings.confidence
        cloud = cloud if sure is True else cloud.selected(sure)
    else:
        cloud = yield from points(settings, captures, maps, learned)
    if not len(cloud):
        raise CaptureError(
            f"No point of these captures has a confidence of {settings.confidence:g} or more.",
            advice="Lower the confidence threshold, check the masks, or take captures closer together.",
            code="no-points",
        )
    yield Progress("Writing the points", 0, 1)
    _write_cloud(folder, results.CACHE_FILE, cloud)
    return cloud


def points(
    settings: ReconstructionSettings,
    captures: Sequence[Capture],
    maps: Sequence[DepthMap | None],
    learned: Sequence[DepthMap | None] | None = None,
) -> progress.Job[PointCloud]:
    """The points of dense range maps, one for each capture or None, in the captures' world.

    Surfaces are completed first if the settings say so. learned: what a network makes of each capture, of the maps'
    size, or None: it guesses instead of planes.
    """
    from .fusion import fuse

    if settings.guesses:
        maps = yield from _completed(captures, maps, learned or [None] * len(captures), settings.confidence)
    return (
        yield from fuse(
            captures,
            maps,
            settings.confidence,
            guesses=settings.guesses,
            nearest_only=settings.nearest_only,
            finer=FINER,
        )
    )


def _completed(
    captures: Sequence[Capture],
    maps: Sequence[DepthMap | None],
    learned: Sequence[DepthMap | None],
    confidence: float,
) -> progress.Job[list[DepthMap | None]]:
    """The maps, with guesses where they are not sure."""
    from .completion import completed

    def one(capture: Capture, each: DepthMap | None, guess: DepthMap | None) -> DepthMap | None:
        return None if each is None else completed(each, capture.image, capture.valid, confidence, guess)

    out: list[DepthMap | None] = []
    pool = ThreadPoolExecutor(os.cpu_count() or 1)  # numpy and scipy compute beside each other
    try:
        found = pool.map(one, captures, maps, learned)
        for index, capture in enumerate(captures):
            yield Progress("Completing surfaces", index, len(captures), text=capture.name)
            out.append(next(found))
    finally:
        pool.shutdown(cancel_futures=True)
    return out


def _write_cloud(folder: ReconstructFolder, name: str, cloud: PointCloud) -> None:
    with folder.output.writing(name) as file:
        cloud.write_npz(file)


# Files of finished stages; one that is damaged counts as not there


def _stored_poses(folder: ReconstructFolder) -> tuple[list[PosedCapture], dict[str, Any]] | None:
    try:
        posed, solution = results.read_poses(folder.path)
    except JobError:
        return None
    names = [entry["name"] for entry in folder.job.captures]
    return (posed, solution) if [one.name for one in posed] == names else None


def _stored_cloud(folder: ReconstructFolder, name: str) -> PointCloud | None:
    try:
        return PointCloud.load(folder.path / name)
    except PointCloudError:
        return None


def _depth_file(folder: ReconstructFolder, index: int, within: str = results.DEPTH_FOLDER) -> str:
    """Named as the capture's image is."""
    return f"{within}/{Path(folder.job.captures[index]['image']).stem}.npz"


def _store_maps(
    folder: ReconstructFolder, maps: dict[int, DepthMap | None], within: str = results.DEPTH_FOLDER
) -> progress.Job[None]:
    for number, (index, each) in enumerate(maps.items()):
        yield Progress("Writing depth", number, len(maps))
        if each is not None:
            depth_map.write(folder.output, _depth_file(folder, index, within), each)


def _stored_maps(
    folder: ReconstructFolder, which: Sequence[int], within: str = results.DEPTH_FOLDER
) -> dict[int, DepthMap | None] | None:
    """The maps of these captures, None if one is missing or damaged."""
    maps: dict[int, DepthMap | None] = {}
    for index in which:
        maps[index] = depth_map.read(folder.path / _depth_file(folder, index, within))
        if maps[index] is None:
            return None
    return maps


def _timed(stage: progress.Job[Any], name: str, seconds: dict[str, float]) -> progress.Job[Any]:
    """A stage, and how long it took."""
    started = time.monotonic()
    result = yield from stage
    seconds[name] = round(time.monotonic() - started, 2)
    return result


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if np.isfinite(value) else None

"""Poses of captures by structure from motion on the sphere, in the world's frame and in metres if that is known."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core import files, temporary
from pantheon360_blender.core.errors import BackendError, CaptureError
from pantheon360_blender.core.jobs import child
from pantheon360_blender.core.jobs.child import ChildProcess
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.progress import Job, Progress

from . import pose_priors
from .pose_priors import PosePrior

FEWEST_LINKS = 15
_ADVICE = "Choose the Python of the backend's environment."

SkyMask = Callable[[np.ndarray], np.ndarray]
"""(H, W, 3) uint8 panorama -> (H, W) bool, True on sky."""


@dataclass(frozen=True)
class PoseOptions:
    """How to solve.

    width: pixels across at which features are sought; captures are never enlarged.
    features: most features kept of each of a panorama's six cube faces.
    distance: (name, name, metres) between two captures, the best source of scale there is.
    camera_height: metres of the cameras above the ground, for scale if GPS is missing or its track too short.
    ignore_sky: leave clouds out, which move.
    seed: of every random choice. threads: of the process, None for one per processor; the result is the same.
    python: the interpreter that has pycolmap, None for this one.
    """

    width: int = 3072
    features: int = 4096
    distance: tuple[str, str, float] | None = None
    camera_height: float | None = None
    ignore_sky: bool = True
    seed: int = 1
    threads: int | None = None
    python: Path | None = None


@dataclass(frozen=True)
class PoseSolution:
    """Where captures were taken.

    names: of the N captures, as given. poses: (N, 4, 4) float64 camera-to-world, Blender's camera axes, metres;
    a capture that was not registered keeps the pose it came with. registered: (N,) bool.
    reasons: why a capture was not registered, empty if it was.
    points: sparse points, world; confidence grows with the captures that see a point, source is the capture that gave
    the colour. observed: (N,) sparse points seen by each capture.
    reprojection_error: mean, degrees, NaN if two captures were not adjusted.
    scale_from, north_from, camera_height, notes: see pose_priors.Frame. tilts: as there, in degrees, (N,), NaN if not
    registered.
    """

    names: tuple[str, ...]
    poses: np.ndarray
    registered: np.ndarray
    reasons: tuple[str, ...]
    points: PointCloud
    observed: np.ndarray
    reprojection_error: float
    scale_from: str
    north_from: str
    camera_height: float | None
    tilts: np.ndarray
    notes: tuple[str, ...] = ()


def solve_poses(
    captures: Sequence[Capture],
    priors: Sequence[PosePrior] | None = None,
    options: PoseOptions | None = None,
    *,
    sky: SkyMask | None = None,
) -> Job[PoseSolution]:
    """Solve the poses of captures that overlap.

    captures: two or more. Their levelling is trusted, their heading and position only if nothing better is known.
    priors: one for each capture, or None. sky: replaces sky.sky_mask.
    Closing the generator ends the process that computes. Raises CaptureError, with each capture's reason, if nothing
    can be solved; BackendError if the process dies or pycolmap is missing.
    """
    options = options or PoseOptions()
    priors = list(priors) if priors is not None else [PosePrior() for _ in captures]
    _check(captures, priors)
    if sky is None and options.ignore_sky:
        from ..sky import sky_mask as sky
    with temporary.directory(Path(tempfile.gettempdir()), "pantheon360-poses") as folder:
        width = _working_width(captures, options.width)
        for index, capture in enumerate(captures):
            yield Progress("Preparing captures", index, len(captures), text=capture.name)
            _write_capture(folder, index, capture, width, sky)
        _write_request(folder, captures, width, options)
        yield from _run(folder, options.python)
        yield Progress("Placing in the world", 0, 1)
        found = json.loads((folder / "result.json").read_text("utf-8"))
        sparse = _sparse(folder / "points.npz")
    return _solution(captures, priors, options, found, sparse, width)


# Before


def _check(captures: Sequence[Capture], priors: Sequence[PosePrior]) -> None:
    if len(captures) < 2:
        raise CaptureError(
            f"{len(captures)} capture cannot be posed: poses are told from what two or more have in common.",
            advice="Add another capture, or place this one by hand.",
        )
    if len(priors) != len(captures):
        raise CaptureError(f"{len(priors)} priors do not belong to {len(captures)} captures.")
    names = [capture.name for capture in captures]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CaptureError(f"Two captures are called {twice[0]}.", advice="Rename one of them.")


def _working_width(captures: Sequence[Capture], wanted: int) -> int:
    return max(64, min(wanted, *(capture.image.shape[1] for capture in captures)) // 4 * 4)


def _write_capture(folder: Path, index: int, capture: Capture, width: int, sky: SkyMask | None) -> None:
    image = equirectangular.resize(capture.image, width)
    valid = np.ones(image.shape[:2], np.bool_)
    if capture.valid is not None:
        valid &= _enlarged(equirectangular.resize(capture.valid.astype(np.float32), width // 4) > 0.999)
    if sky is not None:
        small = equirectangular.resize(image, width // 4)
        valid &= ~_enlarged(_dilated(np.asarray(sky(small), np.bool_), 2))
    grey = np.rint(image @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
    np.save(folder / f"grey-{index}.npy", grey)
    np.save(folder / f"valid-{index}.npy", valid)


def _enlarged(mask: np.ndarray) -> np.ndarray:
    """A mask at four times its size."""
    return np.repeat(np.repeat(mask, 4, axis=0), 4, axis=1)


def _dilated(mask: np.ndarray, pixels: int) -> np.ndarray:
    """A mask grown by `pixels`, across the seam: features on the skyline stand half on clouds."""
    for _ in range(pixels):
        grown = mask | np.roll(mask, 1, axis=1) | np.roll(mask, -1, axis=1)
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        mask = grown
    return mask


def _write_request(folder: Path, captures: Sequence[Capture], width: int, options: PoseOptions) -> None:
    request = {
        "names": [capture.name for capture in captures],
        "width": width,
        "seed": options.seed,
        # As fine as the panorama is along its horizon.
        "crop_size": int(np.ceil(width / (2 * np.pi) * 2 * np.tan(np.radians(47.0)))),
        "features": options.features,
        "threads": options.threads or os.cpu_count() or 1,
    }
    files.write_json(folder / "request.json", request)


# The process


def _run(folder: Path, python: Path | None) -> Job[None]:
    """Have the folder solved by a process of its own, which ends with the generator: pycolmap may crash."""
    solver = ChildProcess(
        python, module=("backend.reconstruction.poses.colmap_process", str(folder)), name="pose solver", advice=_ADVICE
    )
    solver.start()
    try:
        yield from child.drive(solver, starting="Finding features")
    except BackendError as error:
        if "No module named 'pycolmap'" in solver.last_words():
            raise BackendError(
                "pycolmap is not installed for the backend's Python.", advice="pip install pycolmap==4.2.1"
            ) from error
        raise
    finally:
        solver.stop(grace=0)


# After


@dataclass(frozen=True)
class _Sparse:
    """Sparse points of the model: (N, 3) positions, captures that see each, the first of them and its pixel there."""

    points: np.ndarray
    observations: np.ndarray
    first: np.ndarray
    pixels: np.ndarray


def _sparse(path: Path) -> _Sparse | None:
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as stored:
        return _Sparse(stored["points"], stored["observations"], stored["first"], stored["pixels"])


def _solution(
    captures: Sequence[Capture],
    priors: Sequence[PosePrior],
    options: PoseOptions,
    found: dict[str, Any],
    sparse: _Sparse | None,
    width: int,
) -> PoseSolution:
    reasons = _reasons(captures, found)
    _refuse_one_place(captures, found["stations"])
    if sparse is None or len(found["registered"]) < 2:
        told = " ".join(f"{capture.name}: {why}" for capture, why in zip(captures, reasons, strict=True))
        raise CaptureError(
            f"No two captures could be posed against each other. {told}",
            advice="Take captures closer together (1 to 3 m), and mask what moves.",
            code="no-poses",
        )
    images = [entry["image"] for entry in found["registered"]]
    model = np.tile(np.eye(4), (len(images), 1, 1))
    for pose, entry in zip(model, found["registered"], strict=True):
        pose[:3, :3], pose[:3, 3] = entry["rotation"], entry["position"]
    frame = pose_priors.world_frame(
        model,
        sparse.points,
        [captures[image] for image in images],
        [priors[image] for image in images],
        distance=options.distance,
        camera_height=options.camera_height,
    )
    poses = np.stack([np.asarray(capture.pose, dtype=np.float64) for capture in captures])
    poses[images] = frame.similarity.poses(model)
    registered = np.zeros(len(captures), np.bool_)
    registered[images] = True
    observed, tilts = np.zeros(len(captures), np.int64), np.full(len(captures), np.nan)
    observed[images] = [entry["points"] for entry in found["registered"]]
    tilts[images] = np.degrees(frame.tilts)
    notes = (*_of_one_place(captures, found["stations"], registered), *frame.notes)
    notes += tuple(found["notes"])
    if found["degenerate"]:
        notes += ("Only two captures could be posed, by their matches alone: their poses were not refined.",)
    error = found["reprojection_pixels"]
    return PoseSolution(
        names=tuple(capture.name for capture in captures),
        poses=poses,
        registered=registered,
        reasons=tuple("" if known else why for known, why in zip(registered, reasons, strict=True)),
        points=_cloud(captures, poses, frame.similarity.points(sparse.points), sparse, width),
        observed=observed,
        reprojection_error=float("nan") if error is None else error * 360 / width,
        scale_from=frame.scale_from,
        north_from=frame.north_from,
        camera_height=frame.camera_height,
        tilts=tilts,
        notes=notes,
    )


def _refuse_one_place(captures: Sequence[Capture], stations: Sequence[Sequence[int]]) -> None:
    if len(stations) > 1:
        return
    raise CaptureError(
        f"{_listed(captures, sorted(stations[0]))} were taken in one place: only a turn lies between them, and without "
        "parallax nothing tells how far away things are.",
        advice="Take captures 1 to 3 m apart. Of one alone, make a cache by a proxy or a depth image.",
        code="no-parallax",
    )


def _of_one_place(captures: Sequence[Capture], stations: Sequence[Sequence[int]], registered: np.ndarray) -> list[str]:
    shared = [sorted(station) for station in stations if len(station) > 1 and registered[station[0]]]
    return [f"{_listed(captures, station)} were taken in one place and share its position." for station in shared]


def _listed(captures: Sequence[Capture], indices: Sequence[int]) -> str:
    names = [captures[index].name for index in indices]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _reasons(captures: Sequence[Capture], found: dict[str, Any]) -> list[str]:
    """Why each capture would be left out, from its features and links."""
    posed = {entry["image"] for entry in found["registered"]}
    reasons = []
    for image in found["images"]:
        links = {int(other): count for other, count in image["links"].items()}
        to_posed = {other: count for other, count in links.items() if other in posed}
        if image["features"] < FEWEST_LINKS:
            reasons.append(f"only {image['features']} features outside masks and sky; it is blurred, dark or masked.")
        elif not links:
            reasons.append("it has nothing in common with any other capture; take one in between.")
        elif posed and not to_posed:
            others = ", ".join(sorted(captures[other].name for other in links))
            reasons.append(f"it matches only {others}, none of which is linked to the posed captures.")
        else:
            best = max(to_posed or links, key=lambda other: links[other])
            reasons.append(
                f"its {links[best]} matches with {captures[best].name} do not agree on one position; "
                "it is too close, too far, or things moved."
            )
    return reasons


def _cloud(
    captures: Sequence[Capture], poses: np.ndarray, points: np.ndarray, sparse: _Sparse, width: int
) -> PointCloud:
    """The sparse points with the colours of the captures that saw them first."""
    colours = np.zeros((len(points), 3), np.uint8)
    for index, capture in enumerate(captures):
        mine = sparse.first == index
        if mine.any():
            scale = capture.image.shape[1] / width
            colours[mine] = np.rint(
                equirectangular.sample(capture.image, sparse.pixels[mine].astype(np.float64) * scale)
            )
    ranges = np.linalg.norm(points - poses[sparse.first, :3, 3], axis=1)
    return PointCloud(
        points=points.astype(np.float32),
        colours=colours,
        confidence=np.minimum(sparse.observations / 4, 1).astype(np.float32),
        source=sparse.first.astype(np.int32),
        footprint=(ranges * (2 * np.pi / width)).astype(np.float32),
    )

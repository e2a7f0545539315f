"""How well a 3D cache covers a camera's path: shares of the sphere, holes, clearance and pace, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import pairwise

import numpy as np

from ..panorama import cameras
from ..plain_text import filled
from ..points import connected
from . import splatting

Unit = Callable[[float], str]
"""A quantity as text."""

NEAR_SHARE = 0.1
"""Of what is covered, the nearest tenth decides how fast the picture seems to move."""


@dataclass(frozen=True)
class CoverageView:
    """What one pose sees of a cache.

    covered: share of the sphere, 0..1. hole: the largest connected uncovered part, as a share of the sphere.
    nearest: metres to the nearest point. foreground: metres within which the nearest tenth of what is covered lies.
    guessed: share of the sphere where the point seen is a guess, a part of what is covered.
    Distances are inf where nothing is seen.
    """

    covered: float
    hole: float
    nearest: float
    foreground: float
    guessed: float


@dataclass(frozen=True)
class PathCoverage:
    """A checked camera path of F frames; arrays are (F,) float64 but for `frames`, (F,) int64.

    covered, hole, nearest, foreground, guessed: as in CoverageView.
    clearance: metres between the nearest point and the way to the next frame.
    speed: metres a second to the next frame; the last frame repeats the one before.
    shift: radians by which the foreground moves a frame, by the camera's steps and turns together.
    reference: covered share at the best place, 0..1. No place sees the sky covered, so it is no hole of the cache.
    """

    frames: np.ndarray
    covered: np.ndarray
    hole: np.ndarray
    nearest: np.ndarray
    foreground: np.ndarray
    guessed: np.ndarray
    clearance: np.ndarray
    speed: np.ndarray
    shift: np.ndarray
    reference: float


@dataclass(frozen=True)
class Limits:
    """Where warnings begin.

    least_covered: share of the reference. clearance: metres. largest_shift: radians a frame.
    """

    least_covered: float = 0.75
    clearance: float = 0.2
    largest_shift: float = float(np.radians(8.0))


@dataclass(frozen=True)
class PathWarning:
    """Frames first...last, inclusive, and what is wrong with them. kind: "leaves", "touches" or "fast"."""

    kind: str
    first: int
    last: int
    text: str


def solid_angles(height: int) -> np.ndarray:
    """(height,) float64: share of the sphere that each row of an equirectangular image covers; their sum is 1."""
    edges = np.cos(np.linspace(0.0, np.pi, height + 1))
    return np.asarray((edges[:-1] - edges[1:]) / 2)


def covered_share(coverage: np.ndarray) -> float:
    """Share of the sphere that an equirectangular (H, W) bool mask covers."""
    return float(solid_angles(len(coverage)) @ coverage.mean(axis=1))


def largest_hole(coverage: np.ndarray) -> float:
    """Share of the sphere of the largest connected part that an equirectangular (H, W) bool mask leaves open.

    Pixels are connected across their edges: across the seam too, and over the poles, round which all pixels of the
    first row, and of the last, meet.
    """
    height, width = coverage.shape
    node = np.arange(height * width).reshape(height, width)
    open_ = ~coverage
    sideways = open_ & np.roll(open_, -1, axis=1)
    down = open_[:-1] & open_[1:]
    one = [node[sideways], node[:-1][down]]
    other = [np.roll(node, -1, axis=1)[sideways], node[1:][down]]
    for row in (0, height - 1):
        polar = node[row][open_[row]]
        one.append(polar[:-1])
        other.append(polar[1:])
    label = connected.components(height * width, np.concatenate(one), np.concatenate(other))
    weights = np.where(open_, (solid_angles(height) / width)[:, None], 0.0).ravel()
    return float(np.bincount(label, weights).max())


def view(points: np.ndarray, pose: np.ndarray, width: int, guesses: np.ndarray | None = None) -> CoverageView:
    """Look at points (N, 3) float32, world, from a (4, 4) pose, one pixel a point, `width` pixels round the horizon.

    guesses: (N,) bool, points that are guessed; None if none is.
    """
    frame = splatting.splat(points, np.zeros((len(points), 3), np.uint8), pose, width)
    angles = np.broadcast_to(solid_angles(width // 2)[:, None] / width, frame.coverage.shape)[frame.coverage]
    depth = frame.depth[frame.coverage]
    order = np.argsort(depth)
    reached = np.cumsum(angles[order])
    near = depth[order[np.searchsorted(reached, NEAR_SHARE * reached[-1])]] if len(depth) else np.inf
    nearest = float(depth.min(initial=np.inf))
    guessed = 0.0 if guesses is None else float(angles[guesses[frame.source[frame.coverage]]].sum())
    return CoverageView(covered_share(frame.coverage), largest_hole(frame.coverage), nearest, float(near), guessed)


def clearance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    """Metres between a straight way, (3,) to (3,), and the nearest of the points (N, 3); inf without points."""
    way = (end - start).astype(np.float64)
    offset = points.astype(np.float64) - start
    along = offset @ way / max(float(way @ way), 1e-300)
    offset -= np.clip(along, 0.0, 1.0)[:, None] * way
    return float(np.sqrt(np.einsum("ni,ni->n", offset, offset).min(initial=np.inf)))


def way_clear(points: np.ndarray, poses: np.ndarray, nearest: np.ndarray, within: float) -> np.ndarray:
    """(F,) metres between the points and the way from each pose to the next; `nearest` if nothing is near.

    nearest: (F,) metres from each pose. within: metres that matter; a way is measured only if points may be as near.
    """
    result = np.array(nearest, np.float64)
    places = np.asarray(poses)[:, :3, 3]
    for index, (start, end) in enumerate(pairwise(places)):
        length = float(np.linalg.norm(end - start))
        if length > 0 and result[index] - length < within:
            low, high = np.minimum(start, end) - within, np.maximum(start, end) + within
            around = points[((points >= low) & (points <= high)).all(axis=1)]
            result[index] = min(result[index], clearance(around, start, end))
    return result


def path(
    frames: Sequence[int],
    poses: np.ndarray,
    views: Sequence[CoverageView],
    clear: np.ndarray,
    fps: float,
    reference: float,
) -> PathCoverage:
    """Put together what was seen along a path.

    frames: F frame numbers, ascending; numbers may be left out. poses: (F, 4, 4). clear: (F,) from way_clear.
    fps: frames a second. reference: coverage of the best place; the path's own best counts if it is better.
    """
    numbers = np.asarray(frames, np.int64)
    seen = np.array([astuple(each) for each in views], np.float64).reshape(-1, len(fields(CoverageView)))
    covered, hole, nearest, foreground, guessed = seen.T
    speed, turn = np.zeros(len(numbers)), np.zeros(len(numbers))
    if len(numbers) > 1:
        gaps = np.diff(numbers)
        speed[:-1] = cameras.speeds(poses, fps) / gaps
        turn[:-1] = cameras.angular_speeds(poses, fps) / gaps
        speed[-1], turn[-1] = speed[-2], turn[-2]
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.where(speed > 0, np.arctan(speed / fps / foreground), 0.0)
    best = max(reference, float(covered.max(initial=0.0)))
    return PathCoverage(numbers, covered, hole, nearest, foreground, guessed, clear, speed, step + turn / fps, best)


def warnings(
    checked: PathCoverage, limits: Limits, length: Unit = "{:.2f} m".format, speed: Unit = "{:.1f} m/s".format
) -> list[PathWarning]:
    """What is wrong with a path, in runs of frames, by first frame.

    length, speed: how the texts put metres, and metres a second.
    """
    flags = {
        "leaves": checked.covered < limits.least_covered * checked.reference,
        "touches": checked.clearance < limits.clearance,
        "fast": checked.shift > limits.largest_shift,
    }
    found = [
        warning(kind, checked, int(checked.frames[first]), int(checked.frames[last]), length, speed)
        for kind, wrong in flags.items()
        for first, last in _runs(wrong)
    ]
    return sorted(found, key=lambda each: each.first)


def warning(
    kind: str, checked: PathCoverage, first: int, last: int, length: Unit = "{:.2f} m".format,
    speed: Unit = "{:.1f} m/s".format,
) -> PathWarning:  # fmt: skip
    """What is wrong with a run of frames, first...last. Raises ValueError for another kind, or without such frames."""
    run = (checked.frames >= first) & (checked.frames <= last)
    if kind == "leaves":
        text = filled(
            "leaves the cache: {seen:.0%} of the view is covered, {elsewhere:.0%} elsewhere",
            seen=float(checked.covered[run].min()), elsewhere=checked.reference,
        )  # fmt: skip
    elif kind == "touches":
        near = length(float(checked.clearance[run].min()))
        text = filled("touches the cache: points within {near} of the camera's way", near=near)
    elif kind == "fast":
        shift, pace = float(np.degrees(checked.shift[run].max())), speed(float(checked.speed[run].max()))
        text = filled("too fast: what is near moves {shift:.0f}° a frame, at {pace}", shift=shift, pace=pace)
    else:
        raise ValueError(f"There is no warning {kind!r}.")
    return PathWarning(kind, first, last, text)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    return [(int(a), int(b) - 1) for a, b in zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True)]

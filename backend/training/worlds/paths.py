"""Paths of a camera through a place, and where its captures stand: smooth, level, at eye height, through nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pantheon360_blender.core.panorama.cameras import pose_matrix, rotation_from_heading

from .place import Place
from .shapes import Solid

_CLEARANCE = 0.3  # metres between a camera and anything
_TRIES = 200


@dataclass(frozen=True, eq=False)
class Path:
    """positions: (F, 3) metres, of the frames. captures: (C, 3); the first stands at the first frame.
    last_is_end: whether the last capture stands at the last frame. seconds: (C,) when each capture was taken.
    orientation: (3, 3) of all cameras, level.
    """

    positions: np.ndarray
    captures: np.ndarray
    last_is_end: bool
    seconds: np.ndarray
    orientation: np.ndarray

    @property
    def poses(self) -> np.ndarray:
        """(C, 4, 4) float64 camera-to-world, of the captures."""
        return np.stack([pose_matrix(self.orientation, position) for position in self.captures])

    @property
    def cameras(self) -> np.ndarray:
        """(F, 4, 4) float64 camera-to-world."""
        return np.stack([pose_matrix(self.orientation, position) for position in self.positions])


class NoPath(Exception):
    """The place is too full to walk in."""


def random_path(place: Place, frames: int, fps: float, random: np.random.Generator) -> Path:
    """A path and its captures. Raises NoPath if none was found."""
    height = random.uniform(1.1, 1.8)
    clearing = Clearing(place.solids)
    for _ in range(_TRIES):
        curve = _curve(place, frames, random)
        floor = np.array([place.floor(x, y) for x, y in curve])
        positions = np.column_stack([curve, floor + height + _sway(frames, random)])
        if clearing.distance(positions).min() > _CLEARANCE:
            break
    else:
        raise NoPath(place.name)
    last_is_end = bool(random.random() < 0.5)
    beside = _beside(place, clearing, positions, int(random.integers(0, 3 - last_is_end)), random)
    captures = np.concatenate([positions[:1], beside, positions[-1:] if last_is_end else np.zeros((0, 3))])
    duration = (frames - 1) / fps
    seconds = random.uniform(-20, 20, len(captures))
    seconds[0] = 0.0
    if last_is_end:
        seconds[-1] = duration
    travel = positions[-1] - positions[0]
    heading = math.degrees(math.atan2(travel[0], travel[1])) if random.random() < 0.5 else random.uniform(0, 360)
    return Path(positions, captures, last_is_end, seconds, rotation_from_heading(heading))


class Clearing:
    """How far things are from where a camera may be."""

    def __init__(self, solids: Sequence[Solid]) -> None:
        self._corners = np.stack([solid.footprint for solid in solids])
        self._low = np.array([solid.low for solid in solids])
        self._high = np.array([solid.high for solid in solids])

    def distance(self, positions: np.ndarray) -> np.ndarray:
        """(N,) metres from positions (N, 3) to the nearest solid's footprint at their height; 0 in a solid."""
        start = self._corners[None] - positions[:, None, None, :2]
        along = np.roll(self._corners, -1, axis=1) - self._corners
        length = np.maximum((along**2).sum(axis=2), 1e-12)
        share = np.clip(-(start * along).sum(axis=3) / length, 0, 1)
        edge = np.linalg.norm(start + share[..., None] * along, axis=3).min(axis=2)
        inside = (along[..., 0] * -start[..., 1] + along[..., 1] * start[..., 0] >= 0).all(axis=2)
        level = np.where(inside, 0.0, edge)
        above = np.maximum(np.maximum(self._low - positions[:, 2:], positions[:, 2:] - self._high), 0)
        return np.asarray(np.hypot(level, above).min(axis=1))


def _curve(place: Place, frames: int, random: np.random.Generator) -> np.ndarray:
    """(F, 2): a quadratic curve within the rectangles that can be walked, at a speed that swells and ebbs a little."""
    rectangle = place.walkable[int(random.integers(len(place.walkable)))]
    low, high = np.array(rectangle[:2]), np.array(rectangle[2:])
    length = min(place.longest, float(np.exp(random.uniform(math.log(0.4), math.log(place.longest)))))
    start = random.uniform(low, high)
    heading, bend = random.uniform(0, math.tau), random.normal(0, 0.25)
    end = start + length * np.array([math.cos(heading), math.sin(heading)])
    end = np.clip(end, low, high)
    sideways = np.array([start[1] - end[1], end[0] - start[0]])
    middle = np.clip((start + end) / 2 + bend * sideways, low, high)
    share = np.linspace(0, 1, frames)
    share = (share + random.uniform(-0.08, 0.08) * np.sin(math.tau * share))[:, None]
    return np.asarray((1 - share) ** 2 * start + 2 * share * (1 - share) * middle + share**2 * end)


def _sway(frames: int, random: np.random.Generator) -> np.ndarray:
    share = np.linspace(0, 1, frames)
    return np.asarray(
        random.normal(0, 0.04) * np.sin(math.tau * share + random.uniform(0, math.tau)) + random.normal(0, 0.05) * share
    )


def _beside(
    place: Place, clearing: Clearing, positions: np.ndarray, count: int, random: np.random.Generator
) -> np.ndarray:
    """(n, 3): up to `count` captures near the path that stand free."""
    found: list[np.ndarray] = []
    reach = max(0.6, 0.6 * float(np.linalg.norm(positions[-1] - positions[0])))
    for _ in range(40):
        if len(found) == count:
            break
        nearest = positions[int(random.integers(len(positions)))]
        moved = nearest + np.append(random.normal(0, reach, 2), 0)
        moved[2] = place.floor(*moved[:2]) + nearest[2] - place.floor(*nearest[:2])
        inside = any(a <= moved[0] <= c and b <= moved[1] <= d for a, b, c, d in place.walkable)
        if inside and clearing.distance(moved[None])[0] > _CLEARANCE:
            found.append(moved)
    return np.array(found).reshape(-1, 3)

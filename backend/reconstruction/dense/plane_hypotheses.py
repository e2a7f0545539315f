"""The planes that a place may consist of, in the world: fitted to what is seen, level, and upright.

A plane is n . X = d with the unit normal n, stored as (n, d); which way n points says nothing.
What people build stands upright. A level plane needs one height, an upright one two numbers, so that the edge of a
plain wall, which fixes no plane by itself, is enough to propose one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_TOLERANCE = 0.012  # of the range a point is seen at
_TAKEN = 0.03  # the same, of points that no further plane is proposed for
_SAME_ANGLE, _SAME_OFFSET = math.cos(math.radians(2.5)), 0.02
_SECTORS = 48
_CELLS = 64  # of the panorama's width
_NEARLY_ANGLE, _NEARLY_OFFSET = math.cos(math.radians(5.0)), 0.06
_TRIALS = 1500
_LARGEST_SAMPLE = 3000
_FEWEST_SECTORS, _FEWEST_CELLS = 12, 8
_FEWEST_FITTED, _NOISE, _TILT = 12, 0.006, 0.01  # points, share of range, radians
_LEVEL, _UPRIGHT = 0.98, 0.1  # vertical part of a unit normal


@dataclass(frozen=True, eq=False)
class Evidence:
    """Points of surfaces in the world; N of them.

    points: (N, 3) metres. ranges: (N,) from the camera that saw each. cells: (N,) int64, a name for the part of the
    image each was seen in. sectors: (N,) int64, a name for its camera and compass direction.
    """

    points: np.ndarray
    ranges: np.ndarray
    cells: np.ndarray
    sectors: np.ndarray

    def selected(self, mask: np.ndarray) -> Evidence:
        """Those of a mask (N,) bool."""
        return Evidence(self.points[mask], self.ranges[mask], self.cells[mask], self.sectors[mask])

    def off(self, planes: np.ndarray) -> Evidence:
        """Those that lie on none of the planes (P, 4)."""
        distance = np.abs(self.points @ planes[:, :3].T - planes[:, 3])
        return self.selected((distance > _TOLERANCE * self.ranges[:, None]).all(axis=1))

    def one_a_cell(self, random: np.random.Generator) -> Evidence:
        """One of each cell, at random."""
        order = random.permutation(len(self.cells))
        return self.selected(order[np.unique(self.cells[order], return_index=True)[1]])


def seen_by(
    poses: Sequence[np.ndarray], rays: np.ndarray, masks: Sequence[np.ndarray], rhos: Sequence[np.ndarray]
) -> Evidence:
    """The points that cameras at `poses` (4, 4) see along `rays` (H, W, 3) where `masks` (H, W) bool are set.

    rhos: inverse ranges (H, W).
    """
    parts = []
    for number, (mask, rho, pose) in enumerate(zip(masks, rhos, poses, strict=True)):
        rows, columns = np.nonzero(mask & (rho > 0))
        ranges = 1.0 / rho[rows, columns].astype(np.float64)
        outward = (rays[rows, columns] * ranges[:, None]) @ pose[:3, :3].T
        size = max(mask.shape[1] // _CELLS, 1)
        cells = (number * len(mask) + rows // size) * mask.shape[1] + columns // size
        turn = np.arctan2(outward[:, 1], outward[:, 0]) / (2 * np.pi)
        sectors = number * _SECTORS + np.floor(turn * _SECTORS).astype(np.int64) % _SECTORS
        parts.append((outward + pose[:3, 3], ranges, cells, sectors))
    return Evidence(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def level_planes(seen: Evidence, most: int, random: np.random.Generator) -> np.ndarray:
    """At `most` so many level planes (P, 4), at heights at which something is seen in many directions."""
    found: list[np.ndarray] = []
    while len(found) < most and len(seen.points) >= 50:
        heights = seen.points[:, 2]
        trials = random.choice(heights, 200)
        scores = [_sectors(seen, np.abs(heights - trial) < _TOLERANCE * seen.ranges) for trial in trials]
        if max(scores) < _FEWEST_SECTORS:
            break
        height = float(trials[int(np.argmax(scores))])
        for _ in range(3):
            near = np.abs(heights - height) < _TOLERANCE * seen.ranges
            height = float(np.average(heights[near], weights=seen.ranges[near] ** -2.0))
        found.append(np.array([0.0, 0.0, 1.0, height]))
        seen = seen.selected(np.abs(heights - height) > _TAKEN * seen.ranges)
    return np.array(found).reshape(-1, 4)


def _sectors(seen: Evidence, mask: np.ndarray) -> int:
    """How many sectors hold at least three of the points of a mask (N,) bool."""
    return int((np.bincount(seen.sectors[mask]) >= 3).sum())


def upright_planes(seen: Evidence, most: int, random: np.random.Generator) -> np.ndarray:
    """At `most` so many vertical planes (P, 4), on which something is seen in several parts of the images."""
    found: list[np.ndarray] = []
    while len(found) < most and len(seen.points) >= 30:
        line = _line(seen, random)
        if line is None:
            break
        distance = np.abs(seen.points[:, :2] @ line[:2] - line[2])
        on_line = distance < 1.25 * _TOLERANCE * seen.ranges
        if len(np.unique(seen.cells[on_line])) < _FEWEST_CELLS:
            break
        found.append(np.array([line[0], line[1], 0.0, line[2]]))
        seen = seen.selected(~on_line)
    return np.array(found).reshape(-1, 4)


def _line(seen: Evidence, random: np.random.Generator) -> np.ndarray | None:
    """The line on the map that most points lie on: unit normal and offset, (3,); None if they lie on none."""
    plan = seen.points[:, :2]
    few = random.choice(len(plan), min(_LARGEST_SAMPLE, len(plan)), replace=False)
    start, end = plan[random.choice(few, (2, _TRIALS))]
    along = end - start
    length = np.linalg.norm(along, axis=1)
    start, along, length = start[length > 1e-3], along[length > 1e-3], length[length > 1e-3]
    if not len(length):
        return None
    normals = np.stack([-along[:, 1], along[:, 0]], axis=1) / length[:, None]
    offsets = (normals * start).sum(axis=1)
    fits = np.abs(plan[few] @ normals.T - offsets) < _TOLERANCE * seen.ranges[few, None]
    best = int(np.argmax(fits.sum(axis=0)))
    normal, offset = normals[best], offsets[best]
    for _ in range(3):
        near = np.abs(plan @ normal - offset) < _TOLERANCE * seen.ranges
        if near.sum() < 10:
            return None
        weight = 1.0 / seen.ranges[near]
        middle = np.average(plan[near], axis=0, weights=weight**2)
        normal = np.linalg.svd((plan[near] - middle) * weight[:, None], full_matrices=False)[2][1]
        offset = normal @ middle
    return np.append(normal, offset)


def fitted(planes: np.ndarray, seen: Evidence) -> np.ndarray:
    """Planes (P, 4) moved to the evidence on them; they tilt little if it covers little.

    Least squares of distances over the noise of ranges; a tilt, about the middle of the evidence, has a normal prior.
    """
    return np.array([_fitted(plane, seen) for plane in planes]).reshape(-1, 4)


def _fitted(plane: np.ndarray, seen: Evidence) -> np.ndarray:
    for _ in range(3):
        distance = seen.points @ plane[:3] - plane[3]
        near = np.abs(distance) < _TOLERANCE * seen.ranges
        if near.sum() < _FEWEST_FITTED:
            return plane
        middle = seen.points[near].mean(axis=0)
        tilts = np.linalg.svd(plane[None, :3])[2][1:]
        rows = np.concatenate([(seen.points[near] - middle) @ tilts.T, -np.ones((near.sum(), 1))], axis=1)
        scale = 1.0 / (_NOISE * seen.ranges[near])
        rows, error = rows * scale[:, None], distance[near] * scale
        stiff = np.diag([_TILT**-2, _TILT**-2, 0.0])
        change = np.linalg.solve(rows.T @ rows + stiff, -rows.T @ error)
        normal = plane[:3] + change[:2] @ tilts
        normal = normal / np.linalg.norm(normal)
        plane = np.append(normal, plane[3] + normal @ middle - plane[:3] @ middle + change[2])
    return plane


def into_camera(planes: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Planes (P, 4) of the world, n . X = d, as (P, 3) float32 planes m . X = 1 of a camera."""
    offset = planes[:, 3] - planes[:, :3] @ pose[:3, 3]
    offset = np.where(np.abs(offset) < 1e-6, 1e-6, offset)
    return np.asarray((planes[:, :3] @ pose[:3, :3]) / offset[:, None], np.float32)


def into_world(planes: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """The inverse of into_camera: (P, 3) to (P, 4) with unit normals."""
    normals = planes @ pose[:3, :3].T
    size = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / size
    return np.concatenate([normals, 1.0 / size + (normals @ pose[:3, 3])[:, None]], axis=1)


def merged(
    planes: np.ndarray,
    more: np.ndarray,
    positions: np.ndarray,
    angle: float = _SAME_ANGLE,
    offset: float = _SAME_OFFSET,
) -> np.ndarray:
    """`planes` (P, 4) and those of `more` (Q, 4) that are not nearly one of them, as seen from positions (V, 3).

    angle: cosine between normals, offset: share of the distance from the nearest position, within which planes are the
    same.
    """
    for plane in more:
        distances = positions @ plane[:3] - plane[3]
        nearest = int(np.argmin(np.abs(distances)))
        cosine = planes[:, :3] @ plane[:3]
        theirs = (planes[:, :3] @ positions[nearest] - planes[:, 3]) * np.sign(cosine)
        apart = np.abs(theirs - distances[nearest])
        if not ((np.abs(cosine) > angle) & (apart < offset * np.abs(distances[nearest]) + 1e-6)).any():
            planes = np.concatenate([planes, plane[None]])
    return planes


def distinct(planes: np.ndarray, support: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The planes (P, 4) of the largest support (P,) among those that nearly coincide, seen from positions (V, 3)."""
    kept = planes[:0]
    for index in np.argsort(-support, kind="stable"):
        kept = merged(kept, planes[index : index + 1], positions, _NEARLY_ANGLE, _NEARLY_OFFSET)
    return kept


def level(planes: np.ndarray) -> np.ndarray:
    """Which planes (P, 4) are level, (P,) bool."""
    return np.asarray(np.abs(planes[:, 2]) > _LEVEL)


def upright(planes: np.ndarray) -> np.ndarray:
    """Which planes (P, 4) are vertical, (P,) bool."""
    return np.asarray(np.abs(planes[:, 2]) < _UPRIGHT)

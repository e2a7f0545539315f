"""Which points lie inside a closed mesh."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import spans

_PART = 1 << 21  # pairs of a triangle and a point tested at a time
_FINEST = 1024  # cells along a side of the grid


def inside(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Whether a ray upward from each point meets the mesh an odd number of times.

    points: (N, 3) float, metres. triangles: (T, 3, 3) float, same frame, of a closed surface; how they are wound does
    not matter, and hollows are outside.
    Returns (N,) bool. Points are sorted into the cells of a grid on the ground, and each triangle is tested against
    those in the cells above and below it: a few tests a point, whatever the mesh. Triangles that share an edge share
    out the points on it between them, so that no ray slips through.
    """
    triangles = np.asarray(triangles, np.float64)
    result = np.zeros(len(points), np.bool_)
    if not len(triangles) or not len(points):
        return result
    low, high = triangles.min(axis=(0, 1)), triangles.max(axis=(0, 1))
    near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    if not len(near):
        return result
    grid = _Grid(np.asarray(points[near], np.float64), low, high, len(triangles))
    crossings = np.zeros(len(near), np.int64)
    for point, triangle in grid.overlapping(triangles):
        met = point[_met(grid.points[point], triangles[triangle])]
        crossings += np.bincount(met, minlength=len(near))
    result[near[grid.order]] = crossings % 2 == 1
    return result


def edges_are_shared(triangles: np.ndarray) -> bool:
    """Whether every edge belongs to an even number of faces, as in a closed surface; corners count by their place."""
    if not len(triangles):
        return False
    flat = np.ascontiguousarray(triangles, np.float64).reshape(-1, 3) + 0.0  # no negative zeros
    corners = np.unique(flat, axis=0, return_inverse=True)[1].reshape(-1, 3)
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    edges = edges[edges[:, 0] != edges[:, 1]]
    return bool(np.all(np.unique(edges, axis=0, return_counts=True)[1] % 2 == 0))


class _Grid:
    """Points sorted by the cell of a square grid on the ground that they lie in.

    points: (N, 3) float64, sorted. order: (N,) where each of them was. ends: (cells + 1,) first point of each cell.
    """

    def __init__(self, points: np.ndarray, low: np.ndarray, high: np.ndarray, triangles: int) -> None:
        self.side = int(np.clip(2 * np.sqrt(triangles), 8, _FINEST))
        self._low = low
        self._scale = self.side / np.maximum(high - low, 1e-30)
        cell = self._cell(points, 1) * self.side + self._cell(points, 0)
        self.order = np.argsort(cell, kind="stable")
        self.points = points[self.order]
        self.ends = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=self.side**2))])

    def overlapping(self, triangles: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Indices of (sorted) points and of triangles that share a cell, in parts of bounded size."""
        low, high = triangles.min(axis=1), triangles.max(axis=1)
        bottom, left, right = self._cell(low, 1), self._cell(low, 0), self._cell(high, 0)
        # The points of a row of cells follow each other: one run for each row that a triangle covers.
        for triangle, row in spans.expand(bottom, self._cell(high, 1) - bottom + 1, _PART):
            start = self.ends[row * self.side + left[triangle]]
            count = self.ends[row * self.side + right[triangle] + 1] - start
            for run, point in spans.expand(start, count, _PART):
                yield point, triangle[run]

    def _cell(self, points: np.ndarray, axis: int) -> np.ndarray:
        index = (points[:, axis] - self._low[axis]) * self._scale[axis]
        return np.asarray(np.clip(index, 0, self.side - 1).astype(np.intp))


def _met(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(n,) bool, whether the ray upward from points (n, 3) meets triangles (n, 3, 3), one each."""
    x, y = points[:, 0], points[:, 1]
    under = np.zeros(len(points), np.bool_)
    for edge in range(3):
        one, other = triangles[:, edge], triangles[:, (edge + 1) % 3]
        # An edge is walked from its lower end whichever triangle asks: both come to the same number.
        swapped = (one[:, 1] > other[:, 1])[:, None]
        start, end = np.where(swapped, other, one), np.where(swapped, one, other)
        spanned = (start[:, 1] <= y) & (y < end[:, 1])
        rise = np.where(spanned, end[:, 1] - start[:, 1], 1.0)
        under ^= spanned & (x < start[:, 0] + (y - start[:, 1]) / rise * (end[:, 0] - start[:, 0]))
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    height = np.einsum("ni,ni->n", triangles[:, 0] - points, normal)
    return np.asarray(under & (height * normal[:, 2] > 0))

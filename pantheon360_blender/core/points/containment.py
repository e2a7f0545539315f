"""Which points lie inside a closed mesh."""

from __future__ import annotations

import numpy as np

from ..progress import Job, Progress
from . import spans

_PART = 1 << 20  # pairs of a triangle and a column, or of a triangle and a point, looked at together
_BLOCK = 1 << 18  # points tested between two steps
_FINEST, _COARSEST = 160, 48  # cells along a side of the grid
_SLACK = 1e-6  # of a cell: what rounding may add to the reach of a triangle
_STEEP = 1e-12  # cosine to the vertical below which a triangle has no height of its own at a place
_OUTSIDE, _INSIDE = -1, -2  # what all points of a cell are that no triangle passes through
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)  # odd, far from each other


def finding(points: np.ndarray, triangles: np.ndarray) -> Job[np.ndarray]:
    """Whether a ray upward from each point meets the mesh an odd number of times.

    points: (N, 3) float, metres. triangles: (T, 3, 3) float, same frame, of a closed surface; how they are wound does
    not matter, and hollows are outside. Returns (N,) bool; False for points that are not finite.
    Most points lie in cells of a grid that no triangle passes through, and are what their cell is. The rays of the
    others are followed to the nearest such cell above. A point below a shared edge counts for exactly one of its two
    triangles, so that no ray slips through.
    """
    result = np.zeros(len(points), np.bool_)
    if len(triangles) and len(points):
        yield Progress("Sorting the mesh")
        grid = _Grid(np.asarray(triangles, np.float64))
        for start in range(0, len(points), _BLOCK):
            yield Progress("Testing points", start, len(points))
            block = slice(start, start + _BLOCK)
            result[block] = grid.inside(np.asarray(points[block], np.float64))
    return result


def edges_are_shared(triangles: np.ndarray) -> bool:
    """Whether every edge belongs to an even number of faces, as in a closed surface; corners count by their place."""
    if not len(triangles):
        return False
    flat = np.ascontiguousarray(triangles, np.float64).reshape(-1, 3) + 0.0  # no negative zeros
    places = np.zeros(len(flat), np.uint64)
    for axis in range(3):
        places = (places ^ flat[:, axis].copy().view(np.uint64)) * _MIX[axis]
        places ^= places >> np.uint64(32)
    corners = np.unique(places, return_inverse=True)[1].reshape(-1, 3).astype(np.int64)
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    edges = edges[edges[:, 0] != edges[:, 1]]
    numbers = np.sort(edges[:, 0] * np.int64(len(flat)) + edges[:, 1])
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    return bool(np.all(np.diff(starts, append=len(numbers)) % 2 == 0))


class _Triangles:
    """Triangles as upward rays meet them: numbers by which many pairs of a ray and a triangle are tested at once.

    table: (17, T) float64. Of each edge, from its lower end, whichever triangle asks: both come to the same number.
    y of either end, x of the lower, and how x grows with y. Of the plane: height above the origin of x and y, how it
    grows with x and with y, and lowest and highest corner.
    """

    def __init__(self, corners: np.ndarray) -> None:
        self.low, self.high = corners.min(axis=1), corners.max(axis=1)
        rows = []
        for edge in range(3):
            one, other = corners[:, edge], corners[:, (edge + 1) % 3]
            swapped = ((one[:, 1] > other[:, 1]) | ((one[:, 1] == other[:, 1]) & (one[:, 0] > other[:, 0])))[:, None]
            start, end = np.where(swapped, other, one), np.where(swapped, one, other)
            rise = end[:, 1] - start[:, 1]
            slope = (end[:, 0] - start[:, 0]) / np.where(rise > 0, rise, 1.0)
            rows += [start[:, 1], end[:, 1], start[:, 0], slope]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self.steep = np.abs(normal[:, 2]) <= _STEEP * np.linalg.norm(normal, axis=1)
        divisor = np.where(self.steep, 1.0, -normal[:, 2])
        east, north = (np.where(self.steep, 0.0, normal[:, axis] / divisor) for axis in (0, 1))
        middle = corners.mean(axis=1)
        height = middle[:, 2] - east * middle[:, 0] - north * middle[:, 1]
        self.table = np.array([*rows, height, east, north, self.low[:, 2], self.high[:, 2]])

    def met(self, x: np.ndarray, y: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) bool, whether a vertical line at x, y passes through a triangle, one each; and (n,) at what height."""
        rows = self.table.take(which, axis=1)
        crossed = np.zeros(len(which), np.bool_)
        for edge in range(3):
            bottom, top, start, slope = rows[4 * edge : 4 * edge + 4]
            crossed ^= (bottom <= y) & (y < top) & (x < start + (y - bottom) * slope)
        height, east, north, lowest, highest = rows[12:]
        return crossed, np.clip(height + east * x + north * y, lowest, highest)

    def heights(self, x: np.ndarray, y: np.ndarray, reach: np.ndarray, which: np.ndarray) -> np.ndarray:
        """(2, n): lowest and highest of each triangle within `reach` (2,) of x and y; the first above the second
        where the triangle is not there."""
        height, east, north, lowest, highest = self.table[12:].take(which, axis=1)
        middle, spread = height + east * x + north * y, np.abs(east) * reach[0] + np.abs(north) * reach[1]
        spread[self.steep[which]] = np.inf
        return np.array([np.maximum(middle - spread, lowest), np.minimum(middle + spread, highest)])


class _Grid:
    """Cells around a mesh, in columns; those that triangles pass through, one above the other, are a run.

    state: (columns * cells,) int32, the run that a cell is of, or _OUTSIDE or _INSIDE.
    above: (R,) bool, whether what is right above a run is inside. first, last: (R,) where its triangles are in `near`.
    """

    def __init__(self, corners: np.ndarray) -> None:
        self._triangles = triangles = _Triangles(corners)
        self._low, self._high = triangles.low.min(axis=0), triangles.high.max(axis=0)
        self.side = side = int(np.clip(2 * np.sqrt(len(corners)), _COARSEST, _FINEST))
        self._scale = side / np.maximum(self._high - self._low, 1e-30)
        near, column, bottom, top = self._passed()
        width = side + 1
        begins = np.bincount(column * width + bottom, minlength=side * side * width)
        ends = np.bincount(column * width + top + 1, minlength=side * side * width)
        passed = (begins - ends).reshape(-1, width).cumsum(axis=1)[:, :side] > 0
        above = self._crossings_above(near, column, bottom, top)
        starts, stops = passed.copy(), passed.copy()
        starts[:, 1:] &= ~passed[:, :-1]
        stops[:, :-1] &= ~passed[:, 1:]
        runs = np.cumsum(starts.ravel(), dtype=np.int32) - np.int32(1)
        self.state = np.where(passed, runs.reshape(passed.shape), np.where(above, _INSIDE, _OUTSIDE)).ravel()
        self.above = above[stops]
        run = self.state[column * side + bottom]
        order = np.argsort(run, kind="stable")
        self.near = near[order]
        self.count = np.bincount(run, minlength=len(self.above))
        self.first = np.cumsum(self.count) - self.count

    def inside(self, points: np.ndarray) -> np.ndarray:
        """(n,) bool of points (n, 3) float64."""
        result = np.zeros(len(points), np.bool_)
        among = np.flatnonzero(((points >= self._low) & (points <= self._high)).all(axis=1))
        x, y, z = (np.ascontiguousarray(points[among, axis]) for axis in range(3))
        state = self.state[(self._cell(y, 1) * self.side + self._cell(x, 0)) * self.side + self._cell(z, 2)]
        odd = state == _INSIDE
        doubtful = np.flatnonzero(state >= 0)
        run = state[doubtful]
        odd[doubtful] = self.above[run]
        for each, place in spans.expand(self.first[run], self.count[run], _PART):
            point = doubtful[each]
            crossed, height = self._triangles.met(x[point], y[point], self.near[place])
            met = point[crossed & (height > z[point])]
            odd ^= np.bincount(met, minlength=len(odd)) % 2 == 1
        result[among] = odd
        return result

    def _passed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Triangle, column of cells, and lowest and highest of the cells there that the triangle may pass through."""
        triangles, side = self._triangles, self.side
        south, north = (self._cell(each[:, 1], 1, grown) for each, grown in ((triangles.low, -1), (triangles.high, 1)))
        west, east = (self._cell(each[:, 0], 0, grown) for each, grown in ((triangles.low, -1), (triangles.high, 1)))
        half = (0.5 + _SLACK) / self._scale[:2]
        parts = []
        for which, row in spans.expand(south, north - south + 1, _PART):
            for run, line in spans.expand(west[which], east[which] - west[which] + 1, _PART):
                triangle, row_ = which[run], row[run]
                low, high = triangles.heights(*self._middle(line, row_), half, triangle)
                there = low <= high + _SLACK / self._scale[2]
                bottom, top = self._cell(low[there], 2, -1), self._cell(high[there], 2, 1)
                column = (row_ * side + line)[there]
                parts.append((triangle[there], column, np.minimum(bottom, top), np.maximum(bottom, top)))
        triangle, column, bottom, top = (np.concatenate(each) for each in zip(*parts, strict=True))
        return triangle, column, bottom, top

    def _crossings_above(self, near: np.ndarray, column: np.ndarray, bottom: np.ndarray, top: np.ndarray) -> np.ndarray:
        """(columns, cells) bool: whether the ray upward in a column's middle, from above a cell, is met oddly often."""
        counts = np.zeros(self.side**3, np.int64)
        for start in range(0, len(near), _PART):
            part = slice(start, start + _PART)
            x, y = self._middle(column[part] % self.side, column[part] // self.side)
            crossed, height = self._triangles.met(x, y, near[part])
            cell = np.clip(self._cell(height, 2), bottom[part], top[part])
            counts += np.bincount((column[part] * self.side + cell)[crossed], minlength=len(counts))
        columns = counts.reshape(-1, self.side)
        return np.asarray((columns[:, ::-1].cumsum(axis=1)[:, ::-1] - columns) % 2 == 1)

    def _middle(self, line: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._low[0] + (line + 0.5) / self._scale[0], self._low[1] + (row + 0.5) / self._scale[1]

    def _cell(self, values: np.ndarray, axis: int, grown: int = 0) -> np.ndarray:
        """(n,) intp along an axis; grown: -1 or 1, to be on the safe side of rounding."""
        index = (values - self._low[axis]) * self._scale[axis] + grown * _SLACK
        return np.asarray(np.clip(index, 0, self.side - 1).astype(np.intp))

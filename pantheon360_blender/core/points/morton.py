"""Points in the order of a space-filling curve: those near in memory are near in space.

The curve visits a cube of cells, then the next cube beside it, on every scale at once (G. M. Morton, "A computer
oriented geodetic data base", 1966). Sorted once, a cloud answers for cells of any size, and most points find their
nearest neighbours a few places before and after themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from . import spans

BITS = 21
"""Of each coordinate: three of them fill a number of 64 bits."""

_SAMPLE = 100_000  # points by which the bounds are judged
_OUTSIDE = 0.1  # per cent of the points, at either end, that need not lie within the bounds
_SPREAD = ((32, 0x1F00000000FFFF), (16, 0x1F0000FF0000FF), (8, 0x100F00F00F00F00F), (4, 0x10C30C30C30C30C3))
_STEPS = (*_SPREAD, (2, 0x1249249249249249))


@dataclass(frozen=True, eq=False)
class MortonOrder:
    """The order of N points along the curve.

    order: (N,) intp, the points' indices as the curve meets them. keys: (N,) uint64, ascending: the finest cell of
    each. edge: metres, of the finest cells; low: (3,) float64, the corner where they begin. A few stray points outside
    the bounds are taken to the nearest cell.
    """

    order: np.ndarray
    keys: np.ndarray
    edge: float
    low: np.ndarray

    @staticmethod
    def from_points(points: np.ndarray) -> MortonOrder:
        """Sort (N, 3) finite points; equal cells keep the points' order."""
        low, edge = _bounds(points)
        keys = _interleaved([_cells(points[:, axis], low[axis], edge) for axis in range(3)])
        order = np.argsort(keys, kind="stable")
        return MortonOrder(order, keys[order], edge, low)

    def occupied(self, level: int) -> int:
        """How many cells of 2**level finest edges hold any point."""
        cells = self.keys >> np.uint64(3 * level)
        return min(len(cells), 1) + int(np.count_nonzero(cells[1:] != cells[:-1]))

    def around(
        self, centres: np.ndarray, radii: np.ndarray, batch_size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of a ball and a point that lies in one of the eight or fewer cells that the ball touches.

        centres: (Q, 3), radii: (Q,) metres. batch_size: about how many pairs a part holds. Yields (indices of balls,
        indices of points), (n,) each: all points within the balls are among them, and others.
        """
        reach = np.asarray(radii, np.float64) * (1 + 1e-6) + 1e-6 * self.edge
        level = np.clip(np.ceil(np.log2(2 * reach / self.edge)), 0, BITS).astype(np.uint64)
        columns = np.asarray(centres, np.float64).T
        first, last = (
            [_cells(columns[axis] + way * reach, self.low[axis], self.edge) >> level for axis in range(3)]
            for way in (-1, 1)
        )
        up = np.uint64(3) * level
        for corner in range(8):
            high = [bool(corner >> axis & 1) for axis in range(3)]
            asked = np.ones(len(reach), np.bool_)
            for axis in range(3):
                asked &= (last[axis] > first[axis]) | ~np.bool_(high[axis])
            ball = np.flatnonzero(asked)
            cell = _interleaved([(last if high[axis] else first)[axis][ball] for axis in range(3)])
            start = np.searchsorted(self.keys, cell << up[ball])
            end = np.searchsorted(self.keys, (cell + np.uint64(1)) << up[ball])
            for run, place in spans.expand(start, end - start, batch_size):
                yield ball[run], self.order[place]


def _cells(values: np.ndarray, low: float, edge: float) -> np.ndarray:
    """(n,) uint64 finest cells along an axis."""
    return np.clip((values.astype(np.float64) - low) / edge, 0, (1 << BITS) - 1).astype(np.uint64)


def _interleaved(cells: Sequence[np.ndarray]) -> np.ndarray:
    """(n,) uint64 keys of cells along three axes."""
    x, y, z = (_spread(each) for each in cells)
    return np.asarray(x | (y << np.uint64(1)) | (z << np.uint64(2)))


def _bounds(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Lowest corner (3,) float64 of the cube that the curve fills, and the edge of its finest cells, metres."""
    if not len(points):
        return np.zeros(3), 1.0
    sample = points[:: max(1, len(points) // _SAMPLE)].astype(np.float64)
    low, high = np.percentile(sample, [_OUTSIDE, 100 - _OUTSIDE], axis=0)
    extent = max(float(np.max(high - low)), 1e-6)
    return low - 0.25 * extent, 1.5 * extent / (1 << BITS)


def _spread(numbers: np.ndarray) -> np.ndarray:
    """Two zeros after each bit of (N,) uint64 numbers of 21 bits."""
    for shift, mask in _STEPS:
        numbers = (numbers | (numbers << np.uint64(shift))) & np.uint64(mask)
    return numbers

"""Points in the order of a space-filling curve: those near in memory are near in space.

The curve visits a cube of cells, then the next cube beside it, on every scale at once (G. M. Morton, "A computer
oriented geodetic data base", 1966). Sorted once, a cloud answers for cells of any size, and most points find their
nearest neighbours a few places before and after themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    each. edge: metres, of the finest cells. A few stray points outside the bounds are taken to the nearest cell.
    """

    order: np.ndarray
    keys: np.ndarray
    edge: float

    @staticmethod
    def of(points: np.ndarray) -> MortonOrder:
        """Sort (N, 3) finite points; equal cells keep the points' order."""
        low, edge = _bounds(points)
        keys = np.zeros(len(points), np.uint64)
        for axis in range(3):
            cell = np.clip((points[:, axis] - low[axis]) / edge, 0, (1 << BITS) - 1)
            keys |= _spread(cell.astype(np.uint64)) << np.uint64(axis)
        order = np.argsort(keys, kind="stable")
        return MortonOrder(order, keys[order], edge)

    def occupied(self, level: int) -> int:
        """How many cells of 2**level finest edges hold any point."""
        cells = self.keys >> np.uint64(3 * level)
        return min(len(cells), 1) + int(np.count_nonzero(cells[1:] != cells[:-1]))


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

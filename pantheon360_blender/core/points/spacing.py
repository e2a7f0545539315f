"""How far apart a cloud's points lie, if nobody said what each of them stands for."""

from __future__ import annotations

import numpy as np

_WANTED = 10.0  # points a voxel: enough to tell a density from chance, few enough to stay local
_CLOSE = 1.6  # factor within which that is met
_ROUNDS = 8
_LARGEST_INDEX = (1 << 21) - 1  # three of them fit into 63 bits
_MOST = 2.0  # times the median: what lies alone is no larger, or stray points would hide what is behind them


def footprints(points: np.ndarray) -> np.ndarray:
    """Diameter in metres of what each point stands for on a surface, (N,) float32, by the density around it.

    points: (N, 3) float, finite. A voxel of edge s that holds n points of a surface holds about s² of it, so that each
    stands for s² / n; voxels are as large as it takes for about ten points each.
    """
    if len(points) < 2:
        return np.zeros(len(points), np.float32)
    low, high = np.percentile(points[:: max(1, len(points) // 100_000)], [1, 99], axis=0).astype(np.float64)
    sides = np.sort(high - low)[::-1]
    size = float(np.sqrt(_WANTED * max(sides[0] * sides[1], (1e-3 * sides[0]) ** 2) / len(points)))
    if size <= 0:
        return np.zeros(len(points), np.float32)
    for _ in range(_ROUNDS):
        _, voxel, count = np.unique(_voxels(points, low, size), return_inverse=True, return_counts=True)
        met = float(np.median(count[voxel]))
        if _WANTED / _CLOSE <= met <= _WANTED * _CLOSE:
            break
        size *= float(np.clip(np.sqrt(_WANTED / met), 0.1, 10.0))
    found = size / np.sqrt(count[voxel])
    return np.asarray(np.minimum(found, _MOST * np.median(found)), np.float32)


def _voxels(points: np.ndarray, low: np.ndarray, size: float) -> np.ndarray:
    """(N,) int64 number of the voxel of each point; what lies far out shares those at the rim."""
    key = np.zeros(len(points), np.int64)
    for axis in range(3):
        index = np.floor(np.subtract(points[:, axis], low[axis], dtype=np.float64) / size) + (_LARGEST_INDEX + 1) // 2
        key = (key << 21) | np.clip(index, 0, _LARGEST_INDEX).astype(np.int64)
    return key

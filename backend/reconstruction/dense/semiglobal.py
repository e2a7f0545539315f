"""A sweep over spherical hypotheses, and semi-global aggregation of its costs on the sphere.

Hypotheses are spheres round the reference, spaced evenly in inverse range. Costs are aggregated along eight paths that
wrap at the seam (Hirschmueller, "Stereo Processing by Semiglobal Matching and Mutual Information", PAMI 2008).
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .cube_map import CubeMap
from .matching import NO_MATCH, Sources, bench_for, cost_of, lay

_STEP_PENALTY, _JUMP_PENALTY = np.float32(0.04), np.float32(0.35)
_JUMP_COLOUR = np.float32(12.0)  # grey levels of an edge at which a jump costs half
_PATHS = np.array([(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)])


def sweep(
    cube: CubeMap, rays: np.ndarray, active: np.ndarray, sources: Sources, inverse_ranges: np.ndarray, stride: float
) -> np.ndarray:
    """Costs (H, W, D) float32 of the spheres `inverse_ranges` (D,) at all `active` pixels; NO_MATCH elsewhere."""
    return np.asarray(_sweep(cube.faces.ravel(), rays, active, sources, inverse_ranges, stride))


def aggregate(costs: np.ndarray, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best label of each pixel and its share of a label, (H, W) float32 each, after aggregation over all paths.

    costs: (H, W, D) float32. grey: (H, W) float32, 0..255; jumps are cheaper across its edges.
    """
    total = np.zeros_like(costs)
    for down, right in _PATHS:
        if down == 0:
            _along_rows(costs, grey, right, total)
        else:
            _along_columns(costs, grey, down, right, total)
    return _parabola(total)


@njit(cache=True, parallel=True)
def _sweep(
    pairs: np.ndarray,
    rays: np.ndarray,
    active: np.ndarray,
    sources: Sources,
    inverse_ranges: np.ndarray,
    stride: float,
) -> np.ndarray:
    height, width = active.shape
    labels = len(inverse_ranges)
    out = np.full((height, width, labels), NO_MATCH, np.float32)
    step = np.float32(stride) / sources.focal
    for v in prange(height):
        bench = bench_for(sources)
        for u in range(width):
            if not active[v, u]:
                continue
            ray = rays[v, u]
            lay(bench, pairs, ray, sources, step)
            for label in range(labels):
                rho = inverse_ranges[label]
                out[v, u, label] = cost_of(rho * ray[0], rho * ray[1], rho * ray[2], sources, step, bench)
    return out


@njit(cache=True)
def _pass_on(previous: np.ndarray, cost: np.ndarray, edge: float, current: np.ndarray, total: np.ndarray) -> None:
    """One step of a path: `current` from `previous`, both (D,), added to `total`."""
    labels = len(cost)
    least = previous[0]
    for d in range(1, labels):
        least = min(least, previous[d])
    jump = least + max(_JUMP_PENALTY / (np.float32(1) + abs(edge) / _JUMP_COLOUR), np.float32(2) * _STEP_PENALTY)
    for d in range(labels):
        best = min(previous[d], jump)
        if d > 0:
            best = min(best, previous[d - 1] + _STEP_PENALTY)
        if d < labels - 1:
            best = min(best, previous[d + 1] + _STEP_PENALTY)
        current[d] = cost[d] + best - least
        total[d] += current[d]


@njit(cache=True, parallel=True)
def _along_rows(costs: np.ndarray, grey: np.ndarray, right: int, total: np.ndarray) -> None:
    height, width, labels = costs.shape
    for v in prange(height):
        path = np.zeros((2, labels), np.float32)
        unused = np.zeros(labels, np.float32)
        before = 0
        for k in range(width // 4 + width):  # a quarter of a turn to forget where the path began
            u = (k * right) % width
            edge = grey[v, u] - grey[v, (u - right) % width]
            _pass_on(path[before], costs[v, u], edge, path[1 - before], total[v, u] if k >= width // 4 else unused)
            before = 1 - before


@njit(cache=True, parallel=True)
def _along_columns(costs: np.ndarray, grey: np.ndarray, down: int, right: int, total: np.ndarray) -> None:
    """Each path for itself, from its first row to its last: no thread waits for another in between."""
    height, width, labels = costs.shape
    for start in prange(width):
        path = np.zeros((2, labels), np.float32)
        for k in range(height):
            v = k if down > 0 else height - 1 - k
            u = (np.int64(start) + right * k) % width
            edge = grey[v, u] - grey[min(max(v - down, 0), height - 1), (u - right) % width]
            _pass_on(path[k % 2], costs[v, u], edge, path[1 - k % 2], total[v, u])


@njit(cache=True, parallel=True)
def _parabola(total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width, labels = total.shape
    label = np.empty((height, width), np.float32)
    margin = np.empty((height, width), np.float32)
    for v in prange(height):
        for u in range(width):
            row = total[v, u]
            best = 0
            for d in range(1, labels):
                if row[d] < row[best]:
                    best = d
            offset = np.float32(0)
            if 0 < best < labels - 1:
                bend = row[best - 1] - 2 * row[best] + row[best + 1]
                if bend > 0:
                    offset = np.float32(0.5) * (row[best - 1] - row[best + 1]) / bend
            second = np.float32(1e9)
            for d in range(labels):
                if abs(d - best) > 2:
                    second = min(second, row[d])
            label[v, u] = best + offset
            margin[v, u] = second - row[best]
    return label, margin

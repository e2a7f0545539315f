"""Which plane of the place each pixel shows: planes compete, and change where their depths meet or the colour does.

A Markov random field over the panorama: a label is a plane, or the pixel's own estimate. The other panoramas give the
unary cost of a label. Neighbours pay for the step in depth between their labels, less across an edge of colour. So a
plain wall takes its plane from wherever something on it was seen, and two walls part where they cross. Sequential
message passing carries labels across a whole wall in one sweep.
Sources: Furukawa et al., "Manhattan-world Stereo", CVPR 2009; Sinha et al., "Piecewise Planar Stereo for Image-based
Rendering", ICCV 2009; Kolmogorov, "Convergent Tree-Reweighted Message Passing for Energy Minimization", PAMI 2006.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from ..edges import blurred, row_widths
from .matching import Sources, bench_for, cost_of, lay, pixel_of, to_source

EXCLUDED = np.float32(50.0)
"""Unary cost of a plane that may not compete, that the pixel's ray meets at a grazing angle, or behind the camera."""

_GRAZING = np.float32(0.03)
_DENIED = np.float32(0.6)  # cost of a panorama that surely looks through the point
_STEP = np.float32(0.15)  # natural log of range at which a step costs its most
_COST_OF_STEP = np.float32(1.0)
_COST_OF_CHANGE = np.float32(0.02)
_EDGE = np.float32(4.0)  # grey levels between neighbours at which a step costs half
_LEAST_WEIGHT = np.float32(0.04)
_DIFFERENT = np.float32(0.06)  # natural log of range that makes another answer


@njit(cache=True, parallel=True)
def data_costs(
    faces: np.ndarray,
    focal: float,
    rays: np.ndarray,
    active: np.ndarray,
    sources: Sources,
    seen: np.ndarray,
    planes: np.ndarray,
    allowed: np.ndarray,
    stride: float,
) -> np.ndarray:
    """The unary cost of each plane at each pixel, from the other panoramas, (H, W, P) float32; 0 where inactive.

    faces, focal: the pixels' own cube map. rays: (H, W, 3); active: (H, W) bool. sources: S of them.
    seen: (S, H, W) inverse range of what each source surely sees, 0 if it is not sure. planes: (P, 3) float32, see
    `matching`. allowed: (H, W, P) bool, where a plane competes at all. stride: pixels between samples of a patch.
    """
    height, width = active.shape
    count = len(planes)
    out = np.zeros((height, width, count), np.float32)
    step = np.float32(stride / focal)
    for row in prange(height):
        v = np.int64(row)
        bench = bench_for(sources)
        for u in range(width):
            if not active[v, u]:
                continue
            ray = rays[v, u]
            variance = lay(bench, faces, focal, ray, step)
            for label in range(count):
                m = planes[label]
                rho = m[0] * ray[0] + m[1] * ray[1] + m[2] * ray[2]
                size = math.sqrt(m[0] * m[0] + m[1] * m[1] + m[2] * m[2])
                if rho <= _GRAZING * size or not allowed[v, u, label]:
                    out[v, u, label] = EXCLUDED
                    continue
                cost = cost_of(m[0], m[1], m[2], variance, sources, step, bench)
                out[v, u, label] = cost + _DENIED * min(_denials(rho, ray, sources, seen), 2)
    return out


@njit(cache=True)
def _denials(rho: float, ray: np.ndarray, sources: Sources, seen: np.ndarray) -> int:
    """How many sources surely look through the point at inverse range rho."""
    height, width = seen.shape[1:]
    through = 0
    for s in range(len(seen)):
        x, y, z = to_source(sources.rotation[s], sources.offset[s], ray[0], ray[1], ray[2], rho)
        length = math.sqrt(x * x + y * y + z * z)
        v, u = pixel_of(x, y / length, z, height, width)
        there = seen[s, v, u]
        if there > 0 and there * length < np.float32(0.9) * rho:
            through += 1
    return through


def solve_labels(
    costs: np.ndarray, inverse_ranges: np.ndarray, colour: np.ndarray, iterations: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """The label of each pixel, and its margin: how much worse the best label of another depth is.

    costs, inverse_ranges: (H, W, L) float32 of each label at each pixel; an inverse range below 0 counts as very far.
    colour: (H, W, 3) uint8; the image wraps in u. iterations: passes there and back.
    Returns (H, W) int32 and (H, W) float32 in units of cost, about EXCLUDED where no other depth competes.
    """
    smooth = blurred(colour, 0.7)
    right = _weights(np.abs(np.roll(smooth, -1, axis=1) - smooth).max(axis=-1))
    down = _weights(np.abs(np.roll(smooth, -1, axis=0) - smooth).max(axis=-1))
    narrow = row_widths(len(colour)).astype(np.float32)
    right = right * np.minimum(1.0 / narrow, 6.0).astype(np.float32)[:, None]
    logs = np.maximum(inverse_ranges, np.float32(1e-6))
    np.log(logs, out=logs)
    chosen, margin = _passed(costs.astype(np.float32, copy=False), logs, right, down, iterations)
    return np.asarray(chosen), np.asarray(margin)


def _weights(edges: np.ndarray) -> np.ndarray:
    """What a step costs across edges of so many grey levels, as a share."""
    return np.maximum(1 / (1 + (edges / _EDGE) ** 2), _LEAST_WEIGHT).astype(np.float32)


@njit(cache=True)
def _sort(order: np.ndarray, logs: np.ndarray) -> None:
    """Put labels in order of their depth; quick if `order` is nearly right."""
    for i in range(1, len(order)):
        label = order[i]
        k = i
        while k > 0 and logs[order[k - 1]] > logs[label]:
            order[k] = order[k - 1]
            k -= 1
        order[k] = label


@njit(cache=True)
def _send(
    belief: np.ndarray, back: np.ndarray, logs: np.ndarray, order: np.ndarray, weight: float, out: np.ndarray
) -> None:
    """One message: `out` (L,) from half of a pixel's `belief`, less what came `back` the other way.

    For each label it is the least, over the sender's labels, of that and of the cost of the step between the two at the
    sender's depths `logs`; less the least of all. Half, as two chains of messages, a row and a column, meet in a pixel.
    Steps cost linearly up to a limit, so that two passes over the labels in `order` of depth find the best of all pairs
    (Felzenszwalb and Huttenlocher, "Efficient Belief Propagation for Early Vision", IJCV 2006).
    """
    labels = len(belief)
    least = np.float32(1e9)
    for a in range(labels):
        out[a] = np.float32(0.5) * belief[a] - back[a]
        least = min(least, out[a])
    slope = weight * _COST_OF_STEP / _STEP
    carried, place = np.float32(1e9), np.float32(0)
    for i in range(labels):
        a = order[i]
        carried = min(out[a], carried + slope * (logs[a] - place))
        place = logs[a]
        out[a] = min(out[a], carried + weight * _COST_OF_CHANGE)
    carried = np.float32(1e9)
    for i in range(labels - 1, -1, -1):
        a = order[i]
        carried = min(out[a], carried + slope * (place - logs[a]))
        place = logs[a]
        out[a] = min(out[a], carried + weight * _COST_OF_CHANGE)
    highest = weight * (_COST_OF_STEP + _COST_OF_CHANGE)
    for a in range(labels):
        out[a] = min(out[a] - least, highest)


@njit(cache=True, nogil=True)
def _passed(
    costs: np.ndarray, logs: np.ndarray, right: np.ndarray, down: np.ndarray, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """solve_labels() for `logs` (H, W, L) of inverse ranges and weights (H, W) of steps to the right and down."""
    height, width, labels = costs.shape
    messages = np.zeros((4, height, width, labels), np.float32)  # from the left, right, above, below
    belief = np.empty(labels, np.float32)
    order = np.arange(labels)
    for number in range(2 * iterations):
        forward = number % 2 == 0
        for i in range(height):
            v = i if forward else height - 1 - i
            for j in range(width):
                u = j if forward else width - 1 - j
                for a in range(labels):
                    belief[a] = costs[v, u, a]
                    for k in range(4):
                        belief[a] += messages[k, v, u, a]
                _sort(order, logs[v, u])
                if forward:
                    there = (u + 1) % width
                    _send(belief, messages[1, v, u], logs[v, u], order, right[v, u], messages[0, v, there])
                    if v < height - 1:
                        _send(belief, messages[3, v, u], logs[v, u], order, down[v, u], messages[2, v + 1, u])
                else:
                    there = (u - 1) % width
                    _send(belief, messages[0, v, u], logs[v, u], order, right[v, there], messages[1, v, there])
                    if v > 0:
                        _send(belief, messages[2, v, u], logs[v, u], order, down[v - 1, u], messages[3, v - 1, u])
    chosen = np.empty((height, width), np.int32)
    margin = np.empty((height, width), np.float32)
    for v in range(height):
        for u in range(width):
            best = 0
            for a in range(labels):
                belief[a] = costs[v, u, a]
                for k in range(4):
                    belief[a] += messages[k, v, u, a]
                if belief[a] < belief[best]:
                    best = a
            second = np.float32(EXCLUDED)
            for a in range(labels):
                if abs(logs[v, u, a] - logs[v, u, best]) > _DIFFERENT:
                    second = min(second, belief[a] - belief[best])
            chosen[v, u] = best
            margin[v, u] = second
    return chosen, margin

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
    pairs: np.ndarray,
    rays: np.ndarray,
    active: np.ndarray,
    sources: Sources,
    seen: np.ndarray,
    planes: np.ndarray,
    allowed: np.ndarray,
    stride: float,
) -> np.ndarray:
    """The unary cost of each plane at each pixel, from the other panoramas, (H, W, P) float32; EXCLUDED where inactive.

    pairs: of the pixels' own cube map, flat. rays: (H, W, 3); active: (H, W) bool. sources: S of them.
    seen: (S, H, W) inverse range of what each source surely sees, 0 if it is not sure. planes: (P, 3) float32, see
    `matching`. allowed: (H, W, P) bool, where a plane competes at all. stride: pixels between samples of a patch.
    """
    height, width = active.shape
    count = len(planes)
    out = np.full((height, width, count), EXCLUDED)
    step = np.float32(stride) / sources.focal
    for row in prange(height):
        v = np.int64(row)
        bench = bench_for(sources)
        for u in range(width):
            if not active[v, u]:
                continue
            ray = rays[v, u]
            lay(bench, pairs, ray, sources, step)
            for label in range(count):
                m = planes[label]
                rho = m[0] * ray[0] + m[1] * ray[1] + m[2] * ray[2]
                size = math.sqrt(m[0] * m[0] + m[1] * m[1] + m[2] * m[2])
                if rho <= _GRAZING * size or not allowed[v, u, label]:
                    continue
                cost = cost_of(m[0], m[1], m[2], sources, step, bench)
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
    costs: np.ndarray,
    inverse_ranges: np.ndarray,
    colour: np.ndarray,
    iterations: int = 6,
    active: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The label of each pixel, and its margin: how much worse the best label of another depth is.

    costs, inverse_ranges: (H, W, L) float32 of each label at each pixel; an inverse range below 0 counts as very far.
    colour: (H, W, 3) uint8; the image wraps in u. iterations: passes there and back. active: (H, W) bool, or None for
    all: pixels that have neighbours.
    Returns (H, W) int32 and (H, W) float32 in units of cost, about EXCLUDED where no other depth competes.
    """
    smooth = blurred(colour, 0.7)
    right = _weights(np.abs(np.roll(smooth, -1, axis=1) - smooth).max(axis=-1))
    down = _weights(np.abs(np.roll(smooth, -1, axis=0) - smooth).max(axis=-1))
    narrow = row_widths(len(colour)).astype(np.float32)
    right = right * np.minimum(1.0 / narrow, 6.0).astype(np.float32)[:, None]
    if active is not None:
        right *= active & np.roll(active, -1, axis=1)
        down *= active & np.roll(active, -1, axis=0)
    costs = costs.astype(np.float32, copy=False)
    first, labels = _listed(costs)
    chosen, margin = _passed(costs, np.asarray(inverse_ranges, np.float32), first, labels, right, down, iterations)
    return np.asarray(chosen), np.asarray(margin)


def _weights(edges: np.ndarray) -> np.ndarray:
    """What a step costs across edges of so many grey levels, as a share."""
    return np.maximum(1 / (1 + (edges / _EDGE) ** 2), _LEAST_WEIGHT).astype(np.float32)


@njit(cache=True, nogil=True)
def _listed(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labels that compete at each pixel or beside it: no message speaks of others.

    Returns where each pixel's begin in the list, (H W + 1,) int64, and the list, (N,) int32.
    """
    height, width, count = costs.shape
    first = np.zeros(height * width + 1, np.int64)
    labels = np.empty(0, np.int32)
    for filling in (False, True):
        if filling:
            labels = np.empty(first[-1], np.int32)
        number = 0
        for v in range(height):
            for u in range(width):
                left, right = (u - 1) % width, (u + 1) % width
                above, below = max(v - 1, 0), min(v + 1, height - 1)
                for a in range(count):
                    if (
                        costs[v, u, a] < EXCLUDED
                        or costs[v, left, a] < EXCLUDED
                        or costs[v, right, a] < EXCLUDED
                        or costs[above, u, a] < EXCLUDED
                        or costs[below, u, a] < EXCLUDED
                    ):
                        if filling:
                            labels[number] = a
                        number += 1
                first[v * width + u + 1] = number
    return first, labels


@njit(cache=True)
def _sort(labels: np.ndarray, logs: np.ndarray) -> None:
    """Put labels and their depths in order of depth; quick if they are nearly right."""
    for i in range(1, len(labels)):
        label, log = labels[i], logs[i]
        k = i
        while k > 0 and logs[k - 1] > log:
            labels[k], logs[k] = labels[k - 1], logs[k - 1]
            k -= 1
        labels[k], logs[k] = label, log


@njit(cache=True)
def _send(belief: np.ndarray, back: np.ndarray, logs: np.ndarray, weight: float, out: np.ndarray) -> None:
    """One message: `out` (L,) from half of a pixel's `belief`, less what came `back` the other way.

    For each label it is the least, over the sender's labels, of that and of the cost of the step between the two at the
    sender's depths `logs`, which ascend; less the least of all. Half, as two chains of messages, a row and a column,
    meet in a pixel. Steps cost linearly up to a limit, so that two passes over the labels find the best of all pairs
    (Felzenszwalb and Huttenlocher, "Efficient Belief Propagation for Early Vision", IJCV 2006).
    """
    labels = len(belief)
    least = np.float32(1e9)
    for a in range(labels):
        out[a] = np.float32(0.5) * belief[a] - back[a]
        least = min(least, out[a])
    slope = weight * _COST_OF_STEP / _STEP
    carried, place = np.float32(1e9), np.float32(0)
    for a in range(labels):
        carried = min(out[a], carried + slope * (logs[a] - place))
        place = logs[a]
        out[a] = min(out[a], carried + weight * _COST_OF_CHANGE)
    carried = np.float32(1e9)
    for a in range(labels - 1, -1, -1):
        carried = min(out[a], carried + slope * (place - logs[a]))
        place = logs[a]
        out[a] = min(out[a], carried + weight * _COST_OF_CHANGE)
    highest = weight * (_COST_OF_STEP + _COST_OF_CHANGE)
    for a in range(labels):
        out[a] = min(out[a] - least, highest)


@njit(cache=True, nogil=True)
def _passed(
    costs: np.ndarray,
    inverse_ranges: np.ndarray,
    first: np.ndarray,
    labels: np.ndarray,
    right: np.ndarray,
    down: np.ndarray,
    iterations: int,
) -> tuple[np.ndarray, np.ndarray]:
    """solve_labels() with the lists of _listed(), and weights (H, W) of steps to the right and down."""
    height, width, count = costs.shape
    order = np.arange(count)
    place = np.zeros(count, np.int64)
    logs = np.empty(len(labels), np.float32)
    unary = np.empty(len(labels), np.float32)
    for v in range(height):
        for u in range(width):
            begin, end = first[v * width + u], first[v * width + u + 1]
            _put_in_order(labels[begin:end], logs[begin:end], inverse_ranges[v, u], order, place)
            for k in range(begin, end):
                unary[k] = costs[v, u, labels[k]]
    messages = np.zeros((4, len(labels)), np.float32)  # from the left, right, above, below
    belief = np.empty(count, np.float32)
    sent = np.empty(count, np.float32)
    told = np.zeros(count, np.float32)
    for number in range(2 * iterations):
        forward = number % 2 == 0
        for i in range(height):
            v = i if forward else height - 1 - i
            for j in range(width):
                u = j if forward else width - 1 - j
                here = v * width + u
                begin, end = first[here], first[here + 1]
                size = end - begin
                for k in range(size):
                    e = begin + k
                    belief[k] = unary[e] + messages[0, e] + messages[1, e] + messages[2, e] + messages[3, e]
                beside = v * width + ((u + 1) % width if forward else (u - 1) % width)
                weight = right[v, u] if forward else right[v, (u - 1) % width]
                into, back = (0, 1) if forward else (1, 0)
                _send(belief[:size], messages[back, begin:end], logs[begin:end], weight, sent[:size])
                _deliver(sent, labels[begin:end], labels, first, beside, told, messages[into])
                if (v == height - 1) if forward else (v == 0):
                    continue
                beside = here + width if forward else here - width
                weight = down[v, u] if forward else down[v - 1, u]
                into, back = (2, 3) if forward else (3, 2)
                _send(belief[:size], messages[back, begin:end], logs[begin:end], weight, sent[:size])
                _deliver(sent, labels[begin:end], labels, first, beside, told, messages[into])
    chosen = np.empty((height, width), np.int32)
    margin = np.empty((height, width), np.float32)
    for v in range(height):
        for u in range(width):
            begin, end = first[v * width + u], first[v * width + u + 1]
            best, least = begin, np.float32(1e9)
            for e in range(begin, end):
                cost = unary[e] + messages[0, e] + messages[1, e] + messages[2, e] + messages[3, e]
                unary[e] = cost
                if cost < least or (cost == least and labels[e] < labels[best]):
                    best, least = e, cost
            second = np.float32(EXCLUDED)
            for e in range(begin, end):
                if abs(logs[e] - logs[best]) > _DIFFERENT:
                    second = min(second, unary[e] - least)
            chosen[v, u] = labels[best]
            margin[v, u] = second
    return chosen, margin


@njit(cache=True)
def _put_in_order(
    labels: np.ndarray, logs: np.ndarray, inverse_ranges: np.ndarray, order: np.ndarray, place: np.ndarray
) -> None:
    """Sort a pixel's labels (N,) by depth and fill their `logs`, beginning with the `order` (L,) of the pixel before.

    place: scratch (L,), all 0 before and after.
    """
    for label in labels:
        place[label] = 1
    k = 0
    for i in range(len(order)):
        if place[order[i]]:
            labels[k] = order[i]
            logs[k] = math.log(max(inverse_ranges[order[i]], np.float32(1e-6)))
            k += 1
    _sort(labels, logs)
    k = 0
    for i in range(len(order)):
        if place[order[i]]:
            place[order[i]] = 0
            order[i] = labels[k]
            k += 1


@njit(cache=True)
def _deliver(
    sent: np.ndarray,
    sender: np.ndarray,
    labels: np.ndarray,
    first: np.ndarray,
    pixel: int,
    told: np.ndarray,
    messages: np.ndarray,
) -> None:
    """Put a message about the `sender`'s labels (N,) to those of a pixel. told: scratch (L,).

    Of a label that the sender's list lacks it says anything: such a label does not compete at that pixel either.
    """
    for k in range(len(sender)):
        told[sender[k]] = sent[k]
    for e in range(first[pixel], first[pixel + 1]):
        messages[e] = told[labels[e]]

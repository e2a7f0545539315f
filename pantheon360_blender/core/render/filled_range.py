"""A frame's range without pinholes, dots and steps: closed surfaces whose edges are cut, at any size of the frame.

It works on inverse range, which is linear along a plane and 0 in the sky. Splats are closed and smoothed at about BASE
pixels round the horizon, each surface by itself, and enlarged so that a pixel between a near and a far surface belongs
to the one that has more of it: silhouettes are smooth lines, and no range lies between the two.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..panorama import equirectangular

BASE = 1024
"""Pixels round the horizon at which splats are closed: about as many points as a capture's range map has."""
_JUMP = np.float32(0.08)  # of the inverse range: neighbours that differ by more may lie on two surfaces
_STEEP = np.float32(2.0)  # times the smaller of the jumps beside it: a jump that is no surface's slope
_SHUT_IN = 6  # of eight neighbours that are one surface: the pixel is a hole in it
_SIDES = (-3, -2), (2, 3)  # pixels on both sides of a crack that are one surface
_CLOSINGS = 2
_SMOOTHINGS = 2
_REACH = 2  # pixels on each side that smoothing takes in
_TINY = np.float32(1e-9)


def filled(depth: np.ndarray) -> np.ndarray:
    """The range of a frame's surfaces, closed and smooth.

    depth: (H, W) float32 metres, inf where nothing is; of footprint splats.
    Returns (H, W) float32 metres, inf in the sky and in holes too large to be gaps between points.

    >>> wall = np.full((64, 128), 2.0, np.float32)
    >>> wall[30, 50], wall[20, 20] = 9.0, np.inf  # seen through between points
    >>> bool((abs(filled(wall) - 2.0) < 1e-5).all())
    True
    """
    inverse, step = coarse(depth)
    fine = enlarged(inverse, step)
    with np.errstate(divide="ignore"):
        return np.where(fine > _TINY, np.float32(1.0) / np.maximum(fine, _TINY), np.float32(np.inf))


def coarse(depth: np.ndarray) -> tuple[np.ndarray, int]:
    """Inverse range (H / step, W / step) of a frame's surfaces, closed and smooth, and the step."""
    step = _step(depth.shape[1])
    sampled = depth[step // 2 :: step, step // 2 :: step]
    known = np.isfinite(sampled) & (sampled > 0)
    inverse = np.where(known, np.float32(1.0) / np.where(known, sampled, np.float32(1.0)), np.float32(0.0))
    inverse = _without_cracks(inverse)
    for _ in range(_CLOSINGS):
        inverse = _closed(inverse)
    for _ in range(_SMOOTHINGS):
        inverse = _smoothed(_smoothed(inverse, 1), 0)
    return inverse, step


def _step(width: int) -> int:
    """The largest divisor of half the width that leaves at least BASE pixels."""
    step = max(1, width // BASE)
    while (width // 2) % step:
        step -= 1
    return step


def _without_cracks(inverse: np.ndarray) -> np.ndarray:
    """The image with cracks up to three pixels wide closed, through which one sees between two parts of one surface.

    A part is two pixels thick at least: the gaps between thinner bars stay open.
    """
    padded = _padded(inverse, 3)
    height, width = inverse.shape
    result = inverse.copy()
    for axis in (0, 1):
        left, right = ([_shifted(padded, axis, 3 + step, height, width) for step in steps] for steps in _SIDES)
        least, most = np.minimum.reduce([*left, *right]), np.maximum.reduce([*left, *right])
        crack = np.nonzero((least * (1 - _JUMP) > inverse) & (most - least <= _JUMP * most))
        result[crack] = (least[crack] + most[crack]) / 2
    return result


def _shifted(padded: np.ndarray, axis: int, step: int, height: int, width: int) -> np.ndarray:
    """The image (height, width) out of what is padded by 3, shifted along an axis so that 3 is where it was."""
    down, right = (step, 3) if axis == 0 else (3, step)
    return padded[down : down + height, right : right + width]


def _closed(inverse: np.ndarray) -> np.ndarray:
    """Pixels that nearer ones shut in take their mean; so do those that are alone before farther ones."""
    count, behind = np.zeros(inverse.shape, np.int8), np.zeros(inverse.shape, np.int8)
    near, far = inverse * (1 + _JUMP) + _TINY, inverse * (1 - _JUMP)
    for other in _neighbours(inverse):
        count += other > near
        behind += other < far
    row, column = np.nonzero((count >= _SHUT_IN) | (behind == 8))
    around = np.stack([other[row, column] for other in _neighbours(inverse)])
    nearer, farther = around > near[row, column], (around < far[row, column]) & (around > 0)
    shut_in = count[row, column] >= _SHUT_IN
    meant = np.where(shut_in, nearer, farther)
    mean = (around * meant).sum(axis=0) / np.maximum(meant.sum(axis=0), 1)
    closed = inverse.copy()
    closed[row, column] = np.where(shut_in | farther.all(axis=0), mean, inverse[row, column])
    return closed


def _smoothed(inverse: np.ndarray, axis: int) -> np.ndarray:
    """Mean along an axis of those within _REACH pixels that lie on the same surface."""
    padded = _padded(inverse, _REACH)
    total, count = inverse.copy(), np.ones(inverse.shape, np.int8)
    height, width = inverse.shape
    tolerances = [inverse * (_JUMP * np.float32(away)) for away in range(1, _REACH + 1)]
    for side in (-1, 1):
        same: np.ndarray = np.ones(inverse.shape, np.bool_)
        for away in range(1, _REACH + 1):
            down, right = (_REACH + side * away, _REACH) if axis == 0 else (_REACH, _REACH + side * away)
            other = padded[down : down + height, right : right + width]
            apart = other - inverse
            np.abs(apart, out=apart)
            same &= apart <= tolerances[away - 1]
            total += np.multiply(other, same, out=apart)
            count += same
    return np.asarray(total / count, np.float32)


def enlarged(inverse: np.ndarray, step: int) -> np.ndarray:
    """Inverse range (h, w) at `step` times the size, (h step, w step) float32: smooth within surfaces, cut between.

    A pixel's neighbours of the coarse image fall into a near and a far surface where there is an edge among them; it
    belongs to the one that has more of its bilinear weights. The coarse image has pixels step // 2, 3 step // 2, ... of
    the fine one.
    """
    if step == 1:
        return inverse
    height, width = inverse.shape
    padded = _padded(inverse, 2)
    edge = _edge_cells(padded)
    out = np.empty((height * step, width * step), np.float32)
    for row in range(step):
        for column in range(step):
            top, low = divmod(row - step // 2, step)
            left, right = divmod(column - step // 2, step)
            out[row::step, column::step] = _between(padded, edge, (top, left), (low / step, right / step))
    return out


def _between(padded: np.ndarray, edge: np.ndarray, first: tuple[int, int], share: tuple[float, float]) -> np.ndarray:
    """Values between the pixels that are `first` from each pixel of (h, w) and the next ones, at shares of the way."""
    height, width = padded.shape[0] - 4, padded.shape[1] - 4
    down, across = np.float32(share[0]), np.float32(share[1])
    one = np.float32(1.0)
    corners = [
        padded[2 + first[0] + v : 2 + first[0] + v + height, 2 + first[1] + u : 2 + first[1] + u + width]
        for v in (0, 1)
        for u in (0, 1)
    ]
    weights = [(one - down) * (one - across), (one - down) * across, down * (one - across), down * across]
    value: np.ndarray = np.zeros((height, width), np.float32)
    for corner, weight in zip(corners, weights, strict=True):
        value += corner * weight
    cut = edge[1 + first[0] : 1 + first[0] + height, 1 + first[1] : 1 + first[1] + width]
    place = np.nonzero(cut)
    around = np.stack([corner[place] for corner in corners])
    value[place] = _decided(around, np.array(weights, np.float32)[:, None])
    return value


def _decided(around: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of four corners (4, n) that fall into two surfaces, the weighted mean of the heavier one."""
    middle = np.sqrt(around.max(axis=0) * around.min(axis=0))
    near = around > middle
    near_weight = (near * weights).sum(axis=0)
    chosen = np.where(near_weight > 0.5, near, ~near) * weights
    return np.asarray((chosen * around).sum(axis=0) / np.maximum(chosen.sum(axis=0), _TINY), np.float32)


def _edge_cells(padded: np.ndarray) -> np.ndarray:
    """Where the square of a pixel and its right, lower and diagonal neighbour has an edge; (h + 2, w + 2) bool.

    padded: (h + 4, w + 4), the image and two pixels round it.
    """
    across, down = _edges(padded), _edges(padded.T).T  # (h + 4, w + 1), (h + 1, w + 4): after pixels 1 ... of each row
    height, width = padded.shape[0] - 4, padded.shape[1] - 4
    cells = np.zeros((height + 2, width + 2), np.bool_)
    cells[:, : width + 1] |= across[1 : height + 3] | across[2 : height + 4]
    cells[: height + 1] |= down[:, 1 : width + 3] | down[:, 2 : width + 4]
    return cells


def _edges(padded: np.ndarray) -> np.ndarray:
    """Where a row tears between a pixel and the next: a jump much larger than one of those beside it."""
    jump = np.abs(np.diff(padded, axis=1))
    beside = np.minimum(jump[:, :-2], jump[:, 2:])
    larger = np.maximum(padded[:, 1:-2], padded[:, 2:-1])
    return np.asarray((jump[:, 1:-1] > _JUMP * larger) & (jump[:, 1:-1] > _STEEP * beside))


def _neighbours(values: np.ndarray) -> Iterator[np.ndarray]:
    padded = _padded(values, 1)
    height, width = values.shape
    for down in range(3):
        for right in range(3):
            if (down, right) != (1, 1):
                yield padded[down : down + height, right : right + width]


def _padded(values: np.ndarray, reach: int) -> np.ndarray:
    """The image with what lies beyond its seam and its poles."""
    rows = equirectangular.rows_over_poles(values, -reach, len(values) + reach)
    return np.pad(rows, ((0, 0), (reach, reach)), mode="wrap")

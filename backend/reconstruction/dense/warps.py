"""A capture compared with another that is warped onto it by a range, at the scale of whichever sees less.

Ten metres on, a road is seen five times smaller and slanted: a patch of one size in one picture tells nothing there. Of
each pixel the footprints in both pictures are compared, and both are read from pyramids where they are as coarse.
Whole pictures are warped and compared by zero-mean normalised cross-correlation of windows, as in plane sweeping
(Gallup et al., "Real-Time Plane-Sweeping Stereo with Multiple Sweeping Directions", CVPR 2007), so that a hypothesis
costs a few operations a pixel whatever the window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit

from pantheon360_blender.core.panorama import equirectangular

from ..edges import row_widths

_LEVELS = 4  # of a pyramid that the reference is compared at
_NARROWEST = 32  # pixels, of the coarsest level
_REACH = 3  # pixels from a window's centre to its side
_WIDEST = 8  # share of the width, as a divisor, that a window near a pole reaches
WINDOW = (2 * _REACH + 1) ** 2
"""Pixels of a window."""
_FEWEST = 9  # pixels of a window that both captures see
_NOISE = np.float32(2.0**2)  # variance in grey levels below which a window counts as plain


@dataclass(frozen=True, eq=False)
class Pyramid:
    """grey: a level each, (H, W) float32, half as wide as the one before. valid: (H, W) bool each."""

    grey: tuple[np.ndarray, ...]
    valid: tuple[np.ndarray, ...]


def pyramid(grey: np.ndarray, valid: np.ndarray) -> Pyramid:
    """grey: (H, W) float32, 0..255. valid: (H, W) bool."""
    greys, valids = [grey.astype(np.float32)], [valid]
    while greys[-1].shape[1] % 4 == 0 and greys[-1].shape[1] // 2 >= _NARROWEST:
        greys.append(_halved(greys[-1]).astype(np.float32))
        valids.append(_halved(valids[-1].astype(np.float32)) > 0.99)
    return Pyramid(tuple(greys), tuple(valids))


def _halved(values: np.ndarray) -> np.ndarray:
    height, width = values.shape
    return np.asarray(values.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)))


@dataclass(frozen=True, eq=False)
class Likeness:
    """How a warped capture compares with the reference, (H, W) float32 each.

    correlation: -1 to 1, 0 where nothing is to be seen, NaN where the other capture does not see it. texture: standard
    deviation of the reference in the window, grey levels, at the scale at which both were compared. scale: how many
    times larger the other capture sees it, as a length.
    """

    correlation: np.ndarray
    texture: np.ndarray
    scale: np.ndarray


def likeness(
    here: Pyramid, there: Pyramid, active: np.ndarray, planes: np.ndarray, rotation: np.ndarray, offset: np.ndarray
) -> Likeness:
    """Compare two captures of one width, of which the second is warped by the planes of the first's pixels.

    active: (H, W) bool, what counts of the first. planes: (H, W, 3), or (3,) for all pixels, X . m = 1 in its frame.
    rotation (3, 3), offset (3,): X_there = R X + t.
    """
    width = active.shape[1]
    rotation, offset = rotation.astype(np.float32), offset.astype(np.float32)
    correlation = np.full(active.shape, np.nan, np.float32)
    texture = np.zeros(active.shape, np.float32)
    scale = np.zeros(active.shape, np.float32)
    for level in range(min(_LEVELS, len(here.grey))):
        step = 2**level
        rays = _directions(width // step)
        own = planes if planes.ndim == 1 else planes[step // 2 :: step, step // 2 :: step]
        each = np.broadcast_to(own.astype(np.float32), rays.shape)
        counted = active[step // 2 :: step, step // 2 :: step] & here.valid[level]
        values, usable, scales = _warped(
            there.grey, there.valid, np.ascontiguousarray(each), rays, counted, rotation, offset, np.float32(step)
        )
        found, spread = _correlated(here.grey[level], values, usable, _reaches(len(rays), width // step))
        if level == 0:
            scale = scales
            wanted = np.clip(np.round(np.log2(1 / np.clip(scale, 1e-3, 1e3))), 0, min(_LEVELS, len(here.grey)) - 1)
        chosen = (wanted == level) & active
        correlation[chosen] = _repeated(found, step)[chosen]
        texture[chosen] = _repeated(spread, step)[chosen]
    return Likeness(correlation, texture, scale)


@lru_cache(maxsize=8)
def _directions(width: int) -> np.ndarray:
    return np.asarray(equirectangular.directions(width), np.float32)


def _repeated(values: np.ndarray, step: int) -> np.ndarray:
    return np.asarray(values if step == 1 else values.repeat(step, axis=0).repeat(step, axis=1))


def _reaches(height: int, width: int) -> np.ndarray:
    """Pixels from a window's centre to its side in each row, (H,) int64: pixels are narrow near the poles."""
    return np.asarray(np.minimum(np.round(_REACH / row_widths(height)), width // _WIDEST), np.int64)


@njit(cache=True, nogil=True)
def _warped(
    greys: Sequence[np.ndarray],
    valids: Sequence[np.ndarray],
    planes: np.ndarray,
    rays: np.ndarray,
    active: np.ndarray,
    rotation: np.ndarray,
    offset: np.ndarray,
    pixel: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The other capture as seen from here, whether it sees each pixel, and how many times larger.

    pixel: size of the pixels here, in pixels of the other's finest level.
    """
    height, width = active.shape
    values = np.zeros((height, width), np.float32)
    usable = np.zeros((height, width), np.bool_)
    scales = np.zeros((height, width), np.float32)
    for v in range(height):
        for u in range(width):
            m0, m1, m2 = planes[v, u, 0], planes[v, u, 1], planes[v, u, 2]
            r0, r1, r2 = rays[v, u, 0], rays[v, u, 1], rays[v, u, 2]
            rho = m0 * r0 + m1 * r1 + m2 * r2
            if not active[v, u] or rho <= 0:
                continue
            x = rotation[0, 0] * r0 + rotation[0, 1] * r1 + rotation[0, 2] * r2 + offset[0] * rho
            y = rotation[1, 0] * r0 + rotation[1, 1] * r1 + rotation[1, 2] * r2 + offset[1] * rho
            z = rotation[2, 0] * r0 + rotation[2, 1] * r1 + rotation[2, 2] * r2 + offset[2] * rho
            length = math.sqrt(x * x + y * y + z * z)
            # 1 - m . C: how far the other stands from the plane, of how far this capture does; C = -R^T t
            away = np.float32(1)
            for c in range(3):
                m = m0 if c == 0 else (m1 if c == 1 else m2)
                along = rotation[0, c] * offset[0] + rotation[1, c] * offset[1] + rotation[2, c] * offset[2]
                away += m * along
            if away <= np.float32(0.02) or length < np.float32(1e-4):
                continue  # it stands on the plane or behind it
            scale = math.sqrt(away / length) / length
            scales[v, u] = scale
            spacing = scale * pixel
            level = min(max(int(math.log2(max(float(spacing), 1.0)) + 0.5), 0), len(greys) - 1)
            grey, valid = greys[level], valids[level]
            rows, columns = grey.shape
            across = (math.atan2(x, -z) / (2 * math.pi) + 0.5) * columns - 0.5
            down = (0.5 - math.asin(min(max(y / length, -1.0), 1.0)) / math.pi) * rows - 0.5
            left = math.floor(across)
            top = math.floor(down)
            fu, fv = np.float32(across - left), np.float32(down - top)
            left, right = left % columns, (left + 1) % columns
            low = min(max(top + 1, 0), rows - 1)
            top = min(max(top, 0), rows - 1)
            if not valid[top, left]:
                continue
            upper = grey[top, left] + fu * (grey[top, right] - grey[top, left])
            lower = grey[low, left] + fu * (grey[low, right] - grey[low, left])
            values[v, u] = upper + fv * (lower - upper)
            usable[v, u] = True
    return values, usable, scales


@njit(cache=True, nogil=True)
def _correlated(
    here: np.ndarray, there: np.ndarray, usable: np.ndarray, reaches: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of windows, NaN where the middle is not usable, and the reference's deviation in them."""
    height, width = here.shape
    correlation = np.full((height, width), np.float32(np.nan))
    texture = np.zeros((height, width), np.float32)
    columns = np.zeros((6, width))  # sums over the windows' rows
    running = np.zeros((6, 2 * width + 1))  # sums of these from the left, twice round
    for v in range(-_REACH, height):
        _add_row(columns, here, there, usable, v + _REACH, 1.0)
        _add_row(columns, here, there, usable, v - _REACH - 1, -1.0)
        if v < 0:
            continue
        for k in range(6):
            total = 0.0
            for u in range(2 * width):
                total += columns[k, u if u < width else u - width]
                running[k, u + 1] = total
        reach = reaches[v]
        for u in range(width):
            if not usable[v, u]:
                continue
            first = u - reach if u >= reach else u - reach + width
            last = first + 2 * reach + 1
            count = running[0, last] - running[0, first]
            if count < _FEWEST:
                continue
            a = (running[1, last] - running[1, first]) / count
            b = (running[2, last] - running[2, first]) / count
            one = max((running[3, last] - running[3, first]) / count - a * a, 0.0)
            other = max((running[4, last] - running[4, first]) / count - b * b, 0.0)
            both = (running[5, last] - running[5, first]) / count - a * b
            correlation[v, u] = both / math.sqrt((one + _NOISE) * (other + _NOISE))
            texture[v, u] = math.sqrt(one)
    return correlation, texture


@njit(cache=True, nogil=True)
def _add_row(
    columns: np.ndarray, here: np.ndarray, there: np.ndarray, usable: np.ndarray, row: int, sign: float
) -> None:
    if row < 0 or row >= len(here):
        return
    for u in range(here.shape[1]):
        if usable[row, u]:
            a, b = sign * here[row, u], sign * there[row, u]
            columns[0, u] += sign
            columns[1, u] += a
            columns[2, u] += b
            columns[3, u] += a * here[row, u]
            columns[4, u] += b * there[row, u]
            columns[5, u] += a * there[row, u]

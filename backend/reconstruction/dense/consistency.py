"""Which estimated points the other panoramas confirm and which they deny."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from .matching import pixel_of, to_reference, to_source


@njit(cache=True, parallel=True)
def confirmations(
    inverse_range: np.ndarray,
    rays: np.ndarray,
    others: np.ndarray,
    rotations: np.ndarray,
    offsets: np.ndarray,
    focal: float,
    pixels: float,
    relative: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Compare a range map with the maps of S other panoramas.

    inverse_range: (H, W), 0 if unknown. rays: (H, W, 3). others: (S, H, W) inverse ranges. rotations (S, 3, 3),
    offsets (S, 3): X_other = R X + t. focal: pixels per radian.
    A panorama confirms a point if its own point there lies within `relative` of the range and, carried back, within
    `pixels`. It denies a point that it looks through: its own point there lies clearly behind.
    Returns how many confirm and how many deny each point, (H, W) int32.
    """
    height, width = inverse_range.shape
    agree = np.zeros((height, width), np.int32)
    deny = np.zeros((height, width), np.int32)
    for v in prange(height):
        for u in range(width):
            rho = inverse_range[v, u]
            if rho <= 0:
                continue
            ray = rays[v, u]
            for s in range(len(offsets)):
                rotation, offset = rotations[s], offsets[s]
                x, y, z = to_source(rotation, offset, ray[0], ray[1], ray[2], rho)
                length = math.sqrt(x * x + y * y + z * z)
                if length <= 0:
                    continue
                x, y, z = x / length, y / length, z / length
                row, column = pixel_of(x, y, z, height, width)
                expected = rho / length  # inverse range of the point as the other panorama measures it
                found = False
                seen_behind = False
                for dv in range(-1, 2):
                    for du in range(-1, 2):
                        nv, nu = row + dv, (column + du) % width
                        if nv < 0 or nv >= height:
                            continue
                        there = others[s, nv, nu]
                        if there <= 0:
                            continue
                        if dv == 0 and du == 0 and there < 0.9 * expected:
                            seen_behind = True
                        # the point the other panorama has, on the ray towards ours, back in the reference
                        bx, by, bz = to_reference(rotation, offset, x, y, z, there)
                        size = math.sqrt(bx * bx + by * by + bz * bz)
                        along = bx * ray[0] + by * ray[1] + bz * ray[2]
                        if along <= 0:
                            continue
                        apart = math.sqrt(max(size * size - along * along, 0.0)) / along * focal
                        away = abs(there - expected) / expected
                        if apart <= pixels and away <= relative:
                            found = True
                if found:
                    agree[v, u] += 1
                elif seen_behind:
                    deny[v, u] += 1
    return agree, deny

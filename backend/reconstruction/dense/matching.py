"""Photometric and geometric cost of a plane seen by several panoramas.

A surface is a plane X . m = 1 in the reference camera's frame: m is its normal over its distance, and m . r is the
inverse range along the unit direction r, so that planes pass between pixels, resolutions and poles unchanged.

The patch around a pixel is a grid on the tangent plane of its direction. A plane carries it into a source panorama by a
3x3 homography; it is compared by zero-mean normalised cross-correlation with bilateral weights, which ignores exposure
and keeps to the surface of the centre pixel (Schoenberger et al., "Pixelwise View Selection for Unstructured
Multi-View Stereo", ECCV 2016). Sources are aggregated softly towards the best, so that occlusion in some is forgiven.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from .cube_map import AXES, GREY

RADIUS = 2
"""The patch is a grid of (2 RADIUS + 1)^2 samples."""

_SIDE = 2 * RADIUS + 1
COUNT = _SIDE * _SIDE
NO_MATCH = np.float32(1.2)
"""Cost where no source can judge a plane."""

_ACROSS = np.array([k % _SIDE - RADIUS for k in range(COUNT)], np.float32)
_DOWN = np.array([k // _SIDE - RADIUS for k in range(COUNT)], np.float32)
_NEARNESS = np.hypot(_ACROSS, _DOWN) / np.float32(2 * RADIUS)  # the least loss of a sample's weight, as an exponent
_LOW, _BITS, _GREY = np.uint32(0xFFFF), np.uint32(16), np.float32(1 / GREY)

_NOISE = np.float32(2.0**2)  # variance in grey levels below which a patch counts as plain
_COLOUR_SCALE = np.float32(20.0)  # grey levels at which a patch sample loses e-fold weight; steeper farther off
_SOFTNESS = np.float32(0.25)  # costs this far above the best source's count little
_AGREEMENT = np.float32(0.15)  # share of the plain mean, which asks all sources to agree
_LARGEST_SHIFT = np.float32(3.0)  # pixels of forward-backward error at which the geometric cost saturates


class Sources(NamedTuple):
    """What the reference is matched against; S sources. All float32 unless said otherwise.

    faces: (S * 6 * F * F,) uint32, of CubeMaps, flat. size: F, int. valid: (S, 6, F, F) bool.
    rotation: (S, 3, 3), offset: (S, 3): X_source = R X + t. focal: of all cube maps.
    inverse_range: (S, H, W) of the sources' last estimate, 0 if unknown. geometric: weight of agreement with them.
    plain: 1 where plain on plain is a match and plain on textured is none, 0 where plain surfaces tell nothing.
    """

    faces: np.ndarray
    size: int
    valid: np.ndarray
    rotation: np.ndarray
    offset: np.ndarray
    inverse_range: np.ndarray
    focal: np.float32
    geometric: np.float32
    plain: np.float32


class Patch(NamedTuple):
    """A patch as it is looked up; (COUNT,) each.

    weights, weighted: of the reference, see reference_patch. values: grey. across, down, place: where it lies between
    pixels, and beside which. upper, lower: pairs of pixels there.
    """

    weights: np.ndarray
    weighted: np.ndarray
    values: np.ndarray
    across: np.ndarray
    down: np.ndarray
    place: np.ndarray
    upper: np.ndarray
    lower: np.ndarray


class Bench(NamedTuple):
    """What a thread works on and with: a pixel's patch, and scratch for cost_of.

    frame: (3, 3) see `tangent`. turned: (S, 3, 3) the same in the sources' frames. told: (2,) variance and mean of the
    patch. moved: (S,) what disagreement with each source adds. h: (3, 3). costs: (S,).
    """

    frame: np.ndarray
    turned: np.ndarray
    patch: Patch
    told: np.ndarray
    moved: np.ndarray
    h: np.ndarray
    costs: np.ndarray


@njit(cache=True, inline="always")
def face_of(x: float, y: float, z: float) -> int:
    """Index of the cube face which a direction meets."""
    ax, ay, az = abs(x), abs(y), abs(z)
    if az >= ax and az >= ay:
        return 0 if z < 0 else 2
    if ax >= ay:
        return 1 if x > 0 else 3
    return 4 if y > 0 else 5


@njit(cache=True, inline="always")
def to_source(
    rotation: np.ndarray, offset: np.ndarray, x: float, y: float, z: float, rho: float
) -> tuple[float, float, float]:
    """R (x, y, z) + rho t: the direction in the source of what lies at inverse range rho, times its range ratio."""
    return (
        rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z + offset[0] * rho,
        rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z + offset[1] * rho,
        rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z + offset[2] * rho,
    )


@njit(cache=True, inline="always")
def to_reference(
    rotation: np.ndarray, offset: np.ndarray, x: float, y: float, z: float, rho: float
) -> tuple[float, float, float]:
    """The same from the source to the reference: R^T ((x, y, z) - rho t)."""
    p, q, r = x - offset[0] * rho, y - offset[1] * rho, z - offset[2] * rho
    return (
        rotation[0, 0] * p + rotation[1, 0] * q + rotation[2, 0] * r,
        rotation[0, 1] * p + rotation[1, 1] * q + rotation[2, 1] * r,
        rotation[0, 2] * p + rotation[1, 2] * q + rotation[2, 2] * r,
    )


@njit(cache=True, inline="always")
def pixel_of(x: float, sine: float, z: float, height: int, width: int) -> tuple[int, int]:
    """Row and column of the pixel that a direction falls in; sine: of its elevation, its y over its length."""
    column = int((math.atan2(x, -z) / (2 * math.pi) + 0.5) * width) % width
    row = min(max(int((0.5 - math.asin(min(max(sine, -1.0), 1.0)) / math.pi) * height), 0), height - 1)
    return row, column


@njit(cache=True)
def tangent(ray: np.ndarray, frame: np.ndarray) -> None:
    """Fill `frame` (3, 3) with columns right, down, `ray`: an orthonormal frame of the tangent plane."""
    x, y, z = ray[0], ray[1], ray[2]
    if abs(y) < 0.9:
        ex, ey, ez = -z, np.float32(0), x
    else:
        ex, ey, ez = np.float32(0), z, -y
    length = math.sqrt(ex * ex + ey * ey + ez * ez)
    ex, ey, ez = ex / length, ey / length, ez / length
    frame[0, 0], frame[1, 0], frame[2, 0] = ex, ey, ez
    frame[0, 1] = y * ez - z * ey
    frame[1, 1] = z * ex - x * ez
    frame[2, 1] = x * ey - y * ex
    frame[0, 2], frame[1, 2], frame[2, 2] = x, y, z


@njit(cache=True, _nrt=False, error_model="numpy")
def on_face(h: np.ndarray, size: int, focal: float, reach: float) -> bool:
    """Whether a patch, carried by homography h (3, 3), lies on a cube face of `size` pixels.

    reach: from the patch's centre to its side. Where its corners lie in front and on the face all of it does.
    """
    centre = np.float32((size - 1) * 0.5)
    last = np.float32(size - 1.001)
    for corner in range(4):
        a = reach if corner % 2 else -reach
        b = reach if corner // 2 else -reach
        z = h[2, 0] * a + h[2, 1] * b + h[2, 2]
        if z <= np.float32(1e-6):
            return False
        u = (h[0, 0] * a + h[0, 1] * b + h[0, 2]) * focal / z + centre
        v = (h[1, 0] * a + h[1, 1] * b + h[1, 2]) * focal / z + centre
        if not (u >= 0 and v >= 0 and u < last and v < last):
            return False
    return True


@njit(cache=True, _nrt=False, error_model="numpy")
def look_up(pairs: np.ndarray, first: int, size: int, h: np.ndarray, focal: float, step: float, patch: Patch) -> None:
    """Sample a face at the patch grid through homography h (3, 3), which keeps the patch on the face.

    pairs: of all faces, see CubeMap, one after the other; this one has `size` x `size` of them from `first` on.
    In three passes, of which processors do the first and the last for eight samples at once.
    """
    centre = np.float32((size - 1) * 0.5)
    x0, xa, xb = h[0, 2] * focal, h[0, 0] * focal * step, h[0, 1] * focal * step
    y0, ya, yb = h[1, 2] * focal, h[1, 0] * focal * step, h[1, 1] * focal * step
    z0, za, zb = h[2, 2], h[2, 0] * step, h[2, 1] * step
    for k in range(COUNT):
        a, b = _ACROSS[k], _DOWN[k]
        inverse = np.float32(1) / (z0 + za * a + zb * b)
        u = (x0 + xa * a + xb * b) * inverse + centre
        v = (y0 + ya * a + yb * b) * inverse + centre
        iu, iv = np.int32(u), np.int32(v)
        patch.across[k] = u - np.float32(iu)
        patch.down[k] = v - np.float32(iv)
        patch.place[k] = np.int32(iv * size + iu)
    for k in range(COUNT):
        place = np.uint32(first + patch.place[k])  # unsigned: numba lets negative places count from the end
        patch.upper[k] = pairs[place]
        patch.lower[k] = pairs[place + np.uint32(size)]
    for k in range(COUNT):
        upper, lower, across = patch.upper[k], patch.lower[k], patch.across[k]
        left = np.float32(np.int32(upper & _LOW))
        top = left + across * (np.float32(np.int32(upper >> _BITS)) - left)
        left = np.float32(np.int32(lower & _LOW))
        low = left + across * (np.float32(np.int32(lower >> _BITS)) - left)
        patch.values[k] = (top + patch.down[k] * (low - top)) * _GREY


@njit(cache=True, _nrt=False, error_model="numpy")
def reference_patch(
    pairs: np.ndarray, size: int, focal: float, step: float, frame: np.ndarray, h: np.ndarray, patch: Patch
) -> tuple[float, float]:
    """Fill weights, whose sum is 1, and their product with the reference's values about their mean.

    pairs: of its cube map, flat, whose faces have `size` pixels. frame: the pixel's. h: scratch, (3, 3).
    Returns the variance and the mean, both weighted. A patch that leaves its face is flat, variance 0, and tells
    nothing.
    """
    index = face_of(frame[0, 2], frame[1, 2], frame[2, 2])
    for r in range(3):
        for c in range(3):
            h[r, c] = (
                AXES[index, r, 0] * frame[0, c] + AXES[index, r, 1] * frame[1, c] + AXES[index, r, 2] * frame[2, c]
            )
    values, weights, weighted = patch.values, patch.weights, patch.weighted
    if not on_face(h, size, focal, np.float32(RADIUS) * step):  # so coarse that it is wider than a face's rim
        for k in range(COUNT):
            weights[k] = np.float32(1) / np.float32(COUNT)
            weighted[k] = np.float32(0)
        return np.float32(0), np.float32(0)
    look_up(pairs, index * size * size, size, h, focal, step, patch)
    middle = values[COUNT // 2]
    total = np.float32(0)
    mean = np.float32(0)
    for k in range(COUNT):
        away = (values[k] - middle) / _COLOUR_SCALE
        weight = math.exp(-away * away - _NEARNESS[k])
        weights[k] = weight
        total += weight
        mean += weight * values[k]
    mean /= total
    variance = np.float32(0)
    for k in range(COUNT):
        weights[k] /= total
        weighted[k] = weights[k] * (values[k] - mean)
        variance += weighted[k] * (values[k] - mean)
    return variance, mean


@njit(cache=True, _nrt=False, error_model="numpy")
def compared(patch: Patch, mean: float) -> tuple[float, float]:
    """Weighted variance of a source's patch, and its weighted covariance with the reference's.

    mean: of the reference; about it squares lose no digits.
    """
    values, weights, weighted = patch.values, patch.weights, patch.weighted
    first = np.float32(0)
    second = np.float32(0)
    common = np.float32(0)
    for k in range(COUNT):
        value = values[k] - mean
        first += weights[k] * value
        second += weights[k] * value * value
        common += weighted[k] * value
    return max(second - first * first, np.float32(0)), common


@njit(cache=True, _nrt=False, error_model="numpy")
def cost_of(m0: float, m1: float, m2: float, sources: Sources, step: float, bench: Bench) -> float:
    """Cost of plane m for the pixel whose patch is on the bench; 0 is perfect, 1 tells nothing.

    No array is taken apart into others here: each would be counted by all threads.
    """
    frame, turned, h, costs, patch = bench.frame, bench.turned, bench.h, bench.costs, bench.patch
    variance, mean = bench.told[0], bench.told[1]
    rho = m0 * frame[0, 2] + m1 * frame[1, 2] + m2 * frame[2, 2]
    along_a = m0 * frame[0, 0] + m1 * frame[1, 0] + m2 * frame[2, 0]
    along_b = m0 * frame[0, 1] + m1 * frame[1, 1] + m2 * frame[2, 1]
    used = 0
    least = np.float32(9)
    size = sources.size
    centre = np.float32((size - 1) * 0.5)
    offset = sources.offset
    for s in range(offset.shape[0]):
        index = face_of(
            turned[s, 0, 2] + offset[s, 0] * rho,
            turned[s, 1, 2] + offset[s, 1] * rho,
            turned[s, 2, 2] + offset[s, 2] * rho,
        )
        for c in range(3):
            n = along_a if c == 0 else (along_b if c == 1 else rho)
            p = turned[s, 0, c] + offset[s, 0] * n
            q = turned[s, 1, c] + offset[s, 1] * n
            r = turned[s, 2, c] + offset[s, 2] * n
            h[0, c] = AXES[index, 0, 0] * p + AXES[index, 0, 1] * q + AXES[index, 0, 2] * r
            h[1, c] = AXES[index, 1, 0] * p + AXES[index, 1, 1] * q + AXES[index, 1, 2] * r
            h[2, c] = AXES[index, 2, 0] * p + AXES[index, 2, 1] * q + AXES[index, 2, 2] * r
        if h[2, 2] <= np.float32(1e-6):
            continue
        u = int(sources.focal * h[0, 2] / h[2, 2] + centre + np.float32(0.5))
        v = int(sources.focal * h[1, 2] / h[2, 2] + centre + np.float32(0.5))
        if u < 0 or v < 0 or u >= size or v >= size or not sources.valid[s, index, v, u]:
            continue
        if not on_face(h, size, sources.focal, np.float32(RADIUS) * step):
            continue
        look_up(sources.faces, (s * 6 + index) * size * size, size, h, sources.focal, step, patch)
        spread, common = compared(patch, mean)
        cost = np.float32(1) - (common + sources.plain * _NOISE) / math.sqrt((variance + _NOISE) * (spread + _NOISE))
        cost = min(cost, NO_MATCH) + bench.moved[s]
        costs[used] = cost
        used += 1
        least = min(least, cost)
    if used == 0:
        return NO_MATCH
    total = np.float32(0)
    summed = np.float32(0)
    mean_cost = np.float32(0)
    for s in range(used):
        d = (costs[s] - least) / _SOFTNESS
        w = math.exp(-d)
        total += w
        summed += w * costs[s]
        mean_cost += min(costs[s], np.float32(1))
    return (np.float32(1) - _AGREEMENT) * summed / total + _AGREEMENT * mean_cost / np.float32(used)


@njit(cache=True)
def shift(
    x: float,
    y: float,
    z: float,
    frame: np.ndarray,
    inverse_range: np.ndarray,
    rotation: np.ndarray,
    offset: np.ndarray,
    focal: float,
) -> float:
    """Forward-backward error of a direction (x, y, z) in the source: 0 to 1 = _LARGEST_SHIFT pixels or unknown."""
    height, width = inverse_range.shape
    length = math.sqrt(x * x + y * y + z * z)
    v, u = pixel_of(x, y / length, z, height, width)
    there = inverse_range[v, u]
    if there <= 0:
        return np.float32(1)
    scale = np.float32(1) / length
    bx, by, bz = to_reference(rotation, offset, x * scale, y * scale, z * scale, there)
    size = math.sqrt(bx * bx + by * by + bz * bz)
    along_a = bx * frame[0, 0] + by * frame[1, 0] + bz * frame[2, 0]
    along_b = bx * frame[0, 1] + by * frame[1, 1] + bz * frame[2, 1]
    along = bx * frame[0, 2] + by * frame[1, 2] + bz * frame[2, 2]
    if along <= 0.5 * size:
        return np.float32(1)
    pixels = focal * math.sqrt(along_a * along_a + along_b * along_b) / along
    return np.float32(min(pixels / _LARGEST_SHIFT, np.float32(1)))


@njit(cache=True)
def bench_for(sources: Sources) -> Bench:
    count = sources.offset.shape[0]
    return Bench(
        np.empty((3, 3), np.float32),
        np.empty((count, 3, 3), np.float32),
        empty_patch(),
        np.empty(2, np.float32),
        np.zeros(count, np.float32),
        np.empty((3, 3), np.float32),
        np.empty(count, np.float32),
    )


@njit(cache=True)
def empty_patch() -> Patch:
    return Patch(
        np.empty(COUNT, np.float32),
        np.empty(COUNT, np.float32),
        np.empty(COUNT, np.float32),
        np.empty(COUNT, np.float32),
        np.empty(COUNT, np.float32),
        np.empty(COUNT, np.int32),
        np.empty(COUNT, np.uint32),
        np.empty(COUNT, np.uint32),
    )


@njit(cache=True, error_model="numpy")
def lay(bench: Bench, pairs: np.ndarray, ray: np.ndarray, sources: Sources, step: float) -> float:
    """Put the patch around `ray` on the bench, of the reference whose cube map has these `pairs`; its variance."""
    frame, rotation = bench.frame, sources.rotation
    tangent(ray, frame)
    variance, mean = reference_patch(pairs, sources.size, sources.focal, step, frame, bench.h, bench.patch)
    bench.told[0], bench.told[1] = variance, mean
    for s in range(len(rotation)):
        for r in range(3):
            for c in range(3):
                bench.turned[s, r, c] = (
                    rotation[s, r, 0] * frame[0, c] + rotation[s, r, 1] * frame[1, c] + rotation[s, r, 2] * frame[2, c]
                )
        if sources.geometric > 0:  # of the reference's ray, not of its place in the source: a change is to be measured
            bench.moved[s] = sources.geometric * shift(
                ray[0], ray[1], ray[2], frame, sources.inverse_range[s], rotation[s], sources.offset[s], sources.focal
            )
    return variance

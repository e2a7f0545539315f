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

from .cube_map import AXES

RADIUS = 2
"""The patch is a grid of (2 RADIUS + 1)^2 samples."""

_SIDE = 2 * RADIUS + 1
COUNT = _SIDE * _SIDE
NO_MATCH = np.float32(1.2)
"""Cost where no source can judge a plane."""

_NOISE = np.float32(2.0**2)  # variance in grey levels below which a patch counts as plain
_COLOUR_SCALE = np.float32(20.0)  # grey levels at which a patch sample loses e-fold weight; steeper farther off
_SOFTNESS = np.float32(0.25)  # costs this far above the best source's count little
_AGREEMENT = np.float32(0.15)  # share of the plain mean, which asks all sources to agree
_LARGEST_SHIFT = np.float32(3.0)  # pixels of forward-backward error at which the geometric cost saturates


class Sources(NamedTuple):
    """What the reference is matched against; S sources. All float32 unless said otherwise.

    faces: (S, 6, F, F) grey. valid: (S, 6, F, F) bool. rotation: (S, 3, 3), offset: (S, 3): X_source = R X + t.
    inverse_range: (S, H, W) of the sources' last estimate, 0 if unknown. geometric: weight of agreement with them.
    plain: 1 where plain on plain is a match and plain on textured is none, 0 where plain surfaces tell nothing.
    """

    faces: np.ndarray
    valid: np.ndarray
    rotation: np.ndarray
    offset: np.ndarray
    inverse_range: np.ndarray
    focal: np.float32
    geometric: np.float32
    plain: np.float32


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


@njit(cache=True)
def look_up(face: np.ndarray, h: np.ndarray, focal: float, step: float, out: np.ndarray) -> bool:
    """Sample a face at the patch grid through homography h (3, 3); False where the patch leaves the face."""
    size = face.shape[0]
    centre = np.float32((size - 1) * 0.5)
    last = np.float32(size - 1.001)
    k = 0
    for j in range(-RADIUS, RADIUS + 1):
        b = np.float32(j) * step
        x0 = h[0, 1] * b + h[0, 2]
        y0 = h[1, 1] * b + h[1, 2]
        z0 = h[2, 1] * b + h[2, 2]
        for i in range(-RADIUS, RADIUS + 1):
            a = np.float32(i) * step
            z = z0 + h[2, 0] * a
            if z <= np.float32(1e-6):
                return False
            inverse = focal / z
            u = (x0 + h[0, 0] * a) * inverse + centre
            v = (y0 + h[1, 0] * a) * inverse + centre
            if not (u >= 0 and v >= 0 and u < last and v < last):
                return False
            iu, iv = int(u), int(v)
            fu, fv = u - np.float32(iu), v - np.float32(iv)
            top = face[iv, iu] + fu * (face[iv, iu + 1] - face[iv, iu])
            low = face[iv + 1, iu] + fu * (face[iv + 1, iu + 1] - face[iv + 1, iu])
            out[k] = top + fv * (low - top)
            k += 1
    return True


@njit(cache=True)
def reference_patch(
    faces: np.ndarray, frame: np.ndarray, focal: float, step: float, values: np.ndarray, weights: np.ndarray
) -> float:
    """Fill the reference's patch: values (COUNT,) with zero weighted mean, weights with sum 1. Returns the variance.

    A patch that leaves its face is flat, variance 0: it tells nothing.
    """
    index = face_of(frame[0, 2], frame[1, 2], frame[2, 2])
    h = np.empty((3, 3), np.float32)
    for r in range(3):
        for c in range(3):
            axis = AXES[index, r]
            h[r, c] = axis[0] * frame[0, c] + axis[1] * frame[1, c] + axis[2] * frame[2, c]
    if not look_up(faces[index], h, focal, step, values):  # so coarse that the patch is wider than a face's rim
        values[:] = np.float32(0)
        weights[:] = np.float32(1) / np.float32(COUNT)
        return np.float32(0)
    middle = values[COUNT // 2]
    total = np.float32(0)
    mean = np.float32(0)
    for k in range(COUNT):
        j, i = k // _SIDE - RADIUS, k % _SIDE - RADIUS
        near = math.sqrt(np.float32(i * i + j * j)) / np.float32(2 * RADIUS)
        away = (values[k] - middle) / _COLOUR_SCALE
        weight = math.exp(-away * away - near)
        weights[k] = weight
        total += weight
        mean += weight * values[k]
    mean /= total
    variance = np.float32(0)
    for k in range(COUNT):
        weights[k] /= total
        values[k] -= mean
        variance += weights[k] * values[k] * values[k]
    return variance


@njit(cache=True)
def plane_cost(
    m0: float,
    m1: float,
    m2: float,
    frame: np.ndarray,
    values: np.ndarray,
    weights: np.ndarray,
    variance: float,
    sources: Sources,
    step: float,
    h: np.ndarray,
    other: np.ndarray,
    costs: np.ndarray,
) -> float:
    """Cost of plane m for the pixel whose tangent frame, patch and variance are given; 0 is perfect, 1 tells nothing.

    h, other, costs: scratch (3, 3), (COUNT,), (S,).
    """
    rho = m0 * frame[0, 2] + m1 * frame[1, 2] + m2 * frame[2, 2]
    along_a = m0 * frame[0, 0] + m1 * frame[1, 0] + m2 * frame[2, 0]
    along_b = m0 * frame[0, 1] + m1 * frame[1, 1] + m2 * frame[2, 1]
    used = 0
    least = np.float32(9)
    for s in range(sources.offset.shape[0]):
        rotation, offset = sources.rotation[s], sources.offset[s]
        x, y, z = to_source(rotation, offset, frame[0, 2], frame[1, 2], frame[2, 2], rho)
        index = face_of(x, y, z)
        axes = AXES[index]
        for c in range(3):
            n = along_a if c == 0 else (along_b if c == 1 else rho)
            p, q, r = to_source(rotation, offset, frame[0, c], frame[1, c], frame[2, c], n)
            h[0, c] = axes[0, 0] * p + axes[0, 1] * q + axes[0, 2] * r
            h[1, c] = axes[1, 0] * p + axes[1, 1] * q + axes[1, 2] * r
            h[2, c] = axes[2, 0] * p + axes[2, 1] * q + axes[2, 2] * r
        if h[2, 2] <= np.float32(1e-6):
            continue
        size = sources.faces.shape[2]
        centre = np.float32((size - 1) * 0.5)
        u = int(sources.focal * h[0, 2] / h[2, 2] + centre + np.float32(0.5))
        v = int(sources.focal * h[1, 2] / h[2, 2] + centre + np.float32(0.5))
        if u < 0 or v < 0 or u >= size or v >= size or not sources.valid[s, index, v, u]:
            continue
        if not look_up(sources.faces[s, index], h, sources.focal, step, other):
            continue
        mean = np.float32(0)
        for k in range(COUNT):
            mean += weights[k] * other[k]
        spread = np.float32(0)
        common = np.float32(0)
        for k in range(COUNT):
            difference = other[k] - mean
            spread += weights[k] * difference * difference
            common += weights[k] * difference * values[k]
        cost = np.float32(1) - (common + sources.plain * _NOISE) / math.sqrt((variance + _NOISE) * (spread + _NOISE))
        cost = min(cost, NO_MATCH)
        if sources.geometric > 0:  # of the reference's ray, not of (x, y, z) as meant: a change is to be measured first
            cost += sources.geometric * shift(
                frame[0, 2], frame[1, 2], frame[2, 2], frame, sources.inverse_range[s], rotation, offset, sources.focal
            )
        costs[used] = cost
        used += 1
        least = min(least, cost)
    if used == 0:
        return NO_MATCH
    total = np.float32(0)
    weighted = np.float32(0)
    mean_cost = np.float32(0)
    for s in range(used):
        d = (costs[s] - least) / _SOFTNESS
        w = math.exp(-d)
        total += w
        weighted += w * costs[s]
        mean_cost += min(costs[s], np.float32(1))
    return (np.float32(1) - _AGREEMENT) * weighted / total + _AGREEMENT * mean_cost / np.float32(used)


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


class Bench(NamedTuple):
    """What a thread works on and with: the patch of its pixel, and scratch for plane_cost."""

    frame: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    h: np.ndarray
    other: np.ndarray
    costs: np.ndarray


@njit(cache=True)
def bench_for(sources: Sources) -> Bench:
    return Bench(
        np.empty((3, 3), np.float32),
        np.empty(COUNT, np.float32),
        np.empty(COUNT, np.float32),
        np.empty((3, 3), np.float32),
        np.empty(COUNT, np.float32),
        np.empty(sources.offset.shape[0], np.float32),
    )


@njit(cache=True, inline="always")
def lay(bench: Bench, faces: np.ndarray, focal: float, ray: np.ndarray, step: float) -> float:
    """Put the patch around `ray` on the bench; its variance."""
    tangent(ray, bench.frame)
    return reference_patch(faces, bench.frame, focal, step, bench.values, bench.weights)


@njit(cache=True, inline="always")
def cost_of(m0: float, m1: float, m2: float, variance: float, sources: Sources, step: float, bench: Bench) -> float:
    """Cost of plane m for the patch on the bench."""
    return plane_cost(
        m0, m1, m2, bench.frame, bench.values, bench.weights, variance, sources, step, bench.h, bench.other, bench.costs
    )

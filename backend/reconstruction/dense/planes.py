"""The large planes of a range map.

Inverse range is linear in the ray on a plane (rho = m . r), so that a plane is fitted to any set of pixels by linear
least squares.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from ..edges import row_widths

_WINDOW = 7
_INLIER = 0.02  # relative inverse range
_NORMAL = math.cos(math.radians(25.0))
_TRIALS = 64
_SMALLEST_SHARE = 0.003  # of the sphere that makes a plane worth keeping


@njit(cache=True, parallel=True)
def local_planes(rho: np.ndarray, known: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Planes m fitted around each known pixel, (H, W, 3) float32, 0 if there are too few neighbours to fit one.

    rho: (H, W) inverse range; known: (H, W) bool; rays: (H, W, 3). Neighbours off by more than 10 % are left out.
    """
    height, width = rho.shape
    out = np.zeros((height, width, 3), np.float32)
    for row in prange(height):
        v = np.int64(row)
        narrow = int(1.0 / max(math.cos((0.5 - (v + 0.5) / height) * math.pi), 0.08) + 0.5)
        for u in range(width):
            if not known[v, u]:
                continue
            a = np.zeros((3, 3))
            b = np.zeros(3)
            count = 0
            centre = rho[v, u]
            for dv in range(-_WINDOW, _WINDOW + 1):
                nv = v + dv
                if nv < 0 or nv >= height:
                    continue
                for du in range(-_WINDOW, _WINDOW + 1):
                    nu = (u + du * narrow) % width
                    if not known[nv, nu] or abs(rho[nv, nu] - centre) > 0.1 * centre:
                        continue
                    r = rays[nv, nu]
                    for i in range(3):
                        b[i] += r[i] * rho[nv, nu]
                        for j in range(3):
                            a[i, j] += r[i] * r[j]
                    count += 1
            if count < 25:
                continue
            trace = a[0, 0] + a[1, 1] + a[2, 2]
            for i in range(3):
                a[i, i] += 1e-7 * trace
            m = np.linalg.solve(a, b)
            size = math.sqrt(m[0] ** 2 + m[1] ** 2 + m[2] ** 2)
            here = m[0] * rays[v, u, 0] + m[1] * rays[v, u, 1] + m[2] * rays[v, u, 2]
            if abs(here - centre) < 0.03 * centre and here > 0.08 * size:
                out[v, u, 0], out[v, u, 1], out[v, u, 2] = m[0], m[1], m[2]
    return out


def dominant_planes(rho: np.ndarray, known: np.ndarray, rays: np.ndarray, most: int, seed: int) -> np.ndarray:
    """The largest planes m of a range map, at `most` so many, by repeated random sampling of local planes.

    rho, known, rays as in local_planes. Returns (P, 3) float64, roughly from the largest to the smallest.
    """
    height = len(rho)
    local = local_planes(rho, known, rays)
    area = np.broadcast_to(row_widths(height)[:, None], rho.shape)
    pixels = np.flatnonzero((local != 0).any(axis=-1))
    flat_rays = rays.reshape(-1, 3).astype(np.float64)
    flat_rho, flat_local, flat_area = rho.ravel(), local.reshape(-1, 3).astype(np.float64), area.ravel()
    normals = flat_local / np.maximum(np.linalg.norm(flat_local, axis=1, keepdims=True), 1e-12)
    random = np.random.default_rng(seed)
    planes: list[np.ndarray] = []
    total = area.sum()
    while len(pixels) and len(planes) < most:
        thin = random.choice(pixels, min(len(pixels), 6000), replace=False)
        trials = random.choice(thin, min(_TRIALS, len(thin)), p=flat_area[thin] / flat_area[thin].sum())
        predicted = flat_rays[thin] @ flat_local[trials].T
        fits = np.abs(predicted - flat_rho[thin, None]) < _INLIER * flat_rho[thin, None]
        fits &= normals[thin] @ normals[trials].T > _NORMAL
        plane = flat_local[trials[np.argmax(flat_area[thin] @ fits)]]
        inliers = pixels[:0]
        for _ in range(3):
            direction = plane / np.linalg.norm(plane)
            near = np.abs(flat_rays[pixels] @ plane - flat_rho[pixels]) < _INLIER * flat_rho[pixels]
            inliers = pixels[near & (normals[pixels] @ direction > _NORMAL)]
            if len(inliers) < 30:
                break
            weight = np.sqrt(flat_area[inliers]) / flat_rho[inliers]
            plane = np.linalg.lstsq(flat_rays[inliers] * weight[:, None], flat_rho[inliers] * weight, rcond=None)[0]
        if len(inliers) < 30 or flat_area[inliers].sum() < _SMALLEST_SHARE * total:
            break
        planes.append(plane)
        pixels = np.setdiff1d(pixels, inliers, assume_unique=True)
    return np.array(planes).reshape(-1, 3)

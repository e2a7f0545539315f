"""Planes of a place: found where the range is known, grown over plain surfaces where it is not.

Inverse range is linear in the ray on a plane (rho = m . r), so that a plane is fitted to any set of pixels by linear
least squares. Rooms and streets have few large planes; a plain wall takes the plane of its textured parts and edges.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

import numpy as np
from numba import njit, prange

_WINDOW = 7
_INLIER = 0.02  # relative inverse range
_NORMAL = math.cos(math.radians(25.0))
_TRIALS = 64
_LARGEST_COUNT = 32


@njit(cache=True, parallel=True)
def local_planes(rho: np.ndarray, known: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Planes m fitted around each known pixel, (H, W, 3) float32, 0 where there are too few neighbours to fit one.

    rho: (H, W) inverse range; known: (H, W) bool; rays: (H, W, 3). Neighbours off by more than 10 % are left out.
    """
    height, width = rho.shape
    out = np.zeros((height, width, 3), np.float32)
    for row in prange(height):
        v = np.int64(row)
        narrow = int(round(1.0 / max(math.cos((0.5 - (v + 0.5) / height) * math.pi), 0.08)))
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


def dominant_planes(
    rho: np.ndarray, known: np.ndarray, rays: np.ndarray, seed: int, least: float = 0.003
) -> tuple[np.ndarray, np.ndarray]:
    """The largest planes of a range map, by repeated random sampling of local planes.

    rho, known, rays as in local_planes. least: smallest share of the sphere that makes a plane worth keeping.
    Returns planes (P, 3) float64 and the plane of each pixel (H, W) int32, -1 for none.
    """
    height = len(rho)
    local = local_planes(rho, known, rays)
    latitude = np.cos((0.5 - (np.arange(height) + 0.5) / height) * np.pi)
    area = np.broadcast_to(latitude[:, None], rho.shape)
    pixels = np.flatnonzero((local != 0).any(axis=-1))
    labels = np.full(rho.size, -1, np.int32)
    flat_rays = rays.reshape(-1, 3).astype(np.float64)
    flat_rho, flat_local, flat_area = rho.ravel(), local.reshape(-1, 3).astype(np.float64), area.ravel()
    normals = flat_local / np.maximum(np.linalg.norm(flat_local, axis=1, keepdims=True), 1e-12)
    random = np.random.default_rng(seed)
    planes: list[np.ndarray] = []
    total = area.sum()
    while len(pixels) and len(planes) < _LARGEST_COUNT:
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
        if len(inliers) < 30 or flat_area[inliers].sum() < least * total:
            break
        labels[inliers] = len(planes)
        planes.append(plane)
        pixels = np.setdiff1d(pixels, inliers, assume_unique=True)
    return np.array(planes).reshape(-1, 3), labels.reshape(rho.shape)


def grow(
    planes: np.ndarray, labels: np.ndarray, blocked: np.ndarray, colour: np.ndarray, rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Spread plane labels over unlabelled pixels, cheapest across pixels without edges.

    planes: (P, 3). labels: (H, W) int32, -1 unknown. blocked: (H, W) bool, where nothing spreads to (known pixels of
    other surfaces, sky). colour: (H, W, 3) uint8. rays: (H, W, 3).
    Returns labels (H, W) int32 and the cost of the way there (H, W) float32, in pixels of plain surface.
    """
    return _grow(planes, labels, blocked, colour.astype(np.float32), rays)


@njit(cache=True)
def _grow(
    planes: np.ndarray, labels: np.ndarray, blocked: np.ndarray, colour: np.ndarray, rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    height, width = labels.shape
    out = labels.copy()
    cost = np.full((height, width), np.float32(np.inf))
    queue = [(np.float32(0), np.int64(0), np.int32(0))]
    queue.pop()
    for v in range(height):
        for u in range(width):
            if labels[v, u] >= 0:
                cost[v, u] = 0
                queue.append((np.float32(0), np.int64(v * width + u), labels[v, u]))
    heapq.heapify(queue)
    while len(queue) > 0:
        so_far, place, label = heapq.heappop(queue)
        v, u = place // width, place % width
        if so_far > cost[v, u] or out[v, u] != label:
            continue
        narrow = max(math.cos((0.5 - (v + 0.5) / height) * math.pi), 0.02)
        for step in range(4):
            nv = v + (1 if step == 0 else (-1 if step == 1 else 0))
            nu = (u + (1 if step == 2 else (-1 if step == 3 else 0))) % width
            if nv < 0 or nv >= height or blocked[nv, nu] or labels[nv, nu] >= 0:
                continue
            m = planes[label]
            r = rays[nv, nu]
            along = m[0] * r[0] + m[1] * r[1] + m[2] * r[2]
            size = math.sqrt(m[0] ** 2 + m[1] ** 2 + m[2] ** 2)
            if along < 0.06 * size:
                continue
            edge = np.float32(0)
            for c in range(3):
                edge = max(edge, abs(colour[nv, nu, c] - colour[v, u, c]))
            distance = np.float32(1.0 if step < 2 else narrow)
            there = so_far + distance + np.float32(0.1) * max(edge - np.float32(2), np.float32(0)) ** 2
            if there < cost[nv, nu]:
                cost[nv, nu] = there
                out[nv, nu] = label
                heapq.heappush(queue, (there, np.int64(nv * width + nu), label))
    return out, cost


def with_planes(
    planes: np.ndarray, labels: np.ndarray, local: np.ndarray | None = None
) -> np.ndarray:
    """Plane m of each pixel (H, W, 3) float32: that of its label; where it has none, `local` or 0."""
    out = np.zeros((*labels.shape, 3), np.float32) if local is None else local.copy()
    has = labels >= 0
    if len(planes):
        out[has] = planes[labels[has]]
    return out


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover range(count)."""
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))

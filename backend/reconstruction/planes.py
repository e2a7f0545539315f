"""Planes of a place: found where the range is known, grown over plain surfaces where it is not.

Inverse range is linear in the ray on a plane (rho = m . r), so that a plane is fitted to any set of pixels by linear
least squares. Rooms and streets have few large planes; a plain wall takes the plane of its textured parts and edges.
"""

from __future__ import annotations

import heapq
import math

import numpy as np
from numba import njit, prange
from scipy import ndimage

_WINDOW = 7
_INLIER, _REGION_INLIER = 0.02, 0.03  # relative inverse range
_NORMAL = math.cos(math.radians(25.0))
_TRIALS = 64
_LARGEST_COUNT = 32
_BLUR, _PLAIN = 1.5, 1.6  # pixels; grey levels a pixel
_RIM_SHARE = 1 / 64  # of the width: how far edges reach around plain areas
_GRAZING = 0.04  # least cosine between a plane's normal and a ray on it
_PLANE_TRIALS = 600
_SMALLEST_REGION = 0.003  # share of the sphere


@njit(cache=True, parallel=True)
def local_planes(rho: np.ndarray, known: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Planes m fitted around each known pixel, (H, W, 3) float32, 0 where there are too few neighbours to fit one.

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


def plain_regions(colour: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected areas without texture or edges: labels (H, W) int32 from 1, 0 elsewhere, and how many there are.

    colour: (H, W, 3) uint8. active: (H, W) bool.
    """
    slope = slopes(colour, _BLUR)
    labels, count = ndimage.label((slope < _PLAIN) & active)
    same = Merged(count + 1)
    for left, right in zip(labels[:, -1], labels[:, 0], strict=True):
        if left and right:
            same.join(int(left), int(right))
    for row in (0, -1):  # rows that meet at a pole
        names = np.unique(labels[row][labels[row] > 0])
        for name in names[1:]:
            same.join(int(names[0]), int(name))
    return _to_edges(same.roots()[labels], slope, active), count


def slopes(colour: np.ndarray, blur: float) -> np.ndarray:
    """Steepest change of colour, grey levels a pixel of the equator, (H, W) float32, after a blur of so many pixels."""
    calm = ndimage.gaussian_filter(colour.astype(np.float32), (blur, blur, 0), mode=("nearest", "wrap", "nearest"))
    narrow = 1 / np.maximum(np.cos((0.5 - (np.arange(len(colour)) + 0.5) / len(colour)) * np.pi), 0.05)
    across = (np.roll(calm, -1, axis=1) - np.roll(calm, 1, axis=1)) / 2
    across *= np.minimum(narrow, 4)[:, None, None]
    return np.asarray(np.hypot(across, np.gradient(calm, axis=0)).max(axis=-1))


def _to_edges(regions: np.ndarray, slope: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Areas grown to the crest of the edges around them, by at most _RIM_SHARE of the width."""
    width = regions.shape[1]
    reach = max(2, round(width * _RIM_SHARE))
    sizes = np.bincount(regions.ravel())
    large = np.where(sizes[regions] > 2e-4 * regions.size, regions, 0)
    wide = np.concatenate([large[:, -reach:], large, large[:, :reach]], axis=1).astype(np.int32)
    height = np.clip(slope * 8, 0, 255).astype(np.uint8)
    flooded = ndimage.watershed_ift(np.concatenate([height[:, -reach:], height, height[:, :reach]], axis=1), wide)
    flooded = flooded[:, reach:-reach]
    near = _grown(large > 0, reach) & active
    return np.asarray(np.where(near, flooded, 0).astype(np.int32))


class Merged:
    """Labels that turn out to name the same thing."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)

    def join(self, first: int, second: int) -> None:
        """Give both one name."""
        first, second = self._root(first), self._root(second)
        self._parent[max(first, second)] = min(first, second)

    def _root(self, name: int) -> int:
        while self._parent[name] != name:
            name = int(self._parent[name])
        return name

    def roots(self) -> np.ndarray:
        """The name to use for each label."""
        return np.array([self._root(name) for name in range(len(self._parent))])


def region_planes(
    rho: np.ndarray, sure: np.ndarray, rays: np.ndarray, regions: np.ndarray, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """A plane for each plain region, from what is sure inside it and along its outline.

    A ceiling shows nothing but where it meets the walls: the plane that its outline lies on all round is the ceiling.
    rho: (H, W); sure: (H, W) bool; rays: (H, W, 3); regions, count: from plain_regions.
    Returns planes (H, W, 3) float32, 0 where there is none, and support (H, W) float32: the share of what is known of
    the outline that lies on the plane, 0 where there is none.
    """
    height, width = rho.shape
    planes = np.zeros((height, width, 3), np.float32)
    support = np.zeros((height, width), np.float32)
    area = np.cos((0.5 - (np.arange(height) + 0.5) / height) * np.pi)[:, None] * np.ones((1, width))
    sizes = ndimage.sum(area, regions, np.arange(count + 1))
    sizes[0] = 0
    random = np.random.default_rng(seed)
    reach = max(2, round(width * _RIM_SHARE))
    rows, columns = np.indices(rho.shape)
    cells = (rows // reach) * width + columns // reach
    for name in np.flatnonzero(sizes > _SMALLEST_REGION * area.sum()):
        inside = regions == name
        outline = _grown(inside, reach) & ~_eroded(inside, reach)
        evidence = np.flatnonzero((outline | inside) & sure)
        if len(evidence) < 40:
            continue
        cell = cells.ravel()[evidence]
        found = _best_plane(rays.reshape(-1, 3)[evidence].astype(np.float64), rho.ravel()[evidence], cell, random)
        if found is None:
            continue
        plane, met = found
        seen = inside & (rays @ plane > _GRAZING * np.linalg.norm(plane))
        if seen.sum() < 0.9 * inside.sum():
            continue
        on_plane = np.zeros(rho.size, np.bool_)
        on_plane[evidence] = np.abs(rays.reshape(-1, 3)[evidence] @ plane - rho.ravel()[evidence]) < (
            _REGION_INLIER * rho.ravel()[evidence]
        )
        seen &= _between(on_plane.reshape(rho.shape) & np.isin(cells, met_cells(cell, met)), inside)
        planes[seen] = plane
        support[seen] = met.mean()
    return planes, support


def met_cells(cell: np.ndarray, met: np.ndarray) -> np.ndarray:
    """Names of the cells that are met; `met` follows np.unique(cell)."""
    return np.unique(cell)[met]


def _best_plane(
    rays: np.ndarray, rho: np.ndarray, cell: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """The plane that most cells of N (ray, inverse range, cell) triples lie on, and which cells do.

    A cell lies on a plane where a third of its points do. Returns the plane (3,) and (cells,) bool in the order of
    np.unique(cell); None where no plane is determined.
    """
    order = np.argsort(cell, kind="stable")
    rays, rho, cell = rays[order], rho[order], cell[order]
    _, first, size = np.unique(cell, return_index=True, return_counts=True)
    if len(first) < 6:
        return None
    picked = random.integers(0, len(first), (_PLANE_TRIALS, 3))
    triples = first[picked] + (random.random(picked.shape) * size[picked]).astype(np.intp)
    systems = rays[triples]
    spans = np.abs(np.linalg.det(systems)) > 1e-3
    if not spans.any():
        return None
    trials = np.linalg.solve(systems[spans], rho[triples[spans]][..., None])[..., 0]
    inliers = np.abs(rays @ trials.T - rho[:, None]) < _REGION_INLIER * rho[:, None]
    met = np.add.reduceat(inliers, first, axis=0, dtype=np.int32) * 3 >= size[:, None]
    number = int(np.argmax(met.sum(axis=0) + 1e-3 * inliers.mean(axis=0)))
    plane, chosen = trials[number], inliers[:, number] & np.repeat(met[:, number], size)
    for _ in range(3):
        if chosen.sum() < 20:
            return None
        weight = 1 / rho[chosen]
        plane = np.linalg.lstsq(rays[chosen] * weight[:, None], rho[chosen] * weight, rcond=None)[0]
        chosen = np.abs(rays @ plane - rho) < _REGION_INLIER * rho
    spread = np.linalg.svd(rays[chosen] - rays[chosen].mean(axis=0), compute_uv=False)[1] if chosen.sum() > 3 else 0.0
    if spread < 0.03 * np.sqrt(chosen.sum()):
        return None  # all on one line: any plane through it fits
    return plane, np.asarray(np.add.reduceat(chosen, first, dtype=np.int32) * 3 >= size)


def _between(met: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Where a region lies between what is met: above and below, or left and right. (H, W) bool.

    A plane is carried on inside its outline, never beyond it. What touches a pole goes on over it.
    """
    width = met.shape[1]
    columns = np.flatnonzero(inside.any(axis=0))
    angle = np.exp(2j * np.pi * columns / width).sum()
    shift = width // 2 - int(np.angle(angle) / (2 * np.pi) * width) % width if abs(angle) > 1e-6 else 0
    turned = np.roll(_grown(met, 2), shift, axis=1)
    left = np.logical_or.accumulate(turned, axis=1)
    right = np.logical_or.accumulate(turned[:, ::-1], axis=1)[:, ::-1]
    above = np.logical_or.accumulate(turned, axis=0)
    below = np.logical_or.accumulate(turned[::-1], axis=0)[::-1]
    opposite = np.roll(turned.any(axis=0), width // 2)
    if inside[0].mean() > 0.5:
        above = above | opposite
    if inside[-1].mean() > 0.5:
        below = below | opposite
    sides = left & right if len(columns) < 0.6 * width else np.zeros_like(left)
    return np.roll(sides | (above & below), -shift, axis=1)


def _eroded(mask: np.ndarray, pixels: int) -> np.ndarray:
    return ~_grown(~mask, pixels)


def _grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    wide = np.concatenate([mask[:, -pixels:], mask, mask[:, :pixels]], axis=1)
    return np.asarray(ndimage.binary_dilation(wide, iterations=pixels)[:, pixels:-pixels])


def grow(
    planes: np.ndarray, labels: np.ndarray, blocked: np.ndarray, colour: np.ndarray, rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Spread plane labels over unlabelled pixels, cheapest across pixels without edges.

    planes: (P, 3). labels: (H, W) int32, -1 unknown. blocked: (H, W) bool, where nothing spreads to (known pixels of
    other surfaces, sky). colour: (H, W, 3) uint8. rays: (H, W, 3).
    Returns labels (H, W) int32 and the cost of the way there (H, W) float32, in pixels of plain surface.
    """
    calm = ndimage.gaussian_filter(colour.astype(np.float32), (0.8, 0.8, 0), mode=("nearest", "wrap", "nearest"))
    return _grow(planes, labels, blocked, calm, rays)


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
            there = so_far + distance + np.float32(1.5) * max(edge - np.float32(1), np.float32(0)) ** 2
            if there < cost[nv, nu]:
                cost[nv, nu] = there
                out[nv, nu] = label
                heapq.heappush(queue, (there, np.int64(nv * width + nu), label))
    return out, cost


def with_planes(planes: np.ndarray, labels: np.ndarray, local: np.ndarray | None = None) -> np.ndarray:
    """Plane m of each pixel (H, W, 3) float32: that of its label; where it has none, `local` or 0."""
    out = np.zeros((*labels.shape, 3), np.float32) if local is None else local.copy()
    has = labels >= 0
    if len(planes):
        out[has] = planes[labels[has]]
    return out

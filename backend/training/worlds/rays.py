"""Bundles of rays: all directions from a point, or one direction from all points of a plane.

A bundle answers how far its rays go to a plane, in a window of its grid: what a solid can be seen in. All panoramas of
a clip have one orientation, so that what depends on directions alone is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import torch

from pantheon360_blender.core.panorama.equirectangular import directions

from .shapes import Solid

Window = tuple[slice, slice]
"""Rows and columns of a grid of rays."""

_PARALLEL = 1e-9


@dataclass(frozen=True)
class Plane:
    """A half-space as a bundle sees it. outside: whether its rays start outside, as far as they come in at all.
    numbers: what the bundle reckons ranges with."""

    outside: bool
    numbers: tuple[float, ...]
    normal: np.ndarray


@dataclass(frozen=True)
class Aim:
    """Where a solid may be hit, and its planes."""

    solid: Solid
    windows: list[Window]
    planes: list[Plane]


class Rays(Protocol):
    """A grid of rays."""

    shape: tuple[int, int]
    device: torch.device

    def aims(self, solids: Sequence[Solid]) -> list[Aim]:
        """What the bundle needs to know of solids."""
        ...

    def reach(self, plane: Plane, window: Window) -> torch.Tensor:
        """(h, w) ranges at which rays come into a half-space if they start outside, else at which they leave it; inf if
        they never do."""
        ...

    def origins(self, window: Window) -> torch.Tensor:
        """(h, w, 3) or what broadcasts to it."""
        ...

    def directions(self, window: Window) -> torch.Tensor:
        """(h, w, 3) or what broadcasts to it."""
        ...


class Directions:
    """World directions of the pixels of level panoramas of one orientation, and what planes make of them."""

    def __init__(self, width: int, orientation: np.ndarray, device: torch.device | str) -> None:
        self.width = width
        self.orientation = np.asarray(orientation, np.float64)
        turned = directions(width).astype(np.float64) @ self.orientation.T
        self.world = torch.from_numpy(turned.astype(np.float32)).to(device)
        self._planes: dict[bytes, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def plane(self, normal: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(H, W) each: 1 / cosine with the normal; 0 for rays towards it, else inf; and 0 for rays away from it."""
        key = normal.tobytes()
        if key not in self._planes:
            cosine = self.world @ torch.tensor(normal, dtype=torch.float32, device=self.world.device)
            towards = cosine < -_PARALLEL
            away = cosine > _PARALLEL
            inverse = torch.where(towards | away, 1 / cosine, torch.zeros_like(cosine))
            infinite, zero = torch.full_like(cosine, math.inf), torch.zeros_like(cosine)
            self._planes[key] = inverse, torch.where(towards, zero, infinite), torch.where(away, zero, infinite)
        return self._planes[key]


class PanoramaRays:
    """All directions from one position, (3,) float64 in metres."""

    def __init__(self, grid: Directions, position: np.ndarray) -> None:
        self.grid, self.position = grid, np.asarray(position, np.float64)
        self.shape = (grid.width // 2, grid.width)
        self.device = grid.world.device

    def aims(self, solids: Sequence[Solid]) -> list[Aim]:
        normals, offsets = _planes(solids)
        distances = iter(zip(normals, (offsets - normals @ self.position).tolist(), strict=True))
        return [
            Aim(
                solid,
                windows,
                [Plane(its < 0, (its,), normal) for normal, its in islice(distances, len(solid.offsets))],
            )
            for solid, windows in zip(solids, self._windows(solids), strict=True)
        ]

    def reach(self, plane: Plane, window: Window) -> torch.Tensor:
        inverse, towards, away = self.grid.plane(plane.normal)
        return torch.add((towards if plane.outside else away)[window], inverse[window], alpha=plane.numbers[0])

    def origins(self, window: Window) -> torch.Tensor:
        return torch.tensor(self.position, dtype=torch.float32, device=self.device)

    def directions(self, window: Window) -> torch.Tensor:
        return self.grid.world[window]

    def _windows(self, solids: Sequence[Solid]) -> list[list[Window]]:
        height, width = self.shape
        outlines = np.stack([solid.footprint for solid in solids]) - self.position[:2]
        low = np.array([solid.low for solid in solids]) - self.position[2]
        high = np.array([solid.high for solid in solids]) - self.position[2]
        nearest, farthest, inside = _distances(outlines)
        top = np.arctan2(high, np.where(high > 0, nearest, farthest))
        bottom = np.arctan2(low, np.where(low < 0, nearest, farthest))
        first = np.clip(np.floor((0.5 - top / np.pi) * height - 1), 0, height).astype(int)
        last = np.clip(np.ceil((0.5 - bottom / np.pi) * height + 1), 0, height).astype(int)

        right, ahead = self.grid.orientation[:2, 0], -self.grid.orientation[:2, 2]
        longitude = np.arctan2(outlines @ right, outlines @ ahead)
        middle = longitude[:, :1]
        spread = (longitude - middle + np.pi) % (2 * np.pi) - np.pi
        around = inside | (np.ptp(spread, axis=1) >= np.pi) | (nearest < 1e-6)
        left = np.floor(((middle[:, 0] + spread.min(axis=1)) / (2 * np.pi) + 0.5) * width - 1).astype(int) % width
        count = np.ceil(np.ptp(spread, axis=1) / (2 * np.pi) * width + 3).astype(int)
        around |= count >= width
        bounds = zip(first.tolist(), last.tolist(), left.tolist(), count.tolist(), around.tolist(), strict=True)
        return [
            _around_seam(slice(top, end), start, width if full else many, width)
            for top, end, start, many, full in bounds
        ]


class ParallelRays:
    """One direction from a square of points that faces it and covers a ball, as the sun shines on a place."""

    def __init__(
        self, direction: np.ndarray, centre: np.ndarray, radius: float, side: int, device: torch.device | str
    ) -> None:
        self.direction = np.asarray(direction, np.float64) / np.linalg.norm(direction)
        helper = np.array([0.0, 0.0, 1.0]) if abs(self.direction[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
        self.across = np.cross(helper, self.direction)
        self.across /= np.linalg.norm(self.across)
        self.down = np.cross(self.direction, self.across)
        self.step = 2 * radius / side
        self.corner = centre - self.direction * radius * 2 - (self.across + self.down) * (radius - self.step / 2)
        self.shape, self.device = (side, side), torch.device(device)
        self._count = torch.arange(side, dtype=torch.float32, device=device)

    def aims(self, solids: Sequence[Solid]) -> list[Aim]:
        """Of a plane along the rays, which start on either side of it, nothing is left where they start outside."""
        normals, offsets = _planes(solids)
        cosine = normals @ self.direction
        along = np.abs(cosine) <= _PARALLEL
        scale = np.where(along, 1e-12, cosine)
        numbers = np.stack(
            [
                (offsets - normals @ self.corner) / scale,
                -(normals @ self.across) * self.step / scale,
                -(normals @ self.down) * self.step / scale,
            ],
            axis=1,
        ).tolist()
        planes = iter(zip(normals, numbers, (cosine < -_PARALLEL).tolist(), strict=True))
        return [
            Aim(
                solid,
                windows,
                [
                    Plane(outside, tuple(its), normal)
                    for _, (normal, its, outside) in zip(solid.offsets, planes, strict=False)
                ],
            )
            for solid, windows in zip(solids, self._windows(solids), strict=True)
        ]

    def reach(self, plane: Plane, window: Window) -> torch.Tensor:
        rows, columns = window
        start, along, downwards = plane.numbers
        return (self._count[columns] * along)[None, :] + (self._count[rows] * downwards + start)[:, None]

    def origins(self, window: Window) -> torch.Tensor:
        rows, columns = window
        corner, across, down = (
            torch.tensor(axis, dtype=torch.float32, device=self.device)
            for axis in (self.corner, self.across * self.step, self.down * self.step)
        )
        return corner + self._count[columns, None] * across + self._count[rows, None, None] * down

    def directions(self, window: Window) -> torch.Tensor:
        return torch.tensor(self.direction, dtype=torch.float32, device=self.device)

    def _windows(self, solids: Sequence[Solid]) -> list[list[Window]]:
        side = self.shape[0]
        outlines = np.stack([solid.footprint for solid in solids])
        heights = np.array([(solid.low, solid.high) for solid in solids])
        corners = np.empty((len(solids), 2, outlines.shape[1], 3))
        corners[..., :2] = outlines[:, None]
        corners[..., 2] = heights[..., None]
        corners = corners.reshape(len(solids), -1, 3) - self.corner
        u, v = corners @ self.across / self.step, corners @ self.down / self.step
        bounds = np.stack(
            [np.floor(v.min(1)), np.ceil(v.max(1)) + 1, np.floor(u.min(1)), np.ceil(u.max(1)) + 1], axis=1
        )
        whole = bounds.clip(0, side).astype(int).tolist()
        return [
            [(slice(top, end), slice(left, last))] if end > top and last > left else []
            for top, end, left, last in whole
        ]


def _planes(solids: Sequence[Solid]) -> tuple[np.ndarray, np.ndarray]:
    """Normals (P, 3) and offsets (P,) of all planes of solids."""
    return np.concatenate([solid.normals for solid in solids]), np.concatenate([solid.offsets for solid in solids])


def _around_seam(rows: slice, start: int, count: int, width: int) -> list[Window]:
    """`count` columns from `start`, in one window or in two."""
    if count >= width:
        return [(rows, slice(0, width))]
    parts = [(rows, slice(start, min(start + count, width)))]
    return [*parts, (rows, slice(0, start + count - width))] if start + count > width else parts


def _distances(outlines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of convex outlines (S, 4, 2), counter-clockwise: how near and far the origin is, and whether it is inside."""
    start, end = outlines, np.roll(outlines, -1, axis=1)
    along = end - start
    length = np.maximum((along**2).sum(axis=2), 1e-12)
    share = np.clip(-(start * along).sum(axis=2) / length, 0, 1)
    nearest = np.linalg.norm(start + share[..., None] * along, axis=2).min(axis=1)
    inside = (along[..., 0] * -start[..., 1] + along[..., 1] * start[..., 0] >= 0).all(axis=1)
    return np.where(inside, 0.0, nearest), np.linalg.norm(outlines, axis=2).max(axis=1), inside

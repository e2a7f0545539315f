"""Bundles of rays: all directions from a point, or one direction from all points of a plane.

A bundle answers how far its rays go to a plane, in a window of its grid: what a solid can be seen in. All panoramas of
a clip have one orientation, so that what depends on directions alone is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from pantheon360_blender.core.panorama.equirectangular import directions

from .shapes import Solid

Window = tuple[slice, slice]
"""Rows and columns of a grid of rays."""

_PARALLEL = 1e-9


class Rays(Protocol):
    """A grid of rays."""

    shape: tuple[int, int]
    device: torch.device

    def windows(self, solids: Sequence[Solid]) -> list[list[Window]]:
        """Where each solid may be hit."""
        ...

    def entering(self, normal: np.ndarray, offset: float, window: Window) -> torch.Tensor | None:
        """(h, w) ranges at which rays come into a half-space, inf where they never do; None if all start in it."""
        ...

    def leaving(self, normal: np.ndarray, offset: float, window: Window) -> torch.Tensor | None:
        """(h, w) ranges at which rays leave a half-space, inf where they never do; None if all start outside."""
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
        self._planes: dict[tuple[float, ...], tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def plane(self, normal: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(H, W) each: 1 / cosine with the normal; inf where rays do not come towards it, else 0; and where they do."""
        key = tuple(np.round(normal, 6))
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

    def windows(self, solids: Sequence[Solid]) -> list[list[Window]]:
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
        left = np.floor(((middle[:, 0] + spread.min(axis=1)) / (2 * np.pi) + 0.5) * width - 1).astype(int)
        count = np.ceil(np.ptp(spread, axis=1) / (2 * np.pi) * width + 3).astype(int)
        windows = []
        for index in range(len(solids)):
            rows = slice(int(first[index]), int(last[index]))
            if around[index] or count[index] >= width:
                windows.append([(rows, slice(0, width))])
                continue
            start = int(left[index]) % width
            stop = start + int(count[index])
            parts = [(rows, slice(start, min(stop, width)))]
            windows.append([*parts, (rows, slice(0, stop - width))] if stop > width else parts)
        return windows

    def entering(self, normal: np.ndarray, offset: float, window: Window) -> torch.Tensor | None:
        distance = float(offset - normal @ self.position)
        if distance >= 0:
            return None
        inverse, never, _ = self.grid.plane(normal)
        return torch.add(never[window], inverse[window], alpha=distance)

    def leaving(self, normal: np.ndarray, offset: float, window: Window) -> torch.Tensor | None:
        distance = float(offset - normal @ self.position)
        if distance < 0:
            return None
        inverse, _, never = self.grid.plane(normal)
        return torch.add(never[window], inverse[window], alpha=distance)

    def origins(self, window: Window) -> torch.Tensor:
        return torch.tensor(self.position, dtype=torch.float32, device=self.device)

    def directions(self, window: Window) -> torch.Tensor:
        return self.grid.world[window]


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

    def windows(self, solids: Sequence[Solid]) -> list[list[Window]]:
        windows: list[list[Window]] = []
        side = self.shape[0]
        for solid in solids:
            heights = np.repeat((solid.low, solid.high), len(solid.footprint))
            corners = np.column_stack([np.tile(solid.footprint, (2, 1)), heights]) - self.corner
            u, v = corners @ self.across / self.step, corners @ self.down / self.step
            rows = slice(max(0, math.floor(v.min())), min(side, math.ceil(v.max()) + 1))
            columns = slice(max(0, math.floor(u.min())), min(side, math.ceil(u.max()) + 1))
            empty = rows.stop <= rows.start or columns.stop <= columns.start
            windows.append([] if empty else [(rows, columns)])
        return windows

    def entering(self, normal: np.ndarray, offset: float, window: Window) -> torch.Tensor | None:
        return self._reach(normal, offset, window) if normal @ self.direction < -_PARALLEL else None

    def leaving(self, normal: np.ndarray, offset: float, window: Window) -> torch.Tensor | None:
        cosine = float(normal @ self.direction)
        if cosine < -_PARALLEL:
            return None
        if cosine > _PARALLEL:
            return self._reach(normal, offset, window)
        beside = self._heights(normal, window) > offset
        return torch.where(beside, -math.inf, math.inf)

    def _reach(self, normal: np.ndarray, offset: float, window: Window) -> torch.Tensor:
        return (offset - self._heights(normal, window)) / float(normal @ self.direction)

    def _heights(self, normal: np.ndarray, window: Window) -> torch.Tensor:
        """(h, w): normal @ origin."""
        rows, columns = window
        along = self._count[columns] * float(normal @ self.across * self.step)
        downwards = self._count[rows] * float(normal @ self.down * self.step) + float(normal @ self.corner)
        return along[None, :] + downwards[:, None]

    def origins(self, window: Window) -> torch.Tensor:
        rows, columns = window
        vectors = [
            torch.tensor(axis, dtype=torch.float32, device=self.device)
            for axis in (self.corner, self.across, self.down)
        ]
        corner, across, down = vectors
        return (
            corner + self._count[columns, None] * self.step * across + self._count[rows, None, None] * self.step * down
        )

    def directions(self, window: Window) -> torch.Tensor:
        return torch.tensor(self.direction, dtype=torch.float32, device=self.device)


def _distances(outlines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of convex outlines (S, 4, 2), counter-clockwise: the origin's nearest and farthest distance, and whether it is in."""
    start, end = outlines, np.roll(outlines, -1, axis=1)
    along = end - start
    length = np.maximum((along**2).sum(axis=2), 1e-12)
    share = np.clip(-(start * along).sum(axis=2) / length, 0, 1)
    nearest = np.linalg.norm(start + share[..., None] * along, axis=2).min(axis=1)
    inside = (along[..., 0] * -start[..., 1] + along[..., 1] * start[..., 0] >= 0).all(axis=1)
    return np.where(inside, 0.0, nearest), np.linalg.norm(outlines, axis=2).max(axis=1), inside

"""A real panorama projected from its centre onto what stands around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Projection:
    """panorama: (H, W, 3) linear light. centre: (3,) metres, where it was taken. turn: radians that it is turned by.
    mirrored: left for right. gain: multiplies its light.
    """

    panorama: torch.Tensor
    centre: tuple[float, float, float]
    turn: float
    mirrored: bool
    gain: tuple[float, float, float]

    def radiance(self, directions: torch.Tensor) -> torch.Tensor:
        """Linear light (..., 3) in directions (..., 3), world, Z up, from its centre; of any length."""
        height, width = self.panorama.shape[:2]
        x, y, z = directions.unbind(-1)
        longitude = torch.atan2(-x if self.mirrored else x, y) + self.turn
        u = (longitude / math.tau + 0.5) * width - 0.5
        v = ((0.5 - torch.atan2(z, torch.hypot(x, y)) / math.pi) * height - 0.5).clamp(0, height - 1)
        left, top = u.floor(), v.floor()
        columns = left.long() % width, (left.long() + 1) % width
        rows = top.long() * width, (top.long() + 1).clamp_max(height - 1) * width
        flat = self.panorama.reshape(-1, 3)
        upper, lower = (
            torch.lerp(flat[row + columns[0]], flat[row + columns[1]], (u - left)[..., None]) for row in rows
        )
        gain = torch.tensor(self.gain, dtype=torch.float32, device=directions.device)
        return torch.lerp(upper, lower, (v - top)[..., None]) * gain

    def on(self, points: torch.Tensor) -> torch.Tensor:
        """Linear light (M, 3) that is projected onto points (M, 3)."""
        return self.radiance(points - torch.tensor(self.centre, dtype=torch.float32, device=points.device))

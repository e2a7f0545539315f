"""A cheap look at latents: a linear map to colours, learned from pictures whose latents are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ..networks.autoencoder import video_of

WIDTH = 512
"""Pixels of a preview, at least."""
_DAMPING = 1e-3


@dataclass(frozen=True, eq=False)
class LatentPreview:
    """colours_from_latents: (C + 1, 3) float32, maps the encoder's latents, and 1, to colours in [-1, 1]."""

    colours_from_latents: torch.Tensor

    @classmethod
    def learned(cls, latents: torch.Tensor, images: np.ndarray) -> LatentPreview:
        """The best linear map from latents (F, C, h, w) to their pictures (F, H, W, 3) uint8.

        It suits any VAE, and costs nothing: the clip's pictures are encoded anyway.
        """
        latents = latents.cpu()
        seen = _columns(latents)
        colours = functional.interpolate(video_of(images), size=latents.shape[-2:], mode="area")
        wanted = colours.permute(0, 2, 3, 1).reshape(-1, 3)
        normal = seen.T @ seen + _DAMPING * len(seen) * torch.eye(seen.shape[1])
        return cls(torch.linalg.solve(normal, seen.T @ wanted))

    def picture(self, latents: torch.Tensor) -> np.ndarray:
        """One frame's latents (C, h, w), as the encoder makes them, in colours: (h', w', 3) uint8, enlarged."""
        colours = (_columns(latents.cpu()[None]) @ self.colours_from_latents).view(*latents.shape[-2:], 3)
        small = ((colours / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        times = max(1, -(-WIDTH // small.shape[1]))
        return np.asarray(small.repeat(times, axis=0).repeat(times, axis=1))


def _columns(latents: torch.Tensor) -> torch.Tensor:
    """(F, C, h, w) as (F * h * w, C + 1), the last column 1."""
    rows = latents.float().permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    return torch.cat([rows, torch.ones(len(rows), 1)], dim=1)

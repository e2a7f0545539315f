"""What the U-Net is asked for: the clip without its noise, at every level of noise, as Stable Video Diffusion's is.

Latents are (B, F, C, h, w) float32, scaled; sigmas (B,) float32, the standard deviation of the noise on each clip.
Source: Karras et al. 2022 (EDM), with the parametrisation of Stable Video Diffusion: c_skip = 1 / (sigma^2 + 1),
c_out = -sigma / sqrt(sigma^2 + 1), c_in = 1 / sqrt(sigma^2 + 1), c_noise = log(sigma) / 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from ...diffusion.clip.sampling import pred_original_sample


@dataclass(frozen=True)
class NoiseLevels:
    """How noisy clips are in training: some at the highest levels, where one step is all of the painting.

    mean, deviation: of log sigma, of the rest. highest: the range of the others, log-uniform. share: how many they are.
    """

    mean: float = 1.0
    deviation: float = 1.6
    highest: tuple[float, float] = (20.0, 700.0)
    share: float = 0.5

    def draw(self, generator: torch.Generator, count: int, ease: float = 1.0) -> torch.Tensor:
        """Sigmas of so many clips, (count,) float32 on the generator's device.

        ease: 0 to 1, share of `mean` that is in force; it grows over the first steps, so that little noise comes first
        (Argus).
        """
        device = generator.device
        uniform = torch.rand(2, count, generator=generator, device=device)
        normal = torch.randn(count, generator=generator, device=device)
        lowest, highest = (math.log(value) for value in self.highest)
        logarithm = torch.where(
            uniform[0] < self.share,
            lowest + (highest - lowest) * uniform[1],
            ease * self.mean + self.deviation * normal,
        )
        return logarithm.exp().clamp(0.002, self.highest[1])


def denoised(
    unet: Any,
    noisy: torch.Tensor,
    sigma: torch.Tensor,
    condition: torch.Tensor,
    encoder_hidden_states: torch.Tensor,
    added_time_ids: torch.Tensor,
) -> torch.Tensor:
    """What the U-Net believes noisy latents to be without noise, (B, F, C, h, w).

    condition: (B, F, C', h, w), its input channels after the noise. encoder_hidden_states: (B, K, D).
    added_time_ids: (B, 3).
    """
    level = sigma.view(-1, 1, 1, 1, 1)
    sample = torch.cat([noisy / (level**2 + 1) ** 0.5, condition], dim=2)
    velocity = unet(
        sample,
        0.25 * sigma.log(),
        encoder_hidden_states=encoder_hidden_states,
        added_time_ids=added_time_ids,
        return_dict=False,
    )[0]
    return pred_original_sample(noisy, velocity, level)


def loss(
    clean: torch.Tensor,
    target: torch.Tensor,
    sigma: torch.Tensor,
    *,
    latitude: bool = True,
    frames: torch.Tensor | None = None,
) -> torch.Tensor:
    """EDM's loss: squared error by (1 + sigma^2) / sigma^2, which is the squared error of the U-Net's own output.

    latitude: whether rows count by `latitude_weights`. frames: (B, F) float32, how much each frame counts; None is all
    alike.
    """
    level = sigma.view(-1, 1, 1, 1, 1)
    error = (clean - target) ** 2 * (1 + level**2) / level**2
    if latitude:
        error = error * latitude_weights(error.shape[-2]).to(error)[:, None]
    if frames is None:
        return error.mean()
    counted = frames.to(error)
    return (error.mean(dim=(2, 3, 4)) * counted).sum() / counted.sum().clamp_min(1e-6)


def latitude_weights(rows: int) -> torch.Tensor:
    """How much each row of a panorama counts, (rows,) float32 with mean 1: the poles hold little, yet not nothing.

    Source: Argus, sqrt(1 - h^2) + 0.25 for h from -1 at one pole to 1 at the other.
    """
    height = (torch.arange(rows, dtype=torch.float32) + 0.5) / rows * 2 - 1
    weights = (1 - height**2) ** 0.5 + 0.25
    return weights / weights.mean()

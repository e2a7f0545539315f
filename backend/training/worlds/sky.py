"""A sky: light from the horizon to the zenith, clouds, and a glow around the sun."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

_CLOUDS = 128  # pixels of the pattern that clouds are cut out of


@dataclass(frozen=True)
class Sky:
    """horizon, zenith, cloud: (3,) linear light. cover: 0 is clear, 1 is overcast. seed: of the clouds' pattern.
    sun: unit direction towards it; glow: its strength around the sun."""

    horizon: tuple[float, float, float]
    zenith: tuple[float, float, float]
    cloud: tuple[float, float, float]
    cover: float
    seed: int
    sun: tuple[float, float, float]
    glow: float

    def radiance(self, directions: torch.Tensor) -> torch.Tensor:
        """Linear light (..., 3) of unit directions (..., 3), world, Z up; below the horizon it is the horizon's."""
        device = directions.device
        horizon, zenith, cloud, sun = (
            torch.tensor(values, dtype=torch.float32, device=device)
            for values in (self.horizon, self.zenith, self.cloud, self.sun)
        )
        up = directions[..., 2:].clamp_min(0)
        light = torch.lerp(zenith, horizon, (1 - up) ** 4)
        towards = (directions @ sun).clamp(0, 1)[..., None]
        light = light + self.glow * (0.25 * towards**8 + 0.75 * towards**64 + 4 * towards**900)
        return torch.lerp(light, cloud, self._clouds(directions) * (up * 8).clamp(0, 1))

    def _clouds(self, directions: torch.Tensor) -> torch.Tensor:
        """(..., 1): how much of the sky is cloud, 0 to 1, on a layer that gets finer towards the horizon."""
        flat = directions[..., :2] / (directions[..., 2:].clamp_min(0) + 0.12)
        pattern = torch.from_numpy(_pattern(self.seed)).to(directions.device)
        place = (flat * 0.09 % 1.0) * _CLOUDS
        corner = place.floor()
        share = place - corner
        x, y = (corner[..., axis].long() % _CLOUDS for axis in (0, 1))
        next_x, next_y = (x + 1) % _CLOUDS, (y + 1) % _CLOUDS
        upper = torch.lerp(pattern[y, x], pattern[y, next_x], share[..., 0])
        lower = torch.lerp(pattern[next_y, x], pattern[next_y, next_x], share[..., 0])
        value = torch.lerp(upper, lower, share[..., 1])
        return ((value - (1 - self.cover)) * 3).clamp(0, 1)[..., None]


def random_sky(random: np.random.Generator, sun: np.ndarray) -> Sky:
    """A sky by day that fits the sun's height: red and dim when it is low, blue when it is high."""
    height = float(np.clip(sun[2], 0, 1))
    warm = np.array([1.0, 0.62, 0.38]) * (1 - height) + np.array([0.75, 0.85, 1.0]) * height
    blue = np.array([0.12, 0.28, 0.7]) * random.uniform(0.5, 1.2)
    cover = float(np.clip(random.normal(0.45, 0.3), 0, 1))
    grey = random.uniform(0.7, 1.2)
    zenith = blue * (1 - cover * 0.6) + grey * 0.45 * cover
    horizon = warm * random.uniform(0.6, 1.0) * (1 - cover * 0.5) + grey * 0.5 * cover
    return Sky(
        tuple(horizon), tuple(zenith), (grey,) * 3, cover, int(random.integers(1 << 31)), tuple(sun), (1 - cover) * 1.5
    )


def random_sun(random: np.random.Generator) -> np.ndarray:
    """A unit direction towards a sun 12 to 70 degrees above the horizon."""
    height, heading = math.radians(random.uniform(12, 70)), random.uniform(0, math.tau)
    return np.array([math.cos(height) * math.cos(heading), math.cos(height) * math.sin(heading), math.sin(height)])


def _pattern(seed: int) -> np.ndarray:
    """(_CLOUDS, _CLOUDS) float32 in 0..1, evenly distributed: noise whose power falls with frequency, and repeats."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(_CLOUDS)[:, None], np.fft.rfftfreq(_CLOUDS)[None, :]) * _CLOUDS
    power = np.where(frequency >= 1, np.maximum(frequency, 1) ** -1.6, 0)
    spectrum = np.fft.rfft2(random.standard_normal((_CLOUDS, _CLOUDS))) * power
    noise = np.fft.irfft2(spectrum, (_CLOUDS, _CLOUDS))
    rank: np.ndarray = noise.ravel().argsort().argsort().reshape(noise.shape) / noise.size
    return rank.astype(np.float32)

"""What level panoramas of a place show: every pixel is the mean of four rays, in linear light, before any exposure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .light import Lights
from .place import Place
from .ray_caster import cast
from .rays import Directions, PanoramaRays
from .shapes import Solid
from .surfaces import FaceTable, Surfaces, pixel_angle
from .textures import TextureSet


@dataclass(frozen=True, eq=False)
class Panorama:
    """radiance: (2 H, 2 W, 3) float32 linear light and range: (2 H, 2 W) float32 metres, inf in the sky: of each ray,
    two by two of which make a pixel."""

    radiance: torch.Tensor
    range: torch.Tensor

    def picture(self, exposure: float) -> torch.Tensor:
        """(3, H, W) uint8 sRGB."""
        height, width = self.range.shape
        pixels = (self.radiance * exposure).clamp_max(2).view(height // 2, 2, width // 2, 2, 3).mean(dim=(1, 3))
        return encoded(pixels).permute(2, 0, 1)

    def colours(self, exposure: float) -> torch.Tensor:
        """(2 H, 2 W, 3) uint8 sRGB: of the pixel that each ray belongs to; a ray on its own sees but some lights."""
        return self.picture(exposure).permute(1, 2, 0).repeat_interleave(2, 0).repeat_interleave(2, 1)


class Photographer:
    """Takes panoramas of one place in one orientation. width: of the panoramas in pixels."""

    def __init__(
        self, place: Place, textures: TextureSet, orientation: np.ndarray, width: int, centre: np.ndarray
    ) -> None:
        self._place, self._textures = place, textures
        device = textures.texels.device
        self._grid = Directions(2 * width, orientation, device)
        still = [solid for solid in place.solids if not solid.moves]
        self._lights = Lights.of(place.lighting, still, centre, place.reach, device)
        self._sky = (place.projection or place.lighting.sky).radiance(self._grid.world)
        self._moving = len(still) < len(place.solids)
        self._still_table = FaceTable([face for solid in place.solids for face in solid.faces], textures)

    def take(self, position: np.ndarray, seconds: float) -> Panorama:
        """The panorama from a position (3,) in metres at a time."""
        solids: Sequence[Solid] = self._place.solids_at(seconds)
        table = self._still_table
        if self._moving and seconds:
            table = FaceTable([face for solid in solids for face in solid.faces], self._textures)
        hits = cast(solids, PanoramaRays(self._grid, position))
        radiance = self._sky.clone()
        origin = torch.tensor(position, dtype=torch.float32, device=radiance.device)
        for sample, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            face = hits.face[row::2, column::2]
            seen = face >= 0
            rays = self._grid.world[row::2, column::2][seen]
            reach = hits.range[row::2, column::2][seen]
            footprint = reach * pixel_angle(self._grid.width)
            surfaces = table.surfaces(face[seen], origin + rays * reach[:, None], rays, footprint)
            radiance[row::2, column::2][seen] = self._light(surfaces, sample)
        return Panorama(radiance, hits.range)

    def _light(self, surfaces: Surfaces, sample: int) -> torch.Tensor:
        """Linear light (M, 3) of surfaces, by the lights of one ray of a pixel."""
        light = self._lights.reflected(surfaces, sample)
        if self._place.projection is None or surfaces.projected is None:
            return light
        shown = self._place.projection.on(surfaces.points)
        return torch.where(surfaces.projected[:, None], shown, light)


def exposure_of(panorama: Panorama, brightness: float) -> float:
    """What brings the geometric mean of a panorama's light to `brightness`, or less: four fifths of it are kept."""
    light = panorama.radiance[::4, ::4].mean(dim=2)
    rows = torch.arange(len(light), device=light.device)
    weight = torch.sin((rows + 0.5) / len(light) * math.pi)[:, None].expand_as(light)
    mean = float((((light + 1e-3).log() * weight).sum() / weight.sum()).exp())
    return min(brightness / max(mean, 1e-3), 0.9 / max(float(light.flatten().quantile(0.8)), 1e-3))


def encoded(linear: torch.Tensor) -> torch.Tensor:
    """uint8 sRGB of linear light; what is brighter than 0.8 is rolled off towards 1, as cameras do."""
    bright = 0.8 + 0.2 * (1 - torch.exp(-(linear - 0.8).clamp_min(0) / 0.2))
    linear = torch.where(linear > 0.8, bright, linear.clamp_min(0))
    curved = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(1e-6).pow(1 / 2.4) - 0.055)
    return (curved * 255).round().clamp(0, 255).to(torch.uint8)

"""Light on surfaces: a sun with soft shadows, lamps, the sky and what surfaces throw back, each seen or hidden.

What a light reaches first is cast once a clip, from the light: along parallel rays from the sun and from parts of the
sky, in all directions from lamps. A point is lit if nothing lies before it. Source: L. Williams, "Casting curved
shadows on curved surfaces", SIGGRAPH 1978; many small lights that stand for thrown-back light: A. Keller, "Instant
radiosity", SIGGRAPH 1997.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from .ray_caster import cast
from .rays import Directions, PanoramaRays, ParallelRays
from .shapes import Solid
from .sky import Sky
from .surfaces import Surfaces

Colour = tuple[float, float, float]
SAMPLES = 4
"""Rays a pixel. Each sees its own quarter of the lights, so that a pixel sees them all."""

_SUN_MAP, _SKY_MAP, _LAMP_MAP = 384, 64, 64
_SKY_PARTS = 8
_LARGE = 0.6  # metres; smaller things hide neither sky nor lamps


@dataclass(frozen=True)
class Lamp:
    """A small light. position: metres. colour: linear light that a surface one metre away gets. radius: of its shadow's
    softness, metres. one_sided: it shines downwards only."""

    position: tuple[float, float, float]
    colour: Colour
    radius: float = 0.1


@dataclass(frozen=True)
class Lighting:
    """What lights a place. sun: the colour of its light on a surface that faces it, black if there is none; sun_size:
    radians of its radius. ambient: light from everywhere, thrown back by surfaces; ground: what the ground throws up;
    sky_share: multiplies the sky's light."""

    sky: Sky
    sun: Colour = (0.0, 0.0, 0.0)
    sun_size: float = 0.01
    lamps: tuple[Lamp, ...] = ()
    ambient: Colour = (0.2, 0.2, 0.2)
    ground: Colour = (0.0, 0.0, 0.0)
    sky_share: float = 1.0


@dataclass(eq=False)
class Lights:
    """The lights of a place, with what each of them reaches first: `samples` has a list of lights for each ray of a
    pixel."""

    lighting: Lighting
    samples: list[list[_Parallel | _Point]] = field(default_factory=list)

    @classmethod
    def of(
        cls, lighting: Lighting, solids: Sequence[Solid], centre: np.ndarray, radius: float, device: torch.device
    ) -> Lights:
        """Cast from every light of a place that lies within a ball."""
        lights: list[list[_Parallel | _Point]] = [[] for _ in range(SAMPLES)]
        if max(lighting.sun) > 0:
            towards = np.array(lighting.sky.sun)
            for sample, turned in enumerate(_around(towards, lighting.sun_size, SAMPLES)):
                lights[sample].append(_Parallel(solids, turned, lighting.sun, centre, radius, _SUN_MAP, device))
        large = [solid for solid in solids if solid.extent > _LARGE]
        if lighting.sky_share > 0:
            parts = _sky_parts(_SKY_PARTS)
            radiance = lighting.sky.radiance(torch.tensor(parts, dtype=torch.float32)).numpy()
            for index, (direction, light) in enumerate(zip(parts, radiance, strict=True)):
                share = light * lighting.sky_share * math.tau * SAMPLES / len(parts) / math.pi
                colour = (float(share[0]), float(share[1]), float(share[2]))
                lights[index % SAMPLES].append(_Parallel(large, direction, colour, centre, radius, _SKY_MAP, device))
        grid = Directions(_LAMP_MAP, np.array([(1, 0, 0), (0, 0, -1), (0, 1, 0)], np.float64), device)
        for index, (lamp, shift) in enumerate((it, s) for it in lighting.lamps for s in range(_copies(it))):
            lights[index % SAMPLES].append(_Point(large, lamp, shift, grid))
        return cls(lighting, lights)

    def reflected(self, surfaces: Surfaces, sample: int) -> torch.Tensor:
        """Linear light (M, 3) that surfaces throw back and emit, by the lights of one ray of a pixel."""
        device = surfaces.points.device
        lighting = self.lighting
        ambient, ground = (
            torch.tensor(colour, dtype=torch.float32, device=device) for colour in (lighting.ambient, lighting.ground)
        )
        downwards = 0.5 - 0.5 * surfaces.normals[:, 2:]
        light = ambient + ground * downwards
        for source in self.samples[sample]:
            light = light + source.light(surfaces)
        return surfaces.albedo * light + surfaces.emission


class _Parallel:
    """Light from far away. towards: the unit direction to it."""

    def __init__(
        self,
        solids: Sequence[Solid],
        towards: np.ndarray,
        colour: Colour,
        centre: np.ndarray,
        radius: float,
        side: int,
        device: torch.device,
    ) -> None:
        self._rays = ParallelRays(-towards, centre, radius, side, device)
        self._depth = cast(solids, self._rays).range.reshape(-1)
        axes = np.stack([self._rays.across, self._rays.down, self._rays.direction])
        self._axes = torch.tensor(axes, dtype=torch.float32, device=device)
        self._corner = torch.tensor(axes @ self._rays.corner, dtype=torch.float32, device=device)
        self._towards = torch.tensor(towards, dtype=torch.float32, device=device)
        self._colour = torch.tensor(colour, dtype=torch.float32, device=device)

    def light(self, surfaces: Surfaces) -> torch.Tensor:
        cosine = (surfaces.normals @ self._towards).clamp_min(0)
        step, side = self._rays.step, self._rays.shape[0]
        place = (surfaces.points + surfaces.normals * (1.5 * step)) @ self._axes.T - self._corner
        x, y, depth = place[:, 0] / step, place[:, 1] / step, place[:, 2] - 0.5 * step
        left, top = x.floor(), y.floor()
        share_x, share_y = x - left, y - top
        column, row = left.long().clamp(0, side - 2), top.long().clamp(0, side - 2)
        index = row * side + column
        lit = [(self._depth[index + shift] > depth).float() for shift in (0, 1, side, side + 1)]
        seen = torch.lerp(torch.lerp(lit[0], lit[1], share_x), torch.lerp(lit[2], lit[3], share_x), share_y)
        outside = (x < 0) | (y < 0) | (x > side - 1) | (y > side - 1)
        return (cosine * torch.where(outside, torch.ones_like(seen), seen))[:, None] * self._colour


class _Point:
    """Light from a lamp, or from one of the points that it is spread over."""

    def __init__(self, solids: Sequence[Solid], lamp: Lamp, shift: int, grid: Directions) -> None:
        corner = np.array([(0, 0, 0), (1, 1, 0), (-1, 1, 0), (1, -1, 0), (-1, -1, 0)][shift]) * lamp.radius
        position = np.array(lamp.position) + corner
        device = grid.world.device
        self._side = grid.width
        self._depth = cast(solids, PanoramaRays(grid, position)).range.reshape(-1)
        self._position = torch.tensor(position, dtype=torch.float32, device=device)
        strength = SAMPLES / _copies(lamp)
        self._colour = torch.tensor(lamp.colour, dtype=torch.float32, device=device) * strength

    def light(self, surfaces: Surfaces) -> torch.Tensor:
        towards = self._position - surfaces.points
        distance = towards.norm(dim=1).clamp_min(1e-3)
        cosine = ((surfaces.normals * towards).sum(1) / distance).clamp_min(0)
        bias = 0.03 + distance * 0.03
        seen_from = surfaces.points + surfaces.normals * bias[:, None] - self._position
        level = torch.hypot(seen_from[:, 0], seen_from[:, 1])
        u = (torch.atan2(seen_from[:, 0], seen_from[:, 1]) / math.tau + 0.5) * self._side - 0.5
        v = (0.5 - torch.atan2(seen_from[:, 2], level) / math.pi) * (self._side // 2) - 0.5
        left, top = u.floor(), v.floor()
        share_u, share_v = u - left, v - top
        height = self._side // 2
        columns = left.long() % self._side, (left.long() + 1) % self._side
        rows = top.long().clamp(0, height - 1) * self._side, (top.long() + 1).clamp(0, height - 1) * self._side
        reach = seen_from.norm(dim=1) - bias * 0.5
        upper, lower = (
            torch.lerp(*((self._depth[row + column] > reach).float() for column in columns), share_u) for row in rows
        )
        seen = torch.lerp(upper, lower, share_v)
        return (cosine * seen / (distance * distance + 0.3))[:, None] * self._colour


def _copies(lamp: Lamp) -> int:
    return 4 if lamp.radius > 0 else 1


def _around(towards: np.ndarray, radius: float, count: int) -> list[np.ndarray]:
    """Unit directions on a circle around one."""
    helper = np.array([0.0, 0.0, 1.0]) if abs(towards[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    across = np.cross(helper, towards)
    across /= np.linalg.norm(across)
    down = np.cross(towards, across)
    turned = []
    for index in range(count):
        angle = math.tau * (index + 0.5) / count
        direction = towards + radius * (math.cos(angle) * across + math.sin(angle) * down)
        turned.append(direction / np.linalg.norm(direction))
    return turned


def _sky_parts(count: int) -> np.ndarray:
    """Unit directions spread evenly over the upper half of the sphere, by the golden angle."""
    index = np.arange(count) + 0.5
    up = index / count
    angle = index * math.pi * (3 - math.sqrt(5))
    level = np.sqrt(1 - up * up)
    return np.stack([level * np.cos(angle), level * np.sin(angle), up], axis=1)

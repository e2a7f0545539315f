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

from pantheon360_blender.core.panorama.equirectangular import directions_to_pixels

from .ray_caster import cast
from .rays import Directions, PanoramaRays, ParallelRays
from .shapes import Solid
from .sky import Sky
from .surfaces import Surfaces

Colour = tuple[float, float, float]
SAMPLES = 4
"""Rays a pixel. Each sees its own quarter of the lights, so that a pixel sees them all."""

_SUN_MAP, _SKY_MAP, _LAMP_MAP = 384, 64, 80
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
        grid = Directions(2 * _LAMP_MAP, np.array([(1, 0, 0), (0, 0, -1), (0, 1, 0)], np.float64), device)
        for index, (lamp, shift, share) in enumerate(_spread(lighting.lamps)):
            lights[index % SAMPLES].append(_Point(large, lamp, shift, share, grid))
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
        points, normals = surfaces.points.T.contiguous(), surfaces.normals.T.contiguous()
        for source in self.samples[sample]:
            light += source.light(points, normals)
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
        rays = ParallelRays(-towards, centre, radius, side, device)
        self._depth = cast(solids, rays).range.reshape(-1)
        self._step, self._side = rays.step, side
        self._axes = [(axis.tolist(), float(axis @ rays.corner)) for axis in (rays.across, rays.down, rays.direction)]
        self._towards = towards.tolist()
        self._colour = torch.tensor(colour, dtype=torch.float32, device=device)

    def light(self, points: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
        """(M, 3) on points and with normals, (3, M) each."""
        cosine = _dot(normals, self._towards).clamp_min_(0)
        step, side = self._step, self._side
        shifted = torch.add(points, normals, alpha=1.5 * step)
        x, y, depth = (_dot(shifted, axis) - start for axis, start in self._axes)
        x, y, depth = x / step, y / step, depth - 0.5 * step
        seen = _lit(self._depth, side, x, y, depth)
        outside = (x < 0) | (y < 0) | (x > side - 1) | (y > side - 1)
        return (cosine * seen.masked_fill_(outside, 1))[:, None] * self._colour


class _Point:
    """Light from a lamp, or from one of the points that it is spread over.

    What it reaches is kept on an octahedron that is unfolded to a square. Source: Z. Cigolle et al., "A survey of
    efficient representations for independent unit vectors", JCGT 3(2), 2014.
    """

    def __init__(self, solids: Sequence[Solid], lamp: Lamp, shift: np.ndarray, share: float, grid: Directions) -> None:
        position = np.array(lamp.position) + shift
        self._position = position.tolist()
        hits = cast(solids, PanoramaRays(grid, position))
        self._depth = hits.range.reshape(-1)[_octahedron(grid)]
        self._colour = torch.tensor(lamp.colour, dtype=torch.float32, device=grid.world.device) * share

    def light(self, points: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
        """(M, 3) on points and with normals, (3, M) each."""
        x, y, z = (points[axis] - self._position[axis] for axis in range(3))
        square = x * x + y * y + z * z
        distance = square.clamp_min(1e-6).sqrt()
        cosine = ((normals[0] * x + normals[1] * y + normals[2] * z) / distance).neg_().clamp_min_(0)
        bias = distance * 0.03 + 0.03
        x, y, z = (torch.addcmul(from_lamp, normals[axis], bias) for axis, from_lamp in enumerate((x, y, z)))
        sum_ = x.abs() + y.abs() + z.abs()
        x, y = x / sum_, y / sum_
        below = z < 0
        u = torch.where(below, (1 - y.abs()).copysign(x), x)
        v = torch.where(below, (1 - x.abs()).copysign(y), y)
        half = _LAMP_MAP / 2
        seen = _lit(self._depth, _LAMP_MAP, u * half + (half - 0.5), v * half + (half - 0.5), distance - bias)
        return (cosine * seen / (square + 0.3))[:, None] * self._colour


def _lit(depths: torch.Tensor, side: int, x: torch.Tensor, y: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """(M,) 0 to 1: how much of what is around places of a map of depths lies no nearer to the light than `depth`."""
    left, top = x.floor(), y.floor()
    share_x, share_y = x - left, y - top
    index = top.clamp_(0, side - 2).mul_(side).add_(left.clamp_(0, side - 2)).long()
    lit = [(depths[index + shift] > depth).float() for shift in (0, 1, side, side + 1)]
    return torch.lerp(torch.lerp(lit[0], lit[1], share_x), torch.lerp(lit[2], lit[3], share_x), share_y)


def _dot(vectors: torch.Tensor, axis: list[float]) -> torch.Tensor:
    """(M,) of vectors (3, M)."""
    return (vectors[0] * axis[0]).add_(vectors[1], alpha=axis[1]).add_(vectors[2], alpha=axis[2])


def _octahedron(grid: Directions) -> torch.Tensor:
    """(_LAMP_MAP ** 2,) the pixel of a level panorama that looks along +Y, for each place of an unfolded octahedron."""
    middle = (np.arange(_LAMP_MAP) + 0.5) / _LAMP_MAP * 2 - 1
    u, v = np.meshgrid(middle, middle)
    z = 1 - np.abs(u) - np.abs(v)
    x = np.where(z < 0, np.copysign(1 - np.abs(v), u), u)
    y = np.where(z < 0, np.copysign(1 - np.abs(u), v), v)
    column, row = directions_to_pixels(np.stack([x, z, -y], axis=-1).reshape(-1, 3), grid.width).T.astype(np.int64)
    pixel = np.minimum(row, grid.width // 2 - 1) * grid.width + np.minimum(column, grid.width - 1)
    return torch.from_numpy(pixel).to(grid.world.device)


def _spread(lamps: Sequence[Lamp]) -> list[tuple[Lamp, np.ndarray, float]]:
    """Lamps, what they are shifted by, and what share of their light they then have, for rays to take turns with."""
    corners = np.array([(1, 1, 0), (-1, -1, 0), (-1, 1, 0), (1, -1, 0)], np.float64)
    copies = 4 if sum(lamp.radius > 0 for lamp in lamps) < 2 else 2
    spread = []
    for lamp in lamps:
        count = copies if lamp.radius > 0 else 1
        spread += [(lamp, corners[index] * lamp.radius, SAMPLES / count) for index in range(count)]
    return spread


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

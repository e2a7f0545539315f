"""Real panoramas on proxies: walls around a star-shaped floor, all of it seen from where the panorama was taken."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..light import Lighting
from ..place import Painter, Place
from ..projection import Projection
from ..shapes import Paint, Solid, box, prism
from ..sky import random_sky, random_sun
from . import furniture

_PROJECTED = Paint(projected=True)


def proxy(painter: Painter) -> Place:
    """A real panorama on walls and a floor; under a roof there is a ceiling, else the sky above the skyline is far."""
    random = painter.random
    panorama, roofed = painter.panorama()
    least, most = ((1.8, 3.5), (4.0, 9.0)) if roofed else ((3.0, 8.0), (8.0, 40.0))
    nearest, farthest = sorted(random.uniform(least, most))
    light = panorama[len(panorama) // 3 : -len(panorama) // 4].flatten(0, 1).median(dim=0).values.tolist()
    projection = Projection(
        panorama.clamp_max(40 * max(light)),
        (0.0, 0.0, float(random.uniform(1.2, 1.8))),
        float(random.uniform(0, math.tau)),
        bool(random.random() < 0.5),
        _shade(random),
    )
    outline = _star(random, nearest, farthest)
    solids = [box((0, 0, -0.5), (400, 400, 1.0), _PROJECTED)]
    ceiling = random.uniform(2.4, 4.5)
    if roofed:
        solids.append(box((0, 0, ceiling + 0.5), (400, 400, 1.0), _PROJECTED))
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        top = ceiling if roofed else _skyline(projection, start, end)
        quad = np.array([start, start * 1.05, end * 1.05, end])
        solids.append(prism(quad, 0.0, top, _PROJECTED, _PROJECTED))
    if random.random() < 0.5:
        solids += _things(painter, nearest)
    reach = float(0.6 * nearest)
    walkable = ((-reach, -reach, reach, reach),)
    return Place("proxy", tuple(solids), _light(random, light), walkable, reach, nearest * 2, projection=projection)


def _skyline(projection: Projection, start: np.ndarray, end: np.ndarray) -> float:
    """Height of a wall between two corners that hides what its part of the panorama has below the sky, metres.

    The sky is what is about as bright as the panorama's upper half, looked for downwards from the zenith.
    """
    elevation = np.radians(np.arange(-4, 70, 2.0))
    along = start + np.linspace(0.1, 0.9, 9)[:, None] * (end - start)
    level = along / np.linalg.norm(along, axis=1)[:, None]
    looking = np.empty((len(elevation), len(level), 3), np.float32)
    looking[..., :2] = level * np.cos(elevation)[:, None, None]
    looking[..., 2] = np.sin(elevation)[:, None]
    device = projection.panorama.device
    light = projection.radiance(torch.from_numpy(looking).to(device)).mean(dim=-1).cpu().numpy()
    sky = float(projection.panorama[: len(projection.panorama) // 4].mean())
    solid = light < 0.45 * sky
    highest = np.where(solid.any(axis=0), elevation[len(elevation) - 1 - solid[::-1].argmax(axis=0)], elevation[0])
    distance = float(np.linalg.norm(along, axis=1).mean())
    return float(max(0.3, projection.centre[2] + distance * math.tan(float(np.median(highest)))))


def _star(random: np.random.Generator, nearest: float, farthest: float) -> np.ndarray:
    """(K, 2): corners around the origin, counter-clockwise, at distances that change in few places."""
    count = int(random.integers(6, 15))
    angles = np.sort((np.arange(count) + random.uniform(-0.35, 0.35, count)) / count * math.tau)
    distances = np.exp(random.uniform(math.log(nearest), math.log(farthest), count))
    smooth = (np.roll(distances, 1) + distances + np.roll(distances, -1)) / 3
    distances = np.maximum(np.where(random.random(count) < 0.6, smooth, distances), nearest)
    return np.asarray(np.stack([np.cos(angles), np.sin(angles)], axis=1) * distances[:, None])


def _things(painter: Painter, nearest: float) -> list[Solid]:
    """Things that the panorama did not show, but its captures do."""
    solids: list[Solid] = []
    for _ in range(painter.random.integers(1, 5)):
        angle, distance = painter.random.uniform(0, math.tau), painter.random.uniform(0.5, 0.9) * nearest
        x, y = math.cos(angle) * distance, math.sin(angle) * distance
        kind = int(painter.random.integers(4))
        if kind == 0:
            solids += furniture.post(painter, x, y)
        else:
            make = (furniture.crates, furniture.plant, furniture.person)[kind - 1]
            solids += make(painter, x, y, painter.random.uniform(0, math.tau))
    return solids


def _shade(random: np.random.Generator) -> tuple[float, float, float]:
    red, green, blue = np.exp(random.normal(0, 0.05, 3)).tolist()
    return red, green, blue


def _light(random: np.random.Generator, light: list[float]) -> Lighting:
    """Light of the panorama's own brightness on what stands in it. light: its median, (3,) linear."""
    sun = random_sun(random)
    strength = 1.2 * float(np.mean(light))
    red, green, blue = light
    ambient = (red * 0.9, green * 0.9, blue * 0.9)
    ground = (red * 0.4, green * 0.4, blue * 0.4)
    return Lighting(random_sky(random, sun), (strength,) * 3, 0.1, (), ambient, ground, sky_share=0.0)

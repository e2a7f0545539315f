"""Real panoramas on proxies: walls around a star-shaped floor, all of which was seen from where the panorama was taken."""

from __future__ import annotations

import math

import numpy as np

from . import furniture
from .light import Lighting
from .place import Painter, Place
from .projection import Projection
from .shapes import Paint, Solid, box, prism
from .sky import random_sky, random_sun

_PROJECTED = Paint(projected=True)


def proxy(painter: Painter) -> Place:
    """A real panorama on walls and a floor; indoors there is a ceiling, outdoors the sky above the walls is far."""
    random = painter.random
    panorama = painter.panorama()
    indoors = bool(random.random() < 0.4)
    nearest, farthest = random.uniform((1.8, 3.5), (4.0, 9.0)) if indoors else random.uniform((3.0, 8.0), (8.0, 40.0))
    eye, high = random.uniform(1.2, 1.8), random.uniform(2.4, 4.5) if indoors else random.uniform(3, 16)
    outline = _star(random, nearest, farthest)
    solids = [box((0, 0, -0.5), (400, 400, 1.0), _PROJECTED)]
    if indoors:
        solids.append(box((0, 0, high + 0.5), (400, 400, 1.0), _PROJECTED))
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        top = high if indoors else high * float(random.uniform(0.5, 1.3))
        quad = np.array([start, start * 1.05, end * 1.05, end])
        solids.append(prism(quad, 0.0, top, _PROJECTED, _PROJECTED))
    mean = panorama[len(panorama) // 3 : -len(panorama) // 4].mean(dim=(0, 1)).tolist()
    if random.random() < 0.5:
        solids += _things(painter, nearest)
    projection = Projection(
        panorama.clamp_max(40 * max(mean)),
        (0.0, 0.0, float(eye)),
        float(random.uniform(0, math.tau)),
        bool(random.random() < 0.5),
        _shade(random),
    )
    reach = float(0.6 * nearest)
    walkable = ((-reach, -reach, reach, reach),)
    return Place("proxy", tuple(solids), _light(random, mean), walkable, reach, nearest * 2, projection=projection)


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


def _light(random: np.random.Generator, mean: list[float]) -> Lighting:
    """Light of the panorama's own brightness on what stands in it."""
    sun = random_sun(random)
    strength = float(np.mean(mean))
    ambient = (mean[0] * 0.6, mean[1] * 0.6, mean[2] * 0.6)
    ground = (mean[0] * 0.3, mean[1] * 0.3, mean[2] * 0.3)
    return Lighting(random_sky(random, sun), (strength * 0.8,) * 3, 0.1, (), ambient, ground, sky_share=0.0)

"""Rooms: walls with windows and doors, pictures, rugs and furniture, lit by lamps and by what comes in."""

from __future__ import annotations

import math

import numpy as np

from ..light import Lamp, Lighting
from ..place import Painter, Place
from ..shapes import Paint, Solid, box
from ..sky import random_sky, random_sun
from . import furniture

_WALL = 0.15  # metres

Opening = tuple[float, float, float, float]
"""Of a wall: left and right edge along it, from its middle; low and high edge. Metres."""


def room(painter: Painter) -> Place:
    """A furnished room with one to three windows."""
    random = painter.random
    wide, deep = np.exp(random.uniform(np.log(3.0), np.log((8.0, 11.0))))
    high = random.uniform(2.3, 3.4)
    floor, ceiling, wall = painter.paint("floor"), painter.ceiling(), painter.wall()
    solids = [
        box((0, 0, -0.1), (wide + 1, deep + 1, 0.2), floor),
        box((0, 0, high + 0.1), (wide + 1, deep + 1, 0.2), ceiling),
    ]
    windowed = set(random.choice(4, size=int(random.integers(1, 4)), replace=False).tolist())
    for side in range(4):
        length, distance = (wide, deep / 2) if side % 2 == 0 else (deep, wide / 2)
        paint = wall if random.random() < 0.8 else painter.wall()
        openings = _openings(random, length, high) if side in windowed else []
        solids += _wall(side, length, distance, high, paint, openings, painter.plain(0.5, 0.8))
        solids += _on_wall(painter, side, length, distance, high, openings)
    solids += _skirting(wide, deep, painter.paint("wood"))
    free = _furnish(painter, wide, deep, solids)
    solids.append(box((0, 0, -0.4), (80, 80, 0.1), painter.paint("ground")))
    if random.random() < 0.6:
        _opposite(painter, solids, wide, deep)
    return Place(
        "room",
        tuple(solids),
        _lighting(painter, wide, deep, high, solids),
        free,
        longest=3.0,
        reach=max(wide, deep) * 0.75 + 1,
    )


def _openings(random: np.random.Generator, length: float, high: float) -> list[Opening]:
    count = max(1, min(3, int(length / 2.2)))
    size = random.uniform(0.8, max(1.0, length / count - 0.6))
    low = float(random.choice([0.05, 0.5, 0.9]))
    top = min(high - 0.2, low + random.uniform(1.1, 1.8))
    middles = (np.arange(count) + 0.5) / count * length - length / 2
    return [(middle - size / 2, middle + size / 2, low, top) for middle in middles]


def _wall(
    side: int, length: float, distance: float, high: float, paint: Paint, openings: list[Opening], frame: Paint
) -> list[Solid]:
    """A wall around its openings, with a frame and a cross in each."""
    solids, at = [], -length / 2 - _WALL
    for left, right, low, top in openings:
        solids.append(_piece(side, distance, at, left, 0, high, paint))
        solids.append(_piece(side, distance, left, right, 0, low, paint))
        solids.append(_piece(side, distance, left, right, top, high, paint))
        for edge in (left + 0.03, right - 0.03, (left + right) / 2):
            solids.append(_piece(side, distance, edge - 0.03, edge + 0.03, low, top, frame, thick=0.05))
        for edge in (low + 0.03, top - 0.03):
            solids.append(_piece(side, distance, left, right, edge - 0.03, edge + 0.03, frame, thick=0.05))
        at = right
    solids.append(_piece(side, distance, at, length / 2 + _WALL, 0, high, paint))
    return solids


def _piece(
    side: int,
    distance: float,
    left: float,
    right: float,
    low: float,
    top: float,
    paint: Paint,
    thick: float = _WALL,
    out: float | None = None,
) -> Solid:
    """A box in or before wall `side`; 0 is at +Y, 1 at +X, 2 at -Y, 3 at -X. out: metres beyond the wall's face."""
    yaw = -side * math.pi / 2
    beyond = distance + (thick / 2 if out is None else out)
    along = (left + right) / 2
    x, y = math.cos(yaw) * along - math.sin(yaw) * beyond, math.sin(yaw) * along + math.cos(yaw) * beyond
    return box((x, y, (low + top) / 2), (right - left, thick, top - low), paint, yaw=yaw)


def _on_wall(
    painter: Painter, side: int, length: float, distance: float, high: float, openings: list[Opening]
) -> list[Solid]:
    """A door, pictures, panels and a radiator on a wall."""
    random, solids = painter.random, []
    if openings:
        low = openings[0][2]
        if low > 0.4:
            left, right = openings[0][:2]
            solids.append(_piece(side, distance, left, right, 0.1, low - 0.1, painter.plain(0.5, 0.8), 0.1, out=-0.05))
        return solids
    taken = 0.0
    if random.random() < 0.6:
        door = random.uniform(-length / 2 + 0.6, length / 2 - 0.6)
        taken = door
        solids.append(_piece(side, distance, door - 0.5, door + 0.5, 0, 2.08, painter.paint("wood"), 0.06, out=-0.02))
        solids.append(
            _piece(side, distance, door - 0.42, door + 0.42, 0.02, 2.0, painter.paint("door"), 0.06, out=-0.03)
        )
    for place in np.arange(-length / 2 + 0.7, length / 2 - 0.5, 1.3):
        if random.random() < 0.55 and abs(place - taken) > 1.1:
            size = random.uniform((0.4, 0.4), (1.0, 1.0))
            middle = random.uniform(1.3, 1.7)
            low, top = middle - size[1] / 2, min(middle + size[1] / 2, high - 0.1)
            solids.append(
                _piece(
                    side,
                    distance,
                    place - size[0] / 2 - 0.04,
                    place + size[0] / 2 + 0.04,
                    low - 0.04,
                    top + 0.04,
                    painter.paint("wood"),
                    0.04,
                    out=-0.02,
                )
            )
            solids.append(
                _piece(
                    side,
                    distance,
                    place - size[0] / 2,
                    place + size[0] / 2,
                    low,
                    top,
                    painter.paint("picture"),
                    0.04,
                    out=-0.03,
                )
            )
    return solids


def _skirting(wide: float, deep: float, paint: Paint) -> list[Solid]:
    lengths = [(wide, deep / 2), (deep, wide / 2), (wide, deep / 2), (deep, wide / 2)]
    return [
        _piece(side, distance, -length / 2, length / 2, 0, 0.1, paint, 0.03, out=-0.01)
        for side, (length, distance) in enumerate(lengths)
    ]


def _furnish(
    painter: Painter, wide: float, deep: float, solids: list[Solid]
) -> tuple[tuple[float, float, float, float], ...]:
    """Put furniture along the walls and perhaps into the middle; the free rectangles remain to walk in."""
    random = painter.random
    for side in range(4):
        length, distance = (wide, deep / 2) if side % 2 == 0 else (deep, wide / 2)
        for along in np.arange(-length / 2 + 0.9, length / 2 - 0.7, 1.6):
            if random.random() > 0.55:
                continue
            make = (
                furniture.shelf,
                furniture.sofa,
                furniture.table,
                furniture.crates,
                furniture.plant,
                furniture.bed,
                furniture.chair,
            )[int(random.integers(7))]
            yaw = -side * math.pi / 2
            beyond = distance - (1.05 if make is furniture.bed else 0.5)
            x, y = math.cos(yaw) * along - math.sin(yaw) * beyond, math.sin(yaw) * along + math.cos(yaw) * beyond
            solids += make(painter, x, y, yaw)
    if min(wide, deep) > 4.5 and random.random() < 0.6:
        x, y = random.uniform(-0.2, 0.2, 2) * (wide, deep)
        solids += furniture.table(painter, x, y, random.uniform(0, math.pi))
        for angle in random.uniform(0, math.tau, int(random.integers(0, 4))):
            solids += furniture.chair(
                painter, x + math.cos(angle) * 1.2, y + math.sin(angle) * 1.0, angle - math.pi / 2
            )
    if random.random() < 0.6:
        x, y = random.uniform(-0.15, 0.15, 2) * (wide, deep)
        solids.append(box((x, y, 0.0), (min(2.4, wide * 0.5), min(3.2, deep * 0.5), 0.02), painter.paint("rug")))
    return ((-wide / 2 + 0.4, -deep / 2 + 0.4, wide / 2 - 0.4, deep / 2 - 0.4),)


def _opposite(painter: Painter, solids: list[Solid], wide: float, deep: float) -> None:
    """What stands outside: houses, trees."""
    for angle in np.arange(0, math.tau, math.pi / 3):
        angle += painter.random.uniform(-0.3, 0.3)
        distance = max(wide, deep) / 2 + painter.random.uniform(6, 16)
        x, y = math.cos(angle) * distance, math.sin(angle) * distance
        if painter.random.random() < 0.5:
            solids += furniture.tree(painter, x, y)
        else:
            solids.append(box((x, y, 3), (7, 7, 7), painter.paint("facade"), yaw=angle))


def _lighting(painter: Painter, wide: float, deep: float, high: float, solids: list[Solid]) -> Lighting:
    random = painter.random
    sun = random_sun(random)
    sky = random_sky(random, sun)
    bright = random.uniform(0.15, 0.9)
    lamps = []
    for _ in range(random.integers(1, 3)):
        x, y = random.uniform(-0.3, 0.3, 2) * (wide, deep)
        warm = np.array([1.0, random.uniform(0.75, 1.0), random.uniform(0.5, 1.0)]) * random.uniform(0.5, 2.5)
        lamps.append(Lamp((x, y, high - 0.25), tuple(warm), random.uniform(0.1, 0.35)))
        solids.append(box((x, y, high - 0.02), (0.5, 0.5, 0.04), painter.light(2.0)))
    for index in range(4):  # what walls and floor throw back
        angle = math.tau * (index + random.random()) / 4
        x, y = math.cos(angle) * wide * 0.36, math.sin(angle) * deep * 0.36
        light = bright * np.exp(random.normal(0, 0.3)) * np.array([1.0, 0.95, 0.88])
        lamps.append(Lamp((x, y, high * random.uniform(0.25, 0.85)), tuple(light), 0.0))
    strength = random.uniform(0, 4) if random.random() < 0.7 else 0.0
    return Lighting(
        sky,
        (strength, strength * 0.93, strength * 0.8),
        random.uniform(0.005, 0.03),
        tuple(lamps),
        (bright * 0.25,) * 3,
        (0.03,) * 3,
        sky_share=random.uniform(0.7, 1.5),
    )

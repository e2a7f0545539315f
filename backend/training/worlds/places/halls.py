"""Halls with rows of columns, and stairs between walls, with railings: places of many thin upright things."""

from __future__ import annotations

import math

import numpy as np

from ..light import Lamp, Lighting
from ..place import Painter, Place
from ..shapes import Solid, box, pole
from ..sky import random_sky, random_sun
from . import furniture
from .streets import outdoor_light


def hall(painter: Painter) -> Place:
    """A long hall with columns, beams, benches, railings; one side may be open."""
    random = painter.random
    wide, deep, high = random.uniform((5, 10, 3), (12, 24, 5.5))
    wall, stone = painter.wall(), painter.paint("wall")
    solids = [
        box((0, 0, -0.1), (wide + 0.4, deep + 0.4, 0.2), painter.paint("floor")),
        box((0, 0, high + 0.1), (wide + 0.4, deep + 0.4, 0.2), painter.ceiling()),
        box((0, 0, -0.6), (100, 100, 0.2), painter.paint("ground")),
    ]
    open_side = int(random.integers(6))
    for side, (x, y, sx, sy) in enumerate(
        ((wide / 2, 0, 0.2, deep), (-wide / 2, 0, 0.2, deep), (0, deep / 2, wide, 0.2), (0, -deep / 2, wide, 0.2))
    ):
        if side != open_side:
            solids.append(box((x, y, high / 2), (sx, sy, high), wall))
            solids.append(box((x, y, 0.5), (sx + 0.04, sy + 0.04, 1.0), painter.paint("wood")))
        elif side < 2:
            start, end = np.array([x, -deep / 2, 0.0]), np.array([x, deep / 2, 0.0])
            solids += furniture.railing(painter, start, end, painter.paint("metal"))
    spacing, beams = random.uniform(2.2, 4.5), painter.paint("wood")
    for y in np.arange(-deep / 2 + 1, deep / 2 - 0.5, spacing):
        for x in (-wide * 0.28, wide * 0.28):
            solids += furniture.column(painter, x, float(y), high, stone)
        solids.append(box((0, float(y), high - 0.15), (wide, 0.25, 0.3), beams))
    solids += _pictures(painter, wide, deep)
    for _ in range(random.integers(0, 5)):
        make = (furniture.crates, furniture.plant, furniture.sofa, furniture.table)[int(random.integers(4))]
        x = float(random.choice((-1, 1))) * wide * 0.4
        solids += make(painter, x, random.uniform(-0.4, 0.4) * deep, random.choice((-1, 1)) * math.pi / 2)
    for _ in range(random.integers(0, 3)):
        x, y = random.uniform(-0.2, 0.2, 2) * (wide, deep)
        solids += furniture.person(painter, x, y, random.choice((0.0, math.pi)), random.choice((0.0, 1.0)))
    lighting = _inside(painter, wide, deep, high, solids)
    free = ((-wide / 2 + 0.5, -deep / 2 + 0.5, wide / 2 - 0.5, deep / 2 - 0.5),)
    return Place("hall", tuple(solids), lighting, free, 6.0, deep * 0.6 + 2)


def stairs(painter: Painter) -> Place:
    """A flight of stairs between two floors, in the open or between walls."""
    random = painter.random
    count, rise, tread = int(random.integers(8, 19)), random.uniform(0.14, 0.18), random.uniform(0.27, 0.36)
    wide, run, top = random.uniform(1.6, 4.5), count * tread, count * rise
    inside = bool(random.random() < 0.5)
    step, floor = painter.paint("wood" if inside and random.random() < 0.6 else "paving"), painter.paint("floor")
    metal, beyond = painter.paint("metal"), random.uniform(3, 7)
    solids = [box((0, 0, -0.5), (120, 120, 1.0), floor if inside else painter.paint("paving"))]
    for index in range(count):
        height = (index + 1) * rise
        solids.append(box((0, (index + 0.5) * tread, height / 2), (wide, tread, height), step))
    solids.append(box((0, run + beyond / 2, top / 2), (wide + 3, beyond, top), painter.paint("wall"), floor))
    foot, head = np.array([0.0, 0.0, 0.0]), np.array([0.0, run, top])
    for side in (-1, 1):
        shift = np.array([side * (wide / 2 - 0.06), 0, 0])
        solids += furniture.railing(painter, foot + shift, head + shift, metal)
        edge = np.array([side * (wide / 2 + 1.4), run + 0.1, top])
        solids += furniture.railing(painter, edge, edge + np.array([0, beyond - 0.2, 0]), metal)
    if inside:
        lighting = _well(painter, wide, run, top, beyond, solids)
    else:
        _outside(painter, wide, run, solids)
        lighting = outdoor_light(painter)
    walkable = (
        (-wide / 2 + 0.45, -3.0, wide / 2 - 0.45, run + beyond - 0.6),
        (-wide / 2 + 0.45, -1.0, wide / 2 - 0.45, run),
    )
    return Place("stairs", tuple(solids), lighting, walkable, 4.5, run + 6, stairs=(foot, head))


def _well(painter: Painter, wide: float, run: float, top: float, beyond: float, solids: list[Solid]) -> Lighting:
    """Walls and a ceiling around stairs, and what hangs on the walls."""
    random = painter.random
    wall, high = painter.wall(), top + random.uniform(2.4, 3.2)
    half, front, back = wide / 2 + 1.5, -4.0, run + beyond
    middle, long = (front + back) / 2, back - front
    for side in (-1, 1):
        solids.append(box((side * (half + 0.1), middle, high / 2), (0.2, long, high), wall))
        for y in np.arange(front + 1, back - 1, 2.0):
            if random.random() < 0.5:
                level = max(0.0, min(top, (float(y) / run) * top)) + 1.6
                size = random.uniform(0.5, 1.1)
                frame = painter.paint("picture" if random.random() < 0.7 else "door")
                solids.append(
                    box((side * half, float(y), level), (0.06, size, size), painter.paint("wood"), front=None)
                )
                solids.append(
                    box((side * (half - 0.02), float(y), level), (size * 0.9, 0.06, size * 0.9), frame, yaw=math.pi / 2)
                )
    for y in (front - 0.1, back + 0.1):
        solids.append(box((0, y, high / 2), (2 * half, 0.2, high), painter.paint("wall")))
        solids.append(box((0, y * 0.98, 1.05 if y < 0 else top + 1.05), (0.9, 0.3, 2.1), painter.paint("door")))
    solids.append(box((0, middle, high + 0.1), (2 * half, long, 0.2), painter.ceiling()))
    lamps = []
    for share in (0.1, 0.5, 0.9):
        y = front + share * long
        strength = float(random.uniform(1.5, 4))
        lamps.append(Lamp((0.0, y, high - 0.4), (strength, strength * 0.92, strength * 0.8), 0.15))
        solids.append(box((0, y, high - 0.03), (0.4, 0.4, 0.06), painter.light(2.0)))
    sun = random_sun(random)
    return Lighting(random_sky(random, sun), lamps=tuple(lamps), ambient=(0.12,) * 3, ground=(0.04,) * 3, sky_share=0)


def _outside(painter: Painter, wide: float, run: float, solids: list[Solid]) -> None:
    """Houses, trees and poles around open stairs."""
    random = painter.random
    for side in (-1, 1):
        if random.random() < 0.6:
            away = side * (wide / 2 + random.uniform(2.5, 6) + 4)
            solids.append(box((away, run / 2, 5), (8, run + 20, random.uniform(6, 14)), painter.paint("facade")))
        for _ in range(random.integers(1, 5)):
            x, y = side * (wide / 2 + random.uniform(0.8, 6)), random.uniform(-6, run + 2)
            solids += (furniture.tree if random.random() < 0.4 else furniture.lamp_post)(painter, x, y)
    solids.append(box((0, run + 16, 6), (30, 8, 12), painter.paint("facade")))
    solids.append(box((0, -16, 4), (30, 8, 8), painter.paint("facade")))


def _pictures(painter: Painter, wide: float, deep: float) -> list[Solid]:
    solids = []
    for side in (-1, 1):
        for y in np.arange(-deep / 2 + 1.5, deep / 2 - 1, 2.2):
            if painter.random.random() < 0.5:
                size = painter.random.uniform((0.6, 0.6), (1.4, 1.3))
                x = side * (wide / 2 - 0.12)
                shape = (size[0], 0.08, size[1])
                solids.append(box((x, float(y), 1.75), shape, painter.paint("picture"), yaw=side * math.pi / 2))
        if painter.random.random() < 0.5:
            solids.append(pole(side * (wide / 2 - 0.3), 0.0, 0.04, 0, 2.8, painter.paint("metal")))
    return solids


def _inside(painter: Painter, wide: float, deep: float, high: float, solids: list[Solid]) -> Lighting:
    random = painter.random
    sun = random_sun(random)
    lamps = []
    bright = random.uniform(0.5, 2.0)
    for share in (-0.36, -0.12, 0.12, 0.36):
        strength = bright * float(random.uniform(0.6, 1.4))
        lamps.append(Lamp((0.0, share * deep, high - 0.5), (strength, strength * 0.93, strength * 0.82), 0.2))
        solids.append(box((0, share * deep, high - 0.32), (0.3, 1.0, 0.06), painter.light(2.5)))
    sunlight = random.uniform(0, 3)
    return Lighting(
        random_sky(random, sun),
        (sunlight, sunlight * 0.95, sunlight * 0.85),
        random.uniform(0.005, 0.03),
        tuple(lamps),
        (bright * 0.12,) * 3,
        (bright * 0.05,) * 3,
        sky_share=1.0,
    )

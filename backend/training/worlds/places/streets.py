"""Streets: a road between pavements and houses, with cars, trees, lamps and people."""

from __future__ import annotations

import math

import numpy as np

from ..light import Lighting
from ..place import Painter, Place
from ..shapes import Paint, Solid, Windows, box, gable
from ..sky import random_sky, random_sun
from . import furniture

_LENGTH = 90.0  # metres


def street(painter: Painter) -> Place:
    """A straight street with houses on one or both sides."""
    random = painter.random
    road, pavement = random.uniform(4.5, 9), random.uniform(1.2, 3.5)
    kerb = 0.12
    solids = [
        box((0, 0, -0.55), (240, 240, 1.0), painter.paint("ground")),
        box((0, 0, -0.24), (road, _LENGTH * 2, 0.5), painter.paint("road")),
    ]
    paving = painter.paint("paving")
    for side in (-1, 1):
        solids.append(
            box((side * (road + pavement) / 2, 0, kerb / 2 - 0.2), (pavement, _LENGTH * 2, kerb + 0.4), paving)
        )
    if random.random() < 0.6:
        solids += [box((0, y, 0.012), (0.14, 2.4, 0.01), painter.plain(0.6, 0.8)) for y in np.arange(-30, 30, 5.0)]
    sides = (-1, 1) if random.random() < 0.75 else (int(random.choice((-1, 1))),)
    for side in sides:
        solids += houses(painter, side, road / 2 + pavement)
    solids += _things(painter, road, pavement)
    walkable = (
        (-road / 2 - pavement + 0.5, -14.0, road / 2 + pavement - 0.5, 14.0),
        (road / 2 + 0.4, -14.0, road / 2 + pavement - 0.4, 14.0),
    )
    return Place("street", tuple(solids), outdoor_light(painter), walkable, longest=9.0, reach=32.0)


def houses(painter: Painter, side: int, distance: float) -> list[Solid]:
    """A row of houses whose fronts stand at x = side * distance."""
    random, solids = painter.random, []
    y = -_LENGTH / 2
    while y < _LENGTH / 2:
        wide, deep, high = random.uniform((5, 6, 4), (14, 10, 15))
        gap = random.uniform(1, 5) if random.random() < 0.35 else 0.0
        back = random.uniform(0, 1.5) if random.random() < 0.4 else 0.0
        solids += house(painter, side * (distance + back + deep / 2), y + wide / 2, wide, deep, high, side)
        y += wide + gap
    return solids


def house(painter: Painter, x: float, y: float, wide: float, deep: float, high: float, side: int) -> list[Solid]:
    """A house whose front looks along -side X; wide along Y."""
    random = painter.random
    storey = random.uniform(2.7, 3.6)
    panes = float(random.uniform(1.6, 3.2))
    glass = random.uniform(0.02, 0.12)
    windows = Windows(
        (panes, storey),
        (panes * random.uniform(0.4, 0.7), storey * random.uniform(0.35, 0.6)),
        ((wide % panes) / 2 + panes * 0.2, 0.9 if random.random() < 0.6 else storey + 0.9),
        high - 0.5,
        (glass, glass * 1.15, glass * 1.4),
    )
    facade = painter.paint("facade" if random.random() < 0.6 else "wall")
    front = Paint(facade.texture, facade.metres, facade.tint, 0.0, facade.offset, windows)
    yaw = math.pi / 2 * side * -1
    solids = [box((x, y, high / 2), (wide, deep, high), facade, top=painter.paint("roof"), front=front, yaw=yaw)]
    face = x - side * (deep / 2 + 0.03)
    door = y + random.uniform(-wide / 2 + 1, wide / 2 - 1)
    shape = (1.1, 0.12, 2.3)
    solids.append(box((face, door, 1.2), shape, painter.paint("wall"), front=painter.paint("door"), yaw=yaw))
    if random.random() < 0.4:
        sign = (random.uniform(1.5, wide * 0.7), 0.15, random.uniform(0.4, 0.8))
        solids.append(box((face, y, 2.85), sign, painter.plain(0.1, 0.7, 0.5), front=painter.paint("picture"), yaw=yaw))
    if random.random() < 0.5:
        solids.append(box((face, y, storey), (wide, 0.25, 0.2), painter.paint("wall"), yaw=yaw))
    if random.random() < 0.35:
        for across in np.arange(-wide / 2 + 1.5, wide / 2 - 1, random.uniform(3, 5)):
            solids.append(
                box((face - side * 0.5, y + across, storey + 0.1), (2.0, 1.1, 0.15), painter.paint("wall"), yaw=yaw)
            )
    if random.random() < 0.5:
        roof = painter.paint("roof")
        solids.append(gable((x, y, high), (wide + 0.3, deep + 0.5, random.uniform(1.5, 3.5)), roof, facade, yaw=yaw))
    return solids


def outdoor_light(painter: Painter) -> Lighting:
    """Sun and sky of a day; the less sun, the more clouds."""
    random = painter.random
    sun = random_sun(random)
    sky = random_sky(random, sun)
    strength = random.uniform(1.5, 3.5) * (1 - sky.cover) ** 0.7
    low = 1 - sun[2]
    colour = (strength, strength * (1 - 0.12 * low), strength * (1 - 0.3 * low))
    ground = 0.08 + 0.06 * strength
    return Lighting(sky, colour, random.uniform(0.005, 0.025), (), (0.06, 0.06, 0.065), (ground,) * 3, 1.0)


def _things(painter: Painter, road: float, pavement: float) -> list[Solid]:
    """Cars at the kerb, trees, lamps and bollards on the pavements, and what moves."""
    random, solids = painter.random, []
    for side in (-1, 1):
        for y in np.arange(-24, 24, 6.5):
            if random.random() < 0.35:
                solids += furniture.car(
                    painter, side * (road / 2 - 1.1), y + random.uniform(-0.6, 0.6), 0 if side > 0 else math.pi
                )
        kerb = side * (road / 2 + 0.4)
        make = furniture.tree if random.random() < 0.5 else furniture.lamp_post
        for y in np.arange(-26, 26, random.uniform(7, 12)):
            solids += make(painter, kerb, y)
        for y in np.arange(-12, 12, random.uniform(2, 8)):
            if random.random() < 0.4:
                solids += furniture.post(painter, kerb, y + 1)
    if random.random() < 0.35:
        solids += furniture.car(painter, road / 4, random.uniform(-20, 20), 0.0, random.uniform(1, 6))
    for _ in range(random.integers(0, 4) if random.random() < 0.5 else 0):
        x = random.choice((-1, 1)) * (road / 2 + random.uniform(0.6, pavement - 0.3))
        solids += furniture.person(
            painter, x, random.uniform(-10, 10), random.choice((0.0, math.pi)), random.uniform(0.4, 1.5)
        )
    return solids

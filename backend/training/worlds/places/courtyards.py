"""Courtyards: houses on four sides, arcades with columns, paving, a fountain, trees and benches."""

from __future__ import annotations

import math

import numpy as np

from ..place import Painter, Place
from ..shapes import Paint, Solid, Windows, box
from . import furniture
from .streets import outdoor_light


def courtyard(painter: Painter) -> Place:
    """A paved court between houses."""
    random = painter.random
    wide, deep = random.uniform(8, 22, 2)
    high = random.uniform(5, 12)
    solids = [box((0, 0, -0.5), (120, 120, 1.0), painter.paint("paving"))]
    if random.random() < 0.4:
        size = random.uniform(0.25, 0.5, 2) * (wide, deep)
        solids.append(box((0, 0, 0.0), (*size, 0.12), painter.paint("ground")))
    facade = painter.paint("facade" if random.random() < 0.5 else "wall")
    arcaded = random.random(4) < 0.4
    for side in range(4):
        length, distance = (wide, deep / 2) if side % 2 == 0 else (deep, wide / 2)
        if random.random() < 0.25:
            facade = painter.paint("wall")
        solids += _front(painter, facade, side, length, distance, high * random.uniform(0.7, 1.2))
        if arcaded[side]:
            solids += _arcade(painter, side, length, distance)
    if random.random() < 0.5:
        solids += furniture.fountain(painter, *(random.uniform(-0.1, 0.1, 2) * (wide, deep)))
    for _ in range(random.integers(0, 4)):
        solids += furniture.tree(painter, *(random.uniform(-0.35, 0.35, 2) * (wide, deep)))
    for _ in range(random.integers(1, 7)):
        make = (furniture.crates, furniture.plant, furniture.table, furniture.chair)[int(random.integers(4))]
        x, y = random.uniform(-0.42, 0.42, 2) * (wide, deep)
        solids += make(painter, x, y, random.uniform(0, math.tau))
    for _ in range(random.integers(0, 3)):
        x, y = random.uniform(-0.3, 0.3, 2) * (wide, deep)
        solids += furniture.person(painter, x, y, random.uniform(0, math.tau), random.choice((0.0, 0.5, 1.2)))
    free = ((-wide / 2 + 0.6, -deep / 2 + 0.6, wide / 2 - 0.6, deep / 2 - 0.6),)
    return Place("courtyard", tuple(solids), outdoor_light(painter), free, 7.0, max(wide, deep) * 0.8 + 3)


def _front(painter: Painter, paint: Paint, side: int, length: float, distance: float, high: float) -> list[Solid]:
    """A house along one side, with windows above and doors below."""
    random = painter.random
    yaw = -side * math.pi / 2
    panes, storey, glass = random.uniform(1.5, 3.0), random.uniform(2.6, 3.5), random.uniform(0.02, 0.12)
    windows = Windows(
        (panes, storey),
        (panes * random.uniform(0.4, 0.65), storey * random.uniform(0.4, 0.6)),
        (panes * 0.3, 0.9 if random.random() < 0.5 else storey + 0.8),
        high - 0.4,
        (glass, glass * 1.1, glass * 1.3),
    )
    front = Paint(paint.texture, paint.metres, paint.tint, 0.0, paint.offset, windows)
    out = 0.0 if side % 2 == 0 else 8.0
    x, y = _beyond(yaw, 0, distance + 4)
    solids = [box((x, y, high / 2), (length + out, 8, high), paint, painter.paint("roof"), front=front, yaw=yaw)]
    for place in np.arange(-length / 2 + 1.2, length / 2 - 0.8, random.uniform(2.5, 6)):
        if random.random() < 0.5:
            x, y = _beyond(yaw, float(place), distance - 0.02)
            door = painter.paint("door")
            solids.append(box((x, y, 1.1), (1.1, 0.12, 2.2), painter.paint("wood"), front=door, yaw=yaw))
    return solids


def _arcade(painter: Painter, side: int, length: float, distance: float) -> list[Solid]:
    """A roof on columns before a house."""
    random = painter.random
    yaw, deep, high = -side * math.pi / 2, random.uniform(1.6, 2.6), random.uniform(2.5, 3.4)
    stone = painter.paint("wall")
    x, y = _beyond(yaw, 0, distance - deep / 2)
    solids = [box((x, y, high + 0.2), (length, deep, 0.4), stone, painter.paint("roof"), yaw=yaw)]
    for place in np.arange(-length / 2 + 0.6, length / 2 - 0.3, random.uniform(1.8, 3.2)):
        solids += furniture.column(painter, *_beyond(yaw, float(place), distance - deep + 0.3), high, stone)
    return solids


def _beyond(yaw: float, along: float, away: float) -> tuple[float, float]:
    """A point `along` a side and `away` from the middle of the court."""
    return math.cos(yaw) * along - math.sin(yaw) * away, math.sin(yaw) * along + math.cos(yaw) * away

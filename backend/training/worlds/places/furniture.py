"""Things that stand about: tables, chairs, shelves, crates, sofas, beds, plants, cars, trees, lamp posts, people."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..place import Painter
from ..shapes import Paint, Solid, ball, box, pole, prism


def table(painter: Painter, x: float, y: float, yaw: float) -> list[Solid]:
    """A table with four legs."""
    wide, deep, high = painter.random.uniform((0.9, 0.6, 0.68), (1.8, 0.9, 0.78))
    wood = painter.paint("wood")
    solids = [box((x, y, high - 0.025), (wide, deep, 0.05), wood, yaw=yaw)]
    solids += [
        box(
            (*_at(x, y, yaw, sx * (wide / 2 - 0.06), sy * (deep / 2 - 0.06)), (high - 0.05) / 2),
            (0.06, 0.06, high - 0.05),
            wood,
            yaw=yaw,
        )
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    for _ in range(painter.random.integers(0, 4)):
        size = painter.random.uniform((0.1, 0.1, 0.03), (0.35, 0.3, 0.35))
        sx, sy = painter.random.uniform(-0.35, 0.35, 2) * (wide, deep)
        kind = str(painter.random.choice(["front", "fabric", "metal", "picture"]))
        solids.append(
            box(
                (*_at(x, y, yaw, sx, sy), high + size[2] / 2),
                size,
                painter.paint(kind),
                yaw=yaw + painter.random.uniform(-1, 1),
            )
        )
    return solids


def chair(painter: Painter, x: float, y: float, yaw: float) -> list[Solid]:
    """A seat on legs with a back."""
    paint = painter.paint(str(painter.random.choice(["wood", "fabric"])))
    solids = [box((x, y, 0.45), (0.45, 0.45, 0.06), paint, yaw=yaw)]
    solids.append(box((*_at(x, y, yaw, 0, 0.2), 0.72), (0.45, 0.05, 0.5), paint, yaw=yaw))
    solids += [
        box((*_at(x, y, yaw, sx * 0.19, sy * 0.19), 0.21), (0.04, 0.04, 0.42), paint, yaw=yaw)
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    return solids


def shelf(painter: Painter, x: float, y: float, yaw: float) -> list[Solid]:
    """A cupboard or shelf; its front looks along -Y before it is turned."""
    wide, deep, high = painter.random.uniform((0.6, 0.3, 0.8), (1.8, 0.6, 2.2))
    wood, front = painter.paint("wood"), painter.paint("front")
    solids = [box((x, y, high / 2), (wide, deep, high), wood, front=front, yaw=yaw)]
    if high < 1.4 and painter.random.random() < 0.6:
        solids.append(
            ball((x, y, high + 0.15), 0.15, painter.paint(str(painter.random.choice(["foliage", "metal", "fabric"]))))
        )
    return solids


def crates(painter: Painter, x: float, y: float, yaw: float) -> list[Solid]:
    """One to three boxes upon each other."""
    solids, height = [], 0.0
    for _ in range(painter.random.integers(1, 4)):
        size = painter.random.uniform((0.3, 0.3, 0.25), (0.8, 0.8, 0.6))
        paint = painter.paint(str(painter.random.choice(["front", "wood", "metal"])))
        solids.append(box((x, y, height + size[2] / 2), size, paint, yaw=yaw + painter.random.uniform(-0.4, 0.4)))
        height += size[2]
    return solids


def sofa(painter: Painter, x: float, y: float, yaw: float) -> list[Solid]:
    """A sofa whose back is along +Y before it is turned."""
    wide, fabric = painter.random.uniform(1.2, 2.2), painter.paint("fabric")
    solids = [box((x, y, 0.21), (wide, 0.85, 0.42), fabric, yaw=yaw)]
    solids.append(box((*_at(x, y, yaw, 0, 0.34), 0.6), (wide, 0.2, 0.5), fabric, yaw=yaw))
    solids += [
        box((*_at(x, y, yaw, side * (wide / 2 - 0.1), 0), 0.5), (0.2, 0.8, 0.25), fabric, yaw=yaw) for side in (-1, 1)
    ]
    return solids


def bed(painter: Painter, x: float, y: float, yaw: float) -> list[Solid]:
    """A bed with a pillow and a head board."""
    wide = painter.random.uniform(0.9, 1.8)
    solids = [box((x, y, 0.25), (wide, 2.0, 0.5), painter.paint("fabric"), yaw=yaw)]
    solids.append(box((*_at(x, y, yaw, 0, 0.75), 0.56), (wide * 0.7, 0.4, 0.12), painter.plain(0.5, 0.8), yaw=yaw))
    solids.append(box((*_at(x, y, yaw, 0, 1.03), 0.5), (wide, 0.06, 1.0), painter.paint("wood"), yaw=yaw))
    return solids


def plant(painter: Painter, x: float, y: float, yaw: float) -> list[Solid]:
    """A pot with leaves."""
    high, leaves = painter.random.uniform(0.3, 0.5), painter.paint("foliage")
    solids = [pole(x, y, 0.2, 0, high, painter.paint("wall"))]
    for _ in range(painter.random.integers(2, 5)):
        shift = painter.random.normal(0, 0.13, 3)
        solids.append(
            ball((x + shift[0], y + shift[1], high + 0.35 + shift[2]), painter.random.uniform(0.15, 0.3), leaves)
        )
    return solids


def column(painter: Painter, x: float, y: float, high: float, paint: Paint) -> list[Solid]:
    """A round column on a square foot."""
    radius = painter.random.uniform(0.15, 0.35)
    foot = radius * 2.6
    return [
        pole(x, y, radius, 0.2, high - 0.2, paint),
        box((x, y, 0.1), (foot, foot, 0.2), paint),
        box((x, y, high - 0.1), (foot, foot, 0.2), paint),
    ]


def car(painter: Painter, x: float, y: float, yaw: float, speed: float = 0.0) -> list[Solid]:
    """A car whose length is along its own Y; speed: metres a second along it."""
    paint, dark = painter.plain(0.05, 0.6, 0.5), painter.plain(0.02, 0.06)
    long = painter.random.uniform(3.8, 4.8)
    parts = [
        box((x, y, 0.62), (1.75, long, 0.62), paint, yaw=yaw),
        box((*_at(x, y, yaw, 0, -0.2), 1.17), (1.6, long * 0.55, 0.5), dark, top=paint, yaw=yaw),
    ]
    for sx in (-0.86, 0.86):
        for sy in (-0.3, 0.3):
            parts.append(box((*_at(x, y, yaw, sx, sy * long), 0.32), (0.16, 0.62, 0.64), dark, yaw=yaw))
    return _moving(parts, yaw, speed)


def tree(painter: Painter, x: float, y: float) -> list[Solid]:
    """A trunk with a crown of balls."""
    high, leaves = painter.random.uniform(2.2, 3.6), painter.paint("foliage")
    solids = [pole(x, y, painter.random.uniform(0.1, 0.2), 0, high, painter.paint("wood", bright=(0.06, 0.15)))]
    for _ in range(painter.random.integers(4, 9)):
        shift = painter.random.normal(0, 0.65, 3)
        solids.append(
            ball((x + shift[0], y + shift[1], high + 0.6 + shift[2]), painter.random.uniform(0.5, 1.1), leaves)
        )
    return solids


def lamp_post(painter: Painter, x: float, y: float) -> list[Solid]:
    """A street lamp."""
    high, metal = painter.random.uniform(3.5, 6), painter.plain(0.05, 0.3)
    return [pole(x, y, 0.06, 0, high, metal), ball((x, y, high + 0.15), 0.2, painter.plain(0.6, 0.9))]


def person(painter: Painter, x: float, y: float, yaw: float, speed: float = 0.0) -> list[Solid]:
    """Someone who stands or walks along their own Y."""
    coat, legs, skin = painter.plain(0.05, 0.5, 0.4), painter.plain(0.03, 0.2, 0.2), Paint(-1, 1.0, (0.5, 0.32, 0.24))
    parts = [
        pole(x, y, 0.14, 0, 0.85, legs),
        pole(x, y, 0.2, 0.85, 1.45, coat),
        ball((x, y, 1.62), 0.13, skin),
    ]
    return _moving(parts, yaw, speed)


def railing(painter: Painter, start: np.ndarray, end: np.ndarray, paint: Paint) -> list[Solid]:
    """A handrail on posts between two points (3,), which may lie at different heights: it then goes up in steps."""
    length = float(np.linalg.norm(end[:2] - start[:2]))
    count = max(2, int(length / painter.random.uniform(0.3, 0.9)) + 1)
    shares = np.linspace(0, 1, count)
    places = start + shares[:, None] * (end - start)
    solids = [pole(place[0], place[1], 0.025, place[2], place[2] + 1.0, paint) for place in places]
    yaw = math.atan2(end[1] - start[1], end[0] - start[0])
    for first, second in pairwise(places):
        middle = (first + second) / 2
        piece = length / (count - 1) + 0.02
        for height in (1.0, 0.5):
            solids.append(box((*middle[:2], middle[2] + height), (piece, 0.05, 0.05), paint, yaw=yaw))
    return solids


def post(painter: Painter, x: float, y: float) -> list[Solid]:
    """A bollard or a sign on a pole."""
    if painter.random.random() < 0.5:
        return [
            pole(x, y, painter.random.uniform(0.08, 0.16), 0, painter.random.uniform(0.6, 1.1), painter.paint("metal"))
        ]
    yaw = painter.random.uniform(0, math.tau)
    sign = box((x, y, 2.4), (0.6, 0.04, 0.6), painter.paint("picture"), yaw=yaw)
    return [pole(x, y, 0.04, 0, 2.6, painter.paint("metal")), sign]


def fountain(painter: Painter, x: float, y: float) -> list[Solid]:
    """A basin of many sides with a column in it."""
    stone = painter.paint("paving")
    sides = int(painter.random.integers(5, 9))
    angle = np.arange(sides) / sides * math.tau
    outline = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    wide = painter.random.uniform(0.8, 1.6)
    return [
        prism(outline * wide + (x, y), 0, 0.5, stone, stone),
        pole(x, y, 0.15, 0.5, 1.4, stone),
        ball((x, y, 1.5), 0.25, stone),
    ]


def _at(x: float, y: float, yaw: float, right: float, ahead: float) -> tuple[float, float]:
    return x + math.cos(yaw) * right - math.sin(yaw) * ahead, y + math.sin(yaw) * right + math.cos(yaw) * ahead


def _moving(parts: list[Solid], yaw: float, speed: float) -> list[Solid]:
    velocity = (-math.sin(yaw) * speed, math.cos(yaw) * speed, 0.0)
    return [replace(part, velocity=velocity) for part in parts] if speed else parts

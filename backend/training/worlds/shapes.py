"""Solids whose hits are known in closed form: boxes, upright prisms, gables, poles and balls, and how they are painted.

A solid is convex: an intersection of half-spaces, or of half-spaces and one round body. World: Z up, metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Windows:
    """Panes in rows and columns on an upright face. period, size: (across, up) metres; start: of the first pane's
    lower left corner from the face's; stop: metres of height that they fill; colour: of the glass; lit: its light."""

    period: tuple[float, float]
    size: tuple[float, float]
    start: tuple[float, float]
    stop: float
    colour: tuple[float, float, float]
    frame: float = 0.06


@dataclass(frozen=True)
class Paint:
    """How a face looks. texture: an index, -1 is none. metres: the texture's width, 0 if it fills the face.
    tint: multiplies it, linear light. emission: light of its own, times its colour. offset: of the texture, in widths.
    projected: it shows the place's real panorama, and nothing else of this counts.
    """

    texture: int = -1
    metres: float = 1.0
    tint: tuple[float, float, float] = (0.5, 0.5, 0.5)
    emission: float = 0.0
    offset: tuple[float, float] = (0.0, 0.0)
    windows: Windows | None = None
    projected: bool = False


@dataclass(frozen=True, eq=False)
class Face:
    """A painted plane or round body.

    normal: of a plane, zero on round bodies. curvature: what a point's distance from `centre` adds to the normal on
    each axis. across, down: (3,) widths of the texture a metre; origin: (2,) what they give at the texture's corner.
    corner: (2,) metres along `across` and up, the face's lower left corner. round: metres of radius, 0 on planes.
    """

    paint: Paint
    normal: np.ndarray
    across: np.ndarray
    down: np.ndarray
    origin: tuple[float, float]
    corner: tuple[float, float] = (0.0, 0.0)
    centre: np.ndarray | None = None
    curvature: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 0.0


@dataclass(frozen=True, eq=False)
class Solid:
    """normals: (P, 3), outwards; offsets: (P,), points within have normal @ point <= offset. faces: one a plane, and
    the round body's last. round: "", "ball" or "pole"; centre and radius are the round body's.
    footprint: (4, 2), a convex outline around it; low, high: its heights. velocity: (3,) metres a second.
    """

    normals: np.ndarray
    offsets: np.ndarray
    faces: tuple[Face, ...]
    footprint: np.ndarray
    low: float
    high: float
    round: str = ""
    centre: np.ndarray | None = None
    radius: float = 0.0
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def moves(self) -> bool:
        return any(self.velocity)

    @property
    def extent(self) -> float:
        """Its longest side, metres."""
        return max(float(np.ptp(self.footprint, axis=0).max()), self.high - self.low)

    def at(self, seconds: float) -> Solid:
        """The solid where it is after a time."""
        if not self.moves:
            return self
        return self.shifted(np.array(self.velocity) * seconds)

    def shifted(self, by: np.ndarray) -> Solid:
        """The solid elsewhere, its textures with it."""
        return replace(
            self,
            offsets=self.offsets + self.normals @ by,
            faces=tuple(_shifted(face, by) for face in self.faces),
            footprint=self.footprint + by[:2],
            low=self.low + by[2],
            high=self.high + by[2],
            centre=None if self.centre is None else self.centre + by,
        )


def box(
    centre: Sequence[float],
    size: Sequence[float] | np.ndarray,
    sides: Paint,
    top: Paint | None = None,
    front: Paint | None = None,
    yaw: float = 0.0,
) -> Solid:
    """A box that stands upright. centre: of its volume. front: of the side that looks along -Y before it is turned."""
    cx, cy, cz = centre
    wide, deep, high = (max(float(length), 1e-3) for length in size)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (wide / 2, deep / 2)
    turned = corners @ _turn(yaw).T + (cx, cy)
    paints = [front or sides, sides, sides, sides]
    return prism(turned, cz - high / 2, cz + high / 2, paints, top or sides)


def prism(outline: np.ndarray, low: float, high: float, sides: Paint | Sequence[Paint], top: Paint) -> Solid:
    """A convex outline, (K, 2), counter-clockwise from above, from `low` to `high`."""
    outline = np.asarray(outline, np.float64)
    paints = [sides] * len(outline) if isinstance(sides, Paint) else list(sides)
    normals, offsets, faces = [], [], []
    for start, end, paint in zip(outline, np.roll(outline, -1, axis=0), paints, strict=True):
        along = (end - start) / np.linalg.norm(end - start)
        normal = np.array([along[1], -along[0], 0.0])
        normals.append(normal)
        offsets.append(normal[:2] @ start)
        length = float(np.linalg.norm(end - start))
        faces.append(_upright(paint, normal, np.append(along, 0.0), float(along @ start), low, length, high - low))
    along = outline[1] - outline[0]
    along = np.append(along / np.linalg.norm(along), 0.0)
    for sign, height in ((1.0, high), (-1.0, low)):
        normal = np.array([0.0, 0.0, sign])
        normals.append(normal)
        offsets.append(sign * height)
        faces.append(_level(top, normal, along, outline))
    return Solid(np.array(normals), np.array(offsets), tuple(faces), _rectangle(outline), low, high)


def gable(centre: Sequence[float], size: Sequence[float], roof: Paint, ends: Paint, yaw: float = 0.0) -> Solid:
    """A roof whose ridge runs along its own X. centre: of its base, size: (along, across, high)."""
    along, across, high = size
    turn = _turn(yaw)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (along / 2, across / 2) @ turn.T + np.array(centre[:2])
    slope = math.hypot(across / 2, high)
    normals, offsets, faces = [], [], []
    ridge = np.append(turn @ (1, 0), 0.0)
    for sign in (1.0, -1.0):
        outwards = np.append(turn @ (0, sign), 0.0)
        normal = outwards * (high / slope) + np.array([0, 0, across / 2 / slope])
        downwards = outwards * (across / 2 / slope) - np.array([0, 0, high / slope])
        top = np.array([*centre[:2], centre[2] + high])
        normals.append(normal)
        offsets.append(normal @ top)
        metres = roof.metres or along
        faces.append(Face(roof, normal, ridge / metres, downwards / metres, roof.offset))
    for sign in (1.0, -1.0):
        normal = ridge * sign
        normals.append(normal)
        offsets.append(normal @ np.array(centre) + along / 2)
        sideways = np.append(turn @ (0, sign), 0.0)
        start = float(sideways[:2] @ np.array(centre[:2])) - across / 2
        faces.append(_upright(ends, normal, sideways, start, centre[2], across, high))
    normals.append(np.array([0.0, 0.0, -1.0]))
    offsets.append(-centre[2])
    faces.append(_level(ends, normals[-1], ridge, corners))
    return Solid(np.array(normals), np.array(offsets), tuple(faces), _rectangle(corners), centre[2], centre[2] + high)


def pole(x: float, y: float, radius: float, low: float, high: float, paint: Paint) -> Solid:
    """An upright cylinder."""
    centre = np.array([x, y, low])
    outline = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * radius + (x, y)
    normals = np.array([(0.0, 0.0, 1.0), (0.0, 0.0, -1.0)])
    across = np.array([1.0, 0.0, 0.0])
    caps = [_level(paint, normal, across, outline) for normal in normals]
    side = _round(paint, centre, radius, (1 / radius, 1 / radius, 0.0))
    return Solid(
        normals, np.array([high, -low]), (*caps, side), outline, low, high, round="pole", centre=centre, radius=radius
    )


def ball(centre: Sequence[float], radius: float, paint: Paint) -> Solid:
    """A sphere."""
    middle = np.array(centre, np.float64)
    outline = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * radius + middle[:2]
    face = _round(paint, middle, radius, (1 / radius,) * 3)
    return Solid(
        np.zeros((0, 3)),
        np.zeros(0),
        (face,),
        outline,
        middle[2] - radius,
        middle[2] + radius,
        round="ball",
        centre=middle,
        radius=radius,
    )


def _upright(
    paint: Paint, normal: np.ndarray, along: np.ndarray, start: float, low: float, length: float, height: float
) -> Face:
    down = np.array([0.0, 0.0, -1.0])
    if paint.metres:
        across, down, origin = along / paint.metres, down / paint.metres, paint.offset
    else:
        across, down, origin = along / length, down / height, (-start / length, (low + height) / height)
    return Face(paint, normal, across, down, origin, (start, low))


def _level(paint: Paint, normal: np.ndarray, along: np.ndarray, outline: np.ndarray) -> Face:
    down = np.array([along[1], -along[0], 0.0])
    if paint.metres:
        return Face(paint, normal, along / paint.metres, down / paint.metres, paint.offset)
    u, v = outline @ along[:2], outline @ down[:2]
    wide, high = float(np.ptp(u)), float(np.ptp(v))
    return Face(paint, normal, along / wide, down / high, (-float(u.min()) / wide, -float(v.min()) / high))


def _round(paint: Paint, centre: np.ndarray, radius: float, curvature: tuple[float, float, float]) -> Face:
    metres = paint.metres or math.tau * radius
    down = np.array([0.0, 0.0, -1.0]) / metres
    across = np.array([1.0, 0.0, 0.0]) / metres
    return Face(paint, np.zeros(3), across, down, paint.offset, (0.0, 0.0), centre, curvature, radius)


def _shifted(face: Face, by: np.ndarray) -> Face:
    origin = (face.origin[0] - float(face.across @ by), face.origin[1] - float(face.down @ by))
    across = face.across / max(float(np.linalg.norm(face.across)), 1e-9)
    corner = (face.corner[0] + float(across @ by), face.corner[1] + float(by[2]))
    return replace(face, origin=origin, corner=corner, centre=None if face.centre is None else face.centre + by)


def _turn(yaw: float) -> np.ndarray:
    return np.array([(math.cos(yaw), -math.sin(yaw)), (math.sin(yaw), math.cos(yaw))])


def _rectangle(outline: np.ndarray) -> np.ndarray:
    """A rectangle around an outline; the outline itself if it has four corners."""
    if len(outline) == 4:
        return outline
    low, high = outline.min(axis=0), outline.max(axis=0)
    return np.array([low, (high[0], low[1]), high, (low[0], high[1])])

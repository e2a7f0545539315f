"""The floor plan of a place from what one camera sees of it: ground, ceiling, and walls as few straight lines.

A wall is upright, so one distance in each direction of the compass tells where it stands. In plan a straight wall is
a line n . p = 1 from the eye, which is linear in n, and n . p - 1 is by how much of itself a distance is off. The
circle of directions is cut into lines, and into stretches that are open, by what costs least: squares of those errors,
up to where an error tells nothing, and a price for each piece. A place that keeps to two square directions may have
pieces of these at a lower price, so that its corners are square where the distances allow it. Pieces follow each other
around the eye: the outline is a star around it, and never crosses itself.

Source of the cut: Bellman (1961), "On the approximation of curves by line segments using dynamic programming", on a
circle, with a truncated quadratic error (Blake and Zisserman, 1987); of square directions: Coughlan and Yuille (1999),
"Manhattan World".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..errors import PointCloudError

COLUMNS = 256
"""Directions of the compass in which distances are told."""

OPEN = 60.0
"""Metres to which the ground goes on where no wall stands."""

_LONGEST = 116  # columns of one piece: a line is seen over less than half a turn
_ERROR = 0.03  # of a distance: what one line leaves
_MOST = 9.0  # cost of a column at most: errors above three times _ERROR are all alike
_PIECE, _OBLIQUE, _OPENING = 50.0, 35.0, 25.0  # prices of a piece, more of one that is not square, and of an opening
_ROUNDS = 3  # of reweighting
_GRAZING = 0.12  # sine of the angle at which a line is seen at least
_SQUARE = math.radians(10)
_MANHATTAN = 0.7  # share of the walls' directions that have to be square to each other, once it costs less
_LEVEL = 0.15  # metres: how thick a level surface is
_CLEAR = 0.25  # metres from ground and ceiling from which a point is a wall's
_SEEN = 0.04  # share of a column between 20 degrees down and up that a wall has to fill
_WALL = 0.6  # of a column's points, from near to far, the one that tells the wall: furniture stands before it
_CORNER, _OFF = 3, 0.1  # columns, and share of the distance, by which a corner may lie off the cut
_LOWEST_WALL = 0.5  # metres


class Surface(NamedTuple):
    """A mesh: vertices (V, 3) metres, world; faces, each the indices of its corners, whose fronts look inside."""

    vertices: np.ndarray
    faces: list[tuple[int, ...]]


class Wall(NamedTuple):
    """A wall over a line of the plan. start, end: (2,) metres, world, counter-clockwise around the eye. top: height."""

    start: np.ndarray
    end: np.ndarray
    top: float


@dataclass(frozen=True, eq=False)
class FloorPlan:
    """Ground, walls and ceiling of a place, metres, world, Z up.

    outline: (V, 2), counter-clockwise around the eye, no two neighbours alike; where no wall stands it lies OPEN away.
    ground: its height. ceiling: that of a level one, or None. walls: in the order of the outline, whose ends they share
    where two meet. square: whether the place keeps to two square directions.
    """

    outline: np.ndarray
    ground: float
    ceiling: float | None
    walls: tuple[Wall, ...]
    square: bool

    @property
    def floor(self) -> Surface:
        """The ground within the outline."""
        return _level_surface(self.outline, self.ground)

    @property
    def cover(self) -> Surface | None:
        """The ceiling, or None."""
        return None if self.ceiling is None else _level_surface(self.outline[::-1], self.ceiling)

    @property
    def sides(self) -> Surface:
        """The walls, a quadrilateral each; two that meet share the vertices there that lie at one height."""
        numbers: dict[tuple[float, ...], int] = {}
        faces: list[tuple[int, ...]] = []
        for wall in self.walls:
            corners = ((wall.end, self.ground), (wall.start, self.ground), (wall.start, wall.top), (wall.end, wall.top))
            face = [numbers.setdefault((*map(float, place), height), len(numbers)) for place, height in corners]
            faces.append(tuple(face))
        return Surface(np.array(list(numbers)), faces)


def floor_plan(points: np.ndarray, weights: np.ndarray, eye: np.ndarray) -> FloorPlan:
    """The plan of what is seen from a place.

    points: (N, 3) metres, world, that are seen from `eye`, (3,). weights: (N,) steradians that each of them fills.
    Raises PointCloudError if no ground is seen below the eye, or no wall.
    """
    seen = _Seen.of(np.asarray(points, np.float64), np.asarray(weights, np.float64), np.asarray(eye, np.float64))
    ground, ceiling = seen.ground(), seen.ceiling()
    columns = seen.columns(ground, ceiling)
    free = _candidates(columns, [])
    pieces = _cut(columns, free, _PIECE + _OBLIQUE)
    square = _squared(columns, free, pieces)
    pieces = square or pieces
    ends = _ends(columns, pieces)
    middle = eye[:2]
    walls = []
    for piece, (start, end) in zip(pieces, ends, strict=True):
        if piece.normal is not None:
            top = _top(columns, piece, ground) if ceiling is None else ceiling
            walls.append(Wall(middle + start, middle + end, float(eye[2] + top)))
    if not walls:
        raise PointCloudError(
            "No walls are seen around the camera.", advice="Make a proxy instead, and model what stands there."
        )
    return FloorPlan(
        outline=middle + _outline(pieces, ends),
        ground=float(eye[2] + ground),
        ceiling=None if ceiling is None else float(eye[2] + ceiling),
        walls=tuple(walls),
        square=square is not None,
    )


def _level_surface(outline: np.ndarray, height: float) -> Surface:
    return Surface(np.column_stack([outline, np.full(len(outline), height)]), [tuple(range(len(outline)))])


# What is seen


@dataclass(frozen=True, eq=False)
class _Seen:
    """Points around the eye: (N,) each. azimuth, elevation: radians. reach: level metres. height: above the eye."""

    azimuth: np.ndarray
    elevation: np.ndarray
    reach: np.ndarray
    height: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, weights: np.ndarray, eye: np.ndarray) -> _Seen:
        known = np.isfinite(points).all(axis=1) & (weights > 0)
        x, y, z = (points[known] - eye).T
        reach = np.maximum(np.hypot(x, y), 1e-6)
        return cls(np.arctan2(y, x), np.arctan2(z, reach), reach, z, weights[known])

    def ground(self) -> float:
        """Height of the ground. Raises PointCloudError if too little is seen of it."""
        below = self.elevation < -math.radians(30)
        height, _ = _level(self.height[below], self.weight[below])
        if height is None or height > -_CLEAR:
            raise PointCloudError(
                "No level ground is seen below the camera.",
                advice="Level the captures, or set the eye height, and build the 3D cache again.",
            )
        return height

    def ceiling(self) -> float | None:
        """Height of what covers most of what is above, at one level; None if nothing does."""
        above = self.elevation > math.radians(45)
        height, weight = _level(self.height[above], self.weight[above])
        whole = math.tau * (1 - math.sin(math.radians(45)))
        return height if height is not None and height > _CLEAR and weight > 0.5 * whole else None

    def columns(self, ground: float, ceiling: float | None) -> _Columns:
        """The walls, by direction."""
        high = math.inf if ceiling is None else ceiling - _CLEAR
        upright = (self.height > ground + _CLEAR) & (self.height < high)
        column = ((self.azimuth / math.tau + 0.5) * COLUMNS).astype(int) % COLUMNS
        band = upright & (np.abs(self.elevation) < math.radians(45))
        filled = np.bincount(column[band], self.weight[band], COLUMNS)
        distance = _by_column(column[band], self.reach[band], self.weight[band], _WALL)
        whole = math.tau / COLUMNS * 2 * math.sin(math.radians(20))
        known = (filled > _SEEN * whole) & (distance < 1.5 * OPEN)
        face = upright & (np.abs(self.reach / distance[column] - 1) < 0.15)
        top = _by_column(column[face], self.height[face], self.weight[face], 0.98)
        return _Columns(np.where(known, distance, 1.0), known, top)


@dataclass(frozen=True, eq=False)
class _Columns:
    """Walls by direction, (COLUMNS,) each. distance: level metres. top: above the eye, nan if unknown."""

    distance: np.ndarray
    known: np.ndarray
    top: np.ndarray

    @property
    def place(self) -> np.ndarray:
        """(COLUMNS, 2) metres from the eye, in plan."""
        return np.asarray(self.distance[:, None] * _towards(np.arange(COLUMNS) + 0.5))


def _towards(columns: np.ndarray) -> np.ndarray:
    """(n, 2): unit directions in plan of columns and parts of columns."""
    azimuth = np.asarray(columns) / COLUMNS * math.tau - math.pi
    return np.stack([np.cos(azimuth), np.sin(azimuth)], axis=-1)


def _level(heights: np.ndarray, weights: np.ndarray) -> tuple[float | None, float]:
    """The height at which most lies within _LEVEL, and how much; None if there is nothing."""
    if not len(heights):
        return None, 0.0
    order = np.argsort(heights)
    sorted_, sums = heights[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    ends = np.searchsorted(sorted_, sorted_ + _LEVEL, side="right")
    within = sums[ends] - sums[:-1]
    first = int(within.argmax())
    half = np.searchsorted(sums[first + 1 : ends[first] + 1], sums[first] + within[first] / 2)
    return float(sorted_[min(first + half, len(sorted_) - 1)]), float(within[first])


def _by_column(column: np.ndarray, values: np.ndarray, weights: np.ndarray, share: float) -> np.ndarray:
    """(COLUMNS,): of each column's values the one below which a share of the weight lies; nan without any."""
    found = np.full(COLUMNS, np.nan)
    order = np.lexsort((values, column))
    column, values, sums = column[order], values[order], np.cumsum(weights[order])
    there, first, count = np.unique(column, return_index=True, return_counts=True)
    for which, start, size in zip(there, first, count, strict=True):
        before = sums[start - 1] if start else 0.0
        part = sums[start : start + size] - before
        found[which] = values[start + min(int(np.searchsorted(part, share * part[-1])), size - 1)]
    return found


# Lines


@dataclass(frozen=True, eq=False)
class _Candidates:
    """A line for each stretch of columns. cost: (COLUMNS, _LONGEST + 1) by first column and length, inf if it is none.

    normal: (COLUMNS, _LONGEST + 1, 2), n of n . p = 1.
    """

    cost: np.ndarray
    normal: np.ndarray


class _Piece(NamedTuple):
    """Columns first ... first + length - 1. normal: (2,) of their wall, or None if they are open."""

    first: int
    length: int
    normal: np.ndarray | None


def _candidates(columns: _Columns, axes: Sequence[np.ndarray]) -> _Candidates:
    """The best line of every stretch, its price not counted. axes: (2,) normals, up to their length; none is any."""
    place, known = columns.place, columns.known
    choices: list[np.ndarray | None] = [*axes] or [None]
    cost = np.full((COLUMNS, _LONGEST + 1), np.inf)
    normal = np.zeros((COLUMNS, _LONGEST + 1, 2))
    inside = np.tri(_LONGEST, dtype=bool)  # of each length the columns that it has
    for first in range(COLUMNS):
        which = (first + np.arange(_LONGEST)) % COLUMNS
        counted = inside & known[which]
        looking = _towards(which + 0.5)
        for axis in choices:
            fitted = _fitted(place[which], counted, axis)
            error = np.where(counted, fitted @ place[which].T - 1, 0.0) / _ERROR
            price = np.where(counted, np.minimum(error**2, _MOST), np.where(inside, _MOST, 0.0)).sum(axis=1)
            sine = np.where(inside, fitted @ looking.T, np.inf).min(axis=1)
            price[(sine < _GRAZING * np.linalg.norm(fitted, axis=1)) | (counted.sum(axis=1) < 2)] = np.inf
            better = price < cost[first, 1:]
            cost[first, 1:][better] = price[better]
            normal[first, 1:][better] = fitted[better]
    return _Candidates(cost, normal)


def _fitted(place: np.ndarray, counted: np.ndarray, axis: np.ndarray | None) -> np.ndarray:
    """(L, 2): normals of lines through those of the places (C, 2) that are counted (L, C), whatever a few of them say.

    Least squares, reweighted as Geman and McClure (1985) do. axis: the normals' direction, or its opposite, or None.
    """
    weight = counted.astype(np.float64)
    lines = np.zeros((len(counted), 2))
    for _ in range(_ROUNDS):
        if axis is not None:
            along = place @ axis
            lines = (weight @ along / np.maximum(weight @ along**2, 1e-12))[:, None] * axis
        else:
            xx, xy, yy = (weight @ product for product in (place[:, 0] ** 2, place.prod(axis=1), place[:, 1] ** 2))
            x, y = (weight @ place).T
            determinant = xx * yy - xy**2
            solved = np.stack([yy * x - xy * y, xx * y - xy * x], axis=1)
            lines = solved / np.maximum(determinant, 1e-9 * xx * yy + 1e-12)[:, None]
        weight = counted / (1 + ((lines @ place.T - 1) / (2 * _ERROR)) ** 2) ** 2
    return lines


def _cheapest(free: _Candidates, square: _Candidates) -> _Candidates:
    """Of both lines of each stretch the one that costs less, the price of being oblique counted."""
    oblique = free.cost + _OBLIQUE
    better = square.cost <= oblique
    return _Candidates(np.where(better, square.cost, oblique), np.where(better[..., None], square.normal, free.normal))


def _cut(columns: _Columns, lines: _Candidates, price: float) -> list[_Piece]:
    """The pieces around the circle that cost least altogether, wherever the first one begins."""
    known = np.concatenate([columns.known, columns.known[:_LONGEST]])
    sums = np.concatenate([[0], np.cumsum(known)])
    lengths = np.arange(_LONGEST + 1)
    missed = sums[(np.arange(COLUMNS)[:, None] + lengths)] - sums[:COLUMNS, None]
    opening = _MOST * missed + _OPENING
    walls = lines.cost + price <= opening
    pieces = []
    for first, length in _cheapest_cut(np.where(walls, lines.cost + price, opening)):
        pieces.append(_Piece(first, length, lines.normal[first, length] if walls[first, length] else None))
    return pieces


def _cheapest_cut(cost: np.ndarray) -> list[tuple[int, int]]:
    """First column and length of the stretches around the circle that cost least, whichever column they begin at.

    cost: (COLUMNS, _LONGEST + 1) by first column and length.
    """
    starts = np.arange(COLUMNS)
    best = np.full((COLUMNS, COLUMNS + 1), np.inf)
    came = np.zeros((COLUMNS, COLUMNS + 1), np.int32)
    best[:, 0] = 0.0
    for done in range(1, COLUMNS + 1):
        lengths = np.arange(1, min(done, _LONGEST) + 1)
        total = best[:, done - lengths] + cost[(starts[:, None] + done - lengths) % COLUMNS, lengths]
        came[:, done] = 1 + total.argmin(axis=1)
        best[:, done] = total.min(axis=1)
    start, done = int(best[:, COLUMNS].argmin()), COLUMNS
    found: list[tuple[int, int]] = []
    while done:
        length = int(came[start, done])
        done -= length
        found.append(((start + done) % COLUMNS, length))
    return found[::-1]


def _squared(columns: _Columns, free: _Candidates, pieces: Sequence[_Piece]) -> list[_Piece] | None:
    """The pieces of a place whose walls keep to two square directions; None of one whose do not.

    pieces: cut from the free lines alone.
    """
    angles, lengths = _turns(pieces)
    if not len(angles):
        return None
    turn = max(angles, key=lambda each: float(lengths @ np.maximum(1 - (_off(angles, each) / _SQUARE) ** 2, 0)))
    alike = _off(angles, turn) < _SQUARE
    mean = float(np.angle((lengths[alike] * np.exp(4j * angles[alike])).sum()) / 4)
    axes = [np.array([math.cos(mean), math.sin(mean)]), np.array([-math.sin(mean), math.cos(mean)])]
    found = _cut(columns, _cheapest(free, _candidates(columns, axes)), _PIECE)
    angles, lengths = _turns(found)
    return found if lengths[_off(angles, mean) < 1e-6].sum() > _MANHATTAN * lengths.sum() else None


def _turns(pieces: Sequence[_Piece]) -> tuple[np.ndarray, np.ndarray]:
    """The walls' normals as angles in radians, and how many columns each is seen over."""
    normals = [(piece.normal, piece.length) for piece in pieces if piece.normal is not None]
    angles = np.array([math.atan2(normal[1], normal[0]) for normal, _ in normals])
    return angles, np.array([length for _, length in normals], np.float64)


def _off(angles: np.ndarray, turn: float) -> np.ndarray:
    """How far angles are off a direction, or one that is square to it, in radians."""
    return np.asarray(np.abs((angles - turn + math.pi / 4) % (math.pi / 2) - math.pi / 4))


# Corners


def _ends(columns: _Columns, pieces: Sequence[_Piece]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Where each piece begins and ends in plan, (2,) metres from the eye; two walls that meet share a corner."""
    starts: list[np.ndarray] = []
    ends: list[np.ndarray] = []
    for piece in pieces:
        starts.append(_on(piece, piece.first))
        ends.append(_on(piece, piece.first + piece.length))
    for index, piece in enumerate(pieces):
        following = (index + 1) % len(pieces)
        corner = _corner(columns, piece, pieces[following])
        if corner is not None and following != index:
            ends[index] = starts[following] = corner
    return list(zip(starts, ends, strict=True))


def _on(piece: _Piece, column: float) -> np.ndarray:
    """The place of a piece in the direction of a column's edge."""
    towards = _towards(np.array(float(column)))
    return np.asarray(towards * OPEN if piece.normal is None else towards / max(float(piece.normal @ towards), 1e-3))


def _corner(columns: _Columns, one: _Piece, other: _Piece) -> np.ndarray | None:
    """Where two walls meet, if they do so near the cut between them, or where the distances do not mind."""
    if one.normal is None or other.normal is None:
        return None
    lines = np.stack([one.normal, other.normal])
    if abs(np.linalg.det(lines)) < 0.1 * np.linalg.norm(one.normal) * np.linalg.norm(other.normal):
        return None
    corner = np.linalg.solve(lines, np.ones(2))
    cut = one.first + one.length
    azimuth = math.atan2(corner[1], corner[0])
    shift = ((azimuth / math.tau + 0.5) * COLUMNS - cut + COLUMNS / 2) % COLUMNS - COLUMNS / 2
    extended, room = (one, other.length / 2) if shift > 0 else (other, one.length / 2)
    if abs(shift) >= room:
        return None
    if abs(shift) > _CORNER:
        between = np.arange(math.floor(min(cut, cut + shift)), math.ceil(max(cut, cut + shift))) % COLUMNS
        error = np.abs(columns.place[between] @ extended.normal - 1)[columns.known[between]]
        if len(error) and float(np.median(error)) > _OFF:
            return None
    return np.asarray(corner)


def _top(columns: _Columns, piece: _Piece, ground: float) -> float:
    """Height of a wall under the sky, above the eye: where half of it ends."""
    which = (piece.first + np.arange(piece.length)) % COLUMNS
    known = columns.top[which][columns.known[which]]
    known = known[np.isfinite(known)]
    return max(float(np.median(known)) if len(known) else 0.0, ground + _LOWEST_WALL)


def _outline(pieces: Sequence[_Piece], ends: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """(V, 2) metres from the eye: the pieces' ends in their order, and arcs where they are open."""
    corners: list[np.ndarray] = []
    for piece, (start, end) in zip(pieces, ends, strict=True):
        steps = 1 if piece.normal is not None else math.ceil(piece.length / (COLUMNS / 12))
        arc = [_on(piece, piece.first + piece.length * step / steps) for step in range(1, steps)]
        corners += [start, *arc, end]
    closed = [*corners, corners[0]]
    return np.stack([one for one, other in pairwise(closed) if np.linalg.norm(one - other) > 1e-6])

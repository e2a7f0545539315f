"""Floor plans against places whose walls are known, seen by casting rays at them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon360_blender.core.errors import PointCloudError
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.points import floor_plan
from pantheon360_blender.core.points.floor_plan import OPEN, FloorPlan, Surface
from pantheon360_blender.core.render.coverage import solid_angles

WIDTH = 256
EYE = np.array([11.0, -7.0, 21.6])  # 1.6 m above a ground at 20 m
RAYS = equirectangular.directions(WIDTH).astype(np.float64).reshape(-1, 3)[:, [0, 2, 1]]  # Z up
ANGLES = np.repeat(solid_angles(WIDTH // 2) * (4 * math.pi / WIDTH), WIDTH)


def ring(corners: np.ndarray, *, closed: bool = True) -> np.ndarray:
    """(n, 2, 2): walls between corners (V, 2) that follow each other."""
    walls = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
    return walls if closed else walls[:-1]


def turned(corners: list[tuple[float, float]], degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array(corners) @ np.array([[c, s], [-s, c]])


def reach(walls: np.ndarray) -> np.ndarray:
    """(N,): level metres from the eye to the nearest of walls (n, 2, 2) along each ray; inf where there is none."""
    level = RAYS[:, :2] / np.maximum(np.linalg.norm(RAYS[:, :2], axis=1, keepdims=True), 1e-12)
    found = np.full(len(RAYS), np.inf)
    for start, end in walls:
        along = end - start
        determinant = level[:, 0] * -along[1] + level[:, 1] * along[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = (start[0] * -along[1] + start[1] * along[0]) / determinant
            share = (level[:, 0] * start[1] - level[:, 1] * start[0]) / determinant
        hit = (distance > 0) & (share >= 0) & (share <= 1) & (distance < found)
        found[hit] = distance[hit]
    return found


def ranges_of(walls: np.ndarray, *, ceiling: float | None, top: float = 6.0) -> np.ndarray:
    """(N,) ranges of ground 1.6 m below the eye, walls, and a ceiling above the eye or none; inf in the sky."""
    slope = RAYS[:, 2] / np.maximum(np.linalg.norm(RAYS[:, :2], axis=1), 1e-12)
    distance = reach(walls)
    with np.errstate(divide="ignore", invalid="ignore"):
        wall = np.where(distance * slope < (top if ceiling is None else ceiling), distance, np.inf)
        floor = np.where(slope < 0, 1.6 / -slope, np.inf)
        cover = np.where(slope > 0, (ceiling or np.inf) / slope, np.inf)
    level = np.minimum(np.minimum(wall, floor), cover)
    return np.asarray(level * np.sqrt(1 + slope**2))


def plan_of(ranges: np.ndarray) -> FloorPlan:
    known = np.isfinite(ranges)
    return floor_plan.floor_plan(EYE + RAYS[known] * ranges[known, None], ANGLES[known], EYE)


def from_corners(plan: FloorPlan, corners: np.ndarray) -> float:
    """Metres from the corners to the nearest ends of walls, at most."""
    ends = np.array([end for wall in plan.walls for end in (wall.start, wall.end)]) - EYE[:2]
    return float(np.linalg.norm(corners[:, None] - ends, axis=2).min(axis=1).max())


ROOM = [(-1.5, -1.2), (2.5, -1.2), (2.5, 3.0), (-1.5, 3.0)]
L_SHAPE = [(-1.5, -1.2), (3.5, -1.2), (3.5, 1.0), (1.2, 1.0), (1.2, 3.5), (-1.5, 3.5)]


@pytest.mark.parametrize(("shape", "heading"), [(ROOM, 0.0), (ROOM, 75.0), (L_SHAPE, 33.0)])
def test_a_room_has_its_corners(shape: list[tuple[float, float]], heading: float) -> None:
    corners = turned(shape, heading)
    plan = plan_of(ranges_of(ring(corners), ceiling=1.0))
    assert len(plan.walls) == len(plan.outline) == len(corners) and plan.square
    assert from_corners(plan, corners) < 0.06
    assert plan.ground == pytest.approx(20.0, abs=0.02) and plan.ceiling == pytest.approx(22.6, abs=0.02)
    assert all(wall.top == plan.ceiling for wall in plan.walls)


def test_a_room_that_is_not_square_keeps_its_angles() -> None:
    corners = turned([(2.4 * math.cos(k * math.tau / 5), 2.4 * math.sin(k * math.tau / 5)) for k in range(5)], 17)
    plan = plan_of(ranges_of(ring(corners), ceiling=1.0))
    assert len(plan.walls) == 5 and not plan.square and from_corners(plan, corners) < 0.08


@pytest.mark.parametrize("seed", range(2))
def test_coarse_distances_and_furniture_leave_the_walls_straight(seed: int) -> None:
    """Distances as a room layout has them, in steps of 5 %, and things that stand before the walls."""
    random = np.random.default_rng(seed)
    corners = turned(ROOM, 20)
    walls = ring(corners)
    for _ in range(4):
        side, share = random.integers(4), random.uniform(0.3, 0.6)
        middle = 0.8 * (walls[side][0] + share * (walls[side][1] - walls[side][0]))
        along = 0.12 * (walls[side][1] - walls[side][0])
        walls = np.concatenate([walls, [[middle - along / 4, middle + along / 4]]])
    level = reach(walls)
    coarse = np.exp(np.round(np.log(level) / 0.047) * 0.047) / level
    ranges = ranges_of(walls, ceiling=1.0)
    upright = np.abs(RAYS[:, 2] * ranges - 1.0) > 0.02
    upright &= np.abs(RAYS[:, 2] * ranges + 1.6) > 0.02
    plan = plan_of(np.where(upright, ranges * coarse, ranges))
    assert plan.square and len(plan.walls) == 4
    assert from_corners(plan, corners) < 0.2


def test_a_street_is_open_at_its_ends_and_above() -> None:
    left, right = np.array([[-4.0, -30.0], [-4.0, 30.0]]), np.array([[6.0, 30.0], [6.0, -30.0]])
    plan = plan_of(ranges_of(np.stack([left, right]), ceiling=None, top=6.0))
    assert plan.ceiling is None and len(plan.walls) == 2
    heights = [wall.top - EYE[2] for wall in plan.walls]
    assert np.allclose(heights, 6.0, atol=0.9)  # as far as a row of pixels tells, seen far away
    sides = sorted(float(np.mean([wall.start[0], wall.end[0]]) - EYE[0]) for wall in plan.walls)
    assert np.allclose(sides, [-4.0, 6.0], atol=0.1)
    assert all(abs(wall.start[0] - wall.end[0]) < 0.5 for wall in plan.walls)
    away = np.linalg.norm(plan.outline - EYE[:2], axis=1)
    assert away.max() == pytest.approx(OPEN) and (away > OPEN - 1).sum() >= 4, "the ground goes on at both ends"


def test_walls_have_heights_of_their_own() -> None:
    high, low = np.array([[[-4.0, -9.0], [-4.0, 9.0]]]), np.array([[[6.0, 9.0], [6.0, -9.0]]])
    plan = plan_of(np.minimum(*(ranges_of(walls, ceiling=None, top=top) for walls, top in ((high, 4.0), (low, 1.5)))))
    tops = {round(float(wall.start[0] - EYE[0])): wall.top - EYE[2] for wall in plan.walls}
    assert tops == {-4: pytest.approx(4.0, abs=0.4), 6: pytest.approx(1.5, abs=0.25)}


def crosses(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two lines, (2, 2) each, cross within both."""

    def side(line: np.ndarray, place: np.ndarray) -> float:
        (ax, ay), (bx, by) = line[1] - line[0], place - line[0]
        return float(ax * by - ay * bx)

    return side(one, other[0]) * side(one, other[1]) < -1e-9 and side(other, one[0]) * side(other, one[1]) < -1e-9


@given(st.integers(0, 10_000), st.floats(0.0, 0.4), st.floats(0.0, 0.3))
@settings(max_examples=6, deadline=None)
def test_the_outline_never_crosses_itself(seed: int, rough: float, gone: float) -> None:
    """Whatever the distances are: it goes once around the eye, and walls lie on it in their order."""
    random = np.random.default_rng(seed)
    steps = np.cumsum(random.normal(0, rough, 32))
    column = (np.arctan2(RAYS[:, 1], RAYS[:, 0]) / math.tau % 1 * 32).astype(int) % 32
    level = np.clip(4 * np.exp(steps - np.median(steps)), 0.7, 50)[column]
    level[(random.random(32) < gone)[column]] = np.inf
    slope = RAYS[:, 2] / np.maximum(np.linalg.norm(RAYS[:, :2], axis=1), 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.minimum(np.where(level * slope < 3, level, np.inf), np.where(slope < 0, 1.6 / -slope, np.inf))
    ranges = level * np.sqrt(1 + slope**2)
    if not np.isfinite(ranges[np.abs(slope) < 0.05]).any():
        return
    plan = plan_of(ranges)
    local = plan.outline - EYE[:2]
    edges = np.stack([local, np.roll(local, -1, axis=0)], axis=1)
    spin = np.diff(np.unwrap([*np.arctan2(local[:, 1], local[:, 0]), np.arctan2(local[0, 1], local[0, 0])]))
    assert (spin > -1e-9).all() and spin.sum() == pytest.approx(math.tau)
    assert not any(crosses(one, other) for i, one in enumerate(edges) for other in edges[:i])
    places = [tuple(np.round(each, 6)) for each in plan.outline]
    numbers = [(places.index(tuple(np.round(w.start, 6))), places.index(tuple(np.round(w.end, 6)))) for w in plan.walls]
    assert all((end - start) % len(places) == 1 for start, end in numbers)


def areas(surface: Surface) -> np.ndarray:
    """(F, 3): of each face its normal, as long as the face is large."""
    found = []
    for face in surface.faces:
        corners = surface.vertices[list(face)]
        found.append(np.cross(corners, np.roll(corners, -1, axis=0)).sum(axis=0) / 2)
    return np.array(found)


def test_the_meshes_look_inside_and_share_their_corners() -> None:
    plan = plan_of(ranges_of(ring(turned(L_SHAPE, 33)), ceiling=1.0))
    cover = plan.cover
    assert cover is not None and len(plan.sides.vertices) == 12 and len(plan.sides.faces) == 6
    (floor,), (above,) = areas(plan.floor), areas(cover)
    area = 5.0 * 2.2 + 2.7 * 2.5
    assert np.allclose(floor, [0, 0, area], rtol=0.03, atol=1e-6) and np.allclose(above, -floor, atol=1e-6)
    for face, normal in zip(plan.sides.faces, areas(plan.sides), strict=True):
        middle = plan.sides.vertices[list(face)].mean(axis=0)
        assert normal @ (EYE - middle) > 0
    assert np.allclose(areas(plan.sides).sum(axis=0), 0, atol=1e-6), "a ring of walls is closed"


def test_what_shows_no_ground_or_no_walls_is_refused() -> None:
    ranges = ranges_of(ring(np.array(ROOM)), ceiling=1.0)
    with pytest.raises(PointCloudError, match="No level ground"):
        plan_of(np.where(RAYS[:, 2] < -0.3, np.inf, ranges))
    with pytest.raises(PointCloudError, match="No walls"):
        plan_of(ranges_of(np.zeros((0, 2, 2)), ceiling=None))
    with pytest.raises(PointCloudError, match="No level ground"):
        floor_plan.floor_plan(np.zeros((0, 3)), np.zeros(0), EYE)

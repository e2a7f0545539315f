"""The space-filling curve: every point once, whole cells in one run, counts of cells on every scale."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core.points.morton import BITS, MortonOrder


@given(st.integers(0, 10_000), st.integers(1, 400))
def test_every_cell_is_one_run_on_every_scale(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    points = (generator.normal(size=(count, 3)) * generator.choice([0.1, 5.0], (count, 1))).astype(np.float32)
    made = MortonOrder.from_points(points)
    np.testing.assert_array_equal(np.sort(made.order), np.arange(count))
    assert (np.diff(made.keys.astype(np.int64)) >= 0).all()
    apart = points[made.order].astype(np.float64)
    for level in (12, 17, 19, BITS):
        cell = made.keys >> np.uint64(3 * level)
        runs = 1 + np.count_nonzero(np.diff(cell))
        assert runs == len(np.unique(cell)) == made.occupied(level)
        for each in np.unique(cell)[:20]:
            members = apart[cell == each]
            inner = members[(np.abs(members) < np.percentile(np.abs(points), 90)).all(axis=1)]
            if len(inner):
                assert np.ptp(inner, axis=0).max() <= made.edge * 2.0**level * (1 + 1e-6)
    assert made.occupied(BITS) == 1


def test_neighbours_along_the_curve_are_neighbours_in_space() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (20_000, 3)).astype(np.float32)
    steps = np.linalg.norm(np.diff(points[MortonOrder.from_points(points).order], axis=0), axis=1)
    assert np.median(steps) < 0.05 < 0.3 < np.median(np.linalg.norm(np.diff(points, axis=0), axis=1))


def test_no_points_and_equal_points() -> None:
    assert len(MortonOrder.from_points(np.zeros((0, 3), np.float32)).order) == 0
    np.testing.assert_array_equal(MortonOrder.from_points(np.ones((5, 3), np.float32)).order, np.arange(5))


@given(st.integers(0, 10_000), st.integers(1, 300), st.floats(1e-6, 50.0))
def test_all_points_in_balls_are_found_once(seed: int, count: int, reach: float) -> None:
    generator = np.random.default_rng(seed)
    spread = generator.choice([1e-3, 1.0, 1e4], (count, 1), p=[0.3, 0.65, 0.05])
    points = (generator.normal(size=(count, 3)) * spread).astype(np.float32)
    points[generator.integers(0, count, 3)] = points[0]
    centres = np.concatenate([points[:40], generator.normal(size=(10, 3)) * 3])
    radii = reach * generator.uniform(0, 2, len(centres))
    parts = list(MortonOrder.from_points(points).around(centres, radii, 100))
    pairs = [(int(ball), int(point)) for balls, found in parts for ball, point in zip(balls, found, strict=True)]
    assert len(pairs) == len(set(pairs))
    apart = np.linalg.norm(centres[:, None].astype(np.float64) - points[None], axis=2)
    wanted = {(int(ball), int(point)) for ball, point in np.argwhere(apart <= radii[:, None])}
    assert wanted <= set(pairs)

"""Coverage of views and paths against areas on the sphere, a flood fill, and distances by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.render import coverage


def cap(width: int, towards: tuple[float, float, float], angle: float) -> np.ndarray:
    directions = equirectangular.directions(width).astype(np.float64)
    return np.asarray(directions @ (np.array(towards) / np.linalg.norm(towards)) > np.cos(angle))


@pytest.mark.parametrize("towards", [(0, 0, -1), (0, 0, 1), (0, 1, 0), (0, -1, 0), (1, 2, 3)])
def test_shares_of_caps_are_those_of_the_formula(towards: tuple[float, float, float]) -> None:
    """Ahead, across the seam, over both poles: a cap covers (1 - cos a) / 2 wherever it is."""
    hole = cap(512, towards, 0.6)
    expected = (1 - np.cos(0.6)) / 2
    assert coverage.covered_share(~hole) == pytest.approx(1 - expected, abs=2e-3)  # half a row of pixels
    assert coverage.largest_hole(~hole) == pytest.approx(expected, abs=2e-3)  # half a row of pixels


def test_the_largest_of_several_holes_counts() -> None:
    open_ = cap(256, (1, 0, 0), 0.3) | cap(256, (-1, 0, 0), 0.5)
    assert coverage.largest_hole(~open_) == pytest.approx((1 - np.cos(0.5)) / 2, abs=1e-3)
    assert coverage.largest_hole(np.ones((8, 16), bool)) == 0
    assert coverage.largest_hole(np.zeros((8, 16), bool)) == pytest.approx(1)
    assert coverage.solid_angles(64).sum() == pytest.approx(1)


@given(st.integers(0, 10_000), st.integers(2, 8), st.floats(0.1, 0.9))
def test_holes_are_those_of_a_flood_fill(seed: int, height: int, density: float) -> None:
    covered = np.random.default_rng(seed).random((height, 2 * height)) < density
    weights = coverage.solid_angles(height) / (2 * height)
    todo = {(int(v), int(u)) for v, u in np.argwhere(~covered)}
    largest = 0.0
    while todo:
        front, size = [todo.pop()], 0.0
        while front:
            v, u = front.pop()
            size += weights[v]
            beside = {(v, (u + 1) % (2 * height)), (v, (u - 1) % (2 * height)), (v + 1, u), (v - 1, u)}
            if v in (0, height - 1):
                beside |= {(v, other) for other in range(2 * height)}
            front += (found := beside & todo)
            todo -= found
        largest = max(largest, size)
    assert coverage.largest_hole(covered) == pytest.approx(largest)


def shell(radius: float = 4.0) -> np.ndarray:
    return (equirectangular.directions(256).reshape(-1, 3) * radius).astype(np.float32)


def pose(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    found = np.eye(4)
    found[:3, 3] = x, y, z
    return found


def test_a_view_from_the_middle_and_from_outside() -> None:
    inside = coverage.view(shell(), pose(), 128)
    assert inside.covered == 1 and inside.hole == 0
    assert inside.nearest == pytest.approx(4, rel=1e-5) and inside.foreground == pytest.approx(4, rel=1e-5)
    outside = coverage.view(shell(), pose(x=8), 128)
    assert outside.covered == pytest.approx((1 - np.cos(np.arcsin(0.5))) / 2, abs=0.01)
    assert outside.hole == pytest.approx(1 - outside.covered, abs=0.01)
    nothing = coverage.view(np.zeros((0, 3), np.float32), pose(), 64)
    assert (nothing.covered, nothing.nearest) == (0, np.inf) and nothing.hole == pytest.approx(1)


@pytest.mark.parametrize("towards", [(0, 0, -1), (0, 1, 0), (1, 2, 3)])
def test_the_guessed_share_is_that_of_the_cap_that_is_guessed(towards: tuple[float, float, float]) -> None:
    """What stands before a guess hides it; what stands behind one does not."""
    points = shell()
    guessed = cap(256, towards, 0.6).ravel()
    expected = (1 - np.cos(0.6)) / 2
    assert coverage.view(points, pose(), 128, guessed).guessed == pytest.approx(expected, abs=0.01)
    assert coverage.view(points, pose(), 128).guessed == 0
    for scale, share in ((0.5, 0.0), (2.0, expected)):
        both, unsure = np.concatenate([points, points * np.float32(scale)]), np.concatenate([guessed, ~guessed & False])
        assert coverage.view(both, pose(), 128, unsure).guessed == pytest.approx(share, abs=0.01)
    everything = coverage.view(points, pose(), 128, np.ones(len(points), bool))
    assert everything.guessed == pytest.approx(everything.covered)


@given(st.integers(0, 1000))
def test_clearance_is_the_smallest_of_many_samples(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(30, 3)).astype(np.float32)
    start, end = generator.normal(size=(2, 3))
    samples = start + np.linspace(0, 1, 2001)[:, None] * (end - start)
    expected = np.linalg.norm(points[:, None] - samples, axis=2).min()
    assert coverage.clearance(points, start, end) == pytest.approx(expected, abs=2e-3)


def checked(places: list[float], fps: float = 24.0, limits: coverage.Limits | None = None) -> coverage.PathCoverage:
    """A path along x through a shell of 4 m with one plate of points inside, at x = 2."""
    y, z = np.meshgrid(np.linspace(-0.3, 0.3, 31), np.linspace(-0.3, 0.3, 31))
    plate = np.stack([np.full(y.size, 2.0), y.ravel(), z.ravel()], axis=1).astype(np.float32)
    points = np.concatenate([shell(), plate])
    poses = np.array([pose(x=x) for x in places])
    views = [coverage.view(points, each, 128) for each in poses]
    near = (limits or coverage.Limits()).clearance
    clear = coverage.way_clear(points, poses, np.array([each.nearest for each in views]), near)
    return coverage.path(range(1, len(places) + 1), poses, views, clear, fps, 0.0)


def test_a_calm_path_has_no_warnings() -> None:
    path = checked([-1.0, -0.99, -0.98])
    assert coverage.warnings(path, coverage.Limits()) == []
    np.testing.assert_allclose(path.speed, 0.24, rtol=1e-6)
    np.testing.assert_allclose(path.shift[0], np.arctan(0.01 / path.foreground[0]), rtol=1e-6)


def test_passing_through_points_between_two_frames_is_seen() -> None:
    """Neither frame is near the plate; the way between them goes through it."""
    path = checked([1.0, 1.5, 2.5, 3.0])
    found = [each for each in coverage.warnings(path, coverage.Limits()) if each.kind == "touches"]
    assert [(each.first, each.last) for each in found] == [(2, 2)]
    assert path.nearest.min() > 0.4 and path.clearance[1] < 0.02


def test_leaving_the_cache_and_haste_are_warned_of_where_they_are() -> None:
    path = checked([0.0, 0.01, 0.02, 6.0, 9.0, 9.01])
    found = coverage.warnings(path, coverage.Limits())
    kinds = {kind: [(each.first, each.last) for each in found if each.kind == kind] for kind in ("leaves", "fast")}
    assert kinds == {"leaves": [(4, 6)], "fast": [(3, 4)]}
    assert [each.first for each in found] == sorted(each.first for each in found)


def test_turning_counts_as_haste_and_left_out_frames_do_not() -> None:
    turned = pose()
    turned[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    views = [coverage.view(shell(), pose(), 64)] * 2
    for gap, warned in ((1, True), (90, False)):
        path = coverage.path([1, 1 + gap], np.array([pose(), turned]), views, np.full(2, 4.0), 24, 1.0)
        assert path.shift[0] == pytest.approx(np.pi / 2 / gap)
        assert bool(coverage.warnings(path, coverage.Limits())) == warned

"""Closed ranges: no pinholes, no dots, no steps; edges stay where they are, and nothing lies between two surfaces."""

from __future__ import annotations

import numpy as np
import pytest

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.render import filled_range
from pantheon360_blender.core.render.filled_range import filled

WIDTH = 256


def wall(metres: float, width: int = WIDTH) -> np.ndarray:
    return np.full((width // 2, width), metres, np.float32)


def ball(width: int, radius: float, near: float = 2.0, far: float = 8.0) -> np.ndarray:
    """A disc of so many radians round the view's centre before a wall."""
    ahead = -equirectangular.directions(width)[..., 2]
    return np.where(ahead > np.cos(radius), near, far).astype(np.float32)


def ground(width: int, height: float = 1.6) -> np.ndarray:
    up = equirectangular.directions(width)[..., 1]
    return np.where(up < 0, height / np.maximum(-up, 1e-9), np.inf).astype(np.float32)


def test_what_shows_through_a_near_surface_is_closed() -> None:
    rng = np.random.default_rng(0)
    depth = wall(2.0)
    depth[rng.uniform(size=depth.shape) < 0.1] = 9.0
    depth[rng.uniform(size=depth.shape) < 0.05] = np.inf
    assert np.mean(np.abs(filled(depth) - 2.0) > 0.02) < 0.005


def test_a_dot_before_a_surface_goes_and_a_line_stays() -> None:
    depth = wall(8.0)
    depth[40, 60] = 2.0
    depth[20:100, 150] = 2.0
    result = filled(depth)
    assert result[40, 60] == pytest.approx(8.0)
    np.testing.assert_allclose(result[21:99, 150], 2.0, rtol=1e-5)
    np.testing.assert_allclose(result[:, [148, 149, 151, 152]], 8.0, rtol=1e-5)


@pytest.mark.parametrize("behind", [9.0, np.inf])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("wide", [1, 2, 3])
def test_a_crack_between_two_parts_of_a_surface_is_closed(wide: int, axis: int, behind: float) -> None:
    depth = wall(2.0)
    cut = np.swapaxes(depth, 0, axis)
    cut[60 : 60 + wide, 20:100] = behind
    np.testing.assert_allclose(filled(depth), 2.0, rtol=0.01)


def test_a_door_a_step_in_depth_and_the_gaps_between_bars_stay_open() -> None:
    depth = wall(8.0)
    depth[:, 20:60], depth[:, 64:100] = 2.0, 2.0  # a door of four pixels
    depth[:, 130:150], depth[:, 152:170] = 2.0, 4.0  # two things, and the wall between them
    depth[:, 200:240:4] = 2.0
    result = filled(depth)[10:-10]
    np.testing.assert_allclose(result[:, 60:64], 8.0, rtol=0.01)
    np.testing.assert_allclose(result[:, 150:152], 8.0, rtol=0.01)
    np.testing.assert_allclose(result[:, 202:238:4], 8.0, rtol=0.01)
    np.testing.assert_allclose(result[:, 200:240:4], 2.0, rtol=0.01)


def test_steps_between_discs_become_a_slope() -> None:
    """Splats of a slanted wall have a range each: within a surface what remains of their steps is a fraction."""
    ahead = -equirectangular.directions(WIDTH)[..., 2]
    seen = ahead > 0.5
    slanted = (3.0 / np.maximum(ahead, 0.4)).astype(np.float32)
    rough = slanted * (1 + 0.02 * np.random.default_rng(1).uniform(-1, 1, slanted.shape)).astype(np.float32)
    assert (filled(rough) / slanted - 1)[seen].std() < 0.3 * (rough / slanted - 1)[seen].std()


@pytest.mark.parametrize("step", [1, 2, 4])
def test_the_ground_stays_flat_up_to_the_horizon(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled_range, "BASE", WIDTH)
    depth = ground(WIDTH * step)
    result = filled(depth)
    near = (depth < 30) & (np.arange(len(depth))[:, None] < len(depth) - 2 * step)
    assert np.abs(depth[near] / result[near] - 1).max() < 0.06  # of inverse range: at 1.6 m of height less than a pixel
    assert np.isinf(result[: len(result) // 2 - step]).all(), "the sky stays open"


@pytest.mark.parametrize("step", [2, 3, 4, 8])
def test_no_pixel_lies_between_two_surfaces(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled_range, "BASE", 64)
    result = filled(ball(64 * step, 0.9))
    assert np.minimum(np.abs(result - 2.0), np.abs(result - 8.0)).max() < 0.01


def test_an_enlarged_silhouette_is_a_smooth_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled_range, "BASE", 64)
    exact = ball(512, 0.9)
    wrong = np.mean((filled(exact) < 4) != (exact < 4))
    repeated = exact[4::8, 4::8].repeat(8, axis=0).repeat(8, axis=1)
    assert wrong < 0.8 * np.mean((repeated < 4) != (exact < 4))


def test_the_seam_is_a_place_like_any_other() -> None:
    rng = np.random.default_rng(2)
    depth = ball(WIDTH, 0.7)
    depth[rng.uniform(size=depth.shape) < 0.05] = np.inf
    np.testing.assert_array_equal(
        filled(np.roll(depth, WIDTH // 2, axis=1)), np.roll(filled(depth), WIDTH // 2, axis=1)
    )


@pytest.mark.parametrize("width", [2, 6, 100, 2050])
def test_any_even_width_will_do(width: int) -> None:
    np.testing.assert_allclose(filled(wall(3.0, width)), 3.0, rtol=1e-5)
    assert np.isinf(filled(np.full((width // 2, width), np.inf, np.float32))).all()

"""Moves of a camera: a steady pace, level views, circles, and smoothing that neither shortens nor shifts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core.panorama import camera_moves, cameras

SEEDS = st.integers(0, 2**32 - 1)


def level_path(headings: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.stack(
        [
            cameras.pose_matrix(cameras.rotation_from_heading(heading), place)
            for heading, place in zip(headings, places, strict=True)
        ]
    )


@given(SEEDS)
def test_the_pace_is_steady(seed: int) -> None:
    random = np.random.default_rng(seed)
    places, speed = random.normal(size=(6, 3)), float(random.uniform(0.1, 5))
    seconds = camera_moves.seconds_along(places, speed)
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    np.testing.assert_allclose(steps / np.diff(seconds), speed)


def test_cameras_look_along_the_way_and_stay_level() -> None:
    places = np.array([[0, 0, 0], [2, 0, 1], [4, 0, 0], [4, 3, 0]], np.float64)
    axes = camera_moves.along(places)
    ahead = axes @ (0, 0, -1)
    np.testing.assert_allclose(axes[:, :, 1] @ (0, 0, 1), 1, atol=1e-12)  # up is up
    np.testing.assert_allclose(ahead[0], (1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(ahead[2], np.array([2, 3, 0]) / np.sqrt(13), atol=1e-12)
    np.testing.assert_allclose(ahead[3], (0, 1, 0), atol=1e-12)


def test_a_way_straight_up_keeps_the_heading() -> None:
    axes = camera_moves.along(np.array([[0, 0, 0], [1, 0, 0], [1, 0, 1], [1, 0, 5]], np.float64))
    np.testing.assert_allclose(axes[3] @ (0, 0, -1), (1, 0, 0), atol=1e-12)


@given(SEEDS, st.floats(-3, 3).filter(lambda turns: abs(turns) > 0.1))
def test_an_orbit_keeps_its_distance_and_faces_its_middle(seed: int, turns: float) -> None:
    random = np.random.default_rng(seed)
    center, start = random.normal(size=3), random.normal(size=3) + np.array([5.0, 0.0, 0.0])
    places = camera_moves.around(center, start, turns, 9)
    np.testing.assert_allclose(places[0], start, atol=1e-9)
    np.testing.assert_allclose(
        np.linalg.norm(places[:, :2] - center[:2], axis=1), np.linalg.norm((start - center)[:2]), rtol=1e-9
    )
    np.testing.assert_allclose(places[:, 2], start[2])
    ahead = camera_moves.towards(places, center) @ (0, 0, -1)
    arms = (center - places) * (1, 1, 0)
    np.testing.assert_allclose(ahead, arms / np.linalg.norm(arms, axis=1, keepdims=True), atol=1e-9)
    anticlockwise = np.cross(places[0] - center, places[1] - center)[2] > 0
    assert anticlockwise == (np.sin(2 * np.pi * turns / 8) > 0)


def test_places_on_a_curve_are_evenly_spaced() -> None:
    angle = np.linspace(0, np.pi, 500)
    places = camera_moves.spaced(np.stack([4 * np.cos(angle), 4 * np.sin(angle), 0 * angle], -1), 1.0)
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert steps.max() <= 1.0
    assert np.ptp(steps) < 0.01
    np.testing.assert_allclose(places[[0, -1]], [[4, 0, 0], [-4, 0, 0]], atol=1e-9)


def test_smoothing_leaves_a_steady_camera_alone_and_takes_out_jerks() -> None:
    share = np.linspace(0, 1, 60)
    steady = level_path(40 * share, np.stack([5 * share, 0 * share, 1.6 + 0 * share], -1))
    np.testing.assert_allclose(camera_moves.smoothed(steady, 6.0), steady, atol=2e-3)
    random = np.random.default_rng(1)
    shaken = level_path(40 * share + random.normal(0, 2, 60), steady[:, :3, 3] + random.normal(0, 0.03, (60, 3)))
    calm = camera_moves.smoothed(shaken, 6.0)
    np.testing.assert_allclose(calm[[0, -1]], shaken[[0, -1]], atol=1e-9)
    for pose in calm:
        cameras.check_pose(pose)

    def jerk(poses: np.ndarray) -> float:
        return float(np.abs(np.diff(poses[:, :3, 3], n=2, axis=0)).max())

    assert jerk(calm[10:-10]) < 0.1 * jerk(shaken[10:-10])


def test_the_ground_is_below_the_camera_and_no_eave() -> None:
    random = np.random.default_rng(2)
    plan = random.uniform(-3, 3, (4000, 2))
    ground = np.column_stack([plan, 0.1 * plan[:, 0]])
    eave = np.column_stack([random.uniform(-3, 3, (4000, 2)), np.full(4000, 4.0)])
    points = np.concatenate([ground, eave])
    found = camera_moves.ground_below(np.array([[0, 0, 1.6], [2, 0, 2.5], [30, 0, 1.6]]), points, 0.5)
    np.testing.assert_allclose(found[:2], [0.0, 0.2], atol=0.06)
    assert np.isnan(found[2])

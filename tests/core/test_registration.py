"""Similarities, robust ones, and panoramas from the poses of their crops: recovered from known ones, with outliers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.reconstruction import registration, rig
from backend.reconstruction.registration import Similarity
from pantheon360_blender.core.errors import PoseError
from pantheon360_blender.core.panorama.cameras import rotation_from_angles


def random_rotation(random: np.random.Generator) -> np.ndarray:
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    return np.asarray(rotation * np.sign(np.linalg.det(rotation)))


def random_similarity(random: np.random.Generator) -> Similarity:
    return Similarity(float(np.exp(random.normal())), random_rotation(random), random.normal(size=3) * 10)


def random_poses(random: np.random.Generator, count: int) -> np.ndarray:
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = [random_rotation(random) for _ in range(count)]
    poses[:, :3, 3] = random.normal(size=(count, 3)) * 5
    return poses


def same(found: Similarity, wanted: Similarity, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(found.matrix, wanted.matrix, atol=tolerance * (1 + np.abs(wanted.matrix).max()))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 40))
def test_a_similarity_is_recovered_and_undone(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    wanted, points = random_similarity(random), random.normal(size=(count, 3))
    found = registration.similarity(points, wanted.points(points), random.uniform(0.1, 1, count))
    same(found, wanted, 1e-7)
    np.testing.assert_allclose(found.inverse().points(found.points(points)), points, atol=1e-9)


def test_least_squares_is_a_minimum() -> None:
    random = np.random.default_rng(2)
    source, target, weights = random.normal(size=(9, 3)), random.normal(size=(9, 3)), random.uniform(0.2, 2, 9)
    best = registration.similarity(source, target, weights)

    def cost(candidate: Similarity) -> float:
        return float(weights @ ((candidate.points(source) - target) ** 2).sum(axis=1))

    for _ in range(200):
        step = rotation_from_angles(*random.normal(size=3) * 0.02)
        other = Similarity(
            best.scale * np.exp(random.normal() * 0.02),
            step @ best.rotation,
            best.translation + random.normal(size=3) * 0.02,
        )
        assert cost(other) >= cost(best) - 1e-12
    assert np.linalg.det(best.rotation) == pytest.approx(1)


def test_weights_of_zero_leave_points_out() -> None:
    random = np.random.default_rng(3)
    wanted, points = random_similarity(random), random.normal(size=(8, 3))
    target = wanted.points(points)
    target[0] += 100
    same(registration.similarity(points, target, np.array([0.0] + [1.0] * 7)), wanted, 1e-7)


def test_points_on_a_line_are_refused_with_advice() -> None:
    line = np.arange(5.0)[:, None] * np.array([[1.0, 2.0, 3.0]])
    with pytest.raises(PoseError, match="line"):
        registration.similarity(line, line)


@pytest.mark.parametrize("weights", [np.array([1.0, np.nan, 1.0]), np.array([1.0, -1.0, 1.0]), np.ones(2)])
def test_impossible_weights_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(PoseError, match="Weights"):
        registration.similarity(np.eye(3), np.eye(3), weights)


def test_points_with_nan_and_too_few_points_are_refused() -> None:
    with pytest.raises(PoseError, match="NaN"):
        registration.similarity(np.full((4, 3), np.nan), np.zeros((4, 3)))
    with pytest.raises(PoseError, match="2 points"):
        registration.similarity(np.zeros((2, 3)), np.zeros((2, 3)))


def test_rotations_average_and_outliers_do_not_pull() -> None:
    random = np.random.default_rng(5)
    wanted = random_rotation(random)
    near = np.stack([rotation_from_angles(*random.normal(size=3) * 1e-3) @ wanted for _ in range(20)])
    far = np.stack([random_rotation(random) for _ in range(12)])
    assert registration.rotation_angles(registration.mean_rotation(near), wanted) < 1e-3
    both = registration.robust_mean_rotation(np.concatenate([far, near]))
    assert registration.rotation_angles(both, wanted) < 1e-3


@pytest.mark.parametrize("angle", [1e-9, 1e-3, 1.0, np.pi])
def test_angles_between_rotations_are_accurate(angle: float) -> None:
    turned = rotation_from_angles(angle)
    assert registration.rotation_angles(turned, np.eye(3)) == pytest.approx(angle, rel=1e-6)


def test_crops_that_drifted_are_brought_back_to_one_panorama() -> None:
    random = np.random.default_rng(6)
    rotations = rig.horizon().rotations
    panorama = random_poses(random, 1)[0]
    crops = np.tile(np.eye(4), (8, 1, 1))
    crops[:, :3, :3] = [panorama[:3, :3] @ r @ rotation_from_angles(*random.normal(size=3) * 2e-3) for r in rotations]
    crops[:, :3, 3] = panorama[:3, 3] + random.normal(size=(8, 3)) * 2e-3
    crops[2] = random_poses(random, 1)[0]
    crops[5, :3, 3] += 3
    crops[7] = np.nan
    fit = registration.rig_similarity(crops, rotations)
    assert registration.rotation_angles(fit.pose[:3, :3], panorama[:3, :3]) < 4e-3
    assert np.linalg.norm(fit.pose[:3, 3] - panorama[:3, 3]) < 4e-3
    assert fit.angles[2] > 0.1 and fit.offsets[5] > 1 and np.isinf(fit.angles[7])


def test_two_cameras_on_a_line_determine_a_pose_similarity() -> None:
    random = np.random.default_rng(9)
    poses, wanted = random_poses(random, 2), random_similarity(random)
    same(registration.pose_similarity(poses, wanted.poses(poses)), wanted)


def test_one_camera_keeps_the_scale() -> None:
    random = np.random.default_rng(10)
    pose = random_poses(random, 1)
    found = registration.pose_similarity(pose, random_similarity(random).poses(pose))
    assert found.scale == 1.0


def test_an_upright_similarity_stays_upright_on_a_straight_walk_with_a_bad_fix() -> None:
    random = np.random.default_rng(11)
    walk = np.array([[0.0, y, 1.6] for y in range(8)])
    angle = 0.7
    turn = rotation_about_z(angle)
    target = 2.5 * walk @ turn.T + np.array([10.0, 20.0, 0.0]) + random.normal(size=(8, 3)) * 0.01
    target[3, :2] += 15.0
    found = registration.upright_similarity(walk, target)
    assert found.scale == pytest.approx(2.5, rel=0.01)
    np.testing.assert_allclose(found.rotation, turn, atol=0.01)
    np.testing.assert_allclose(found.rotation[2], (0, 0, 1))


def test_positions_in_one_place_are_refused() -> None:
    with pytest.raises(PoseError, match="one place"):
        registration.upright_similarity(np.ones((3, 3)), np.eye(3))


def rotation_about_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])

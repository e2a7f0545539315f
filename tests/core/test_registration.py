"""Similarities, robust ones, and panoramas from the poses of their crops: recovered from known ones, with outliers."""

from __future__ import annotations

import numpy as np
import pytest

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


@pytest.mark.parametrize("weights", [np.array([1.0, np.nan, 1.0]), np.array([1.0, -1.0, 1.0]), np.ones(2)])
def test_impossible_weights_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(PoseError, match="Weights"):
        registration.upright_similarity(np.eye(3), np.eye(3), weights)


def test_points_with_nan_and_too_few_points_are_refused() -> None:
    with pytest.raises(PoseError, match="NaN"):
        registration.upright_similarity(np.full((4, 3), np.nan), np.zeros((4, 3)))
    with pytest.raises(PoseError, match="1 points"):
        registration.upright_similarity(np.zeros((1, 3)), np.zeros((1, 3)))


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
    found, points = registration.pose_similarity(poses, wanted.poses(poses)), random.normal(size=(9, 3))
    assert found.scale == pytest.approx(wanted.scale)
    np.testing.assert_allclose(found.points(points), wanted.points(points), atol=1e-8)


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


@pytest.mark.parametrize("up", [(0, 0, 1.0), (0, 0, -1.0), (0.6, 0, 0.8), (0, -0.8, -0.6)])
def test_the_shortest_rotation_takes_up_to_z(up: tuple[float, float, float]) -> None:
    rotation = registration.shortest_rotation_to_z(np.array(up))
    np.testing.assert_allclose(rotation @ up, (0, 0, 1), atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.trace(rotation) == pytest.approx(1 + 2 * up[2])


def test_positions_in_one_place_are_refused() -> None:
    with pytest.raises(PoseError, match="one place"):
        registration.upright_similarity(np.ones((3, 3)), np.eye(3))


def rotation_about_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])

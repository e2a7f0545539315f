"""The geometry pass on the training device is core's, pixel by pixel and bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.training.worlds.splatter import splat
from pantheon360_blender.core.panorama.cameras import pose_matrix, rotation_from_angles
from pantheon360_blender.core.render import splatting


def cameras(random: np.random.Generator, count: int, spread: float) -> np.ndarray:
    return np.stack(
        [
            pose_matrix(rotation_from_angles(*random.uniform(-3, 3, 3)), random.normal(0, spread, 3))
            for _ in range(count)
        ]
    )


def assert_same(points: np.ndarray, poses: np.ndarray, width: int) -> None:
    random = np.random.default_rng(1)
    colours = random.integers(0, 256, points.shape, dtype=np.uint8)
    colour, depth = splat(torch.from_numpy(points), torch.from_numpy(colours), poses, width)
    for index, pose in enumerate(poses):
        core = splatting.splat(points, colours, pose, width)
        np.testing.assert_array_equal(depth[index].numpy(), core.depth)
        np.testing.assert_array_equal(colour[index].permute(1, 2, 0).numpy(), core.colour)


@pytest.mark.parametrize("width", [2, 64, 256])
def test_clouds_are_splatted_as_core_splats_them(width: int) -> None:
    random = np.random.default_rng(width)
    points = random.normal(0, 4, (20000, 3)).astype(np.float32)
    points[5] = points[3]  # a tie
    points[7] = np.nan
    points[8] = np.inf
    assert_same(points, cameras(random, 4, 1.0), width)


def test_far_from_the_origin() -> None:
    random = np.random.default_rng(3)
    origin = np.array([5e5, -3e5, 120.0])
    points = (origin + random.normal(0, 4, (5000, 3))).astype(np.float32)
    poses = cameras(random, 3, 1.0)
    poses[:, :3, 3] += origin
    assert_same(points, poses, 128)


def test_seam_poles_axes_and_the_camera_itself() -> None:
    """Where rounding and signs of zero decide."""
    axis = np.array([-1e-3, -1e-30, -0.0, 0.0, 1e-30, 1e-3, 1.0, -1.0], np.float32)
    points = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    turns = [
        np.eye(3),
        *(rotation_from_angles(yaw, pitch) for yaw in (0.5, np.pi / 2, np.pi) for pitch in (0, np.pi / 2)),
    ]
    assert_same(points, np.stack([pose_matrix(turn, np.zeros(3)) for turn in turns]), 64)


def test_no_points() -> None:
    colour, depth = splat(torch.zeros((0, 3)), torch.zeros((0, 3), dtype=torch.uint8), np.eye(4)[None], 8)
    assert colour.shape == (1, 3, 4, 8) and not colour.any() and torch.isinf(depth).all()

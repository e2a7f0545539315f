"""The footprint of points whose spacing is known, dense and sparse, and of clouds that are hardly any."""

from __future__ import annotations

import numpy as np
import pytest

from pantheon360_blender.core.points.spacing import footprints


def grid(spacing: float, side: float, at: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    steps = np.arange(0, side, spacing)
    across, along = np.meshgrid(steps, steps)
    return np.stack([across.ravel(), along.ravel(), np.zeros(across.size)], axis=1) + at


@pytest.mark.parametrize("turn", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("spacing", [0.001, 0.05, 3.0])
def test_a_surface_closes_without_blobs(spacing: float, turn: float) -> None:
    points = grid(spacing, 60 * spacing)
    tilted = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    found = footprints((points @ tilted.T + (5, -3, 2)).astype(np.float32))
    assert np.median(found) == pytest.approx(spacing, rel=0.35)


def test_dense_and_sparse_parts_differ() -> None:
    """As a scanner sees what is near and what is far."""
    near, far = grid(0.02, 2), grid(0.03, 2, (50, 0, 0))
    found = footprints(np.concatenate([near, far]).astype(np.float32))
    assert np.median(found[len(near) :]) / np.median(found[: len(near)]) == pytest.approx(1.5, rel=0.2)


def test_stray_points_do_not_grow() -> None:
    stray = np.array([[1e6, 0, 0], [-3e5, 2e4, 9e5]])
    points = np.concatenate([grid(0.05, 3), stray]).astype(np.float32)
    found = footprints(points)
    assert np.median(found) == pytest.approx(0.05, rel=0.35)
    assert found.max() <= 2 * np.median(found) * 1.001


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.zeros((1, 3)), np.ones((50, 3)), grid(0.1, 0.2)])
def test_hardly_any_points(points: np.ndarray) -> None:
    found = footprints(points.astype(np.float32))
    assert found.shape == (len(points),) and found.dtype == np.float32
    assert np.isfinite(found).all() and (found >= 0).all()

"""Colour match recovers gains that were put in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon360_blender.core.errors import PointCloudError
from pantheon360_blender.core.points import colour_match
from pantheon360_blender.core.points.colour_match import ColourMatch
from pantheon360_blender.core.progress import run_to_end


def estimate(*arguments: Any, **options: Any) -> ColourMatch:
    return run_to_end(colour_match.estimating(*arguments, **options))


def scene(
    seed: int, gains: np.ndarray, noise: float = 0.0, gloss: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patches of a row of rooms; capture k sees rooms k and k + 1, its light multiplied by gains[k]."""
    generator = np.random.default_rng(seed)
    points, light, source = [], [], []
    rooms = generator.uniform(0.05, 0.4, (len(gains) + 1, 200, 3))
    centres = generator.uniform(0, 0.999, (len(gains) + 1, 200, 3))
    for capture, gain in enumerate(gains):
        for room in (capture, capture + 1):
            seen = rooms[room] * gain * np.exp(generator.normal(scale=noise, size=(200, 3)))
            strange = generator.random(200) < gloss
            seen[strange] = generator.uniform(0.02, 0.9, (strange.sum(), 3))
            points.append(np.floor(centres[room] * 20) / 20 + 0.02 + np.array((room * 10.0, 0, 0)))
            light.append(seen)
            source.append(np.full(200, capture))
    return np.concatenate(points).astype(np.float32), np.concatenate(light), np.concatenate(source)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(2, 6))
def test_gains_are_undone(seed: int, captures: int) -> None:
    gains = np.exp(np.random.default_rng(seed).normal(scale=0.3, size=(captures, 3)))
    points, light, source = scene(seed, gains)
    match = estimate(points, light, source, 0.05)
    agreed = match.gains * gains
    np.testing.assert_allclose(agreed, np.broadcast_to(agreed.mean(axis=0), agreed.shape), rtol=0.02)
    np.testing.assert_allclose(np.log(match.gains).mean(axis=0), 0, atol=1e-9)
    assert (match.overlaps == match.overlaps.T).all() and len(set(match.groups)) == 1


def test_glosses_and_noise_have_little_say() -> None:
    gains = np.array([(1.4, 1.3, 1.2), (1.0, 1.0, 1.0), (0.7, 0.8, 0.9)])
    points, light, source = scene(1, gains, noise=0.05, gloss=0.2)
    agreed = estimate(points, light, source, 0.05).gains * gains
    np.testing.assert_allclose(agreed, np.broadcast_to(agreed.mean(axis=0), agreed.shape), rtol=0.03)


def test_exposure_alone_is_one_factor() -> None:
    gains = np.repeat([[1.5], [0.8]], 3, axis=1)
    points, light, source = scene(2, gains)
    found = estimate(points, light, source, 0.05, white_balance=False).gains
    assert np.ptp(found, axis=1).max() == 0
    assert found[1, 0] / found[0, 0] == pytest.approx(1.5 / 0.8, rel=0.01)


def test_captures_that_share_nothing_stay_as_they_are() -> None:
    gains = np.array([(1.5, 1.5, 1.5), (0.8, 0.8, 0.8)])
    points, light, source = scene(3, gains)
    alone = np.random.default_rng(0).uniform(100, 101, (50, 3)).astype(np.float32)
    points = np.concatenate([points, alone, alone + 50])
    light = np.concatenate([light, np.full((100, 3), 0.2)])
    source = np.concatenate([source, np.full(50, 2), np.full(50, -1)])
    match = estimate(points, light, source, 0.05)
    np.testing.assert_allclose(match.gains[2], 1)
    assert match.groups[0] == match.groups[1] != match.groups[2]
    with pytest.raises(PointCloudError, match="same places"):
        estimate(alone, np.full((50, 3), 0.2), np.zeros(50, np.int32), 0.05)
    with pytest.raises(PointCloudError):
        estimate(np.zeros((0, 3), np.float32), np.zeros((0, 3)), np.zeros(0, np.int32), 0.05)

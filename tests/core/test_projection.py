"""Fast projection: the same places as by arc tangents, at poles and seams, too."""

from __future__ import annotations

import numpy as np
import pytest

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.render.projection import places


@pytest.mark.parametrize("width", [256, 1024, 8192])
def test_places_are_those_of_arc_tangents(width: int) -> None:
    rng = np.random.default_rng(0)
    toward = rng.normal(size=(20_000, 3)) * rng.uniform(1e-3, 1e3, (20_000, 1))
    toward[:4000, 1] *= 1e3  # near the poles
    toward[4000:4006] = [[1, 0, 0], [-1, 0, 0], [0, 0, -1], [1e-7, 0, 1], [0.3, 0.2, 0.3], [-0.3, 0.2, 0.3]]
    toward = toward.astype(np.float32)
    u, v = places(*toward.T.copy(), width)
    exact = equirectangular.directions_to_pixels(toward.astype(np.float64), width)
    beside = np.abs(u - exact[:, 0])
    beside = np.minimum(beside, width - beside) * np.hypot(toward[:, 0], toward[:, 2]) / np.linalg.norm(toward, axis=1)
    assert beside.max() < 1.5e-7 * width
    assert np.abs(v - exact[:, 1]).max() < 1.5e-7 * width
    assert u.min() >= 0 and u.max() <= width

"""At the coarsest widths a patch is wider than what a cube face shows beyond its border; it must then tell nothing."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs the backend's environment")

from backend.reconstruction.dense import matching
from backend.reconstruction.dense.cube_map import cube_map


@pytest.mark.parametrize("width", [16, 64, 512])
def test_a_patch_at_the_corner_of_a_face_is_sound_or_flat(width: int) -> None:
    grey = np.random.default_rng(0).uniform(0, 255, (width // 2, width)).astype(np.float32)
    cube = cube_map(grey, np.ones(grey.shape, np.bool_))
    frame = np.empty((3, 3), np.float32)
    matching.tangent(np.array([1, 1, -1], np.float32) / np.float32(np.sqrt(3)), frame)
    values = np.full(matching.COUNT, np.inf, np.float32)  # what memory may hold before it is filled
    weights = np.full(matching.COUNT, np.nan, np.float32)
    step = np.float32(2 / cube.focal)
    variance = matching.reference_patch(cube.faces, frame, np.float32(cube.focal), step, values, weights)
    assert np.isfinite(values).all() and weights.sum() == pytest.approx(1, abs=1e-5)
    assert (variance > 0) == (width == 512)

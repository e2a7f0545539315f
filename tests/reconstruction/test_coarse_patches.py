"""At the coarsest widths a patch is wider than what a cube face shows beyond its border; it must then tell nothing."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs the backend's environment")
pytest.importorskip("scipy", reason="needs the backend's environment")

from scipy import ndimage

from backend.reconstruction.dense import matching
from backend.reconstruction.dense.cube_map import GREY, cube_map


@pytest.mark.parametrize("width", [16, 64, 512])
def test_a_patch_at_the_corner_of_a_face_is_sound_or_flat(width: int) -> None:
    grey = np.random.default_rng(0).uniform(0, 255, (width // 2, width)).astype(np.float32)
    cube = cube_map(grey, np.ones(grey.shape, np.bool_))
    frame, h = np.empty((3, 3), np.float32), np.empty((3, 3), np.float32)
    matching.tangent(np.array([1, 1, -1], np.float32) / np.float32(np.sqrt(3)), frame)
    patch = matching.empty_patch()
    for each in patch:  # what memory may hold before it is filled
        each.fill(np.nan if each.dtype == np.float32 else 12345)
    focal, size = np.float32(cube.focal), cube.faces.shape[-1]
    variance, mean = matching.reference_patch(cube.faces.ravel(), size, focal, 2 / focal, frame, h, patch)
    assert np.isfinite(patch.weighted).all() and patch.weights.sum() == pytest.approx(1, abs=1e-5)
    assert (variance > 0) == (mean > 0) == (width == 512)


def test_a_patch_is_read_between_pixels_to_a_hundredth_of_a_grey_level() -> None:
    """Faces keep pairs of pixels in whole numbers; bilinear interpolation of the panorama's own grey is the oracle."""
    rows, columns = np.indices((256, 512))
    grey = (120 + 60 * np.sin(rows / 17) + 40 * np.cos(columns * 2 * np.pi * 3 / 512)).astype(np.float32)
    cube = cube_map(grey, np.ones(grey.shape, np.bool_))
    patch, size, focal = matching.empty_patch(), cube.faces.shape[-1], np.float32(cube.focal)
    left, right = cube.faces & 0xFFFF, cube.faces >> 16
    np.testing.assert_array_equal(left[..., 1:], right[..., :-1])
    face = left.astype(np.float64)[2] / GREY
    h = np.array([[1, 0, 0.013], [0, 1, -0.021], [0, 0, 1]], np.float32)
    matching.look_up(cube.faces.ravel(), 2 * size * size, size, h, focal, np.float32(2 / focal), patch)
    steps = 2 * np.arange(-matching.RADIUS, matching.RADIUS + 1)
    u, v = (size - 1) / 2 + cube.focal * 0.013 + steps, (size - 1) / 2 - cube.focal * 0.021 + steps
    down, across = np.meshgrid(v, u, indexing="ij")
    expected = ndimage.map_coordinates(face, [down.ravel(), across.ravel()], order=1)
    np.testing.assert_allclose(patch.values, expected, atol=0.01)

"""The sRGB curve against values of the standard, and against itself."""

from __future__ import annotations

import numpy as np
import pytest

from pantheon360_blender.core import srgb

KNOWN = [(0.0, 0.0), (0.04045, 0.0031308), (0.5, 0.2140411405), (0.735356983, 0.5), (0.4613561295, 0.18), (1.0, 1.0)]
"""sRGB values and their linear light: the ends, the joint (IEC 61966-2-1), both halves, middle grey."""


@pytest.mark.parametrize(("encoded", "linear"), KNOWN)
def test_known_values(encoded: float, linear: float) -> None:
    assert float(srgb.srgb_to_linear(np.array(encoded))) == pytest.approx(linear, abs=2e-8)
    assert float(srgb.linear_to_srgb(np.array(linear))) == pytest.approx(encoded, abs=5e-7)


def test_bytes_come_back_through_float32() -> None:
    assert srgb.LINEAR_OF_BYTE.dtype == np.float32 and srgb.LINEAR_OF_BYTE.shape == (256,)
    assert (np.diff(srgb.LINEAR_OF_BYTE) > 0).all()
    np.testing.assert_allclose(srgb.LINEAR_OF_BYTE[[0, 128, 188, 255]], [0, 0.2158605, 0.5028865, 1], rtol=1e-6)
    encoded = srgb.linear_to_srgb(srgb.LINEAR_OF_BYTE)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(np.rint(encoded * 255), np.arange(256))


def test_light_beyond_a_display_is_clipped() -> None:
    np.testing.assert_allclose(srgb.linear_to_srgb(np.array([-1.0, 2.0, np.inf])), [0, 1, 1])

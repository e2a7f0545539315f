"""Colours between sRGB, linear Rec. 709 and the scene's working space."""

from __future__ import annotations

import numpy as np


def scene_linear(colour: np.ndarray) -> np.ndarray:
    """sRGB bytes as the linear values whose Standard view is those very bytes.

    colour: (H, W, 3) uint8. Returns (H, W, 3) float32 in the working space of the file, which is linear Rec. 709
    except where a 5.x file chooses a wider one. Source: IEC 61966-2-1.
    """
    linear: np.ndarray = _SRGB_TO_LINEAR[colour]
    to_working = _rec709_to_working_space()
    return linear if to_working is None else np.asarray(linear @ to_working, dtype=np.float32)


def _linear_table() -> np.ndarray:
    share = np.arange(256) / 255.0
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _rec709_to_working_space() -> np.ndarray | None:
    """(3, 3) float32 to multiply linear Rec. 709 rows with, or None where the working space is just that."""
    from mathutils import Color

    rows = [Color(primary).from_rec709_linear_to_scene_linear() for primary in np.eye(3).tolist()]
    matrix = np.array([row[:] for row in rows], dtype=np.float32)
    return None if np.allclose(matrix, np.eye(3), atol=1e-6) else matrix


_SRGB_TO_LINEAR = _linear_table()


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """The sRGB transfer curve of IEC 61966-2-1, values clipped to 0..1 first."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.power(linear, 1 / 2.4) - 0.055)


def srgb_to_linear(encoded: np.ndarray) -> np.ndarray:
    """The inverse of linear_to_srgb."""
    return np.where(encoded <= 0.04045, encoded / 12.92, np.power((encoded + 0.055) / 1.055, 2.4))

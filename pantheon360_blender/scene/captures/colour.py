"""Colours between sRGB, linear Rec. 709 and the scene's working space."""

from __future__ import annotations

import numpy as np

from ...core import srgb


def scene_linear(colour: np.ndarray) -> np.ndarray:
    """sRGB bytes as the linear values whose Standard view is those very bytes.

    colour: (H, W, 3) uint8. Returns (H, W, 3) float32 in the working space of the file, which is linear Rec. 709
    except where a 5.x file chooses a wider one.
    """
    linear: np.ndarray = srgb.LINEAR_OF_BYTE[colour]
    to_working = _rec709_to_working_space()
    return linear if to_working is None else np.asarray(linear @ to_working, dtype=np.float32)


def _rec709_to_working_space() -> np.ndarray | None:
    """(3, 3) float32 to multiply linear Rec. 709 rows with, or None if the working space is just that."""
    from mathutils import Color

    rows = [Color(primary).from_rec709_linear_to_scene_linear() for primary in np.eye(3).tolist()]
    matrix = np.array([row[:] for row in rows], dtype=np.float32)
    return None if np.allclose(matrix, np.eye(3), atol=1e-6) else matrix

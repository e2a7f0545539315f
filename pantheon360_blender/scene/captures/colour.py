"""Colours between sRGB, linear Rec. 709 and the scene's working space."""

from __future__ import annotations

import numpy as np

from ...core import srgb


def scene_linear(colour: np.ndarray) -> np.ndarray:
    """sRGB bytes as the linear values whose Standard view is those very bytes.

    colour: (H, W, 3) uint8. Returns (H, W, 3) float32 in the working space of the file, which is linear Rec. 709
    unless a 5.x file chooses a wider one.
    """
    linear: np.ndarray = srgb.LINEAR_OF_BYTE[colour]
    working_from_rec709 = _working_from_rec709()
    return linear if working_from_rec709 is None else np.asarray(linear @ working_from_rec709.T, dtype=np.float32)


def rec709_from_working() -> np.ndarray | None:
    """(3, 3) float32 from the file's working space to linear Rec. 709, or None if it is that."""
    working_from_rec709 = _working_from_rec709()
    return None if working_from_rec709 is None else np.asarray(np.linalg.inv(working_from_rec709), np.float32)


def is_rec709() -> bool:
    """Whether the file's working space is linear Rec. 709, as that of a new file is, up to the noise of Blender's."""
    matrix = _working_from_rec709()
    return matrix is None or bool(np.allclose(matrix, np.eye(3), atol=1e-4))


def _working_from_rec709() -> np.ndarray | None:
    """(3, 3) float32, or None if the working space is linear Rec. 709."""
    from mathutils import Color

    columns = [Color(primary).from_rec709_linear_to_scene_linear()[:] for primary in np.eye(3).tolist()]
    working_from_rec709 = np.array(columns, dtype=np.float32).T
    return None if np.allclose(working_from_rec709, np.eye(3), atol=1e-6) else working_from_rec709

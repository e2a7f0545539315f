"""The paper's crops: 8 perspective views round the horizon, one each 45 degrees."""

from __future__ import annotations

import cv2
import numpy as np

from pantheon360_blender.core.panorama import equirectangular

COUNT = 8
FOV = np.pi / 2
SIZE = 224
"""Pixels along a side, which networks trained on photographs expect."""


def native_size(width: int) -> int:
    """Pixels along a crop's side that a panorama of `width` has: a quarter of it at 90 degrees."""
    return max(16, width // 4)


def horizon_crops(image: np.ndarray) -> np.ndarray:
    """(8, S, S, 3) uint8 of a panorama (H, W, 3), at the size that its own pixels give, at most SIZE."""
    side = min(SIZE, native_size(image.shape[1]))
    return equirectangular.horizon_crops(image, COUNT, FOV, (side, side))


def enlarged(crops: np.ndarray) -> np.ndarray:
    """(N, SIZE, SIZE, 3) uint8: small crops as a network is to see them, bicubic. Sharpness is not added."""
    if crops.shape[1] >= SIZE:
        return crops
    return np.stack([cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for crop in crops])

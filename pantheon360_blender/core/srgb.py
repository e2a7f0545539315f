"""The sRGB transfer curve, said once. Source: IEC 61966-2-1."""

from __future__ import annotations

import numpy as np


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """sRGB values 0..1 of linear light of any shape; it is clipped to 0..1 first, and keeps its type."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.power(linear, 1 / 2.4) - 0.055)


def srgb_to_linear(encoded: np.ndarray) -> np.ndarray:
    """Linear light 0..1 of sRGB values 0..1; the inverse of linear_to_srgb."""
    return np.where(encoded <= 0.04045, encoded / 12.92, np.power((encoded + 0.055) / 1.055, 2.4))


LINEAR_OF_BYTE = srgb_to_linear(np.arange(256) / 255).astype(np.float32)
"""(256,) float32: linear light of each sRGB byte."""

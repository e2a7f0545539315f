"""Edges of colour in a panorama, and how narrow its pixels are."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def blurred(colour: np.ndarray, blur: float) -> np.ndarray:
    """A panorama (H, W, 3) of any number type after a blur over its seam, (H, W, 3) float32.

    blur: standard deviation in pixels.
    """
    return np.asarray(
        ndimage.gaussian_filter(colour.astype(np.float32), (blur, blur, 0), mode=("nearest", "wrap", "nearest"))
    )


def row_widths(height: int) -> np.ndarray:
    """Width of the pixels of each row of a panorama as a share of those at the equator, (H,) float64."""
    return np.asarray(np.cos((0.5 - (np.arange(height) + 0.5) / height) * np.pi))


def gradient_magnitude(colour: np.ndarray, blur: float) -> np.ndarray:
    """Steepest change of colour (H, W, 3) uint8, grey levels a pixel of the equator, (H, W) float32.

    blur: standard deviation in pixels.
    """
    smooth = blurred(colour, blur)
    narrow = 1 / np.maximum(row_widths(len(colour)), 0.05)
    across = _across(smooth)
    across *= np.minimum(narrow, 4)[:, None, None]
    return np.asarray(np.hypot(across, np.gradient(smooth, axis=0)).max(axis=-1))


def edge_maxima(colour: np.ndarray, blur: float) -> np.ndarray:
    """Steepness of colour (H, W, 3), grey levels a pixel, on the crests of its edges, 0 beside them, (H, W) float32.

    blur: standard deviation in pixels.
    """
    smooth = blurred(colour, blur)
    across, along = np.abs(_across(smooth)).max(axis=-1), np.abs(np.gradient(smooth, axis=0)).max(axis=-1)
    slope = np.hypot(across, along)
    beside = np.maximum(np.roll(slope, 1, axis=1), np.roll(slope, -1, axis=1))
    above = np.maximum(np.roll(slope, 1, axis=0), np.roll(slope, -1, axis=0))
    return np.where(slope >= np.where(along > across, above, beside), slope, 0)


def gradients(smooth: np.ndarray) -> np.ndarray:
    """Change of each channel of (H, W, 3) a pixel, in any direction, (H, W, 3); over the seam."""
    return np.asarray(np.hypot(_across(smooth), np.gradient(smooth, axis=0)))


def _across(smooth: np.ndarray) -> np.ndarray:
    return np.asarray((np.roll(smooth, -1, axis=1) - np.roll(smooth, 1, axis=1)) / 2)

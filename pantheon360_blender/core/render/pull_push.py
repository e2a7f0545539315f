"""Pull-push: an equirectangular image filled from what is known of it, coarse to fine.

Source: Gortler et al., The Lumigraph, 1996, section 3.4.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..panorama import equirectangular

_BAND = 1 << 18  # pixels worked on at a time
_LEAST = 1e-6  # weight below which a pixel knows nothing


def pull_push(colour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fill an equirectangular image from what is known of it, coarse to fine.

    colour: (H, W, C) float32. weight: (H, W) float32, 0 (unknown) ... 1 (known); between, it counts in part.
    Returns (H, W, C) float32: known pixels as they are, the others blended from around them, across the seam. Where
    nothing at all is known the result is 0.
    Source: Gortler et al., The Lumigraph, 1996, section 3.4.
    """
    known = np.clip(weight, 0.0, 1.0).astype(np.float32)[..., None]
    return _filled(np.asarray(colour, np.float32), known)


def halves(colour: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W, 3) of even height and its weight (H, W) 0 ... 1 at half the size, as pull-push makes them.

    Works in bands of rows: a large image of bytes is never there as floats.
    """
    height, width = weight.shape
    mean = np.empty((height // 2, width // 2, colour.shape[2]), np.float32)
    total = np.empty((height // 2, width // 2), np.float32)
    band = max(2, (_BAND // width) // 2 * 2)
    for first in range(0, height, band):
        part = weight[first : first + band, :, None]
        sums = _quartered(part)
        rows = slice(first // 2, (first + band) // 2)
        mean[rows] = _quartered(colour[first : first + band] * part) / np.maximum(sums, np.float32(_LEAST))
        total[rows] = np.minimum(sums[..., 0], np.float32(1.0))
    return mean, total


def _filled(colour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """pull_push with weight (H, W, 1): what the half-size image knows shows through where this one knows nothing."""
    if weight.min() >= 1.0:
        return colour
    height = len(weight)
    halve, enlarge = (_quartered, _doubled) if height % 2 == 0 else (_reduced, _enlarged_over(height))
    if height == 1:
        coarse = (colour * weight).sum(axis=1, keepdims=True) / np.maximum(weight.sum(), np.float32(_LEAST))
    else:
        total = halve(weight)
        mean = halve(colour * weight) / np.maximum(total, np.float32(_LEAST))
        coarse = enlarge(_filled(mean, np.minimum(total, np.float32(1.0))))
    return np.asarray(coarse + (colour - coarse) * weight)


def _quartered(image: np.ndarray) -> np.ndarray:
    """Sum of each 2x2 pixels, (H/2, W/2, C)."""
    rows = image[0::2] + image[1::2]
    return np.asarray(rows[:, 0::2] + rows[:, 1::2])


def _reduced(image: np.ndarray) -> np.ndarray:
    """About half of an image whose height is odd, as the sum of four pixels."""
    return equirectangular.resize(image, 2 * (len(image) // 2)) * np.float32(4.0)


def _enlarged_over(height: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: equirectangular.resize(image, 2 * height)


def _doubled(image: np.ndarray) -> np.ndarray:
    """Bilinear enlargement to (2 H, 2 W, C); wraps at the seam, mirrors over the poles."""
    height, width = image.shape[:2]
    over = np.concatenate([np.roll(image[:1], width // 2, axis=1), image, np.roll(image[-1:], width // 2, axis=1)])
    rows = np.empty((2 * height, *image.shape[1:]), np.float32)
    rows[0::2] = 0.75 * over[1:-1] + 0.25 * over[:-2]
    rows[1::2] = 0.75 * over[1:-1] + 0.25 * over[2:]
    result = np.empty((2 * height, 2 * width, image.shape[2]), np.float32)
    result[:, 0::2] = 0.75 * rows + 0.25 * np.roll(rows, 1, axis=1)
    result[:, 1::2] = 0.75 * rows + 0.25 * np.roll(rows, -1, axis=1)
    return result

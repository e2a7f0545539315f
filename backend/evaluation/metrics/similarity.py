"""SSIM and WS-SSIM: structural similarity of 8-bit images, 1 if they are equal.

Source: Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE Transactions on
Image Processing 13(4), 2004: Gaussian window of 11 pixels, standard deviation 1.5, K1 = 0.01, K2 = 0.03; channel by
channel, as scikit-image and torchmetrics do.
"""

from __future__ import annotations

import cv2
import numpy as np

from pantheon360_blender.core.panorama import equirectangular

from . import sphere

_REACH = 5
_SIGMA = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(image: np.ndarray, truth: np.ndarray) -> float:
    """SSIM of two (H, W, 3) uint8 images: the mean over the windows that lie within them."""
    return float(_similarity(image.astype(np.float64), truth.astype(np.float64)).mean())


def ws_ssim(image: np.ndarray, truth: np.ndarray, rows: int | None = None) -> float:
    """SSIM of two equirectangular (H, W, 3) uint8 images, each pixel by the solid angle it covers.

    rows: so many from the top count; None is all. Windows go on across the seam and over the poles.
    Source: Y. Zhou et al., "Weighted-to-Spherically-Uniform SSIM Objective Quality Evaluation for Panoramic Video",
    IEEE International Conference on Signal Processing, 2018.
    """
    values = _similarity(_around(image), _around(truth)).mean(axis=(1, 2))
    return sphere.mean_of_rows(values, rows)


def _around(image: np.ndarray) -> np.ndarray:
    """The image with what lies beyond its seam and its poles, float64."""
    rows = equirectangular.rows_over_poles(image.astype(np.float64), -_REACH, len(image) + _REACH)
    return np.pad(rows, ((0, 0), (_REACH, _REACH), (0, 0)), mode="wrap")


def _similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(H - 10, W - 10, 3) similarity of the windows within two images."""
    mean, other = _blurred(first), _blurred(second)
    variance = _blurred(first * first) - mean * mean
    other_variance = _blurred(second * second) - other * other
    covariance = _blurred(first * second) - mean * other
    numerator = (2 * mean * other + _C1) * (2 * covariance + _C2)
    return np.asarray(numerator / ((mean**2 + other**2 + _C1) * (variance + other_variance + _C2)))


def _blurred(image: np.ndarray) -> np.ndarray:
    blurred = cv2.GaussianBlur(image, (2 * _REACH + 1, 2 * _REACH + 1), _SIGMA, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred[_REACH:-_REACH, _REACH:-_REACH])

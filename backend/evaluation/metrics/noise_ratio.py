"""PSNR and WS-PSNR: the peak signal-to-noise ratio of 8-bit images, in dB."""

from __future__ import annotations

import numpy as np

from . import sphere

LARGEST = 100.0
"""dB said of equal images, whose ratio is infinite: means and tables stay finite."""


def psnr(image: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """PSNR in dB of (..., H, W, 3) uint8 images; of the pixels of a mask (..., H, W) bool alone if there is one.

    The mean squared error is over all images together. LARGEST if they are equal; NaN if the mask is empty.
    """
    error = _squared(image, truth)
    if mask is not None:
        error = error[mask]
    return _decibels(float(error.mean())) if error.size else float("nan")


def ws_psnr(image: np.ndarray, truth: np.ndarray, rows: int | None = None) -> float:
    """PSNR in dB of equirectangular (..., H, W, 3) uint8 images, each pixel by the solid angle it covers.

    rows: so many from the top count; None is all.
    """
    errors = _squared(image, truth).mean(axis=-1)
    return _decibels(sphere.mean_of_rows(errors, rows))


def _squared(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Squared differences (..., H, W), mean of the channels."""
    if image.shape != truth.shape:
        raise ValueError(f"images of {image.shape} and {truth.shape} cannot be compared")
    return np.asarray(((image.astype(np.float32) - truth) ** 2).mean(axis=-1))


def _decibels(error: float) -> float:
    return LARGEST if error <= 0 else float(10.0 * np.log10(255.0**2 / error))

"""Weights that make a mean over an equirectangular image a mean over the sphere."""

from __future__ import annotations

import numpy as np

from pantheon360_blender.core.render.coverage import solid_angles


def latitude_weights(height: int) -> np.ndarray:
    """(height,) float64, cos(latitude) of each row's centre, with a mean of 1.

    Source: Y. Sun, A. Lu, L. Yu, "Weighted-to-Spherically-Uniform Quality Evaluation for Omnidirectional Video",
    IEEE Signal Processing Letters 24(9), 2017.
    """
    weights = solid_angles(height)
    return np.asarray(weights / weights.mean())


def mean_of_rows(values: np.ndarray, rows: int | None = None) -> float:
    """Mean of what panoramas have in each row, (..., H), rows by the solid angle they cover; of the uppermost alone."""
    weights = latitude_weights(values.shape[-1])[:rows]
    return float((values[..., :rows] * (weights / weights.mean())).mean())

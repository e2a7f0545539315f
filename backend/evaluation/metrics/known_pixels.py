"""Whether a painter kept to what was known: its frames against the geometry pass where that covers them."""

from __future__ import annotations

import numpy as np


def known_pixel_correlation(images: np.ndarray, known: np.ndarray, coverage: np.ndarray) -> float:
    """Pearson's correlation of painted and known luminance over covered pixels, mean over the frames; 1 is the best.

    images, known: (F, H, W, 3) uint8. coverage: (F, H, W) bool. Frames in which fewer than 16 pixels are known, or one
    of the two is constant there, do not count; NaN if no frame does.
    """
    values = []
    for image, seen, covered in zip(images, known, coverage, strict=True):
        first, second = _luminance(image)[covered], _luminance(seen)[covered]
        if covered.sum() >= 16 and first.std() > 0 and second.std() > 0:
            values.append(float(np.corrcoef(first, second)[0, 1]))
    return float(np.mean(values)) if values else float("nan")


def _luminance(image: np.ndarray) -> np.ndarray:
    return np.asarray(image.astype(np.float64) @ (0.299, 0.587, 0.114))

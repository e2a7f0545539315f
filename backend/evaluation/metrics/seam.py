"""What a painter that knows no sphere does wrong: a seam at the left and right edge, and poles that are not points."""

from __future__ import annotations

import numpy as np


def seam_ratio(images: np.ndarray) -> float:
    """How much stronger the gradient across the seam is than between neighbouring columns elsewhere; 1 is no seam.

    images: (F, H, W, 3) uint8. The mean over the frames of mean |last - first column| / mean |neighbouring columns|.
    Both are measured in the same frame, so that contrast does not count.
    """
    values = images.astype(np.float32)
    seam = np.abs(values[:, :, 0] - values[:, :, -1]).mean(axis=(1, 2))
    inside = np.abs(np.diff(values, axis=2)).mean(axis=(1, 2, 3))
    return float(((seam + 1e-3) / (inside + 1e-3)).mean())


def pole_error(images: np.ndarray) -> float:
    """Standard deviation along the first and the last row, grey levels; all their pixels show the same point.

    images: (F, H, W, 3) uint8. The mean over both poles, frames and channels; 0 at a pole that is a point, up to the
    little that a row's half pixel off the pole may show.
    """
    rows = images[:, [0, -1]].astype(np.float32)
    return float(rows.std(axis=2).mean())

"""How likely each pixel is ground, wall or ceiling by its colour alone: histograms of what is believed to be either."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from ..edges import blurred

_CELLS = (16, 32, 32)  # of L, a and b
_SPREAD = (2.0, 0.8, 0.8)  # cells: standard deviations of the blur; shadows change lightness alone
_BLUR = 0.7  # pixels
_STRANGERS = 0.3
"""Share of each region that looks like nothing in particular: what stands about in it."""


class RegionColours:
    """The colours of a panorama (H, W, 3) uint8 sRGB, in CIELAB.

    lab: (H, W, 3) float32, each channel from 0 to 255 as OpenCV stores it.
    """

    def __init__(self, image: np.ndarray) -> None:
        smooth = np.rint(blurred(image, _BLUR)).clip(0, 255).astype(np.uint8)
        self.lab = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB).astype(np.float32)
        cells = (self.lab / (256 / np.array(_CELLS))).astype(int)
        self._cells = np.ravel_multi_index(tuple(np.moveaxis(cells, -1, 0)), _CELLS)

    def log_likelihood(self, weight: np.ndarray) -> np.ndarray:
        """Logarithm of how likely each pixel's colour is in a region, (H, W).

        weight: (H, W), how much each pixel is believed to be of the region, by its solid angle.
        """
        counted = np.bincount(self._cells.ravel(), weight.ravel(), int(np.prod(_CELLS))).reshape(_CELLS)
        smooth = ndimage.gaussian_filter(counted, _SPREAD)
        share = (smooth / max(float(smooth.sum()), 1e-9)).ravel()[self._cells]
        return np.asarray(np.log((1 - _STRANGERS) * share + _STRANGERS * 30 / np.prod(_CELLS)))

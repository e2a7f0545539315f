"""Where a finished panorama's pixels come from: photographs, points, or nobody who saw them."""

from __future__ import annotations

import numpy as np

from .coverage import solid_angles

MADE_UP, POINT, PHOTOGRAPH = 0, 128, 255
"""What an origin says of a pixel, (H, W) uint8: filled from around or painted; a point's color; a capture's own. As a
picture it is black where nobody looked."""


def shares(origin: np.ndarray) -> dict[str, float]:
    """Shares of the sphere, 0 to 1 and 1 together, by name: photographed, points and made_up.

    >>> halves = np.full((4, 8), PHOTOGRAPH, np.uint8)
    >>> halves[2:] = MADE_UP
    >>> {name: round(share, 2) for name, share in shares(halves).items()}
    {'photographed': 0.5, 'points': 0.0, 'made_up': 0.5}
    """
    rows = solid_angles(len(origin))
    kinds = {"photographed": PHOTOGRAPH, "points": POINT, "made_up": MADE_UP}
    return {name: float(rows @ (origin == kind).mean(axis=1)) for name, kind in kinds.items()}

"""Two fisheye pictures side by side, as cameras take them before they are stitched: they are 2:1, too.

Each half holds a disc that touches its edges, and its corners are black: nothing came there through the lens. In a
panorama the rows at the top and at the bottom show one point each, dark all along or not at all.
"""

from __future__ import annotations

import numpy as np

WARNING = (
    "Its corners are black round two discs: it looks like two fisheyes, not a panorama. Stitch it with the camera "
    "maker's program, and import that."
)
"""What is told of such a picture."""
WIDTH = 256
"""Pixels across, to which a picture may be reduced before it is looked at."""

_DARK = 24  # bytes: sensors are not black there, and JPEG adds its own
_OUTSIDE = 0.53  # of the height: radii from the middle of a half where no lens draws anything
_CORNERS = 0.1458  # the share of a half's square that lies outside
_RIM = (0.38, 0.46)  # radii where a lens still does
_MOST_LIT, _LEAST_LIT = 0.02, 0.5
_SECTORS = 8


def looks_like_two(image: np.ndarray) -> bool:
    """Whether a picture (H, 2 H, 3) uint8 is two fisheyes beside each other."""
    height = len(image)
    if height < 16 or image.shape[1] != 2 * height:
        return False
    lit = image.max(axis=2) > _DARK
    rows, columns, radius = _from_middle(height, height)
    sector = ((np.arctan2(rows, columns) / (2 * np.pi) + 0.5) * _SECTORS).astype(int) % _SECTORS
    rim = (radius > _RIM[0]) & (radius < _RIM[1])
    for half in (lit[:, :height], lit[:, height:]):
        if half[radius > _OUTSIDE].mean() > _MOST_LIT:
            return False
        if min(half[rim & (sector == each)].mean() for each in range(_SECTORS)) < _LEAST_LIT:
            return False
    return True


def corners_are_lit(top: np.ndarray, height: int) -> bool:
    """Whether the first rows of a picture, (h, W, 3) uint8 of (height, W, 3), tell already that it is no two fisheyes.

    Some hundredth of the height is enough for most panoramas, and spares decoding the rest.
    """
    if top.shape[1] != 2 * height:
        return True
    outside = _from_middle(len(top), height)[2] > _OUTSIDE
    most = _MOST_LIT * height**2 * _CORNERS
    lit = top.max(axis=2) > _DARK
    return any(int((half & outside).sum()) > most for half in (lit[:, :height], lit[:, height:]))


def _from_middle(count: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and radii, each (count, size), of a half's first pixels from its middle, by its size."""
    rows, columns = (np.mgrid[:count, :size] + 0.5) / size - 0.5
    return rows, columns, np.hypot(rows, columns)

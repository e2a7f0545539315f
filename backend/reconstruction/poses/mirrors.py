"""Mirrors: what lies behind them is what lies before them, and no picture says that it is not there.

Captures that look into a mirror agree on the room behind it, so a cache holds it with confidence. It is told by its
handedness: a feature's descriptor, reflected, is that of the feature's image, and in 3D all such pairs are halved at
right angles by one plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST = 12
"""Pairs of features that agree on one plane by no accident: 1 or 2 did in a photographed street and rendered places."""
_RATIO = 0.8  # of the distances to the most and to the second most similar descriptor; Lowe 2004
_ANGLE = np.cos(np.radians(3.0))
_OFFSET = 0.02
"""Largest distance of a pair's middle from the plane, as a share of the pair's length."""
_MOST = 8000
"""Points that are compared, at most."""


@dataclass(frozen=True)
class Mirror:
    """The plane X . normal = offset, cameras where X . normal is smaller. pairs: of features that are each other's
    image. behind: share of all points that lie behind it."""

    normal: np.ndarray
    offset: float
    pairs: int
    behind: float


def reflected(descriptors: np.ndarray) -> np.ndarray:
    """Descriptors (N, 128) by SIFT of the same patches seen in a mirror.

    A patch is turned until its gradient points along the first axis; a mirror along that axis swaps its 4 rows of
    4 cells, and each cell's 8 orientations about the axis.
    """
    cells = descriptors.reshape(-1, 4, 4, 8)
    return np.asarray(cells[:, ::-1, :, (8 - np.arange(8)) % 8].reshape(-1, 128))


def find(points: np.ndarray, descriptors: np.ndarray, cameras: np.ndarray, seed: int) -> Mirror | None:
    """The plane of a mirror that all cameras stand before, or None.

    points: (N, 3) and descriptors: (N, 128) uint8 of their features. cameras: (M, 3) positions in the same frame.
    A place that is built symmetrically and photographed from one of its halves looks the same: it is found as well.
    """
    if len(points) > _MOST:
        chosen = np.random.default_rng(seed).choice(len(points), _MOST, replace=False)
        points, descriptors = points[chosen], descriptors[chosen]
    one, other = _images(descriptors)
    apart = points[one] - points[other]
    length = np.linalg.norm(apart, axis=1)
    real = length > 1e-6 * max(float(length.max(initial=0.0)), 1e-9)
    apart, length, middle = apart[real], length[real], (points[one] + points[other])[real] / 2
    if len(apart) < FEWEST:
        return None
    normals = apart / length[:, None]
    along = np.abs(normals @ normals.T) > _ANGLE
    offsets = normals @ middle.T  # of each pair's middle along each pair's normal
    near = np.abs(offsets - offsets.diagonal()[:, None]) < _OFFSET * length
    agreeing = along & near
    best = int(agreeing.sum(axis=1).argmax())
    inliers = agreeing[best]
    if inliers.sum() < FEWEST:
        return None
    signs = np.sign(normals[inliers] @ normals[best])
    normal = (normals[inliers] * signs[:, None]).sum(axis=0)
    normal /= np.linalg.norm(normal)
    offset = float(np.median(middle[inliers] @ normal))
    sides = cameras @ normal - offset
    if not ((sides > 0).all() or (sides < 0).all()):
        return None
    if sides[0] > 0:
        normal, offset = -normal, -offset
    return Mirror(normal, offset, int(inliers.sum()), float((points @ normal > offset).mean()))


def _images(descriptors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of features that are each other's reflected image, unmistakably."""
    if len(descriptors) < 3:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    codes = _normalised(descriptors)
    likeness = _normalised(reflected(descriptors)) @ codes.T
    np.fill_diagonal(likeness, -1)  # what is symmetric itself
    best = likeness.argmax(axis=1)
    first = likeness.max(axis=1)
    likeness[np.arange(len(best)), best] = -1
    second = likeness.max(axis=1)
    distances = [np.sqrt(np.maximum(2 - 2 * each, 0)) for each in (first, second)]
    one = np.flatnonzero((best[best] == np.arange(len(best))) & (distances[0] < _RATIO * distances[1]))
    one = one[one < best[one]]
    return one, best[one]


def _normalised(descriptors: np.ndarray) -> np.ndarray:
    codes = descriptors.astype(np.float32)
    return np.asarray(codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-9))


def told(mirror: Mirror) -> str:
    """A note for the artist."""
    return (
        f"{round(100 * mirror.behind)} % of what was found lies behind a plane in which {mirror.pairs} features have "
        "their mirror image, and no capture stands there: a mirror or a polished wall, unless the place is built "
        "symmetrically. Mask the mirror in the captures, or delete what lies behind it."
    )

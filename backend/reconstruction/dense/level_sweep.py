"""Floors and ceilings found by sweeping level planes, as captures far apart see them.

From ten metres a floor is seen at a slant that no patch facing the camera matches. Level planes warp it right, and of
each pixel whose best height is the only good one, that height gets a vote (Gallup et al., "Real-Time Plane-Sweeping
Stereo with Multiple Sweeping Directions", CVPR 2007).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..edges import row_widths
from .plane_hypotheses import into_camera
from .view import DenseView, relative_poses
from .warps import Pyramid, likeness, pyramid

_WIDTH = 256
_RATIO = 1.04  # from one height over or under the camera to the next
_NEAREST, _FARTHEST = 0.3, 12.0  # metres over or under the camera
_HIGHEST = 0.1  # sine of the elevation up to which a level plane is too slanted to be compared
_ALIKE, _BETTER = 0.7, 0.15  # correlation of a vote, and by how much other heights have to be worse
_OTHER = 3  # steps from one height to another that says something else
_ENOUGH = 0.004  # share of the half sphere that votes for a height, at the least
_PEAK = 2.5  # times as many votes as the heights have in the mean
_MOST = 3


def level_planes_swept(views: Sequence[DenseView], neighbours: Sequence[Sequence[int]]) -> Iterator[np.ndarray]:
    """For each view the level planes (P, 4) of the world that it and its nearest neighbour see, from the most votes on.

    views: of any one width. neighbours: for each view, those that it is matched against, the nearest first.
    """
    small = [view if view.active.shape[1] <= _WIDTH else view.smaller(_WIDTH) for view in views]
    pyramids = [pyramid(view.grey, view.valid) for view in small]
    for index, others in enumerate(neighbours):
        yield _of_a_view(small, pyramids, index, others[0])


def _of_a_view(views: Sequence[DenseView], pyramids: Sequence[Pyramid], index: int, other: int) -> np.ndarray:
    view = views[index]
    rotations, offsets = relative_poses(views, index, [other])
    up = view.rays @ view.pose[2, :3].astype(np.float32)
    found = []
    for side in (-1.0, 1.0):
        seen = view.active & (side * up > _HIGHEST)
        if not seen.any():
            continue
        distances = np.geomspace(_NEAREST, _FARTHEST, round(np.log(_FARTHEST / _NEAREST) / np.log(_RATIO)))
        heights = view.pose[2, 3] + side * distances
        planes = into_camera(np.array([[0.0, 0.0, 1.0, height] for height in heights]), view.pose)

        def of(plane: np.ndarray, seen: np.ndarray = seen) -> np.ndarray:
            alike = likeness(pyramids[index], pyramids[other], seen, plane, rotations[0], offsets[0])
            return np.nan_to_num(alike.correlation, nan=-1.0)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            correlations = np.stack(list(pool.map(of, planes)))
        found += [
            (share, view.pose[2, 3] + side * distance) for share, distance in _peaks(correlations, seen, distances)
        ]
    found.sort(reverse=True)
    return np.array([[0.0, 0.0, 1.0, height] for _, height in found]).reshape(-1, 4)


def _peaks(correlations: np.ndarray, seen: np.ndarray, distances: np.ndarray) -> list[tuple[float, float]]:
    """Distances (D,) that stand out in votes, each with its share of them; correlations: (D, H, W)."""
    best = correlations.argmax(axis=0)
    highest = correlations.max(axis=0)
    steps = np.abs(np.arange(len(distances))[:, None, None] - best)
    second = np.where(steps >= _OTHER, correlations, -1).max(axis=0)
    votes = seen & (highest > _ALIKE) & (highest - second > _BETTER)
    area = np.broadcast_to(row_widths(len(seen))[:, None], seen.shape)
    half = len(seen) * seen.shape[1] / np.pi  # the sum of the areas of half a panorama
    shares = np.bincount(best[votes], area[votes], len(distances)) / half
    smooth = np.convolve(shares, [0.5, 1.0, 0.5], mode="same")
    found = []
    mean = float(smooth.mean())
    for index in np.argsort(-smooth)[: 2 * _MOST]:
        low, high = max(index - 2, 0), index + 3
        if smooth[index] < max(smooth[low:high]) or smooth[index] < max(_ENOUGH, _PEAK * mean):
            continue
        weights = shares[low:high]
        found.append((float(smooth[index]), float(np.exp(np.average(np.log(distances[low:high]), weights=weights)))))
    return found[:_MOST]

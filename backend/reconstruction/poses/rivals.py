"""Rival poses: what repeats or mirrors itself lets a capture stand in two places equally well.

Windows that are all alike, and rooms that look alike from both ends, give matches that agree on a wrong pose, and
bundle adjustment never looks at the matches it left out. So those are asked again: where enough of a pair's remaining
matches agree on one other pose, one of the two is wrong, and nothing in the pictures says which.

Part of the process that solves poses: pycolmap is imported there first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycolmap  # type: ignore[import-not-found]

from pantheon360_blender.core.panorama import equirectangular

FEWEST = 30
"""Matches that agree on another pose by no accident: of a photographed street and rendered places 6 to 15 did."""
SHARE = 0.25
"""Of the matches that support a pose, those from which on another one is its rival."""
_NEARLY = 4.0
"""Matches so many times as far from their circles are still of the same pose: blunt features, and things that moved."""
OPENCV_FROM_BLENDER = np.diag([1.0, -1.0, -1.0])
"""Camera axes; it is its own inverse."""
_LEAST_PARALLAX = np.radians(0.5)
"""Angle between two rays below which nothing tells before from behind."""


@dataclass(frozen=True)
class Rival:
    """Two captures (indices) whose matches agree on two relative poses: `support` on this one, `others` on another."""

    first: int
    second: int
    support: int
    others: int


@dataclass(frozen=True)
class Matches:
    """Matches of two captures, verified or not: unit rays (N, 3) of OpenCV's camera axes, and pixels (N, 2)."""

    here: np.ndarray
    there: np.ndarray
    pixels: tuple[np.ndarray, np.ndarray]

    def without(self, which: np.ndarray) -> Matches:
        return Matches(self.here[~which], self.there[~which], (self.pixels[0][~which], self.pixels[1][~which]))

    def __len__(self) -> int:
        return len(self.here)


def read(database: Any, width: int) -> dict[tuple[int, int], Matches]:
    """All matches of a pycolmap database by pair of indices from 0. width: of the panoramas, pixels."""
    found = {}
    pixels: dict[int, np.ndarray] = {}
    for pair, indices in zip(*database.read_all_matches(), strict=True):
        images = tuple(int(image) for image in pycolmap.pair_id_to_image_pair(pair))
        for image in images:
            if image not in pixels:
                pixels[image] = np.asarray(database.read_keypoints(image)[:, :2], np.float64)
        first, second = (
            pixels[image][side] for image, side in zip(images, np.asarray(indices).reshape(-1, 2).T, strict=True)
        )
        rays = [equirectangular.pixels_to_directions(each, width) @ OPENCV_FROM_BLENDER for each in (first, second)]
        found[images[0] - 1, images[1] - 1] = Matches(rays[0], rays[1], (first, second))
    return found


def find(
    matches: Mapping[tuple[int, int], Matches],
    poses: Mapping[int, tuple[np.ndarray, np.ndarray]],
    camera: Any,
    error: float,
    seed: int,
) -> list[Rival]:
    """Pairs with two poses, the most doubtful first.

    poses: index -> rotation (3, 3) model from OpenCV's camera, and position (3,). camera: pycolmap's. error: largest
    distance of a match from its epipolar circle, pixels. Captures of one place are left out: only a turn lies between.
    """
    radians = error * 2 * np.pi / camera.width
    found = []
    for (first, second), each in matches.items():
        if first not in poses or second not in poses:
            continue
        (rotation, position), (other, there) = poses[first], poses[second]
        offset = rotation.T @ (there - position)
        if np.linalg.norm(offset) < 1e-9:
            continue
        support = int(consistent(each, rotation.T @ other, offset, radians).sum())
        rest = each.without(consistent(each, rotation.T @ other, offset, _NEARLY * radians))
        if len(rest) >= FEWEST:
            count = _support_of_another(rest, camera, error, radians, seed)
            if count >= max(FEWEST, SHARE * support):
                found.append(Rival(first, second, support, count))
    return sorted(found, key=lambda rival: rival.support / rival.others)


def consistent(matches: Matches, first_from_second: np.ndarray, offset: np.ndarray, radians: float) -> np.ndarray:
    """Which matches (N,) bool a relative pose explains: near their epipolar circles, and before both cameras.

    first_from_second: (3, 3). offset: (3,) of the second camera in the first one's frame, of any length.
    radians: largest distance from the circle. Where two rays are as good as parallel, before and behind are alike.
    """
    direction = offset / np.linalg.norm(offset)
    there = matches.there @ first_from_second.T
    normal = np.cross(direction, matches.here)
    length = np.linalg.norm(normal, axis=1)
    distance = np.abs((normal * there).sum(axis=1)) / np.maximum(length, 1e-9)
    on_circle = (distance < np.sin(radians)) | (length < np.sin(radians))
    # Seen after a step along `direction`, what lies before both cameras turns away from it, at most to the opposite.
    parallax = np.arctan2(
        (np.cross(matches.here, there) * normal).sum(axis=1) / np.maximum(length, 1e-9),
        (matches.here * there).sum(axis=1),
    )
    most = np.arctan2(length, -(matches.here @ direction))
    return np.asarray(on_circle & (parallax > -_LEAST_PARALLAX) & (parallax < most + _LEAST_PARALLAX))


def _support_of_another(rest: Matches, camera: Any, error: float, radians: float, seed: int) -> int:
    """Matches that agree on one pose, with parallax."""
    ransac = pycolmap.RANSACOptions(max_error=error, random_seed=seed)
    start = pycolmap.estimate_relative_pose(camera, rest.pixels[0], camera, rest.pixels[1], ransac)
    if start is None:
        return 0
    second_from_first = start["cam2_from_cam1"]
    first_from_second = second_from_first.rotation.matrix().T
    offset = -first_from_second @ second_from_first.translation
    if np.linalg.norm(offset) < 1e-9:
        return 0
    return int(consistent(rest, first_from_second, offset, radians).sum())


def told(rivals: Sequence[Rival], names: Sequence[str]) -> list[str]:
    """A note for the artist on each."""
    return [
        f"{names[each.first]} and {names[each.second]} fit together in two ways ({each.support} matches for this one, "
        f"{each.others} for another): windows that repeat, or a room that looks alike from both ends. Look whether "
        "their places are right; positions by GPS, a mask over what repeats, or a capture between them decide it."
        for each in rivals
    ]

"""The layout of a place seen from one level panorama: how far the wall is in every direction, how high the ceiling.

The ground is level and at a known depth below the camera, walls are upright, a ceiling is level. So one distance a
column says where ground, wall and ceiling meet in it. Distances are chosen that part the picture into regions of
different colours, with contrast where these meet, and that go on from column to column; what each region looks like is
learned from the parting before. Outdoors there is no ceiling: the sky is left out.

Source of the parametrisation: HorizonNet (Sun et al., CVPR 2019), which has a network find the boundaries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from pantheon360_blender.core.panorama import equirectangular

from ..depth_map import DepthMap
from ..sky import sky_mask
from .circular_path import best_path
from .region_colours import RegionColours

WIDTH = 256
"""Pixels across, at which a layout is found."""

_DISTANCES = np.geomspace(0.4, 60.0, 110)  # metres
_LOWEST_ROOM, _HIGHEST_CEILING = 2.2, 5.0  # metres: floor to ceiling, camera to ceiling
_ROUNDS = 3
_OUTDOORS = 0.01  # share of the sphere that is sky
_GROUND_FROM, _CEILING_FROM, _WALL_WITHIN = 40.0, 45.0, 8.0  # degrees of elevation, for the first parting
_PIXELS = 8.0  # that count as one: neighbours are much alike
_CONTRAST, _HIGHEST_CONTRAST, _LIGHTNESS = 1.5, 20.0, 0.4
_SMOOTH, _FARTHEST_JUMP = 3.6, 2.0  # cost of a jump by a factor e of distance, and of any jump at most
_FLAT = 4.0  # degrees: below, the height of what a sky ends at cannot be told
_LEVEL, _ALL_AROUND = 0.15, 0.7  # relative differences of height, and share of the columns, by which a ceiling is told
_SURE, _DOUBTED = 0.8, 0.3  # confidence where all pixels around look like their region, and where none does
_NEAR = 20.0  # metres: farther away, a pixel of the boundary is much of the distance
_AGREEMENT = 9  # pixels across


@dataclass(frozen=True, eq=False)
class RoomLayout:
    """A place as seen from a level camera.

    distance: (W,) float64 metres from the camera to the wall, level, by column. camera_height: above the ground.
    ceiling_height: above the camera, or None outdoors. agreement: (W / 2, W) float32, 0 to 1: how many of the pixels
    around each look like the region that they are in.
    """

    distance: np.ndarray
    camera_height: float
    ceiling_height: float | None
    agreement: np.ndarray

    def depth_map(self, sky: np.ndarray) -> DepthMap:
        """Range and confidence at the size of a sky mask (H, W): what the camera sees of ground, walls and ceiling.

        Under a ceiling, what was taken for sky is none.
        """
        sky = sky & (self.ceiling_height is None)
        height, width = sky.shape
        elevation = _elevations(height)[:, None]
        places = (np.arange(width) + 0.5) / width * len(self.distance) - 0.5
        ranges = _between(self.distance, places)[None] / np.cos(elevation)
        with np.errstate(divide="ignore"):
            ranges = np.minimum(ranges, np.where(elevation < 0, self.camera_height / np.sin(-elevation), np.inf))
            if self.ceiling_height is not None:
                ranges = np.minimum(ranges, np.where(elevation > 0, self.ceiling_height / np.sin(elevation), np.inf))
        rows = (np.arange(height) + 0.5) / height * len(self.agreement)
        alike = self.agreement[rows.astype(int)][:, np.rint(places).astype(int) % len(self.distance)]
        confidence = (_DOUBTED + (_SURE - _DOUBTED) * alike) * np.minimum(1.0, _NEAR / ranges)
        return DepthMap(
            np.where(sky, np.inf, ranges).astype(np.float32), np.where(sky, 0, confidence).astype(np.float32), sky
        )


def estimate(image: np.ndarray, camera_height: float, valid: np.ndarray | None = None) -> RoomLayout:
    """The layout that a level panorama shows.

    image: (H, W, 3) uint8 sRGB, W = 2 H. camera_height: metres above the ground. valid: (H, W) bool, what shows the
    place; None is all of it.
    """
    small = equirectangular.resize(image, WIDTH)
    shown = np.ones((WIDTH // 2, WIDTH), np.bool_) if valid is None else equirectangular.resize(valid, WIDTH)
    sky = sky_mask(small)
    area = np.cos(_elevations(WIDTH // 2))
    if float(sky.mean(axis=1) @ area) > _OUTDOORS * float(area.sum()):
        outdoors = _best(_Panorama(small, shown & ~sky, camera_height), [None])
        if not _is_ceiling(sky, outdoors.distance):
            return outdoors
    lowest = max(_LOWEST_ROOM - camera_height, 0.3)
    panorama = _Panorama(small, shown, camera_height)
    coarse = np.geomspace(lowest, max(_HIGHEST_CEILING, 2 * lowest), 10)
    found = _best(panorama, coarse.tolist())
    near = coarse[1] / coarse[0]
    assert found.ceiling_height is not None
    return _best(panorama, np.geomspace(found.ceiling_height / near, found.ceiling_height * near, 9)[1:-1].tolist())


def _best(panorama: _Panorama, ceilings: Sequence[float | None]) -> RoomLayout:
    """The layout that explains a panorama best, of those with ceilings of these heights; None is no ceiling."""
    elevation = np.degrees(_elevations(WIDTH // 2))[:, None] + np.zeros(WIDTH)
    seeds = [elevation < -_GROUND_FROM, np.abs(elevation) < _WALL_WITHIN, elevation > _CEILING_FROM]
    best: tuple[float, np.ndarray, float | None, list[np.ndarray]] | None = None
    for ceiling in ceilings:
        regions = seeds[: 2 if ceiling is None else 3]
        top = None if ceiling is None else panorama.boundary(np.arctan(ceiling / _DISTANCES))
        for _ in range(_ROUNDS):
            distance, gained = panorama.parted(regions, top)
            regions = panorama.regions(distance, ceiling)[: len(regions)]
        if best is None or gained > best[0]:
            best = gained, distance, ceiling, regions
    assert best is not None
    _, distance, ceiling, regions = best
    return RoomLayout(distance, panorama.camera_height, ceiling, panorama.agreement(regions))


def _is_ceiling(sky: np.ndarray, distance: np.ndarray) -> bool:
    """Whether what was taken for sky, (H, W) bool, ends at one height all around, as a white ceiling does."""
    lowest = len(sky) - np.argmax(sky[::-1], axis=0)
    elevation = (0.5 - lowest / len(sky)) * math.pi
    known = sky.any(axis=0) & (elevation > math.radians(_FLAT))
    if known.mean() < _ALL_AROUND:
        return False
    heights = distance[known] * np.tan(elevation[known])
    middle = float(np.median(heights))
    level = float((np.abs(heights / middle - 1) < _LEVEL).mean())
    return middle < _HIGHEST_CEILING and level > _ALL_AROUND


class Boundary(NamedTuple):
    """Where two regions meet if the wall is at each of K distances. rows: (K,), and parts of rows. contrast: (K, W),
    what their difference there gains.
    """

    rows: np.ndarray
    contrast: np.ndarray


class _Panorama:
    """A small panorama that is parted into ground, wall and ceiling."""

    def __init__(self, image: np.ndarray, seen: np.ndarray, camera_height: float) -> None:
        self._colours = RegionColours(image)
        self.camera_height = camera_height
        self.area = np.cos(_elevations(len(image)))[:, None]
        self._weight = self.area * seen
        lab = self._colours.lab * np.array([_LIGHTNESS, 1, 1], np.float32)
        self._sums = _summed(lab * seen[..., None])
        self._counts = _summed(seen[..., None].astype(np.float32))
        steps = np.abs(np.log(_DISTANCES)[:, None] - np.log(_DISTANCES))
        self._jump = np.minimum(_SMOOTH * steps, _FARTHEST_JUMP)
        self._foot = self.boundary(-np.arctan(camera_height / _DISTANCES))

    def boundary(self, elevation: np.ndarray) -> Boundary:
        """Where regions meet at each of _DISTANCES. elevation: (K,) radians."""
        rows = _rows(elevation, len(self.area))
        return Boundary(rows, _CONTRAST * self._contrast(rows, elevation))

    def parted(self, regions: list[np.ndarray], top: Boundary | None) -> tuple[np.ndarray, float]:
        """The best parting into regions that look as those given do. top: where walls meet the ceiling, or None.

        Returns the distance of the wall in each column, (W,) metres, and how well it explains the picture.
        """
        likely = np.stack([self._colours.log_likelihood(self._weight * region) for region in regions])
        sums = [_summed(each) for each in likely * self._weight / _PIXELS]
        foot = self._foot
        gain = sums[0][-1] - _at(sums[0], foot.rows) + _at(sums[1], foot.rows) + foot.contrast
        if top is not None:
            gain += _at(sums[2], top.rows) - _at(sums[1], top.rows) + top.contrast
        path, gained = best_path(gain, self._jump)
        return _DISTANCES[path], gained

    def regions(self, distance: np.ndarray, ceiling: float | None) -> list[np.ndarray]:
        """(H, W) bool each: ground, wall, ceiling."""
        elevation = _elevations(len(self.area))[:, None]
        ground = elevation < -np.arctan(self.camera_height / distance)
        above = np.zeros_like(ground) if ceiling is None else elevation > np.arctan(ceiling / distance)
        return [ground, ~ground & ~above, above]

    def agreement(self, regions: list[np.ndarray]) -> np.ndarray:
        """As RoomLayout.agreement says."""
        likely = np.stack([self._colours.log_likelihood(self._weight * region) for region in regions])
        alike = np.take_along_axis(likely, np.argmax(regions, axis=0)[None], axis=0)[0] >= likely.max(axis=0) - 0.5
        return np.asarray(ndimage.uniform_filter(alike.astype(np.float32), _AGREEMENT, mode=("nearest", "wrap")))

    def _contrast(self, rows: np.ndarray, elevation: np.ndarray) -> np.ndarray:
        """(K, W), 0 to 1: how different colours are above and below each of (K,) rows; less where rows are narrow."""
        height = len(self.area)
        found = np.zeros((len(rows), self._sums.shape[1]), np.float32)
        for index, row in enumerate(rows):
            band = min(max(abs(row - height / 2) * 0.3, 1.2), 4.0)
            low, middle, high = (min(max(round(place), 0), height) for place in (row - band, row, row + band))
            if low < middle < high:
                difference = self._mean(low, middle) - self._mean(middle, high)
                found[index] = np.minimum(np.linalg.norm(difference, axis=-1), _HIGHEST_CONTRAST)
        return np.asarray(found / _HIGHEST_CONTRAST * np.cos(elevation)[:, None])

    def _mean(self, first: int, last: int) -> np.ndarray:
        """(W, 3): the mean colour of what is seen of some rows."""
        counts = self._counts[last] - self._counts[first]
        return np.asarray((self._sums[last] - self._sums[first]) / np.maximum(counts, 1))


def _elevations(height: int) -> np.ndarray:
    """(H,) radians, of rows' middles."""
    return (0.5 - (np.arange(height) + 0.5) / height) * math.pi


def _rows(elevation: np.ndarray, height: int) -> np.ndarray:
    """Rows, the first one's upper edge at 0, of elevations in radians."""
    return np.asarray(np.clip((0.5 - elevation / math.pi) * height, 0, height))


def _summed(values: np.ndarray) -> np.ndarray:
    """(H + 1, ...) float64: the sums of all rows above each."""
    return np.concatenate([np.zeros_like(values[:1], np.float64), np.cumsum(values, axis=0, dtype=np.float64)])


def _at(sums: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(K, W): sums (H + 1, W) at (K,) rows and parts of rows."""
    whole = np.minimum(rows.astype(int), len(sums) - 2)
    part = (rows - whole)[:, None]
    return np.asarray(sums[whole] * (1 - part) + sums[whole + 1] * part)


def _between(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values of a circle at places between them: along straight walls, and without a blend where they jump."""
    first = np.floor(places).astype(int)
    part = places - first
    left, right = values[first % len(values)], values[(first + 1) % len(values)]
    blended = 1 / ((1 - part) / left + part / right)
    jumps = np.maximum(left, right) > 1.3 * np.minimum(left, right)
    return np.where(jumps, np.where(part < 0.5, left, right), blended)

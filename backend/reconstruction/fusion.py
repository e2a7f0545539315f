"""From what each capture sees to one point cloud, in which a surface is there once.

A point is left out if another capture sees the same surface from nearer, so that only the sharpest view draws it, or if
another capture looks through it at something confidently known to be behind. What is guessed yields to what is sure, to
the sky, and to what is guessed from nearer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points import equirectangular_depth
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.progress import Job, Progress

from .depth_map import DepthMap, enlarged

_SAME = 0.06
"""Relative difference of range within which two captures see the same surface."""
_THROUGH = 0.25
"""Relative range by which another capture must look past a point to deny it."""
_STEP = 0.1
"""Natural log of range among neighbours from which on a guess beside them is left out."""
_SKYLINE = 2
"""Pixels by which the sky may be taken too far: nearer to its border it denies nothing."""
_STEEPEST = 6.0
"""The largest ratio of length to width of what a pixel covers at a grazing angle."""
_WITNESSES = 12
"""Captures, the nearest ones, that a capture's points are held against: the work grows with the captures alone."""
_SPREAD = 0.75
"""Between 0.5, a disc of the strip's area, and 1, one as wide as the strip is long."""


def fuse(
    captures: Sequence[Capture],
    maps: Sequence[DepthMap | None],
    confidence: float,
    *,
    guesses: bool = False,
    nearest_only: bool = True,
    finer: int = 1,
) -> Job[PointCloud]:
    """The points of all range maps that are confident enough.

    captures: N, with poses in the world. maps: one for each, or None; all of one size. confidence: 0 to 1, of points
    that are sure. guesses: whether the others are points, too, which yield to those that are sure.
    nearest_only: whether a surface is kept of its nearest capture alone. finer: points along each side of a pixel
    of the maps, if the capture's image has as many pixels.
    Returns world coordinates; source is the index into `captures`, footprint the metres a pixel covers.
    """
    seen = [
        None if each is None else _Seen.of(_detailed(each, capture, finer), capture, confidence, guesses)
        for each, capture in zip(maps, captures, strict=True)
    ]
    clouds = []
    for index, each in enumerate(seen):
        yield Progress("Fusing points", index, len(captures), text=captures[index].name)
        if each is None:
            continue
        points = each.points()
        good = np.ones(len(points.ranges), np.bool_)
        for number, other in _witnesses(seen, index):
            nearer, through = other.against(points, first=index < number)
            good &= ~(through | nearer) if nearest_only else ~through
        colours = equirectangular.resize(captures[index].image, each.kept.shape[1])[each.kept]
        clouds.append(
            PointCloud(
                points.places.astype(np.float32)[good],
                colours[good],
                each.depth.confidence[each.kept].astype(np.float32)[good],
                np.full(int(good.sum()), index, np.int32),
                footprints(each.depth.range)[each.kept][good],
            )
        )
    yield Progress("Fusing points", len(captures), len(captures))
    return PointCloud.concatenate(clouds)


def _witnesses(seen: Sequence[_Seen | None], index: int) -> list[tuple[int, _Seen]]:
    """The captures nearest to one, with their numbers, in the order of these."""
    here = seen[index]
    assert here is not None
    others = [(number, each) for number, each in enumerate(seen) if each is not None and number != index]
    place = here.capture.pose[:3, 3]
    others.sort(key=lambda other: float(np.linalg.norm(other[1].capture.pose[:3, 3] - place)))
    return sorted(others[:_WITNESSES], key=lambda other: other[0])


@dataclass(frozen=True, eq=False)
class _Points:
    """places: (n, 3) in the world. ranges: (n,) metres from their capture. sure: (n,) bool."""

    places: np.ndarray
    ranges: np.ndarray
    sure: np.ndarray


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a capture sees. kept, sure: (H, W) bool, pixels that are points, and those of them that are no guesses.
    sky: (H, W) bool, where it surely is."""

    depth: DepthMap
    capture: Capture
    kept: np.ndarray
    sure: np.ndarray
    sky: np.ndarray

    @classmethod
    def of(cls, depth: DepthMap, capture: Capture, confidence: float, guesses: bool) -> _Seen:
        sure = _kept(depth, confidence)
        kept, sky = sure, np.zeros_like(sure)
        if guesses:
            unsure = _kept(depth, 0.0) & (depth.confidence > 0) & (depth.confidence < confidence)
            kept, sky = sure | (unsure & ~_stepped(depth.range)), _inner(depth.sky)
        return cls(depth, capture, kept, sure, sky)

    def points(self) -> _Points:
        ranges = self.depth.range[self.kept]
        rays = equirectangular.directions(self.kept.shape[1])[self.kept]
        pose = self.capture.pose
        return _Points((rays * ranges[:, None]) @ pose[:3, :3].T + pose[:3, 3], ranges, self.sure[self.kept])

    def against(self, points: _Points, *, first: bool) -> tuple[np.ndarray, np.ndarray]:
        """For each point of another: whether this capture sees the same surface from nearer, and whether it looks
        through it."""
        inside = (points.places - self.capture.pose[:3, 3]) @ self.capture.pose[:3, :3]
        distance = np.linalg.norm(inside, axis=1)
        height, width = self.kept.shape
        inside[distance == 0] = (0.0, 0.0, -1.0)  # the capture's own place lies in every direction
        pixels = equirectangular.directions_to_pixels(inside, width)
        column = np.floor(pixels[:, 0]).astype(np.int64) % width
        row = np.clip(np.floor(pixels[:, 1]).astype(np.int64), 0, height - 1)
        known, sure, there = self.kept[row, column], self.sure[row, column], self.depth.range[row, column]
        near = (distance < points.ranges) if first else (distance <= points.ranges)
        with np.errstate(invalid="ignore"):
            same = known & (np.abs(there - distance) <= _SAME * distance)
            behind = known & (there > (1 + _THROUGH) * distance)
        nearer = same & np.where(points.sure == sure, near, sure)
        through = behind & (sure | (~points.sure & (distance < points.ranges)))
        return nearer, through | (self.sky[row, column] & ~points.sure)


def _detailed(each: DepthMap, capture: Capture, finer: int) -> DepthMap:
    return enlarged(each, max(1, min(finer, capture.image.shape[1] // each.range.shape[1])))


def _kept(each: DepthMap, confidence: float) -> np.ndarray:
    """(H, W) bool: confident, finite, and neither on the edge of something nor beside the sky, half its colour."""
    sky = each.sky | np.roll(each.sky, 1, axis=1) | np.roll(each.sky, -1, axis=1)
    sky[1:] |= each.sky[:-1]
    sky[:-1] |= each.sky[1:]
    sure = np.isfinite(each.range) & (each.range > 0) & (each.confidence >= confidence) & ~sky
    return np.asarray(sure & ~equirectangular_depth.depth_edges(each.range))


def _stepped(ranges: np.ndarray) -> np.ndarray:
    """(H, W) bool: beside a step in range."""
    from scipy import ndimage  # by those alone who guess: fusing what is sure takes numpy

    known = np.isfinite(ranges) & (ranges > 0)
    logs = np.log(np.where(known, ranges, 1.0))
    highest = ndimage.maximum_filter(np.where(known, logs, -np.inf), 3, mode=("nearest", "wrap"))
    lowest = ndimage.minimum_filter(np.where(known, logs, np.inf), 3, mode=("nearest", "wrap"))
    return np.asarray(highest - lowest > _STEP)


def _inner(sky: np.ndarray) -> np.ndarray:
    """The sky without its border, (H, W) bool."""
    from scipy import ndimage

    size = 2 * _SKYLINE + 1
    return np.asarray(ndimage.minimum_filter(sky, size, mode=("nearest", "wrap")))


def footprints(ranges: np.ndarray) -> np.ndarray:
    """(H, W) float32 diameters in metres of the discs that stand for pixels, 0 if unknown.

    At a grazing angle a pixel covers a long strip. A disc of its length would cover neighbours, and one of its area
    would leave cracks: the disc is between the two.
    """
    flat = np.where(np.isfinite(ranges), ranges, 0).astype(np.float32) * np.float32(2 * np.pi / ranges.shape[1])
    strip = equirectangular_depth.footprints(ranges, _STEEPEST)
    return np.asarray(flat ** (1 - _SPREAD) * strip**_SPREAD, np.float32)

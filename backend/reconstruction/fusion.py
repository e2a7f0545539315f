"""From what each capture sees to one point cloud, in which a surface is there once.

A point is left out if another capture sees the same surface from nearer, so that only the sharpest view draws it, or if
another capture looks through it at something confidently known to be behind.
"""

from __future__ import annotations

from collections.abc import Sequence

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
_STEEPEST = 6.0
"""The largest ratio of length to width of what a pixel covers at a grazing angle."""
_SPREAD = 0.75
"""Between 0.5, a disc of the strip's area, and 1, one as wide as the strip is long."""


def fuse(
    captures: Sequence[Capture],
    maps: Sequence[DepthMap | None],
    confidence: float,
    *,
    nearest_only: bool = True,
    finer: int = 1,
) -> Job[PointCloud]:
    """The points of all range maps that are confident enough.

    captures: N, with poses in the world. maps: one for each, or None; all of one size. confidence: 0 to 1, of points to
    keep. nearest_only: whether a surface is kept of its nearest capture alone. finer: points along each side of a pixel
    of the maps, if the capture's image has as many pixels.
    Returns world coordinates; source is the index into `captures`, footprint the metres a pixel covers.
    """
    maps = [
        None if each is None else _detailed(each, capture, finer) for each, capture in zip(maps, captures, strict=True)
    ]
    kept = [None if each is None else _kept(each, confidence) for each in maps]
    clouds = []
    for index, (capture, each) in enumerate(zip(captures, maps, strict=True)):
        yield Progress("Fusing points", index, len(captures), text=capture.name)
        if each is None:
            continue
        mask = kept[index]
        assert mask is not None
        rays = equirectangular.directions(mask.shape[1])[mask]
        ranges = each.range[mask]
        points = (rays * ranges[:, None]) @ capture.pose[:3, :3].T + capture.pose[:3, 3]
        footprint = _footprints(each.range)[mask]
        good = np.ones(len(points), np.bool_)
        for other, (theirs, seen) in enumerate(zip(maps, kept, strict=True)):
            if other != index and theirs is not None and seen is not None:
                nearer, through = _against(points, ranges, captures[other], theirs, seen, first=index < other)
                good &= ~(through | nearer) if nearest_only else ~through
        colours = equirectangular.resize(capture.image, mask.shape[1])[mask]
        clouds.append(
            PointCloud(
                points.astype(np.float32)[good],
                colours[good],
                each.confidence[mask].astype(np.float32)[good],
                np.full(int(good.sum()), index, np.int32),
                footprint[good],
            )
        )
    yield Progress("Fusing points", len(captures), len(captures))
    return PointCloud.concatenate(clouds)


def _detailed(each: DepthMap, capture: Capture, finer: int) -> DepthMap:
    return enlarged(each, max(1, min(finer, capture.image.shape[1] // each.range.shape[1])))


def _kept(each: DepthMap, confidence: float) -> np.ndarray:
    """(H, W) bool: confident, finite, and neither on the edge of something nor beside the sky, half its colour."""
    sky = each.sky | np.roll(each.sky, 1, axis=1) | np.roll(each.sky, -1, axis=1)
    sky[1:] |= each.sky[:-1]
    sky[:-1] |= each.sky[1:]
    sure = np.isfinite(each.range) & (each.range > 0) & (each.confidence >= confidence) & ~sky
    return np.asarray(sure & ~equirectangular_depth.depth_edges(each.range))


def _footprints(ranges: np.ndarray) -> np.ndarray:
    """(H, W) float32 diameters in metres of the discs that stand for pixels, 0 if unknown.

    At a grazing angle a pixel covers a long strip. A disc of its length would cover neighbours, and one of its area
    would leave cracks: the disc is between the two.
    """
    flat = np.where(np.isfinite(ranges), ranges, 0).astype(np.float32) * np.float32(2 * np.pi / ranges.shape[1])
    strip = equirectangular_depth.footprints(ranges, _STEEPEST)
    return np.asarray(flat ** (1 - _SPREAD) * strip**_SPREAD, np.float32)


def _against(
    points: np.ndarray, ranges: np.ndarray, capture: Capture, theirs: DepthMap, seen: np.ndarray, *, first: bool
) -> tuple[np.ndarray, np.ndarray]:
    """For each point: whether another capture sees the same surface from nearer, and whether it looks through it."""
    inside = (points - capture.pose[:3, 3]) @ capture.pose[:3, :3]
    distance = np.linalg.norm(inside, axis=1)
    height, width = seen.shape
    inside[distance == 0] = (0.0, 0.0, -1.0)  # the capture's own place lies in every direction
    pixels = equirectangular.directions_to_pixels(inside, width)
    column = np.floor(pixels[:, 0]).astype(np.int64) % width
    row = np.clip(np.floor(pixels[:, 1]).astype(np.int64), 0, height - 1)
    known, there = seen[row, column], theirs.range[row, column]
    with np.errstate(invalid="ignore"):
        same = known & (np.abs(there - distance) <= _SAME * distance)
        nearer = same & ((distance < ranges) if first else (distance <= ranges))
        through = known & (there > (1 + _THROUGH) * distance)
    return nearer, through

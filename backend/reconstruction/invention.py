"""Points of what a painter made up: surfaces of painted frames of which the 3D cache knew nothing.

A frame's open pixels get ranges by completion. Their points join the cache, so that a later path sees the same
invention again. Few frames are taken, each for what the ones before have left open, and completed beside what those
brought. What was known stays: no point may stand between a view and what that view knows, or before a capture's sky.

Sources: caches that grow by what was painted, as in Yu et al., "ViewCrafter: Taming Video Diffusion Models for
High-fidelity Novel View Synthesis", 2024, and Ren et al., "GEN3C: 3D-Informed World-Consistent Video Generation with
Precise Camera Control", CVPR 2025.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import heading_from_rotation, rotation_from_heading
from pantheon360_blender.core.panorama.capture import Capture, UnreadCapture
from pantheon360_blender.core.points import equirectangular_depth
from pantheon360_blender.core.points.point_cloud import INVENTED, INVENTED_CONFIDENCE, PointCloud
from pantheon360_blender.core.progress import Job, Progress
from pantheon360_blender.core.render import coverage, splatting

from . import fusion, sky
from .completion import completed
from .depth_map import DepthMap

MOST_FRAMES = 8
"""Frames that are taken."""
LEAST_OPEN = 0.001
"""Share of the sphere that a frame leaves open at least to be taken."""
_SURE = 0.5
"""Confidence from which on completion leaves a range as it is."""
_MET = 0.3
"""Confidence that completion gives to what an earlier frame brought."""
_IN_FRONT = 0.06
"""Share of its range by which a point must be nearer than a known surface to stand in front of it."""
_FARTHEST = 2.0
"""Ranges that are guessed, as multiples of the farthest one that a frame knows."""
_SKYLINE = 2
"""Pixels beside the sky that may still be it."""
_WITNESS_WIDTH = 1024
"""Pixels across at which captures look: there may be many of them."""
_SKY_WIDTH = 1024
"""Pixels across at which sky is looked for."""


@dataclass(frozen=True, eq=False)
class PaintedFrame:
    """A frame of a take.

    image: (H, W, 3) uint8 sRGB, W = 2 H. made_up: (H, W) bool, what its painter was shown no surface of.
    pose: (4, 4) camera-to-world, metres.
    """

    image: np.ndarray
    made_up: np.ndarray
    pose: np.ndarray


def invented(
    known: PointCloud,
    frames: Sequence[PaintedFrame],
    captures: Sequence[Capture | UnreadCapture] = (),
    near: float = 1e-6,
) -> Job[PointCloud]:
    """Points of what is only in the frames: world coordinates, with source INVENTED and INVENTED_CONFIDENCE.

    known: the cache as stages see it. frames: all of one size. captures: what they see stays as they see it.
    near: metres from the camera within which no point is seen.
    """
    width = frames[0].image.shape[1]
    views: list[_View] = []
    of = len(frames) + len(captures)
    for index, frame in enumerate(frames):
        yield Progress("Looking at the cache", index, of)
        views.append(_View.of_frame(known, frame, near))
    witnesses = list(views)
    for index, capture in enumerate(captures):
        yield Progress("Looking at the cache", len(frames) + index, of, text=capture.name)
        read = capture.read() if isinstance(capture, UnreadCapture) else capture
        witnesses.append(_View.of_capture(known, read, min(width, _WITNESS_WIDTH), near))
    clouds: list[PointCloud] = []
    left = list(range(len(frames)))
    for number in range(MOST_FRAMES):
        yield Progress("Completing surfaces", number, MOST_FRAMES)
        shares = [views[index].open_share() for index in left]
        if not left or max(shares) < LEAST_OPEN:
            break
        chosen = left.pop(int(np.argmax(shares)))
        cloud = _brought(views[chosen], frames[chosen])
        yield Progress("Completing surfaces", number, MOST_FRAMES)
        cloud = cloud.selected(~_in_the_way(cloud.points, witnesses))
        for view in witnesses:
            view.add(cloud, near)
        clouds.append(cloud)
    yield Progress("Completing surfaces", MOST_FRAMES, MOST_FRAMES)
    return PointCloud.concatenate(clouds) if clouds else _nothing()


@dataclass(eq=False)
class _View:
    """What is known of the place from a pose: by the cache, and by what has been brought since.

    range: (H, W) float32, inf where nothing, points as large as they are; point_range: the same, one pixel a point.
    confidence: (H, W) float32, 0 where nothing. open: (H, W) bool, where points are wanted. sky: (H, W) bool.
    """

    pose: np.ndarray
    range: np.ndarray
    point_range: np.ndarray
    confidence: np.ndarray
    open: np.ndarray
    sky: np.ndarray

    @classmethod
    def of_frame(cls, known: PointCloud, frame: PaintedFrame, near: float) -> _View:
        view = cls._of_cache(known, frame.pose, frame.image.shape[1], near)
        view.sky = _sky(frame.image, view.range, frame.pose) & ~np.isfinite(view.range)
        view.open = frame.made_up & ~np.isfinite(view.range) & ~view.sky
        return view

    @classmethod
    def of_capture(cls, known: PointCloud, capture: Capture, width: int, near: float) -> _View:
        view = cls._of_cache(known, capture.pose, width, near)
        view.sky = _sky(capture.image, view.range, capture.pose) & ~np.isfinite(view.range)
        if capture.valid is not None:
            view.sky &= equirectangular.resize(capture.valid, width)
        return view

    @classmethod
    def _of_cache(cls, known: PointCloud, pose: np.ndarray, width: int, near: float) -> _View:
        seen, points = _seen(known, pose, width, near)
        confidence = np.where(seen.coverage, _confidence(known)[seen.source], 0).astype(np.float32)
        nothing = np.zeros(seen.coverage.shape, np.bool_)
        return cls(pose, seen.depth, points.depth, confidence, nothing, nothing)

    def open_share(self) -> float:
        """Share of the sphere that is open, without seams a pixel or two wide."""
        inner = ndimage.minimum_filter(self.open, 3, mode=("nearest", "wrap"))
        return coverage.covered_share(inner)

    def add(self, cloud: PointCloud, near: float) -> None:
        """Note points that were brought."""
        if not len(cloud):
            return
        seen, points = _seen(cloud, self.pose, self.range.shape[1], near)
        new = seen.coverage & ~np.isfinite(self.range)
        self.range = np.where(new, seen.depth, self.range)
        self.confidence = np.where(new, np.float32(_MET), self.confidence)
        self.point_range = np.minimum(self.point_range, points.depth)
        self.open = self.open & ~new


def _seen(
    cloud: PointCloud, pose: np.ndarray, width: int, near: float
) -> tuple[splatting.GeometryFrame, splatting.GeometryFrame]:
    """Points as large as they are, and one pixel a point."""
    footprint = cloud.footprint if cloud.footprint is not None else 0.0
    return (
        splatting.splat_footprints(cloud.points, cloud.colours, footprint, pose, width, near=near),
        splatting.splat(cloud.points, cloud.colours, pose, width, near=near),
    )


def _confidence(cloud: PointCloud) -> np.ndarray:
    """(N + 1,) of the points; the last one, for -1, is of none."""
    given = np.ones(len(cloud), np.float32) if cloud.confidence is None else cloud.confidence
    return np.append(given, np.float32(0))


def _sky(image: np.ndarray, ranges: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(H, W) bool, as `ranges`: where a panorama shows sky, however its camera is turned."""
    width = ranges.shape[1]
    small = min(width, _SKY_WIDTH)
    camera_from_level = pose[:3, :3].T @ rotation_from_heading(heading_from_rotation(pose[:3, :3]))
    far = np.where(np.isfinite(ranges), ranges, np.float32(1e6))
    upright = equirectangular.rotate(image, camera_from_level, small)
    found = sky.sky_mask(upright, equirectangular.rotate(far, camera_from_level, small))
    return equirectangular.rotate(found, camera_from_level.T, width)


def _brought(view: _View, frame: PaintedFrame) -> PointCloud:
    """The points of a frame's open pixels, world coordinates."""
    depth = DepthMap(view.range, view.confidence, view.sky)
    found = completed(depth, frame.image, None, _SURE)
    farthest = view.range[np.isfinite(view.range)].max(initial=0.0)
    within = np.isfinite(found.range) & (found.range > 0) & (found.range < _FARTHEST * farthest)
    beside_sky = ndimage.maximum_filter(view.sky, 2 * _SKYLINE + 1, mode=("nearest", "wrap"))
    which = view.open & within & ~beside_sky & ~equirectangular_depth.depth_edges(found.range)
    ranges = found.range[which]
    rays = equirectangular.directions(which.shape[1])[which]
    places = (rays * ranges[:, None]) @ view.pose[:3, :3].T + view.pose[:3, 3]
    count = len(ranges)
    return PointCloud(
        places.astype(np.float32),
        frame.image[which],
        np.full(count, INVENTED_CONFIDENCE, np.float32),
        np.full(count, INVENTED, np.int32),
        fusion.footprints(found.range)[which],
    )


def _in_the_way(places: np.ndarray, views: Sequence[_View]) -> np.ndarray:
    """(N,) bool: points that hide from a view what it knows, or its sky."""
    hides = np.zeros(len(places), np.bool_)
    for view in views:
        inside = (places - view.pose[:3, 3]) @ view.pose[:3, :3]
        distance = np.linalg.norm(inside, axis=1)
        inside[distance == 0] = (0.0, 0.0, -1.0)  # the view's own place lies in every direction
        height, width = view.range.shape
        pixels = equirectangular.directions_to_pixels(inside, width)
        row = np.clip(np.floor(pixels[:, 1]).astype(np.int64), 0, height - 1)
        column = np.floor(pixels[:, 0]).astype(np.int64) % width
        surface, point = view.range[row, column], view.point_range[row, column]
        before_surface = np.isfinite(surface) & (distance < (1 - _IN_FRONT) * surface)
        before_point = np.isfinite(point) & (distance < point)
        hides |= before_surface | before_point | view.sky[row, column]
    return hides


def _nothing() -> PointCloud:
    empty = PointCloud.empty()
    return PointCloud(
        empty.points, empty.colours, np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(0, np.float32)
    )

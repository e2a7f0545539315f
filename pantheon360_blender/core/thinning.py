"""Thinning of point clouds by a grid of voxels: one point stays for each cube that holds any.

A cloud of any size passes through a `Thinner` in parts, so that memory follows what is kept and not what is read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from .errors import PointCloudError
from .point_cloud import PointCloud

Keep = Literal["mean", "nearest"]
"""What stands for a voxel: the mean of its points and colours, or the one of its points that is nearest to that."""

_PART = 1 << 21  # points merged together where the size of the voxels is given
_FULL = 0.75  # share of the limit that may be left after thinning, so that the next time is many points away
_GROWTH = 1.05  # on top of what the count of voxels asks for: surfaces are rough
_LARGEST_INDEX = 2.0**62
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)  # odd, far from each other


def thin(cloud: PointCloud, size: float, keep: Keep = "mean") -> PointCloud:
    """One point for each voxel of edge `size` metres.

    keep "mean": position, colour (of sRGB bytes) and confidence are the means of the voxel's points, the source is that
    of its first one; "nearest": the point nearest to that mean, as it is. Footprints, where known, become at least
    `size`. The order of the cloud stays: a voxel takes the place of its first point. Points that are not finite go.
    Raises PointCloudError where `size` is not positive and finite.
    """
    thinner = Thinner(max(len(cloud), 1), size, keep)
    for start in range(0, len(cloud), _PART):
        thinner.add(cloud.selected(slice(start, start + _PART)))
    return thinner.cloud()


def thin_to(cloud: PointCloud, limit: int, keep: Keep = "mean") -> PointCloud:
    """The cloud with at most `limit` points: itself where it is small enough, else thinned by the voxels that do it."""
    thinner = Thinner(limit, keep=keep)
    thinner.add(cloud)
    return thinner.cloud()


class Thinner:
    """Takes a cloud in parts and keeps at most `limit` points of it.

    size: edge in metres of the voxels from the start; 0 leaves the points alone until `limit` is passed, then the
    voxels are as large as they must be. Their size at the end is `size`; `given` counts the points added.
    Memory: a few hundred bytes a point of `limit`, however many are added.
    Raises PointCloudError where `limit` or `size` makes no sense.
    """

    def __init__(self, limit: int, size: float = 0.0, keep: Keep = "mean") -> None:
        if limit < 1:
            raise PointCloudError(f"A point cloud cannot be thinned to {limit} points.", advice="Give 1 or more.")
        if not 0 <= size < np.inf or keep not in ("mean", "nearest"):
            raise PointCloudError(f"Points cannot be thinned by voxels of {size} m ({keep}).", advice="Give metres.")
        self.limit, self.size, self.given = int(limit), float(size), 0
        self._keep = keep
        self._parts: list[PointCloud] = []
        self._weights: list[np.ndarray] = []
        self._waiting = 0  # points added since the last thinning
        self._stated = size > 0

    @property
    def thinned(self) -> bool:
        """Whether any voxel grid was laid over the points so far."""
        return self.size > 0

    def add(self, cloud: PointCloud) -> None:
        """Take some more points; those whose position is not finite are left out."""
        self.given += len(cloud)
        sound = cloud.finite()
        for start in range(0, len(sound), self._at_once):
            part = sound.selected(slice(start, start + self._at_once))
            self._parts.append(part)
            self._weights.append(np.ones(len(part), np.float32))
            self._waiting += len(part)
            if self._stated and self._waiting >= _PART:
                self._compact(self.limit)
            if sum(map(len, self._parts)) > 2 * self.limit:
                self._compact(max(1, int(self.limit * _FULL)))

    def cloud(self) -> PointCloud:
        """What is kept of all points added."""
        if (self._stated and self._waiting) or sum(map(len, self._parts)) > self.limit:
            self._compact(self.limit)
        cloud = PointCloud.concatenate(self._parts)
        self._parts, self._weights = [cloud], [np.concatenate([np.zeros(0, np.float32), *self._weights])]
        return cloud

    @property
    def _at_once(self) -> int:
        return min(_PART, self.limit)

    def _compact(self, limit: int) -> None:
        cloud, weights = PointCloud.concatenate(self._parts), np.concatenate(self._weights)
        self._parts, self._weights, self._waiting = [], [], 0  # two copies at a time are enough
        self.size = self.size or _first_size(cloud.points, limit)
        cloud, weights = _merged(cloud, weights, self.size, self._keep)
        while len(cloud) > limit:
            # A surface fills voxels as the inverse square of their size; never less than a few per cent at a time.
            self.size *= _GROWTH * float(np.sqrt(len(cloud) / limit))
            cloud, weights = _merged(cloud, weights, self.size, self._keep)
        self._parts, self._weights = [cloud], [weights]


def _first_size(points: np.ndarray, limit: int) -> float:
    """Edge of the voxels to begin with, in metres: on the small side, for points that lie on one plane."""
    low, high = np.percentile(points[:: max(1, len(points) // 100_000)], [2, 98], axis=0)
    extent = np.sort((high - low).astype(np.float64))[::-1]
    area = max(extent[0] * extent[1], (extent[0] * 1e-3) ** 2)
    size = 0.9 * np.sqrt(area / limit)
    reach = float(np.abs(points).max())
    return float(max(size, reach * 1e-7, 1e-9))  # float32 tells no more apart


def _merged(cloud: PointCloud, weights: np.ndarray, size: float, keep: Keep) -> tuple[PointCloud, np.ndarray]:
    """One point for each voxel, and how many points it stands for."""
    if not len(cloud):
        return cloud, weights
    voxel, first = _numbered(_voxels(cloud.points, size))
    totals = np.bincount(voxel, weights)

    def mean(column: np.ndarray) -> np.ndarray:
        return np.asarray(np.bincount(voxel, column * weights.astype(np.float64)) / totals)

    means = np.stack([mean(cloud.points[:, axis]) for axis in range(3)], axis=1)
    if keep == "nearest":
        merged = cloud.selected(_nearest(cloud.points, means, voxel))
        footprint = merged.footprint
    else:
        merged = PointCloud(
            means.astype(np.float32),
            np.stack([np.rint(mean(cloud.colours[:, channel])) for channel in range(3)], axis=1).astype(np.uint8),
            None if cloud.confidence is None else mean(cloud.confidence).astype(np.float32),
            None if cloud.source is None else cloud.source[first],
        )
        footprint = None if cloud.footprint is None else mean(cloud.footprint).astype(np.float32)
    if footprint is not None:
        footprint = np.where(footprint > 0, np.maximum(footprint, np.float32(size)), footprint)
    return replace(merged, footprint=footprint), totals.astype(np.float32)


def _numbered(voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) number of each point's voxel, counted in the order of their first points, and (V,) those first points."""
    order = np.argsort(voxels, kind="stable")
    ordered = voxels[order]
    begins = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    first = order[begins]
    places = np.empty(len(first), np.int64)
    places[np.argsort(first)] = np.arange(len(first))
    numbers = np.empty(len(order), np.int64)
    numbers[order] = places[np.cumsum(begins) - 1]
    return numbers, np.sort(first)


def _nearest(points: np.ndarray, means: np.ndarray, voxel: np.ndarray) -> np.ndarray:
    """Indices (V,) of the points nearest to the mean of their voxel, the first of equals."""
    distance = np.zeros(len(points))
    for axis in range(3):
        distance += (points[:, axis] - means[voxel, axis]) ** 2
    order = np.lexsort((distance, voxel))
    return np.asarray(order[np.searchsorted(voxel[order], np.arange(len(means)))])


def _voxels(points: np.ndarray, size: float) -> np.ndarray:
    """(N,) uint64 that differ between voxels: three indices, mixed so that a stray point far away costs no resolution.

    Two of five million voxels share a number with a probability below one in a million.
    """
    mixed = np.zeros(len(points), np.uint64)
    for axis in range(3):
        index = np.floor(points[:, axis] / np.float64(size))
        np.clip(index, -_LARGEST_INDEX, _LARGEST_INDEX, out=index)
        mixed += index.astype(np.int64).view(np.uint64) * _MIX[axis]
    return mixed

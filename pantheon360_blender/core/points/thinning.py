"""Thinning of point clouds by a grid of voxels: one point stays for each cube that holds any.

A cloud of any size passes through a `Thinner` in parts, so that memory follows what is kept and not what is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .. import progress
from ..errors import PointCloudError
from ..progress import Job, Progress
from .point_cloud import PointCloud

Keep = Literal["mean", "nearest"]
"""What stands for a voxel: the mean of its points and colours, or the one of its points that is nearest to that."""

_PART = 1 << 21  # points merged together where the size of the voxels is given
_FULL = 0.75  # share of the limit that may be left after thinning, so that the next time is many points away
_COUNTED = 16  # one voxel in so many is counted, by its mixed number, to find a size without merging for each try
_COUNTABLE = 100_000
_GROWTH = 1.05  # on top of what the count of voxels asks for: surfaces are rough
_LARGEST_INDEX = 2.0**62
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)  # odd, far from each other


def thin(cloud: PointCloud, size: float, keep: Keep = "mean") -> PointCloud:
    """One point for each voxel of edge `size` metres.

    keep "mean": position, colour (of sRGB bytes) and confidence are the means of the voxel's points, the source is that
    of its first one; "nearest": the point nearest to that mean, as it is. Footprints, if known, become at least
    `size`. The order of the cloud stays: a voxel takes the place of its first point. Points that are not finite go.
    Raises PointCloudError if `size` is not positive and finite.

    >>> points = np.array([[0.1, 0, 0], [0.3, 0, 0], [5, 0, 0]], np.float32)
    >>> thin(PointCloud(points, np.zeros((3, 3), np.uint8)), size=1.0).points
    array([[0.2, 0. , 0. ],
           [5. , 0. , 0. ]], dtype=float32)
    """
    return progress.run_to_end(merging(cloud, size, keep))[0]


def merging(cloud: PointCloud, size: float, keep: Keep = "mean") -> Job[tuple[PointCloud, np.ndarray]]:
    """What `thin` does, as a job.

    Returns the thinned cloud and (V,) indices of the points of `cloud` nearest to the mean of each voxel: what a
    PointCloud does not carry can be taken from them.
    """
    _check(size, keep)
    if not size:
        raise PointCloudError("Points cannot be thinned by voxels of 0 m.", advice="Give meters.")
    sound = np.flatnonzero(np.isfinite(cloud.points).all(axis=1))
    finite = cloud if len(sound) == len(cloud) else cloud.selected(sound)
    yield Progress("Sorting voxels", 0, 3)
    voxels = _Voxels.from_points(finite.points, size)
    yield Progress("Merging points", 1, 3)
    weights = np.ones(len(finite), np.float32)
    nearest = voxels.nearest(finite.points, voxels.means(finite.points, weights))
    yield Progress("Merging points", 2, 3)
    return _merged(finite, weights, voxels, nearest if keep == "nearest" else None), sound[nearest]


def thin_to(cloud: PointCloud, limit: int, keep: Keep = "mean") -> PointCloud:
    """The cloud with at most `limit` points: itself if it is small enough, else thinned by the voxels that do it."""
    thinner = Thinner(limit, keep=keep)
    thinner.add(cloud)
    return thinner.cloud()


class Thinner:
    """Takes a cloud in parts and keeps at most `limit` points of it.

    size: edge in metres of the voxels from the start; 0 leaves the points alone until `limit` is passed, then the
    voxels are as large as they must be. Their size at the end is `size`; `given` counts the points added.
    Memory: a few hundred bytes a point of `limit`, however many are added.
    Raises PointCloudError if `limit` or `size` makes no sense.
    """

    def __init__(self, limit: int, size: float = 0.0, keep: Keep = "mean") -> None:
        if limit < 1:
            raise PointCloudError(f"A point cloud cannot be thinned to {limit} points.", advice="Give 1 or more.")
        _check(size, keep)
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
        for start in range(0, len(sound), self._batch_size):
            part = sound.selected(slice(start, start + self._batch_size))
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
    def _batch_size(self) -> int:
        return min(_PART, self.limit)

    def _compact(self, limit: int) -> None:
        cloud, weights = PointCloud.concatenate(self._parts), np.concatenate(self._weights)
        self._parts, self._weights, self._waiting = [], [], 0  # two copies at a time are enough
        self.size = _fitting(cloud.points, self.size or _first_size(cloud.points, limit), limit)
        cloud, weights = self._merge(cloud, weights)
        while len(cloud) > limit:
            self.size = _larger(self.size, len(cloud), limit)
            cloud, weights = self._merge(cloud, weights)
        self._parts, self._weights = [cloud], [weights]

    def _merge(self, cloud: PointCloud, weights: np.ndarray) -> tuple[PointCloud, np.ndarray]:
        """One point for each voxel, and how many points it stands for."""
        voxels = _Voxels.from_points(cloud.points, self.size)
        chosen = voxels.nearest(cloud.points, voxels.means(cloud.points, weights)) if self._keep == "nearest" else None
        return _merged(cloud, weights, voxels, chosen), voxels.sums(weights).astype(np.float32)


def _check(size: float, keep: Keep) -> None:
    if not 0 <= size < np.inf or keep not in ("mean", "nearest"):
        raise PointCloudError(f"Points cannot be thinned by voxels of {size} m ({keep}).", advice="Give meters.")


def _first_size(points: np.ndarray, limit: int) -> float:
    """Edge of the voxels to begin with, in metres: on the small side, for points that lie on one plane."""
    low, high = np.percentile(points[:: max(1, len(points) // 100_000)].astype(np.float64), [2, 98], axis=0)
    extent = np.sort(high - low)[::-1]
    area = max(extent[0] * extent[1], (extent[0] * 1e-3) ** 2)
    size = 0.9 * np.sqrt(area / limit)
    reach = float(np.abs([low, high]).max())  # of most points: one that went astray does not blur the rest
    return float(max(size, reach * 1e-7, 1e-9))  # float32 tells no more apart


def _fitting(points: np.ndarray, size: float, limit: int) -> float:
    """A size of voxels, from `size` upwards, of which about `limit` at most are filled: counted by a share of them.

    A limit too small to be told by that share is left to the merging itself.
    """
    while len(points) > limit >= _COUNTABLE:
        keys = _keys(points, size)
        filled = _COUNTED * len(np.unique(keys[keys < np.uint64(2**64 // _COUNTED)]))
        if filled <= limit:
            break
        size = _larger(size, filled, limit)
    return size


def _larger(size: float, filled: int, limit: int) -> float:
    """A surface fills voxels as the inverse square of their size; never less than a few per cent at a time."""
    return size * _GROWTH * float(np.sqrt(filled / limit))


@dataclass(frozen=True, eq=False)
class _Voxels:
    """N points by the V voxels that they lie in, which are counted in the order of their first points.

    number: (N,) of each point's voxel. first: (V,) first point of each. order: (N,) points, voxel by voxel, each
    voxel's in their order. begins: (V,) where each voxel begins in `order`, ascending; places: (V,) its number.
    """

    size: float
    number: np.ndarray
    first: np.ndarray
    order: np.ndarray
    begins: np.ndarray
    places: np.ndarray

    @staticmethod
    def from_points(points: np.ndarray, size: float) -> _Voxels:
        keys = _keys(points, size)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        starts = np.ones(len(ordered), np.bool_)
        np.not_equal(ordered[1:], ordered[:-1], out=starts[1:])
        first = order[starts]
        places = np.empty(len(first), np.intp)
        places[np.argsort(first)] = np.arange(len(first))
        number = np.empty(len(order), np.intp)
        number[order] = places[np.cumsum(starts) - 1]
        return _Voxels(size, number, np.sort(first), order, np.flatnonzero(starts), places)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(V,) float64 sums of (N,) values."""
        return np.bincount(self.number, values, minlength=len(self.first))

    def means(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(V,) or (V, k) float64 means of (N,) or (N, k) values."""
        if values.ndim > 1:
            return np.stack([self.means(column, weights) for column in values.T], axis=1)
        return np.asarray(self.sums(values * weights.astype(np.float64)) / self.sums(weights))

    def nearest(self, points: np.ndarray, means: np.ndarray) -> np.ndarray:
        """(V,) indices of the points nearest to the mean of their voxel, the first of equals."""
        if not len(points):
            return np.zeros(0, np.intp)
        distance = np.zeros(len(points))
        for axis in range(3):
            distance += (points[:, axis] - means[self.number, axis]) ** 2
        distance = distance[self.order]
        least = np.minimum.reduceat(distance, self.begins)
        run = np.repeat(np.arange(len(least)), np.diff(self.begins, append=len(points)))
        equal = np.flatnonzero(distance == least[run])
        chosen = np.empty(len(least), np.intp)
        chosen[self.places] = self.order[equal[np.flatnonzero(np.diff(run[equal], prepend=-1))]]
        return chosen


def _merged(cloud: PointCloud, weights: np.ndarray, voxels: _Voxels, chosen: np.ndarray | None) -> PointCloud:
    """One point for each voxel: those `chosen`, or else the means of all."""
    if not len(cloud):
        return cloud
    if chosen is not None:
        merged = cloud.selected(chosen)
        footprint = merged.footprint
    else:
        merged = PointCloud(
            voxels.means(cloud.points, weights).astype(np.float32),
            np.rint(voxels.means(cloud.colours, weights)).astype(np.uint8),
            None if cloud.confidence is None else voxels.means(cloud.confidence, weights).astype(np.float32),
            None if cloud.source is None else cloud.source[voxels.first],
        )
        footprint = None if cloud.footprint is None else voxels.means(cloud.footprint, weights).astype(np.float32)
    if footprint is not None:
        footprint = np.where(footprint > 0, np.maximum(footprint, np.float32(voxels.size)), footprint)
    return replace(merged, footprint=footprint)


def _keys(points: np.ndarray, size: float) -> np.ndarray:
    """(N,) uint64 that differ between voxels: three indices, mixed so that a stray point far away costs no resolution.

    Two of five million voxels share a number with a probability below one in a million.
    """
    mixed = np.zeros(len(points), np.uint64)
    for axis in range(3):
        index = np.floor(np.divide(points[:, axis], size, dtype=np.float64))
        np.clip(index, -_LARGEST_INDEX, _LARGEST_INDEX, out=index)
        mixed += index.astype(np.int64).view(np.uint64) * _MIX[axis]
    return mixed

"""Floaters: points that stand alone where the cloud around them is dense.

A panorama samples near surfaces densely and far ones thinly, so that one distance does not fit all points. Distances
are measured in the points' own footprints, where they are known: on a surface neighbours are then about 1 apart
wherever it is. What is usual is read off a sample of the cloud; points whose neighbours are much further are floaters.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import spans
from .errors import PointCloudError
from .point_cloud import PointCloud

_PART = 1 << 21  # pairs of points measured at a time
_SAMPLE = 4_000
_REACH = 6.0  # footprints within which the sample's neighbours are looked for
_WIDEST = 24.0  # footprints: where half of a cloud is noise, the statistics must not excuse it
_LEAST_SPREAD = 0.25  # of the logarithm: at the corner of a perfect grid neighbours are twice as far as inside
_COLUMNS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))
_HEIGHT = 31  # bits of a key that count cells upward
_TABLE = 22  # bits of the table in which columns of cells are looked up roughly


def floaters(cloud: PointCloud, strictness: float = 3.0, neighbours: int = 8) -> np.ndarray:
    """Points whose `neighbours`-th nearest neighbour is unusually far.

    strictness: deviations of the logarithm of that distance, in footprints, above its median; the deviation is the
    one between the median and the upper 16 %, which floaters themselves hardly move. Smaller removes more.
    Returns (N,) bool. Not finite points are floaters; in a cloud of no more than `neighbours` points none is.
    Raises PointCloudError where a number makes no sense.
    """
    if not strictness > 0 or neighbours < 1:
        raise PointCloudError(f"Floaters cannot be told by {neighbours} neighbours and {strictness:g} deviations.")
    sound = np.isfinite(cloud.points).all(axis=1)
    result = ~sound
    points = cloud.points[sound]
    if len(points) > neighbours:
        scale = spacing(cloud.selected(sound))
        result[sound] = ~crowded(points, scale * usual_distance(points, scale, strictness, neighbours), neighbours)
    return np.asarray(result)


def spacing(cloud: PointCloud) -> np.ndarray:
    """(N,) float32 metres between points of a surface where each lies: footprints; where unknown, one for all."""
    known = np.zeros(0, np.float32) if cloud.footprint is None else cloud.footprint
    usable = np.isfinite(known) & (known > 0)
    if not usable.any():
        return np.full(len(cloud), _mean_spacing(cloud.points), np.float32)
    return np.where(usable, known, np.median(known[usable])).astype(np.float32)


def usual_distance(points: np.ndarray, scale: np.ndarray, strictness: float, neighbours: int) -> float:
    """Largest distance to the `neighbours`-th neighbour that is not unusual, as a multiple of `scale`."""
    sample = np.sort(np.random.default_rng(0).permutation(len(points))[:_SAMPLE])
    ratio = np.sort(_distances(points, sample, scale[sample] * np.float32(_REACH), neighbours) / scale[sample])
    median, upper = ratio[int(0.5 * (len(ratio) - 1))], ratio[int(0.84 * (len(ratio) - 1))]
    if not np.isfinite(median):
        return _WIDEST
    spread = float(np.log(min(upper, _REACH) / median)) if median > 0 else 0.0
    return float(np.clip(median * np.exp(strictness * max(spread, _LEAST_SPREAD)), 1e-6, _WIDEST))


def crowded(points: np.ndarray, radii: np.ndarray, count: int) -> np.ndarray:
    """Whether at least `count` other points lie within a radius of each point.

    points: (N, 3) float32, finite. radii: (N,) metres. Returns (N,) bool.
    """
    unsettled = _alone(points, radii, count)
    found = np.full(len(points), count + 1)
    found[unsettled] = 0
    for cells, queries in _levels(points, unsettled, radii[unsettled]):
        for column in _COLUMNS:
            queries = queries[found[queries] <= count]  # each finds itself, too; most have enough after the first
            for run, point in cells.pairs(queries, column):
                query = queries[run]
                within = run[_squared(points, query, point) <= radii[query].astype(np.float64) ** 2]
                if len(within):
                    first, last = within[0], within[-1] + 1
                    found[queries[first:last]] += np.bincount(within - first, minlength=last - first)
    return np.asarray(found > count)


def _alone(points: np.ndarray, radii: np.ndarray, count: int) -> np.ndarray:
    """Points that are not sure to be crowded: fewer than `count` others share a cell no longer than their radius.

    Most points of a surface are settled here by one sort, those where panoramas oversample their poles first of all.
    """
    alone = np.zeros(len(points), np.bool_)
    octave = np.frexp(np.maximum(radii, np.float32(1e-30)))[1]
    for each in np.unique(octave):
        members = np.flatnonzero(octave == each)
        size = float(np.ldexp(0.5, int(each))) / np.sqrt(3.0)  # the octave's smallest radius is a cell's diagonal
        _, cell, held = np.unique(_exact_cells(points[members], size), return_inverse=True, return_counts=True)
        alone[members] = held[cell] <= count
    return np.flatnonzero(alone)


def _exact_cells(points: np.ndarray, size: float) -> np.ndarray:
    """(n,) uint64 numbers of cells; two cells of five million share one with a probability below one in a million."""
    mixed = np.zeros(len(points), np.uint64)
    for axis in range(3):
        index = np.clip(np.floor(points[:, axis] / np.float64(size)), -(2.0**62), 2.0**62)
        mixed += index.astype(np.int64).view(np.uint64) * _MIX[axis]
    return mixed


def _distances(points: np.ndarray, queries: np.ndarray, radii: np.ndarray, nth: int) -> np.ndarray:
    """(Q,) metres to the nth nearest other point of each queried one; inf where it is further than its radius."""
    result = np.full(len(points), np.inf)
    reach = np.zeros(len(points), np.float32)
    reach[queries] = radii
    for share in (1 / 64, 1 / 16, 1 / 4, 1.0):  # the dense ones are settled among few neighbours
        open_ = queries[np.isinf(result[queries])]
        for cells, members in _levels(points, open_, reach[open_] * np.float32(share)):
            query, squared = _measured(points, cells, members)
            starts = np.flatnonzero(np.diff(query, prepend=-1))
            wanted = starts + nth  # the first one is the point itself
            there = wanted < np.append(starts[1:], len(query))
            nearest = np.sqrt(squared[wanted[there]])
            asked = query[starts[there]]
            near = nearest <= reach[asked] * np.float32(share)
            result[asked[near]] = nearest[near]
    return np.asarray(result[queries])


def _measured(points: np.ndarray, cells: _Cells, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Query and squared distance of all pairs around the queries; the queries ascend, and the distances of each."""
    parts = []
    for column in _COLUMNS:
        for run, point in cells.pairs(queries, column):
            parts.append((queries[run], _squared(points, queries[run], point)))
    query, squared = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.lexsort((squared, query))
    return query[order], squared[order]


def _squared(points: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    offset = points[one].astype(np.float64) - points[other]
    return np.asarray(np.einsum("ni,ni->n", offset, offset))


def _levels(points: np.ndarray, queries: np.ndarray, radii: np.ndarray) -> Iterator[tuple[_Cells, np.ndarray]]:
    """Cells at least as wide as a radius, and the queried points that are looked up in them, by octaves of radii."""
    octave = np.frexp(np.maximum(radii, np.float32(1e-30)))[1]
    for each in np.unique(octave):
        members = queries[octave == each]
        cells = _Cells(points, members, float(np.ldexp(1.0, int(each))))
        yield cells, cells.sorted(members)


class _Cells:
    """Those points that may lie near some queried ones, sorted by cell so that cells above each other are one run.

    Columns of cells are told apart by mixed numbers: two of them may share one, which only costs a few distances.
    """

    def __init__(self, points: np.ndarray, queries: np.ndarray, size: float) -> None:
        self._points, self._size = points, size
        self._bottom = np.floor(float(points[queries, 2].min()) / size) - 1
        near = self._near(queries) if len(queries) < len(points) // 4 else np.arange(len(points))
        keys = self._keys(points[near], (0, 0))
        order = np.argsort(keys, kind="stable")
        self._keys_sorted, self._point = keys[order], near[order]

    def sorted(self, queries: np.ndarray) -> np.ndarray:
        """The queries in the order of their cells: neighbours are then looked up together."""
        return np.asarray(queries[np.argsort(self._keys(self._points[queries], (0, 0)))])

    def pairs(self, queries: np.ndarray, column: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Index into `queries`, and point, of all pairs that a column of three cells beside each query holds."""
        keys = self._keys(self._points[queries], column)
        start = np.searchsorted(self._keys_sorted, keys - np.uint64(1), side="left")
        end = np.searchsorted(self._keys_sorted, keys + np.uint64(1), side="right")
        for run, place in spans.expand(start, end - start, _PART):
            yield run, self._point[place]

    def _keys(self, points: np.ndarray, column: tuple[int, int]) -> np.ndarray:
        """(n,) uint64: the mixed number of a cell's column above its height."""
        height = np.floor(points[:, 2] / np.float64(self._size)) - self._bottom
        height = np.clip(height, 1, (1 << _HEIGHT) - 2).astype(np.uint64)
        mixed = self._column(points, column) >> np.uint64(_HEIGHT)
        return np.asarray((mixed << np.uint64(_HEIGHT)) | height)

    def _column(self, points: np.ndarray, column: tuple[int, int]) -> np.ndarray:
        mixed = np.zeros(len(points), np.uint64)
        for axis in range(2):
            index = np.clip(np.floor(points[:, axis] / np.float64(self._size)), -(2.0**62), 2.0**62)
            mixed += (index.astype(np.int64) + column[axis]).view(np.uint64) * _MIX[axis]
        return mixed

    def _near(self, queries: np.ndarray) -> np.ndarray:
        """Points in the columns around the queries, and some others."""
        table = np.zeros(1 << _TABLE, np.bool_)
        for column in _COLUMNS:
            table[self._column(self._points[queries], column) >> np.uint64(64 - _TABLE)] = True
        return np.flatnonzero(table[self._column(self._points, (0, 0)) >> np.uint64(64 - _TABLE)])


def _mean_spacing(points: np.ndarray) -> float:
    """Metres between neighbours of a cloud of surfaces: edge of the cells that hold one point in the mean."""
    low, high = np.percentile(points[:: max(1, len(points) // 100_000)].astype(np.float64), [2, 98], axis=0)
    size = max(float(np.max(high - low)), 1e-6) / 256
    for _ in range(8):
        mean = len(points) / len(np.unique(_exact_cells(points, size)))
        if 3.0 <= mean <= 6.0:
            break
        size *= float(np.clip(np.sqrt(4.0 / mean), 0.1, 4.0)) if mean > 1.01 else 4.0
    return size / float(np.sqrt(mean))

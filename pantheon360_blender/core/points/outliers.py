"""Floaters: points that stand alone where the cloud around them is dense.

A panorama samples near surfaces densely and far ones thinly, so that one distance does not fit all points. Distances
are measured in the points' own footprints, if they are known: on a surface neighbours are then about 1 apart
wherever it is. What is usual is read off a sample of the cloud; points whose neighbours are much further are floaters.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import PointCloudError
from ..progress import Job, Progress
from . import spans
from .morton import BITS, MortonOrder
from .point_cloud import PointCloud

_PART = 1 << 21  # pairs of points measured at a time
_BLOCK = 1 << 15  # points whose neighbours along the curve are measured at a time: they stay in the processor's cache
_SAMPLE = 4_000
_BESIDE = 64  # places along the curve, before and after, where the sample's neighbours are looked for first
_REACH = 6.0  # footprints within which the sample's neighbours are looked for
_WIDEST = 24.0  # footprints: where half of a cloud is noise, the statistics must not excuse it
_LEAST_SPREAD = 0.25  # of the logarithm: at the corner of a perfect grid neighbours are twice as far as inside
_SURELY = np.float32(1 - 1e-5)  # of a squared radius: what is nearer in 32 bits is within it in 64 bits, too
_COLUMNS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_HEIGHT = 31  # bits of a key that count cells upward
_TABLE = 22  # bits of the table in which columns of cells are looked up roughly


def finding(cloud: PointCloud, strictness: float = 3.0, neighbours: int = 8) -> Job[np.ndarray]:
    """Find points whose `neighbours`-th nearest neighbour is unusually far.

    strictness: how many deviations above its median the logarithm of that distance, in footprints, may lie. A
    deviation is the step from the median to the upper 16 %, which floaters hardly move. Smaller removes more.
    Returns (N,) bool. Not finite points are floaters; in a cloud of no more than `neighbours` points none is.
    Raises PointCloudError if a number makes no sense.
    """
    if not strictness > 0 or neighbours < 1:
        raise PointCloudError(f"Floaters cannot be told by {neighbours} neighbors and {strictness:g} deviations.")
    yield Progress("Sorting points")
    sound = np.isfinite(cloud.points).all(axis=1)
    result = ~sound
    points = cloud.points if sound.all() else cloud.points[sound]
    if len(points) > neighbours:
        order = MortonOrder.from_points(points)
        yield Progress("Measuring usual distances")
        scale = spacing(cloud if len(points) == len(cloud) else cloud.selected(sound), order)
        radii = scale * usual_distance(points, scale, strictness, neighbours, order)
        result[sound] = ~(yield from counting(points, radii, neighbours, order))
    return np.asarray(result)


def spacing(cloud: PointCloud, order: MortonOrder | None = None) -> np.ndarray:
    """(N,) float32 metres between points of a surface where each lies: footprints; if unknown, one for all.

    cloud: finite. order: of its points, if it is known already.
    """
    known = np.zeros(0, np.float32) if cloud.footprint is None else cloud.footprint
    usable = np.isfinite(known) & (known > 0)
    if not usable.any():
        return np.full(len(cloud), _mean_spacing(order or MortonOrder.from_points(cloud.points)), np.float32)
    return np.where(usable, known, np.median(known[usable])).astype(np.float32)


def usual_distance(
    points: np.ndarray, scale: np.ndarray, strictness: float, neighbours: int, order: MortonOrder | None = None
) -> float:
    """Largest distance to the `neighbours`-th neighbour that is not unusual, as a multiple of `scale`."""
    order = order or MortonOrder.from_points(points)
    sample = np.sort(np.random.default_rng(0).choice(len(points), min(_SAMPLE, len(points)), replace=False))
    reach = scale[sample] * np.float64(_REACH)
    radii = np.minimum(_beside(points, sample, neighbours, order), reach)
    ratio = np.sort(_distances(points, sample, radii, neighbours, order) / scale[sample])
    median, upper = ratio[int(0.5 * (len(ratio) - 1))], ratio[int(0.84 * (len(ratio) - 1))]
    if not np.isfinite(median):
        return _WIDEST
    spread = float(np.log(min(upper, _REACH) / median)) if median > 0 else 0.0
    return float(np.clip(median * np.exp(strictness * max(spread, _LEAST_SPREAD)), 1e-6, _WIDEST))


def counting(points: np.ndarray, radii: np.ndarray, count: int, order: MortonOrder) -> Job[np.ndarray]:
    """Whether at least `count` other points lie within a radius of each point.

    points: (N, 3) float32, finite. radii: (N,) metres. order: of the points. Returns (N,) bool.
    """
    crowd = np.zeros(len(points), np.bool_)
    crowd[order.order] = yield from _crowded_beside(points[order.order], radii[order.order], count)
    unsettled = np.flatnonzero(~crowd)
    found = np.zeros(len(points), np.intp)
    steps = len(np.unique(_octaves(radii[unsettled]))) * len(_COLUMNS)
    done = 0
    for cells, queries in _levels(points, unsettled, radii[unsettled]):
        for column in _COLUMNS:
            yield Progress("Looking at points that stand alone", done, steps)
            done += 1
            queries = queries[found[queries] <= count]  # each finds itself, too
            for run, point in cells.pairs(queries, column):
                query = queries[run]
                within = run[_squared(points, query, point) <= radii[query].astype(np.float64) ** 2]
                if len(within):
                    first, last = within[0], within[-1] + 1
                    found[queries[first:last]] += np.bincount(within - first, minlength=last - first)
    crowd[unsettled] = found[unsettled] > count
    return crowd


def _crowded_beside(points: np.ndarray, radii: np.ndarray, count: int) -> Job[np.ndarray]:
    """(N,) bool: points, in the order of the curve, with `count` others within their radius a few places beside them.

    On a surface that is nearly all of them: the curve passes through whole patches of it.
    """
    x, y, z = (np.ascontiguousarray(points[:, axis]) for axis in range(3))
    with np.errstate(over="ignore", under="ignore"):
        limit = np.minimum(np.asarray(radii, np.float32) ** 2 * _SURELY, np.float32(1e38))
    limit[limit < 1e-30] = -1  # squares of less may vanish in 32 bits
    found = np.zeros(len(points), np.uint16)
    for start in range(0, len(points), _BLOCK):
        if start % (_BLOCK << 3) == 0:
            yield Progress("Counting neighbors", start, len(points))
        for step in range(1, min(max(16, 2 * count), 128, len(points) - 1 - start) + 1):
            end = min(start + _BLOCK, len(points) - step)
            here, there = slice(start, end), slice(start + step, end + step)
            squared = _squares(x[there], x[here]) + _squares(y[there], y[here]) + _squares(z[there], z[here])
            found[here] += squared <= limit[here]
            found[there] += squared <= limit[there]
    return found >= count


def _squares(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        offset: np.ndarray = one - other
        offset *= offset
    return offset


def _beside(points: np.ndarray, queries: np.ndarray, nth: int, order: MortonOrder) -> np.ndarray:
    """(Q,) metres, at least the distance to the nth nearest other point; inf if none is known."""
    places = np.empty(len(points), np.intp)
    places[order.order] = np.arange(len(points))
    steps = np.concatenate([np.arange(-max(_BESIDE, nth), 0), np.arange(1, max(_BESIDE, nth) + 1)])
    beside = places[queries][:, None] + steps
    there = (beside >= 0) & (beside < len(points))
    others = points[order.order[np.where(there, beside, 0)]].astype(np.float64)
    offset = others - points[queries][:, None]
    squared = np.where(there, np.einsum("qni,qni->qn", offset, offset), np.inf)
    return np.asarray(np.sqrt(np.partition(squared, nth - 1, axis=1)[:, nth - 1]) * (1 + 1e-6))


def _distances(points: np.ndarray, queries: np.ndarray, radii: np.ndarray, nth: int, order: MortonOrder) -> np.ndarray:
    """(Q,) metres to the nth nearest other point of each queried one; inf where it is further than its radius."""
    asked, squares = [np.zeros(0, np.intp)], [np.zeros(0)]
    for ball, point in order.around(points[queries], radii, _PART):
        squared = _squared(points, queries[ball], point)
        near = squared <= radii[ball] ** 2
        asked.append(ball[near])
        squares.append(squared[near])
    query, squared = np.concatenate(asked), np.concatenate(squares)
    ascending = np.lexsort((squared, query))
    query, squared = query[ascending], squared[ascending]
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    wanted = starts + nth  # the first one is the point itself
    there = wanted < np.append(starts[1:], len(query))
    result = np.full(len(queries), np.inf)
    result[query[starts[there]]] = np.sqrt(squared[wanted[there]])
    return result


def _squared(points: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    offset = points[one].astype(np.float64) - points[other]
    return np.asarray(np.einsum("ni,ni->n", offset, offset))


def _levels(points: np.ndarray, queries: np.ndarray, radii: np.ndarray) -> Iterator[tuple[_Cells, np.ndarray]]:
    """Cells at least as wide as a radius, and the queried points that are looked up in them, by octaves of radii."""
    octave = _octaves(radii)
    for each in np.unique(octave):
        members = queries[octave == each]
        cells = _Cells(points, members, float(np.ldexp(1.0, int(each))))
        yield cells, cells.sorted(members)


def _octaves(radii: np.ndarray) -> np.ndarray:
    """(n,) exponents of the powers of two above radii."""
    return np.asarray(np.frexp(np.maximum(radii, np.float32(1e-30)))[1])


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
            index = np.clip(np.floor(np.divide(points[:, axis], self._size, dtype=np.float64)), -(2.0**62), 2.0**62)
            mixed += (index.astype(np.int64) + column[axis]).view(np.uint64) * _MIX[axis]
        return mixed

    def _near(self, queries: np.ndarray) -> np.ndarray:
        """Points in the columns around the queries, and some others."""
        table = np.zeros(1 << _TABLE, np.bool_)
        for column in _COLUMNS:
            table[self._column(self._points[queries], column) >> np.uint64(64 - _TABLE)] = True
        return np.flatnonzero(table[self._column(self._points, (0, 0)) >> np.uint64(64 - _TABLE)])


def _mean_spacing(order: MortonOrder) -> float:
    """Metres between neighbours of a cloud of surfaces: half the edge of the cells that hold four points in the mean.

    Such cells lie between two levels of the curve's, where the mean grows by about four from one to the next.
    """
    means = np.array([len(order.keys) / order.occupied(level) for level in range(BITS + 1)])
    if means[0] >= 4:  # finer than the finest cells
        return float(order.edge / np.sqrt(means[0]))
    level = np.interp(np.log(4.0), np.log(means), np.arange(BITS + 1))
    return float(order.edge * 2.0**level / 2)

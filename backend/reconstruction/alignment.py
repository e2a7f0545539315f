"""Learned ranges made to fit what is measured, and one another.

A network that sees one photograph tells shapes well, and lengths badly: all of its ranges are off by one factor, some
networks' inverse ranges by a shift, too, and what is left changes slowly over the picture. `to_measured` takes away all
three where a sweep or points are sure. `to_one_another` finds factors of posed captures: two that see one surface from
two places must put it in one place, which also tells how large everything is.

Sources: scale and shift of inverse range as in Ranftl et al., "Towards robust monocular depth estimation", PAMI 2020;
reweighting as in Black and Rangarajan, "On the Unification of Line Processes, Outlier Rejection, and Robust
Statistics", IJCV 1996; residuals smoothed as in Nadaraya, "On Estimating Regression", 1964, on the sphere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pantheon360_blender.core.panorama import equirectangular

from .depth_map import DepthMap

FEWEST = 30
"""Rays on which range is measured, below which nothing is fitted."""

_ROUNDS = 20
_WRONG = 0.1  # natural log of range at which a measured range counts a quarter
_WIDEST_SHIFT = 0.5  # of the median inverse range: a larger shift would turn what is far around
_CELLS = 64  # columns of the grid on which slow errors are found
_REACHES = (40.0, 20.0, 10.0)  # degrees over which errors are alike, from one round to the next
_CONTENT = 0.25  # of a disc of the last reach: what is told by so much, or less, counts half, or less
_SAMPLES = 3000  # rays of a capture that are looked at from another
_TRIED = np.linspace(-2.0, 4.0, 49)  # natural logs of ranges over steps between captures, before each gets its own
_APART = 1e-3  # share of the typical range that a step between captures must have, to tell lengths
_WORTH = 30  # independent rays that a pair of captures is worth
_NEAREST = 6  # captures that each is compared with
_STEEPEST = 5.0  # how much a range may change with a factor: more is an edge
_FIRM = 1e-3  # how much a factor is held where nothing tells it
_VAGUE = 0.3  # standard deviation, of the natural log of all lengths, from which on captures do not tell them


def to_measured(
    learned: np.ndarray, measured: np.ndarray, trust: np.ndarray, *, shift: bool = False, slowly: bool = True
) -> np.ndarray | None:
    """Learned ranges in the unit of measured ones, and nearer to them all over.

    learned, measured: (H, W) ranges of one panorama; what is not finite or not positive is unknown. trust: (H, W)
    weights of the measured ones, at least 0. shift: whether inverse ranges are off by a shift, too. slowly: whether
    what is left is taken away where it changes slowly.
    Returns (H, W) float32, inf where nothing is learned; None if fewer than FEWEST pixels tell anything.
    """
    known, weights = _known(learned), _weights(trust)
    rows = np.broadcast_to(_solid(len(learned)), learned.shape)
    use = known & _known(measured) & (weights > 0)
    if np.count_nonzero(use) < FEWEST:
        return None
    inverse = 1 / np.where(known, learned, 1.0).astype(np.float64)
    scale, added = _affine(inverse[use], 1 / measured[use].astype(np.float64), (weights * rows)[use], shift)
    ranges = 1 / np.maximum(scale * inverse + added, 1e-3 * scale * np.median(inverse[use]))
    if slowly:
        errors = np.where(use, np.log(np.where(use, measured, 1.0) / ranges), 0.0)
        ranges = ranges * np.exp(_slow(errors, np.where(use, weights * rows, 0.0)))
    return np.where(known, ranges, np.inf).astype(np.float32)


def to_one_another(
    poses: np.ndarray, maps: Sequence[np.ndarray], firmness: Sequence[float], *, common: bool
) -> np.ndarray | None:
    """Factors (N,) by which ranges of posed captures put what they share in one place.

    poses: (N, 4, 4) camera-to-world. maps: N of (H, W) ranges, unknown where not finite or not positive. firmness: N
    numbers that say how surely a factor is 1 already: one over its variance, of natural logs. common: whether nothing
    is known of the factors: then one for all is looked for first, of ranges that are alike in their median.
    None if the captures stand in one place, or do not see one another's surfaces.
    """
    clouds = [_cloud(pose, ranges) for pose, ranges in zip(poses, maps, strict=True)]
    medians = np.array([np.median(ranges) if len(ranges) else np.nan for _, ranges in clouds])
    steps = np.linalg.norm(poses[:, :3, 3] - poses[0, :3, 3], axis=1)
    if len(maps) < 2 or not np.isfinite(medians).all() or steps.max() < _APART * np.median(medians):
        return None
    logs = np.zeros(len(maps))
    tell = _Pairs(poses, maps, clouds)
    if common:
        logs = np.log(np.median(steps[steps > 0]) / medians)  # what is around captures of one place is as far away
        costs = [tell.cost(logs + each) for each in _TRIED]
        if not np.isfinite(costs).any():
            return None
        logs = logs + _TRIED[int(np.argmin(costs))]
    held = np.maximum(np.asarray(firmness, dtype=np.float64), _FIRM)
    start = logs.copy()
    for soft in np.geomspace(0.4, _WRONG / 2, _ROUNDS):
        system, right = tell.normal_equations(logs, soft)
        if system is None or (common and system.sum() < _VAGUE**-2):
            return None
        wanted = start if common else np.zeros_like(logs)
        step = np.linalg.solve(system + np.diag(held), right + held * (wanted - logs))
        logs = logs + np.clip(step, -0.5, 0.5)
    return np.asarray(np.exp(logs))


def by_height(pose: np.ndarray, seen: DepthMap, height: float) -> float | None:
    """Metres per unit of a map, from the ground below it: the lowest fifth of what lies steeply below.

    height: metres of the camera above the ground. None if the ground is not seen.
    """
    down = -(equirectangular.directions(seen.range.shape[1]) @ pose[2, :3])
    steep = (down > 0.5) & np.isfinite(seen.range) & (seen.confidence > 0)
    drop = float(np.percentile(seen.range[steep] * down[steep], 80)) if np.count_nonzero(steep) > 50 else 0.0
    return height / drop if drop > 0 else None


def by_points(pose: np.ndarray, seen: DepthMap, points: np.ndarray) -> float | None:
    """Metres per unit of a map, from points (M, 3) in the world: the median ratio of ranges.

    None if the map knows the ranges of fewer than a third of FEWEST.
    """
    local = (np.asarray(points, dtype=np.float64) - pose[:3, 3]) @ pose[:3, :3]
    distance = np.linalg.norm(local, axis=1)
    local, distance = local[distance > 0], distance[distance > 0]
    logs = np.log(np.where(_known(seen.range), seen.range, np.nan))
    ratios = np.log(distance) - equirectangular.sample(
        logs, equirectangular.directions_to_pixels(local, seen.range.shape[1])
    )
    ratios = ratios[np.isfinite(ratios)]
    return float(np.exp(np.median(ratios))) if 3 * len(ratios) >= FEWEST else None


def _affine(learned: np.ndarray, measured: np.ndarray, weights: np.ndarray, shift: bool) -> tuple[float, float]:
    """Scale and shift of learned inverse ranges (n,) that make most of them the measured ones (n,)."""
    logs = np.log(measured / learned)
    scale, added = float(np.exp(_weighted_median(logs, weights))), 0.0
    middle = float(np.median(learned))
    for soft in np.geomspace(0.5, _WRONG, _ROUNDS):
        found = np.maximum(scale * learned + added, 1e-3 * scale * middle)
        trust = weights / (1 + (np.log(found / measured) / soft) ** 2) ** 2
        terms = np.stack([learned / measured, 1 / measured] if shift else [learned / measured])
        system = (terms * trust) @ terms.T
        system[np.diag_indices(len(terms))] *= 1 + 1e-6
        solved = np.linalg.solve(system, (terms * trust).sum(axis=1))
        widest = _WIDEST_SHIFT * abs(float(solved[0])) * middle
        if solved[0] <= 0 or (shift and abs(solved[1]) > widest):
            break
        scale, added = float(solved[0]), float(solved[1]) if shift else 0.0
    return scale, added


def _slow(errors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What of errors (H, W) is alike over many degrees, told by those with weights (H, W); 0 far from all of these."""
    height, width = errors.shape
    cells = min(_CELLS, width)
    rows = (np.arange(height) * (cells // 2)) // height
    columns = (np.arange(width) * cells) // width
    cell = rows[:, None] * cells + columns
    rays = equirectangular.directions(cells).reshape(-1, 3).astype(np.float64)
    near = 1 - rays @ rays.T
    full = np.bincount(cell.ravel(), np.broadcast_to(_solid(height), errors.shape).ravel(), len(rays))
    content = _CONTENT * float((_alike(near, _REACHES[-1]) @ full).mean())
    found = np.zeros(len(rays))
    field = np.zeros_like(errors)
    for reach in _REACHES:
        left = errors - field
        trust = weights / (1 + (left / (0.02 * reach)) ** 2) ** 2
        told = np.bincount(cell.ravel(), trust.ravel(), len(rays))
        sums = np.bincount(cell.ravel(), (trust * left).ravel(), len(rays))
        alike = _alike(near, reach)
        found = found + (alike @ sums) / (alike @ told + content)
        field = _at(found.reshape(cells // 2, cells), width)
    return field


def _alike(near: np.ndarray, reach: float) -> np.ndarray:
    """How alike errors are at rays whose product is 1 - near: 1 in one place, 1 / e at `reach` degrees."""
    return np.asarray(np.exp(-near / (1 - np.cos(np.radians(reach)))))


def _at(values: np.ndarray, width: int) -> np.ndarray:
    """Values (H, W) between their pixels, at another width."""
    rows, columns = np.indices((width // 2, width), dtype=np.float32)
    places = np.stack([columns + 0.5, rows + 0.5], axis=-1) * np.float32(values.shape[1] / width)
    return np.asarray(equirectangular.sample(values.astype(np.float32), places), np.float64)


class _Pairs:
    """What each capture says of the rays of every other."""

    def __init__(
        self, poses: np.ndarray, maps: Sequence[np.ndarray], clouds: Sequence[tuple[np.ndarray, np.ndarray]]
    ) -> None:
        self._poses, self._clouds = poses, clouds
        self._logs = [np.log(np.where(_known(each), each, np.nan)) for each in maps]
        self._pairs = _neighbours(poses[:, :3, 3])

    def cost(self, logs: np.ndarray) -> float:
        """How badly the captures agree at these natural logs of factors, per ray; inf if they share none."""
        total, count = 0.0, 0
        for first, second in self._pairs:
            errors = self._errors(first, second, logs)
            seen = np.isfinite(errors)
            total += float(np.log1p((errors[seen] / _WRONG) ** 2).sum())
            count += int(seen.sum())
        return total / count if count >= FEWEST else np.inf

    def normal_equations(self, logs: np.ndarray, soft: float) -> tuple[np.ndarray | None, np.ndarray]:
        """(N, N) and (N,) of Gauss and Newton's step from these logs; errors above `soft` count little.

        A pair weighs as much as _WORTH rays, however many it shares: they are not independent. (N, N) is then the
        inverse covariance of the logs. None if too few rays are shared.
        """
        count, small = len(logs), 0.01
        system, right, rays = np.zeros((count, count)), np.zeros(count), 0
        for first, second in self._pairs:
            moved = logs.copy()
            moved[first] += small
            errors = self._errors(first, second, logs)
            slopes = (self._errors(first, second, moved) - errors) / small
            seen = np.isfinite(errors) & np.isfinite(slopes) & (np.abs(slopes) < _STEEPEST)
            if np.count_nonzero(seen) < FEWEST:
                continue
            rays += int(seen.sum())
            errors, slopes = errors[seen], slopes[seen]
            trust = _WORTH / soft**2 / len(errors) / (1 + (errors / soft) ** 2) ** 2
            both = np.stack([slopes, np.ones_like(slopes)])
            pair = np.ix_((first, second), (first, second))
            system[pair] += (both * trust) @ both.T
            right[[first, second]] -= (both * trust) @ errors
        return (system if rays else None), right

    def _errors(self, first: int, second: int, logs: np.ndarray) -> np.ndarray:
        """Log of the range that the second tells over the distance at which it should see the first's rays, (m,)."""
        rays, ranges = self._clouds[first]
        pose, other = self._poses[first], self._poses[second]
        places = (rays * (ranges * np.exp(logs[first]))[:, None]) @ pose[:3, :3].T + pose[:3, 3]
        local = (places - other[:3, 3]) @ other[:3, :3]
        distance = np.maximum(np.linalg.norm(local, axis=1), 1e-9)
        told = self._logs[second]
        pixels = equirectangular.directions_to_pixels(local + (distance[:, None] < 1e-8) * 1e-6, told.shape[1])
        return np.asarray(equirectangular.sample(told, pixels) + logs[second] - np.log(distance))


def _neighbours(places: np.ndarray) -> list[tuple[int, int]]:
    """Both orders of each pair of places (N, 3) of which one is among the other's _NEAREST nearest."""
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.diag(np.full(len(places), np.inf))
    near = np.argsort(apart, axis=1)[:, : min(_NEAREST, len(places) - 1)]
    found = {(first, int(second)) for first, others in enumerate(near) for second in others}
    return sorted(found | {(second, first) for first, second in found})


def _cloud(pose: np.ndarray, ranges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most _SAMPLES rays (m, 3) of a capture, evenly over the sphere, and their ranges (m,)."""
    count = _SAMPLES
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    turn = np.pi * (1 + 5**0.5) * np.arange(count)
    around = np.sqrt(1 - height**2)
    rays = np.stack([around * np.cos(turn), height, around * np.sin(turn)], axis=1)
    pixels = equirectangular.directions_to_pixels(rays, ranges.shape[1]).astype(np.intp)
    told = ranges[np.minimum(pixels[:, 1], len(ranges) - 1), pixels[:, 0] % ranges.shape[1]].astype(np.float64)
    known = _known(told)
    return rays[known], told[known]


def _known(ranges: np.ndarray) -> np.ndarray:
    return np.asarray(np.isfinite(ranges) & (ranges > 0))


def _weights(trust: np.ndarray) -> np.ndarray:
    return np.maximum(np.nan_to_num(trust, nan=0.0, posinf=0.0), 0.0).astype(np.float64)


def _solid(height: int) -> np.ndarray:
    """(H, 1): solid angle of the pixels of each row, relative to the largest."""
    return np.asarray(np.sin((np.arange(height) + 0.5) / height * np.pi))[:, None]


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(sums, sums[-1] / 2)])

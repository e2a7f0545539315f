"""Making the crops of one panorama agree on depth where they overlap.

A crop's values give inverse depth along its axis up to a scale and, for affine-invariant models, a shift. Two crops
that see the same direction must see the same range: scales and shifts follow from overlaps. One factor for all crops
stays open unless the values are metres.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..rig import Layout

_SAMPLES = 48
"""Rays a side of each crop at which it is compared with the others."""
_AGREE = 0.03
"""Relative difference of ranges at which two crops agree half."""
_ROUNDS = 30


@dataclass(frozen=True)
class Overlap:
    """Rays that two crops of a layout share.

    first, second: which crops. here, there: (M, 2) float64 pixels in each, centres at .5.
    stretch_here, stretch_there: (M,) range per depth along each crop's axis.
    """

    first: int
    second: int
    here: np.ndarray
    there: np.ndarray
    stretch_here: np.ndarray
    stretch_there: np.ndarray


def overlaps(layout: Layout, samples: int = _SAMPLES) -> Iterator[Overlap]:
    """Every pair of crops that share rays, once, with `samples` rays a side of the first tried."""
    step = layout.size / samples
    axis = (np.arange(samples) + 0.5) * step
    pixels = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    focal = layout.intrinsics[0, 0]
    offset = (pixels - layout.size / 2) / focal
    looking = np.column_stack([offset[:, 0], -offset[:, 1], -np.ones(len(offset))])
    stretch = np.linalg.norm(looking, axis=1)
    for first, panorama_from_crop in enumerate(layout.rotations):
        there, inside = layout.project(looking @ panorama_from_crop.T)
        for second in range(first + 1, len(layout)):
            shared = inside[second]
            if np.count_nonzero(shared) < 8:
                continue
            position = there[second][shared]
            reach = np.linalg.norm((position - layout.size / 2) / focal, axis=1)
            yield Overlap(first, second, pixels[shared], position, stretch[shared], np.sqrt(1 + reach**2))


def sample(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Bilinear values of (s, s) at (M, 2) pixels with centres at .5; NaN where a neighbour is NaN; borders repeat."""
    size = values.shape[0]
    position = np.clip(pixels - 0.5, 0, size - 1)
    corner = np.minimum(position.astype(np.intp), size - 2)
    x, y = (position - corner).T
    column, row = corner.T
    upper = (1 - x) * values[row, column] + x * values[row, column + 1]
    lower = (1 - x) * values[row + 1, column] + x * values[row + 1, column + 1]
    return np.asarray((1 - y) * upper + y * lower)


def align_scales(depth: np.ndarray, layout: Layout, *, prior: float = 0.0) -> np.ndarray:
    """Factors (V,) float64 that make crops agree. Without a prior their geometric mean is 1.

    depth: (V, s, s) along each crop's axis, NaN where nothing is known.
    prior: how firmly each factor is held at 1, in overlaps' worth of evidence.
    """
    count = len(depth)
    equations: list[tuple[int, int, float, float]] = []
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where(depth > 0, depth, np.nan))
    for overlap in overlaps(layout):
        difference = (sample(logs[overlap.second], overlap.there) + np.log(overlap.stretch_there)) - (
            sample(logs[overlap.first], overlap.here) + np.log(overlap.stretch_here)
        )
        difference = difference[np.isfinite(difference)]
        if len(difference) >= 8:
            spread = 1.4826 * float(np.median(np.abs(difference - np.median(difference))))
            trust = np.sqrt(len(difference)) / (1 + spread / _AGREE)
            equations.append((overlap.first, overlap.second, float(np.median(difference)), trust))
    if not equations:
        return np.ones(count)
    first, second, difference_of, trust_of = (np.array(column) for column in zip(*equations, strict=True))
    first, second = first.astype(np.intp), second.astype(np.intp)
    trust_of = trust_of / trust_of.mean()
    logs_of = np.zeros(count)
    weights = trust_of
    for _ in range(_ROUNDS):  # re-weighted: an overlap of two moving or mirrored things must not bend the others
        system = np.eye(count) * max(prior, 1e-9)
        right = np.zeros(count)
        np.add.at(system, (first, first), weights)
        np.add.at(system, (second, second), weights)
        np.add.at(system, (first, second), -weights)
        np.add.at(system, (second, first), -weights)
        np.add.at(right, first, weights * difference_of)
        np.add.at(right, second, -weights * difference_of)
        solved = np.linalg.solve(system, right)
        still = np.abs(solved - logs_of).max()
        logs_of = solved
        residual = logs_of[first] - logs_of[second] - difference_of
        weights = trust_of / (1 + (residual / _AGREE) ** 2)
        if still < 1e-12:
            break
    return np.asarray(np.exp(logs_of - (0.0 if prior > 0 else logs_of.mean())))


def align_disparities(disparity: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Scales and shifts (V,) float64: scale * value + shift is inverse depth in a unit common to all crops.

    disparity: (V, s, s), in each crop another increasing affine function of inverse depth along its axis; NaN where
    nothing is known. The unit is open: the mean inverse depth becomes 1.
    Source: robust least squares over the overlaps on relative differences; the affine model is that of Ranftl et al.,
    "Towards robust monocular depth estimation", PAMI 2020.
    """
    count = len(disparity)
    middle = np.array([np.nanmedian(crop) if np.isfinite(crop).any() else 0.0 for crop in disparity])
    extent = np.array([_spread(crop) for crop in disparity])
    normal = (disparity - middle[:, None, None]) / extent[:, None, None]
    pairs = []
    for overlap in overlaps(layout, samples=24):
        here = sample(normal[overlap.first], overlap.here)
        there = sample(normal[overlap.second], overlap.there)
        known = np.isfinite(here) & np.isfinite(there)
        crops = np.full(known.sum(), overlap.first), np.full(known.sum(), overlap.second)
        pairs.append((*crops, here[known], there[known], overlap.stretch_here[known], overlap.stretch_there[known]))
    first, second, here, there, stretch_here, stretch_there = (
        np.concatenate([pair[column] for pair in pairs]) if pairs else np.empty(0) for column in range(6)
    )
    first, second = first.astype(np.intp), second.astype(np.intp)

    def inverse_ranges(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scale, shift = np.exp(parameters[:count]), parameters[count:]
        one = (scale[first] * here + shift[first]) / stretch_here
        other = (scale[second] * there + shift[second]) / stretch_there
        return one, other, 0.5 * (np.abs(one) + np.abs(other)) + 0.1

    def residuals(parameters: np.ndarray) -> np.ndarray:
        one, other, middle_of = inverse_ranges(parameters)
        gauge = [10.0 * (parameters[count:].mean() - 1.0)]  # one factor for all is open: this holds it
        tame = 1e-3 * (parameters[:count] - parameters[:count].mean())
        return np.concatenate([(one - other) / middle_of, gauge, tame])

    def derivatives(parameters: np.ndarray) -> np.ndarray:
        one, other, middle_of = inverse_ranges(parameters)
        scale, rows = np.exp(parameters[:count]), np.arange(len(first))
        bent = 0.5 * (one - other) / middle_of**2
        by_one = (1 / middle_of - bent * np.sign(one)) / stretch_here
        by_other = (-1 / middle_of - bent * np.sign(other)) / stretch_there
        jacobian = np.zeros((len(first) + 1 + count, 2 * count))
        jacobian[rows, first] = by_one * scale[first] * here
        jacobian[rows, second] = by_other * scale[second] * there
        jacobian[rows, count + first] = by_one
        jacobian[rows, count + second] = by_other
        jacobian[len(first), count:] = 10.0 / count
        jacobian[len(first) + 1 :, :count] = 1e-3 * (np.eye(count) - 1.0 / count)
        return jacobian

    start = np.concatenate([np.full(count, np.log(0.3)), np.ones(count)])
    if len(first):
        start = _least_squares(residuals, derivatives, start, soft=0.05)
    scale = np.exp(start[:count]) / extent
    shift = start[count:] - scale * middle
    return scale, shift


def _least_squares(
    residuals: Callable[[np.ndarray], np.ndarray],
    derivatives: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    soft: float,
) -> np.ndarray:
    """Parameters with the least sum of residuals' soft norm, sqrt(1 + (r / soft)^2), from `start` downhill.

    Levenberg and Marquardt's method on the normal equations: few parameters, many residuals.
    """
    best, damping = start, 1e-3
    remaining = residuals(best)
    cost = float(np.sqrt(1 + (remaining / soft) ** 2).sum())
    for _ in range(4 * _ROUNDS):
        weights = 1 / np.sqrt(1 + (remaining / soft) ** 2)
        slopes = derivatives(best)
        curvature = (slopes * weights[:, None]).T @ slopes
        downhill = slopes.T @ (weights * remaining)
        step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature) + 1e-9), downhill)
        tried = best - np.clip(step, -2, 2)
        tried_remaining = residuals(tried)
        tried_cost = float(np.sqrt(1 + (tried_remaining / soft) ** 2).sum())
        if not tried_cost < cost:
            damping *= 8
            if damping > 1e8:
                break
            continue
        gained = cost - tried_cost
        best, remaining, cost, damping = tried, tried_remaining, tried_cost, max(damping / 5, 1e-12)
        if gained < 1e-10 * cost:
            break
    return best


def agreement(depth: np.ndarray, layout: Layout) -> np.ndarray:
    """How well each pixel of a crop agrees with the other crops that see it; (V, s, s) float32, 0 to 1.

    depth: (V, s, s) along each crop's axis, NaN where nothing is known. 1 where the ranges are equal, 0.5 at 3 percent,
    and 0.5 where no other crop sees anything.
    """
    every = max(1, layout.size // 128)  # agreement changes slowly: one pixel of each block stands for it
    centre = slice(every // 2, None, every)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where(depth > 0, depth, np.nan) * _stretch(layout))
    confidence = np.empty(depth.shape, np.float32)
    for view, directions in enumerate(layout.directions()[:, centre, centre]):
        pixels, inside = layout.project(directions)
        total, seen = np.zeros(directions.shape[:2]), np.zeros(directions.shape[:2])
        for other in range(len(layout)):
            mask = inside[other] & (other != view)
            difference = np.full(mask.shape, np.nan)
            difference[mask] = sample(logs[other], pixels[other][mask]) - logs[view, centre, centre][mask]
            known = np.isfinite(difference)
            total[known] += 1 / (1 + (difference[known] / _AGREE) ** 2)
            seen += known
        blocks = np.where(seen > 0, total / np.maximum(seen, 1), 0.5)
        index = np.minimum(np.arange(layout.size) // every, len(blocks) - 1)
        confidence[view] = blocks[np.ix_(index, index)]
    return confidence


def _stretch(layout: Layout) -> np.ndarray:
    """(s, s) float64: range per depth along a crop's axis."""
    axis = (np.arange(layout.size) + 0.5 - layout.size / 2) / layout.intrinsics[0, 0]
    return np.asarray(np.sqrt(1 + axis[:, None] ** 2 + axis[None, :] ** 2))


def _spread(crop: np.ndarray) -> float:
    if not np.isfinite(crop).any():
        return 1.0
    low, high = np.nanpercentile(crop, [10, 90])
    return float(max(high - low, 1e-6 * max(abs(high), 1e-6)))

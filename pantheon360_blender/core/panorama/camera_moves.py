"""Moves of a camera: along places at a steady pace, round a point, smoothed; as places, headings and seconds.

Places are (N, 3) float64 in the world, +Z up; lengths may be in any unit, and a speed in the same one per second.
"""

from __future__ import annotations

import numpy as np

from . import cameras

_FINE = 65  # samples of a curve between two places
_LEAST = 1e-9  # of a length, so that directions exist


def seconds_along(places: np.ndarray, speed: float) -> np.ndarray:
    """When a camera that moves at `speed` comes to each place: (N,) float64, the first at 0, growing.

    >>> seconds_along(np.array([[0, 0, 0], [0, 2, 0], [0, 2, 3]]), 0.5)
    array([ 0.,  4., 10.])
    """
    steps = np.linalg.norm(np.diff(np.asarray(places, np.float64), axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps) / speed])


def along(places: np.ndarray) -> np.ndarray:
    """Axes of level cameras that look along the way, (N, 3, 3) float64: between neighbours, or from and to the one.

    Where the way leads straight up or down, or nowhere, a camera looks where the one before did, the first one north.
    """
    places = np.asarray(places, np.float64)
    before, after = np.vstack([places[:1], places[:-1]]), np.vstack([places[1:], places[-1:]])
    return _looking(after - before)


def towards(places: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Axes of level cameras that face a point, (N, 3, 3) float64; see `along` for one straight above it."""
    return _looking(np.asarray(center, np.float64) - np.asarray(places, np.float64))


def around(center: np.ndarray, start: np.ndarray, turns: float, count: int) -> np.ndarray:
    """`count` places, (count, 3) float64, on a level circle through `start` about the vertical through `center`.

    turns: counted anticlockwise seen from above, negative for the other way; fractions end before a round is full.
    """
    arm = np.asarray(start, np.float64) - np.asarray(center, np.float64)
    angles = 2 * np.pi * turns * np.linspace(0.0, 1.0, count)
    cosine, sine = np.cos(angles), np.sin(angles)
    turned = np.stack([cosine * arm[0] - sine * arm[1], sine * arm[0] + cosine * arm[1], np.full(count, arm[2])], -1)
    return np.asarray(turned + np.asarray(center, np.float64))


def spaced(places: np.ndarray, distance: float) -> np.ndarray:
    """Places at even distances along a line through `places`, (M, 3) float64: both ends, and no more than `distance`
    apart. Curves that are given finely come out with few places.
    """
    places = np.asarray(places, np.float64)
    reached = seconds_along(places, 1.0)
    count = max(2, int(np.ceil(reached[-1] / distance)) + 1)
    wanted = np.linspace(0.0, reached[-1], count)
    return np.stack([np.interp(wanted, reached, places[:, axis]) for axis in range(3)], axis=-1)


def through(places: np.ndarray, distance: float) -> np.ndarray:
    """Places on a smooth curve through `places` (N, 3), which are among them, at most `distance` apart; (M, 3) float64.

    Neighbouring places differ. Between two of them the curve is a cubic whose directions at both ends are those of the
    parabola through each place and its neighbours, timed by their distances (Catmull and Rom 1974, non-uniform).
    """
    places = np.asarray(places, np.float64)
    if len(places) < 3:
        return spaced(places, distance)
    slopes = parabolic_slopes(seconds_along(places, 1.0), places)
    share = np.linspace(0.0, 1.0, _FINE)[:, None]
    whole = [places[:1]]
    for index, length in enumerate(np.linalg.norm(np.diff(places, axis=0), axis=1)):
        here, there = places[index], places[index + 1]
        leave, arrive = slopes[index] * length, slopes[index + 1] * length
        curve = (
            here
            + share * leave
            + share**2 * (3 * (there - here) - 2 * leave - arrive)
            + share**3 * (2 * (here - there) + leave + arrive)
        )
        whole.append(spaced(curve, distance)[1:])
    return np.concatenate(whole)


def parabolic_slopes(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slope of the parabola through each value and its neighbours, shaped as values (K, ...); two have a line's.

    times: (K,), growing.
    """
    spans = np.diff(times).reshape(-1, *[1] * (values.ndim - 1))
    steps = np.diff(values, axis=0) / spans
    if len(steps) == 1:
        return np.repeat(steps, 2, axis=0)
    before, after = spans[:-1], spans[1:]
    middle = (after * steps[:-1] + before * steps[1:]) / (before + after)
    return np.concatenate([2 * steps[:1] - middle[:1], middle, 2 * steps[-1:] - middle[-1:]])


def smoothed(poses: np.ndarray, sigma: float) -> np.ndarray:
    """Camera-to-world poses (F, 4, 4), one a frame, without their jerks; both ends stay where they are.

    sigma: frames of the Gaussian that averages neighbours. Near an end it narrows, so that nothing is pulled inward.
    Rotations are averaged as matrices and made rotations again (the nearest one in Frobenius' norm).
    """
    poses = np.asarray(poses, np.float64)
    frames = np.arange(len(poses))
    to_end = np.minimum(frames, frames[::-1])
    width = np.maximum(np.minimum(sigma, to_end / 3.0), _LEAST)
    weights = np.exp(-0.5 * ((frames[None] - frames[:, None]) / width[:, None]) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    mean = np.tensordot(weights, poses, axes=1)
    left, _, right = np.linalg.svd(mean[:, :3, :3])
    proper = np.linalg.det(left @ right)
    left[:, :, 2] *= proper[:, None]
    mean[:, :3, :3] = left @ right
    return np.asarray(mean)


def ground_below(places: np.ndarray, points: np.ndarray, reach: float) -> np.ndarray:
    """Height of the ground below each place, (N,) float64, NaN where no point lies near enough in plan.

    points: (M, 3) of surfaces. reach: how far around a place is looked, in plan. The ground is where the lowest tenth
    of what lies there and below the place ends: pavements count, and lamps, eaves and stray points below do not.
    """
    found = np.full(len(places), np.nan)
    for index, place in enumerate(np.asarray(places, np.float64)):
        near = (np.abs(points[:, :2] - place[:2]) < reach).all(axis=1) & (points[:, 2] < place[2])
        if near.any():
            found[index] = np.quantile(points[near, 2], 0.1)
    return found


def _looking(ways: np.ndarray) -> np.ndarray:
    heading = 0.0
    axes = []
    for way in ways:
        if np.hypot(way[0], way[1]) > _LEAST + 1e-6 * abs(way[2]):
            heading = float(np.degrees(np.arctan2(way[0], way[1])))
        axes.append(cameras.rotation_from_heading(heading))
    return np.array(axes)

"""Colour match: captures of one place, taken at other exposures and white balances, brought to agree.

Exposure and white balance multiply light, channel by channel. Where two captures' points share a voxel they show the
same surface, so that their colours' ratio is that of the captures' gains. All ratios together are solved by least
squares of logarithms, reweighted so that moving things and glosses, which only one capture saw, lose their say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import PointCloudError
from ..progress import Job, Progress
from .connected import components

LARGEST = 8.0
"""Gains are held within 1/8...8: three stops."""

_DARK, _BRIGHT = 0.004, 0.95  # linear light between which a byte of a photograph still tells exposure
_ROUNDS = 12
_TYPICAL = 0.1  # of the logarithm: disagreement that noise and gloss explain
_FEWEST = 20  # voxels that two captures must share
_SOURCE = 16  # bits of a key that tell sources apart, below those that tell voxels apart
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


@dataclass(frozen=True)
class ColourMatch:
    """Factors on linear light that make captures agree.

    gains: (S, 3) float64, by source and channel. overlaps: (S, S) int64, voxels shared by each two sources.
    groups: (S,) labels; sources of different groups share nothing, and are not matched with each other.
    """

    gains: np.ndarray
    overlaps: np.ndarray
    groups: np.ndarray


def estimating(
    points: np.ndarray, light: np.ndarray, source: np.ndarray, voxel: float, *, white_balance: bool = True
) -> Job[ColourMatch]:
    """Estimate gains from the voxels that points of different sources share.

    points: (N, 3) metres. light: (N, 3) linear, 0..1. source: (N,) int; negative is unknown and has no say.
    voxel: edge in metres. white_balance: a gain for each channel; else one for all three.
    Within a group of captures that overlap, gains leave the mean of the logarithm over the captures as it is.
    Raises PointCloudError if no two captures share enough voxels.
    """
    if not voxel > 0:
        raise PointCloudError(f"Captures cannot be compared in voxels of {voxel:g} m.", advice="Choose some meters.")
    count = int(source.max(initial=-1)) + 1
    if count > 1 << _SOURCE:
        raise PointCloudError(
            f"There are {count} captures: too many to be matched.", advice="Check the points' source."
        )
    place, who, colour = yield from _means(points, light, source, voxel)
    yield Progress("Comparing captures", 3, 4)
    one, other = _pairs(place)
    known = ((colour > _DARK) & (colour < _BRIGHT)).all(axis=1)
    sound = known[one] & known[other]
    one, other = one[sound], other[sound]
    overlaps = np.zeros((count, count), np.int64)
    np.add.at(overlaps, (who[one], who[other]), 1)
    overlaps += overlaps.T
    enough = overlaps[who[one], who[other]] >= _FEWEST
    one, other = one[enough], other[enough]
    if not len(one):
        raise PointCloudError(
            "No two captures of the cache show the same places.",
            advice="Choose larger voxels, or build the cache without Nearest Only.",
        )
    logarithm = np.log(colour)
    if not white_balance:
        logarithm = logarithm.mean(axis=1, keepdims=True)
    groups = components(count, who[one], who[other])
    gains = _solved(who[one], who[other], logarithm[one] - logarithm[other], groups)
    bounded = np.clip(np.exp(np.broadcast_to(gains, (count, 3))), 1 / LARGEST, LARGEST)
    return ColourMatch(bounded, overlaps, groups)


def _means(
    points: np.ndarray, light: np.ndarray, source: np.ndarray, voxel: float
) -> Job[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Voxel number, source and mean light (M, 3) of each source in each voxel, sorted by voxel and source."""
    yield Progress("Comparing captures", 0, 4)
    known = np.flatnonzero((source >= 0) & np.isfinite(points).all(axis=1))
    place = np.zeros(len(known), np.uint64)
    for axis in range(3):
        index = np.clip(np.floor(points[known, axis] / np.float64(voxel)), -(2.0**62), 2.0**62)
        place += index.astype(np.int64).view(np.uint64) * _MIX[axis]
    key = (place >> np.uint64(_SOURCE) << np.uint64(_SOURCE)) | source[known].astype(np.uint64)
    yield Progress("Comparing captures", 1, 4)
    order = np.argsort(key)
    yield Progress("Comparing captures", 2, 4)
    key = key[order]
    place, who = key >> np.uint64(_SOURCE), (key & np.uint64((1 << _SOURCE) - 1)).astype(np.intp)
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
    if not len(starts):
        return place, who, np.zeros((0, 3))
    sums = np.add.reduceat(light[known][order].astype(np.float64), starts, axis=0)
    return place[starts], who[starts], sums / np.diff(np.append(starts, len(place)))[:, None]


def _pairs(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of all pairs of entries of one voxel, the first before the second."""
    one, other = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    apart = 1
    while True:
        same = np.flatnonzero(place[apart:] == place[: len(place) - apart]) if apart < len(place) else one[0]
        if not len(same):
            return np.concatenate(one), np.concatenate(other)
        one.append(same)
        other.append(same + apart)
        apart += 1


def _solved(one: np.ndarray, other: np.ndarray, ratio: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(S, C) logarithms of gains g with g[one] + ratio = g[other] as well as can be; their mean is 0 in each group.

    ratio: (P, C) log light of `one` less that of `other`. Weights are Cauchy's, by the residual of all channels.
    """
    count = len(groups)
    gains = np.zeros((count, ratio.shape[1]))
    same_group = (groups[:, None] == groups[None, :]).astype(np.float64)
    weight = np.ones(len(ratio))
    for _ in range(_ROUNDS):
        pull = np.bincount(one * count + other, weight, count * count).reshape(count, count)
        pull += pull.T
        normal = np.diag(pull.sum(axis=1)) - pull + same_group  # the latter holds each group's mean at 0
        for channel in range(ratio.shape[1]):
            push = weight * ratio[:, channel]
            gains[:, channel] = np.linalg.solve(normal, np.bincount(other, push, count) - np.bincount(one, push, count))
        residual = gains[one] - gains[other] + ratio
        weight = 1.0 / (1.0 + np.square(residual / _TYPICAL).mean(axis=1))
    return gains

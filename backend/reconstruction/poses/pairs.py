"""Which captures are matched with which: of many, each with those that look most alike and its neighbours in the list.

Matching two captures takes about a second, comparing a few hundred of their largest features a millisecond: so the
time that matching takes grows with the number of captures and not with its square.

Source: preemptive matching, Wu, "Towards Linear-time Incremental Structure from Motion", 3DV 2013.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

EVERY = 10
"""Captures up to which every pair is matched."""
MATES = 8
"""Captures of more that each is matched with because they look alike; both choose."""
LARGEST = 400
"""Features of a capture that are compared: large ones are seen from farther."""
_BESIDE = 2  # places in the list, which is a walk more often than not
_RATIO = 0.8  # of the angle to the next best feature that the best one lies within


def chosen(features: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of captures to be matched, (i, j) with i < j, sorted.

    features: for each capture its largest, (n, 128), n at most LARGEST, of any length.
    """
    count = len(features)
    if count <= EVERY:
        return [(one, other) for one in range(count) for other in range(one + 1, count)]
    unit = [each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-9) for each in map(np.float32, features)]
    alike = np.zeros((count, count))
    for one in range(count):
        for other in range(one + 1, count):
            alike[one, other] = alike[other, one] = in_common(unit[one], unit[other])
    pairs = {(one, other) for one in range(count) for other in range(one + 1, min(one + _BESIDE + 1, count))}
    for one in range(count):
        best = np.argsort(-alike[one], kind="stable")[:MATES]
        pairs |= {(min(one, int(other)), max(one, int(other))) for other in best if alike[one, other] > 0}
    return sorted(pairs)


def in_common(first: np.ndarray, second: np.ndarray) -> int:
    """How many features of one capture another has, too; (n, 128) and (m, 128) float32 of length 1."""
    if not len(first) or len(second) < 2:
        return 0
    cosines = first @ second.T
    next_best, best = np.moveaxis(np.partition(cosines, -2, axis=1)[:, -2:], 1, 0)
    return int((np.arccos(np.clip(best, -1, 1)) < _RATIO * np.arccos(np.clip(next_best, -1, 1))).sum())

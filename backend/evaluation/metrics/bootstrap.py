"""Intervals of a mean over clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_DRAWS = 2000


def interval(values: Sequence[float], seed: int = 0, share: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean: clips are drawn with replacement, from a seed. NaN without values.

    Source: B. Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7(1), 1979.
    """
    known = np.asarray([value for value in values if np.isfinite(value)], np.float64)
    if not len(known):
        return float("nan"), float("nan")
    means = known[np.random.default_rng(seed).integers(0, len(known), (_DRAWS, len(known)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)

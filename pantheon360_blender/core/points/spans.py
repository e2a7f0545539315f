"""Runs of consecutive indices, written out: how a sorted array is searched by many at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def expand(start: np.ndarray, count: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Write out the runs start, start + 1, ..., start + count - 1.

    start, count: (R,) integers. batch_size: about how many indices a part holds; one run is never cut.
    Yields (which run, index), (n,) intp each, in the order of the runs.
    """
    count = np.asarray(count, np.intp)
    ends = np.cumsum(count)
    first = 0
    while first < len(count):
        done = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, done + batch_size, side="right")), first + 1)
        counts = count[first:last]
        total = int(ends[last - 1] - done)
        if total:
            run = np.repeat(np.arange(first, last), counts)
            step = np.arange(total) - np.repeat(ends[first:last] - counts - done, counts)
            yield run, start[run] + step
        first = last

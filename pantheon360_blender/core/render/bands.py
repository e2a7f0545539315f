"""A picture worked on in bands of rows, several at a time: numpy computes outside of Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

BAND = 1 << 18
"""Pixels of a band: memory does not grow with the picture, and a call of numpy is long beside what calls it."""
_MOST = 4  # threads: what is left in Python's lock keeps more from being of use


def in_bands(height: int, width: int, work: Callable[[slice], None]) -> None:
    """Call `work` with the rows of each band; it writes into rows of its own alone. Raises what it raises."""
    rows = max(1, BAND // width)
    bands = [slice(first, min(first + rows, height)) for first in range(0, height, rows)]
    workers = min(_MOST, os.cpu_count() or 1, len(bands))
    if workers == 1:
        for band in bands:
            work(band)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="pantheon360-bands") as threads:
        for _ in threads.map(work, bands):
            pass

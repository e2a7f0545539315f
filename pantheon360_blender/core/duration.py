"""Durations as people say them."""

from __future__ import annotations

import math


def as_text(seconds: float) -> str:
    """Seconds, rounded up: "8 s", "2 min 05 s", "3 h 20 min"; empty if they are negative or not finite.

    >>> as_text(124.2), as_text(3600)
    ('2 min 05 s', '1 h 00 min')
    """
    if not (0 <= seconds < math.inf):
        return ""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

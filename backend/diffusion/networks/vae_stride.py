"""How many pixels a latent stands for, by a VAE's configuration: its patch, times two for each level but one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def stride(config: Mapping[str, Any]) -> int:
    """Pixels across for one latent."""
    channels = config.get("block_out_channels")
    return patch(config) << (len(channels) - 1 if channels else 0)


def patch(config: Mapping[str, Any]) -> int:
    """Pixels across that a VAE sees as one: the square root of a third of its channels."""
    channels = config.get("in_channels")
    return math.isqrt((3 if channels is None else channels) // 3)

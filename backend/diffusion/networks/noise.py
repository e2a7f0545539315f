"""The noise that painting starts from."""

from __future__ import annotations

import numpy as np
import torch

_STREAM = 0
"""Which of a seed's streams of random numbers this is; panorama.py has another."""


def frames(seed: int, count: int, shape: tuple[int, int, int], *, first: int = 0) -> torch.Tensor:
    """Normal noise (count, *shape) float32 on the CPU.

    Each frame of the path has its own stream, so that the noise of a frame depends on neither clip, device nor torch.
    seed: 0 to 2^64 - 1. shape: channels, rows, columns. first: number of the first frame along the path.
    """
    return torch.from_numpy(np.stack([_frame(seed, first + index, shape) for index in range(count)]))


def _frame(seed: int, number: int, shape: tuple[int, int, int]) -> np.ndarray:
    stream = np.random.SeedSequence(seed, spawn_key=(_STREAM, number))
    return np.random.Generator(np.random.Philox(stream)).standard_normal(shape, dtype=np.float32)

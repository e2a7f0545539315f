"""The noise that painting starts from, and the noise that is laid over what a model sees."""

from __future__ import annotations

import numpy as np
import torch

_STREAM, _CONDITION_STREAM = 0, 2
"""Which of a seed's streams of random numbers these are; panorama.py has the one between."""


def frames(seed: int, count: int, shape: tuple[int, int, int], *, first: int = 0) -> torch.Tensor:
    """Normal noise (count, *shape) float32 on the CPU.

    Each frame of the path has its own stream, so that the noise of a frame depends on neither clip, device nor torch.
    seed: 0 to 2^64 - 1. shape: channels, rows, columns. first: number of the first frame along the path.
    """
    return torch.from_numpy(np.stack([_frame(seed, _STREAM, first + index, shape) for index in range(count)]))


def on_condition(seed: int, number: int, size: tuple[int, int]) -> torch.Tensor:
    """Normal noise for the picture that a model sees of a frame, (3, rows, columns) float32 on the CPU.

    number: of the frame along the path. size: rows and columns.
    """
    return torch.from_numpy(_frame(seed, _CONDITION_STREAM, number, (3, *size)))


def _frame(seed: int, which: int, number: int, shape: tuple[int, int, int]) -> np.ndarray:
    stream = np.random.SeedSequence(seed, spawn_key=(which, number))
    return np.random.Generator(np.random.Philox(stream)).standard_normal(shape, dtype=np.float32)

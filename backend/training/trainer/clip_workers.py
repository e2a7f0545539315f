"""Clips that other processes make, each on one thread of the processor, while this one learns from those it has."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch

from ..training_clip import ClipSource, TrainingClip

_made_by: list[ClipSource] = []
"""In a process that makes clips, what makes them."""


class ClipWorkers:
    """A source whose clips come out of processes. device: where clips are brought to."""

    def __init__(self, processes: ProcessPoolExecutor, device: str) -> None:
        self._processes, self._device = processes, device
        self._expected: dict[int, Future[TrainingClip]] = {}

    def expect(self, seed: int) -> None:
        """Begin to make the clip of a seed, which will be asked for."""
        if seed not in self._expected:
            self._expected[seed] = self._processes.submit(_clip, seed)

    def clip(self, seed: int) -> TrainingClip:
        """The clip of a seed. Raises what its source raises."""
        self.expect(seed)
        return _converted(self._expected.pop(seed).result(), np.ndarray, self._on_device)

    def _on_device(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


@contextmanager
def working(make: Callable[[], ClipSource], count: int, device: str) -> Iterator[ClipWorkers]:
    """Processes that make clips, within the block.

    make: makes the source, in each process; it is made here as well, so that what it lacks is told before.
    """
    make()
    context = multiprocessing.get_context("spawn")  # a process with a GPU cannot be copied
    processes = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(make,))
    try:
        yield ClipWorkers(processes, device)
    finally:
        processes.shutdown(wait=False, cancel_futures=True)


def _begin(make: Callable[[], ClipSource]) -> None:
    torch.set_num_threads(1)
    os.environ["NUMBA_NUM_THREADS"] = "1"  # before anything imports it
    _made_by.append(make())


def _clip(seed: int) -> TrainingClip:
    """A clip of arrays: tensors would take a file handle each on their way."""
    return _converted(_made_by[0].clip(seed), torch.Tensor, lambda tensor: tensor.numpy())


def _converted(clip: TrainingClip, kind: type, convert: Callable[[Any], Any]) -> TrainingClip:
    """The clip with all of its pictures converted: those fields that are of a kind, but for the cameras."""
    given = {each.name: getattr(clip, each.name) for each in fields(TrainingClip) if each.name != "cameras"}
    changed: dict[str, Any] = {name: convert(value) for name, value in given.items() if isinstance(value, kind)}
    return replace(clip, **changed)

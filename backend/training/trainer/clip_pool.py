"""Which clip each sample of a run sees: a function of the run's seed and the sample's number, so that nothing is kept.

Making a clip can take as long as learning from it. A run therefore draws from a pool, whose oldest clip makes room for
a new one after so many samples; a process makes those clips that its own samples ask for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from ..training_clip import ClipSource, TrainingClip
from .clip_workers import ClipWorkers
from .settings import Clips

_CHOICE, _DRAWS = 0, 1
"""Streams of random numbers of a sample: which clip it is, and whatever its loss draws."""


@dataclass(frozen=True, eq=False)
class Sample:
    """number: from the run's beginning. clip: what it shows. generator: its own random numbers, on the CPU."""

    number: int
    clip: TrainingClip
    generator: torch.Generator


def generator(seed: int, number: int) -> torch.Generator:
    """The random numbers of a sample, wherever and whenever it is learned from."""
    state = np.random.SeedSequence(seed, spawn_key=(_DRAWS, number)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


class ClipPool:
    """The clips that samples see. source: makes them when they are asked for, or before. seed: of the run."""

    def __init__(self, source: ClipSource, clips: Clips, seed: int) -> None:
        self._source, self._clips, self._seed = source, clips, seed
        self._made: dict[int, TrainingClip] = {}

    def expect(self, numbers: Sequence[int]) -> None:
        """Samples that will be asked for: processes begin to make their clips."""
        if isinstance(self._source, ClipWorkers):
            for clip in dict.fromkeys(self._chosen(number) for number in numbers):
                if clip not in self._made:
                    self._source.expect(self._clips.first + clip)

    def sample(self, number: int) -> Sample:
        """A sample by its number; fastest if numbers grow."""
        chosen, oldest = self._chosen(number), self._oldest(number)
        for gone in [each for each in self._made if each < oldest]:
            del self._made[gone]
        if chosen not in self._made:
            self._made[chosen] = self._source.clip(self._clips.first + chosen)
        return Sample(number, self._made[chosen], generator(self._seed, number))

    def _oldest(self, number: int) -> int:
        """The first of the clips among which a sample's is drawn."""
        return number // self._clips.uses

    def _chosen(self, number: int) -> int:
        """Which clip a sample sees."""
        stream = np.random.SeedSequence(self._seed, spawn_key=(_CHOICE, number))
        return self._oldest(number) + int(np.random.Generator(np.random.Philox(stream)).integers(self._clips.kept))


def held_out(source: ClipSource, clips: Clips, seed: int) -> list[Sample]:
    """The clips that a run is judged by, of a source of those that are held out."""
    seeds = range(clips.held_out_first, clips.held_out_first + clips.held_out)
    return [Sample(each, source.clip(each), generator(seed, each)) for each in seeds]


@dataclass(frozen=True)
class Share:
    """What a process takes of each step. rank: of `processes`, from 0."""

    batch: int
    accumulate: int
    rank: int = 0
    processes: int = 1

    @property
    def of_step(self) -> int:
        """Samples of a step, of all processes."""
        return self.batch * self.accumulate * self.processes

    def numbers(self, first: int) -> list[range]:
        """Numbers of the samples of each of the process's batches in a step that begins with the sample `first`."""
        starts = (first + (index * self.processes + self.rank) * self.batch for index in range(self.accumulate))
        return [range(start, start + self.batch) for start in starts]


@contextmanager
def batches(pool: ClipPool, share: Share, first: int, ahead: int) -> Iterator[Iterator[Sequence[Sequence[Sample]]]]:
    """The batches of each step, without end, as an iterator within the block.

    first: number of the first sample. ahead: steps that a thread prepares beforehand; 0 makes them when asked for.
    """
    if not ahead:
        yield _made(pool, share, first)
        return
    ended, threads = threading.Event(), torch.get_num_threads()

    def prepare(number: int) -> Sequence[Sequence[Sample]]:
        if ended.is_set():
            return []
        return _step(pool, share, number)

    with ThreadPoolExecutor(
        1, thread_name_prefix="clips", initializer=torch.set_num_threads, initargs=(threads,)
    ) as thread:
        waiting: list[Future[Sequence[Sequence[Sample]]]] = []

        def following() -> Iterator[Sequence[Sequence[Sample]]]:
            number = first
            while True:
                while len(waiting) <= ahead:
                    pool.expect([each for batch in share.numbers(number) for each in batch])
                    waiting.append(thread.submit(prepare, number))
                    number += share.of_step
                yield waiting.pop(0).result()

        try:
            yield following()
        finally:
            ended.set()


def _made(pool: ClipPool, share: Share, first: int) -> Iterator[Sequence[Sequence[Sample]]]:
    while True:
        yield _step(pool, share, first)
        first += share.of_step


def _step(pool: ClipPool, share: Share, first: int) -> Sequence[Sequence[Sample]]:
    return [[pool.sample(number) for number in numbers] for numbers in share.numbers(first)]

"""Progress of a long job: what the generators of this project yield."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

Result = TypeVar("Result")

_GLANCE = 0.004
"""Seconds that are waited for a thread before the driver has its turn."""


@dataclass(frozen=True)
class Progress:
    """One step of a long job.

    phase: what is being done, for people ("Geometry pass").
    step, of: steps finished and steps in all; of is 0 while the total is unknown.
    waiting: True if nothing happened since the last step, so that a blocking driver may sleep.
    text: a detail worth showing ("frame 12"), or empty.
    warning: what the artist should know from now on, or empty; the job goes on.
    preview: path of a picture or of points, the result so far, that has just been written, or empty.
    """

    phase: str
    step: int = 0
    of: int = 0
    waiting: bool = False
    text: str = ""
    warning: str = ""
    preview: str = ""

    @property
    def fraction(self) -> float:
        """Share finished, 0 to 1."""
        return min(max(self.step / self.of, 0.0), 1.0) if self.of else 0.0


class Notices:
    """What a job has told besides its progress: its warnings, each once and in order, and its newest preview."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.preview = ""

    def take(self, step: Progress) -> None:
        """Note what a step tells."""
        if step.warning and step.warning not in self.warnings:
            self.warnings.append(step.warning)
        self.preview = step.preview or self.preview


Job = Generator[Progress, None, Result]
"""A long job: yields progress, returns its result, and is cancelled by closing the generator."""


def run_to_end(job: Job[Result]) -> Result:
    """Run a job to its end, without looking at its progress."""
    try:
        while True:
            next(job)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def map_progress(job: Job[Result], tell: Callable[[Progress], Iterable[Progress]]) -> Job[Result]:
    """The job with each of its steps replaced by what `tell` makes of it. Closing this closes the job."""
    with closing(job):
        try:
            while True:
                yield from tell(next(job))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def observed(job: Job[Result], notices: Notices) -> Job[Result]:
    """The job as it is, with what it tells noted."""

    def noted(step: Progress) -> Iterable[Progress]:
        notices.take(step)
        return (step,)

    return (yield from map_progress(job, noted))


def in_thread(work: Callable[[], Result], step: Progress) -> Job[Result]:
    """Do something in a thread, so that whoever drives the job draws and listens meanwhile.

    work: must not touch what its thread may not, as Blender's data. step: what is told while it lasts.
    Closing the job waits for the thread: it may be in the middle of a file. Raises what `work` raises.
    """
    told = replace(step, waiting=True)
    return (yield from _in_thread(work, lambda: told))


def job_in_thread(job: Job[Result], begin: Progress) -> Job[Result]:
    """Have a thread drive a job, which tells of progress alone: as `in_thread`. begin: what is told until it tells.

    Closing this closes the job after the step that it is in.
    """
    yield begin
    newest, closed = begin, threading.Event()

    def work() -> Result:
        nonlocal newest
        with closing(job):
            try:
                while not closed.is_set():
                    newest = next(job)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
        raise GeneratorExit

    return (yield from _in_thread(work, lambda: replace(newest, waiting=True), closed.set))


def _in_thread(
    work: Callable[[], Result], told: Callable[[], Progress], stop: Callable[[], None] = lambda: None
) -> Job[Result]:
    # A thread that is interrupted while it is started (Ctrl-C) is not known to the pool, which then does not wait for
    # it: until it is known it waits at a gate, and does nothing if it never was.
    gate, known = threading.Event(), False

    def gated() -> Result:
        gate.wait()
        if not known:
            raise GeneratorExit
        return work()

    with ThreadPoolExecutor(1, thread_name_prefix="pantheon360") as threads:
        try:
            future = threads.submit(gated)
            known = True
            gate.set()
            while True:
                with suppress(TimeoutError):
                    return future.result(timeout=_GLANCE)
                if future.done():
                    return future.result()
                yield told()
        finally:
            gate.set()
            stop()


class Eta:
    """Seconds left of a phase, from the pace so far."""

    def __init__(self) -> None:
        self._phase = ""
        self._started = 0.0
        self._first = 0

    def seconds(self, progress: Progress) -> float | None:
        """Estimated seconds to the end of this phase; None while there is nothing to judge by."""
        now = time.monotonic()
        if progress.phase != self._phase:
            self._phase, self._started, self._first = progress.phase, now, progress.step
        finished = progress.step - self._first
        if finished <= 0 or not progress.of:
            return None
        return (now - self._started) / finished * (progress.of - progress.step)

"""Work in threads: whoever drives a job has its turn meanwhile, and learns how it ended."""

from __future__ import annotations

import threading

import pytest

from pantheon360_blender.core import progress
from pantheon360_blender.core.progress import Progress


def test_work_in_a_thread_lets_the_driver_have_its_turn() -> None:
    gate, place = threading.Event(), list[threading.Thread]()

    def work() -> str:
        place.append(threading.current_thread())
        gate.wait(300)
        return "done"

    job = progress.in_thread(work, Progress("Writing", 1, 3))
    steps = [next(job) for _ in range(3)]
    assert all(step.waiting and (step.phase, step.step) == ("Writing", 1) for step in steps)
    gate.set()
    assert progress.run_to_end(job) == "done" and place[0] is not threading.current_thread()


def test_what_a_thread_raises_is_raised() -> None:
    def work() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        progress.run_to_end(progress.in_thread(work, Progress("Writing")))


def test_closing_waits_for_the_thread() -> None:
    gate, ended = threading.Event(), list[bool]()

    def work() -> None:
        gate.wait(300)
        ended.append(True)

    job = progress.in_thread(work, Progress("Writing"))
    next(job)
    threading.Timer(0.05, gate.set).start()
    job.close()
    assert ended == [True]


def test_a_job_that_a_thread_drives_tells_its_progress_and_returns_its_result() -> None:
    gate, places = threading.Event(), set[threading.Thread]()

    def counting() -> progress.Job[str]:
        for step in range(3):
            places.add(threading.current_thread())
            yield Progress("Counting", step, 3)
            gate.wait(10 if step == 1 else 0)
        return "done"

    job = progress.job_in_thread(counting(), Progress("Beginning"))
    told = next(job)
    while told.step < 1:
        told = next(job)
    assert told == Progress("Counting", 1, 3, waiting=True)
    gate.set()
    assert progress.run_to_end(job) == "done"
    assert threading.current_thread() not in places


def test_closing_it_closes_the_job_after_its_step() -> None:
    closed = list[int]()

    def endless() -> progress.Job[None]:
        step = 0
        try:
            while True:
                step += 1
                yield Progress("Counting", step)
        finally:
            closed.append(step)

    job = progress.job_in_thread(endless(), Progress("Beginning"))
    while not next(job).step:
        pass
    job.close()
    assert len(closed) == 1 and closed[0] > 0


def test_what_is_interrupted_while_its_thread_starts_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C may come before the pool knows its thread: nobody would wait for that one."""
    start, done = threading.Thread.start, []

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        progress.run_to_end(progress.in_thread(lambda: done.append("work"), Progress("Writing")))
    for thread in threading.enumerate():
        if thread.name.startswith("pantheon360"):
            thread.join(300)
    assert not done

"""One bar for a whole job."""

from __future__ import annotations

import pytest

from pantheon360_blender.core.jobs.whole_progress import WEIGHTS, WholeProgress
from pantheon360_blender.core.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("kind", WEIGHTS)
def test_the_bar_grows_from_nothing_to_the_end(kind: str) -> None:
    whole, seen = WholeProgress(kind), []
    for phase in WEIGHTS[kind]:
        if phase == "Denoising":
            continue
        for step in range(5):
            whole.take(Progress(phase, step, 4))
            seen.append(whole.fraction)
    assert seen == sorted(seen) and seen[0] < 0.05 and len(set(seen)) > len(seen) / 2
    assert seen[-1] == pytest.approx(1.0, abs=0.01 if kind == "reconstruct" else 0.15)


def test_a_diffusion_job_reaches_the_end_too() -> None:
    whole = WholeProgress("paint")
    for phase in WEIGHTS["paint"]:
        if phase != "Painting":
            whole.take(Progress(phase, 1, 1))
    assert whole.fraction == pytest.approx(1.0)


def test_the_next_clip_of_a_job_does_not_take_the_bar_back() -> None:
    whole = WholeProgress("paint")
    whole.take(Progress("Decoding", 4, 4))
    before = whole.fraction
    whole.take(Progress("Encoding", 0, 4))
    whole.take(Progress("What nobody knows", 1, 2))
    assert whole.fraction == before > 0.5


def test_the_time_left_is_that_of_the_pace_since_this_run_began() -> None:
    clock = Clock()
    whole = WholeProgress("reconstruct", clock)
    assert whole.seconds_left() is None
    whole.take(Progress("Sweeping", 0, 4))
    first = whole.fraction
    assert first > 0.1 and whole.seconds_left() is None
    clock.now += 30
    whole.take(Progress("Matching at half width", 0, 3))
    expected = 30 / (whole.fraction - first) * (1 - whole.fraction)
    assert whole.seconds_left() == pytest.approx(expected)

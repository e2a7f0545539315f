"""How far a whole job is: its phases, weighted by what each of them usually takes, make one bar with one time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ..progress import Progress

WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "paint": {
        "Camera path": 2,
        "Writing captures": 3,
        "Geometry pass": 20,
        "Starting the backend": 1,
        "Checking inputs": 2,
        "Loading the model": 3,
        "Reading the geometry": 2,
        "Saving what the model sees": 1,
        "Encoding anchors": 1,
        "Encoding": 3,
        "Painting": 60,
        "Denoising": 60,
        "Decoding": 8,
        "Writing frames": 2,
        "Encoding video": 6,
        "Adding strip": 1,
    },
    "reconstruct": {
        "Writing captures": 2,
        "Starting the backend": 1,
        "Reading captures": 1,
        "Preparing captures": 2,
        "Finding features": 11,
        "Matching features": 3,
        "Solving poses": 1,
        "Preparing range maps": 1,
        "Sweeping": 6,
        "Matching at quarter width": 5,
        "Finding surfaces at quarter width": 8,
        "First look": 1,
        "Matching at half width": 6,
        "Finding surfaces at half width": 6,
        "Matching at full width": 25,
        "Finding surfaces at full width": 6,
        "Proving surfaces": 4,
        "Judging confidence": 3,
        "Completing surfaces": 10,
        "Fusing points": 2,
        "Writing the points": 1,
        "Bringing the points into the scene": 1,
    },
    "extend": {
        "Comparing with the take": 2,
        "Writing frames": 6,
        "Writing captures": 3,
        "Starting the backend": 1,
        "Checking inputs": 1,
        "Reading the frames": 2,
        "Looking at the cache": 25,
        "Completing surfaces": 58,
        "Writing the points": 1,
        "Bringing the points into the scene": 1,
    },
}
"""Kind of job -> its phases in their order, and about how many seconds of a hundred each takes."""

_ENOUGH = 0.02
"""Share of a job after which its pace says something."""


class WholeProgress:
    """Where a job stands in all, from the steps of its phases; it never goes back.

    kind: of WEIGHTS; the phases of any other are not known, and `fraction` is then that of the phase.
    fraction: share of the whole that is done, 0 to 1. clock: seconds, of any beginning.
    """

    def __init__(self, kind: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.fraction = 0.0
        self._weights = WEIGHTS.get(kind, {})
        self._total = sum(_without_alternatives(self._weights).values())
        self._clock = clock
        self._started: tuple[float, float] | None = None

    def take(self, step: Progress) -> None:
        """Note a step. A phase that is not known is part of the one before it."""
        if not self._weights:
            self.fraction = step.fraction
        elif step.phase in self._weights:
            done = self._before(step.phase) + self._weights[step.phase] * step.fraction
            self.fraction = max(self.fraction, min(done / self._total, 1.0))
        if self._started is None:
            self._started = (self._clock(), self.fraction)

    def seconds_left(self) -> float | None:
        """Seconds to the end at the pace so far; None while that says nothing.

        What an earlier run of the job had finished does not count: it was passed over in no time.
        """
        if self._started is None:
            return None
        since, first = self._started
        done = self.fraction - first
        return (self._clock() - since) / done * (1 - self.fraction) if done > _ENOUGH else None

    def _before(self, phase: str) -> float:
        total = 0.0
        for name, weight in _without_alternatives(self._weights, phase).items():
            if name == phase:
                return total
            total += weight
        return total


def _without_alternatives(weights: Mapping[str, float], phase: str = "Denoising") -> dict[str, float]:
    """A painter either paints or denoises: only one of the two counts."""
    other = {"Painting": "Denoising"}.get(phase, "Painting")
    return {name: weight for name, weight in weights.items() if name != other}

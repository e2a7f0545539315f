"""The steps of a dense estimate, and what a step leaves for a run that goes on after it.

Every step changes one view, or labels all of them and changes the planes of the place. What it changed is kept, each
view in one file, so that a run that was killed goes on with the step that it was in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pantheon360_blender.core.progress import Progress

from ..kept import KeptSteps
from .place import PlaneSet
from .plane_hypotheses import Evidence
from .view import CARRIED, DenseView

_NARROWEST = 64  # pixels, of a width that is estimated at
_LEVELS = (("quarter", 4), ("half", 2), ("full", 1))
_OF_EVIDENCE = ("points", "ranges", "cells", "sectors")


@dataclass(frozen=True)
class Step:
    """width: of the views. first: whether it is the smallest. view: the one that changes, None for labelling all.

    number: of the round of propagation at this width, -1 for the sweep before them. rounds: how many there are, or how
    often planes are proposed for labelling. level: what the width is of the finest, for people.
    """

    level: str
    width: int
    first: bool
    view: int | None
    number: int
    rounds: int

    def progress(self, views: int) -> Progress:
        """What is told of a step that changes one of so many views."""
        view = self.view or 0
        if self.number < 0:
            return Progress("Sweeping", view, views)
        return Progress(f"Matching at {self.level} width", self.number * views + view, self.rounds * views)

    def labelling(self, number: int) -> Progress:
        """What is told of labelling when planes have been proposed so often."""
        return Progress(f"Finding surfaces at {self.level} width", number, self.rounds)


def plan(views: int, width: int) -> list[Step]:
    """The steps in their order. views: how many. width: of the finest level, pixels."""
    steps = []
    levels = [(name, width // part) for name, part in _LEVELS if width // part >= _NARROWEST]
    for name, each in levels:
        first = each == levels[0][1]
        rounds = 3 if first else 2
        numbers = range(-1 if first else 0, rounds)
        steps += [Step(name, each, first, view, number, rounds) for number in numbers for view in range(views)]
        steps.append(Step(name, each, first, None, 0, 4 if first else 2))
    return steps


def keep(kept: KeptSteps, steps: Sequence[Step], number: int, views: Sequence[DenseView], plane_set: PlaneSet) -> None:
    """Keep what a step has changed. The planes come last: labelling that was not kept whole is done again.

    It takes nothing from the labels before it but the planes, so that it then ends the same. Raises FileError.
    """
    changed = steps[number].view
    for index in range(len(views)) if changed is None else [changed]:
        kept.write(_name(index), {"step": np.array(number), **views[index].carried()})
    if changed is None:
        assert plane_set.edges is not None
        edges = {name: getattr(plane_set.edges, name) for name in _OF_EVIDENCE}
        kept.write("planes", {"step": np.array(number), "planes": plane_set.planes, **edges})


def take_up(kept: KeptSteps, steps: Sequence[Step], views: Sequence[DenseView], plane_set: PlaneSet) -> int:
    """Give the views and the planes what was kept of them. Returns the number of the first step that remains.

    It is 0, and nothing is changed, if files are missing or do not belong together.
    """
    found = [_view(kept, index, steps) for index in range(len(views))]
    planes = _planes(kept)
    reached = [-1 if each is None else int(each["step"]) for each in found]
    labelled = -1 if planes is None else int(planes["step"])
    undone = (
        number for number, step in enumerate(steps) if number > (labelled if step.view is None else reached[step.view])
    )
    first = next(undone, len(steps))
    labelling = first < len(steps) and steps[first].view is None  # some views may be kept of it already
    if labelled >= first or max(reached) >= first + labelling:
        return 0
    for view, each in zip(views, found, strict=True):
        if each is not None:
            view.carry_on(each)
    if planes is not None:
        plane_set.planes, plane_set.edges = planes["planes"], Evidence(*(planes[name] for name in _OF_EVIDENCE))
    return first


def _name(index: int) -> str:
    return f"view-{index + 1:04d}"


def _view(kept: KeptSteps, index: int, steps: Sequence[Step]) -> dict[str, np.ndarray] | None:
    found = kept.read(_name(index), "step", *CARRIED)
    if found is None or found["step"].shape != () or not 0 <= found["step"] < len(steps):
        return None
    width = steps[int(found["step"])].width
    shapes = {name: found[name].shape[:2] for name in CARRIED}
    sound = set(shapes.values()) == {(width // 2, width)}
    return found if sound and found["planes"].shape == found["prior"].shape == (width // 2, width, 3) else None


def _planes(kept: KeptSteps) -> dict[str, np.ndarray] | None:
    found = kept.read("planes", "step", "planes", *_OF_EVIDENCE)
    if found is None or found["step"].shape != () or found["planes"].shape[1:] != (4,):
        return None
    count = len(found["ranges"])
    sound = found["points"].shape == (count, 3) and found["cells"].shape == found["sectors"].shape == (count,)
    return found if sound else None

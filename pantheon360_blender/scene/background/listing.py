"""The person's jobs as a panel lists them: how far each is, and what can be done with it. Cheap enough to draw."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...core import budget, inputs, json_values
from ...core.jobs import registry
from ...core.jobs.job_folder import STATE_FILE
from ...core.jobs.registry import Condition, Entry
from . import delivery, removal

_RENEWED = 2.0
"""Seconds after which it is looked whether another process has gone, or finished a job: no file here tells that."""

UNFINISHED: tuple[Condition, ...] = ("paused", "failed", "interrupted")
"""Conditions in which a job can be gone on with."""


@dataclass(frozen=True)
class Item:
    """A job in the list.

    condition: its entry's, but finished if its folder says so. is_here: its scene is in this file. is_gone: its folder
    is not there any more. is_begun: its folder is not there yet.
    """

    entry: Entry
    condition: Condition
    is_here: bool
    is_gone: bool
    is_begun: bool


def items() -> list[Item]:
    """Every job that is not delivered, the oldest first."""
    return [item for item in _all() if item.condition != "delivered"]


def delivered() -> list[tuple[Item, int]]:
    """Jobs whose results were delivered and whose folders are still there, with the bytes that each takes."""
    found = [item for item in _all() if item.condition == "delivered" and not item.is_gone]
    return [(item, _size(item.entry.path, item.entry.updated)) for item in found]


def offers() -> list[Item]:
    """Jobs of this file that nobody has in hand and whose results are not in the scene: to go on with or to deliver."""
    wanted = (*UNFINISHED, "finished")
    return [item for item in items() if item.is_here and item.condition in wanted and not item.is_gone]


def find(job_id: str) -> Item | None:
    """One job of either list, or None."""
    return next((item for item in _all() if item.entry.id == job_id), None)


def _all() -> list[Item]:
    known = _known(registry.stamp(), int(time.monotonic() / _RENEWED))
    return [
        Item(
            entry,
            condition,
            is_here=delivery.scene_of(entry) is not None,
            is_gone=not there and entry.state != "preparing",
            is_begun=not there and entry.state == "preparing",
        )
        for entry, condition, there in known
    ]


@lru_cache(maxsize=1)
def _known(_stamp: int, _moment: int) -> tuple[tuple[Entry, Condition, bool], ...]:
    """What asks the disk; panels are drawn often, and a folder may lie on a slow one."""
    return tuple((entry, _condition(entry), inputs.is_folder(entry.path)) for entry in registry.entries())


@lru_cache(maxsize=1024)
def _size(folder: Path, _changed: str) -> int:
    return removal.size(folder)


def _condition(entry: Entry) -> Condition:
    condition = entry.condition
    return "finished" if condition in UNFINISHED and _is_done(entry.path) else condition


def _is_done(folder: Path) -> bool:
    """Whether a process of its own, as `python -m backend run`, has finished a job since this Blender left it."""
    state = json_values.read(folder / STATE_FILE, budget.RECORD_FILE)
    return isinstance(state, dict) and state.get("status") == "done"

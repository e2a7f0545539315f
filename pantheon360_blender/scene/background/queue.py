"""The queue of this Blender: prepared jobs, one after the other, while the artist works on.

What waits and what runs stands in the person's registry (core/jobs/registry.py), named after this process; here is only
what drives it: a timer that outlives the file that is open. Undo, loading and deleting scenes do not touch it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy

from ...core import duration
from ...core.errors import JobError, PantheonError
from ...core.jobs import job_folder, registry, whole_progress
from ...core.jobs.registry import Entry
from ...core.unexpected import explained
from ..app import jobs
from ..app.jobs import Ticker
from ..shot import shot
from . import delivery, listing, outcomes

_STATUS_INTERVAL = 1.0  # seconds between two drawings of the status bar
_PATIENCE = 0.25  # seconds until it is looked again whether a job can be delivered
_AFTER_A_FAULT = 5.0  # seconds until it is tried again
_SIGN_OF_LIFE = 300.0  # seconds between two

_log = logging.getLogger(__name__)


@dataclass
class Current:
    """The job that this Blender works on.

    entry: as it was when it began. whole: how far it is in all. delivers: whether its work is done, and what is left
    changes the file.
    """

    entry: Entry
    ticker: Ticker
    whole: whole_progress.WholeProgress
    delivers: bool = False

    @property
    def time_left(self) -> str:
        """Time to the end in words, empty while nothing can be said."""
        seconds = self.whole.seconds_left()
        return duration.as_text(seconds) if seconds is not None else ""


@dataclass
class _Queue:
    """told: by job, what its end said. begun: jobs that were taken from the registry since they were put there: one
    whose state cannot be written is not begun for ever. undelivered: jobs whose work is done, with their warnings.
    """

    current: Current | None = None
    told: dict[str, list[str]] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    undelivered: dict[str, list[str]] = field(default_factory=dict)
    delivered: Entry | None = None
    drawn: float = 0.0
    seen_alive: float = 0.0


_queue = _Queue()


def current() -> Current | None:
    """The job that this Blender works on now."""
    return _queue.current


def told(job_id: str) -> list[str]:
    """What a job of this Blender said at its end, and warned of."""
    return _queue.told.get(job_id, [])


def delivered() -> Entry | None:
    """The job whose results this Blender delivered last; None before the first. `told` has what that said."""
    return _queue.delivered


def enqueue(job_id: str) -> None:
    """Have a prepared, paused, failed or interrupted job done after those that wait.

    Raises JobError if it is not in the registry or another process has it in hand, FileError if that cannot be written.
    """
    entry = registry.find(job_id)
    if entry is None:
        raise JobError("The list of jobs does not have this one.", advice="Look whether your home folder is writable.")
    if entry.condition in registry.IN_HAND:
        if entry.is_ours:
            return
        raise JobError(f"Another process works on {entry.title}.", advice="Wait for it, or stop it there.")
    registry.add(replace(entry, state="waiting", place=time.time(), error="", repair=""))
    _queue.told.pop(job_id, None)
    _queue.begun.discard(job_id)
    start()


def deliver(job_id: str) -> None:
    """Bring the results of a finished job into the scene that is open, as soon as nobody is in the way."""
    _queue.undelivered.setdefault(job_id, [])
    start()


def pause(job_id: str) -> None:
    """Stop a job that is worked on, or take one that waits out of the queue. What is finished is kept.

    A process that goes on after Blender has quit is asked to stop.
    """
    running = _queue.current
    if running is not None and running.entry.id == job_id:
        _queue.current = None
        running.ticker.close()
    _queue.undelivered.pop(job_id, None)
    entry = registry.find(job_id)
    if entry is None or entry.condition not in registry.IN_HAND:
        return
    if entry.is_ours:
        registry.note(job_id, state="paused")
    else:
        registry.ask_to_stop(job_id)


def move(job_id: str, by: int) -> None:
    """Let a job that waits change places with the one before it (by -1) or after it (by 1)."""
    waiting = queued()
    index = next((number for number, entry in enumerate(waiting) if entry.id == job_id), None)
    if index is None or not 0 <= index + by < len(waiting):
        return
    one, other = waiting[index], waiting[index + by]
    registry.note(one.id, place=other.place)
    registry.note(other.id, place=one.place)


def queued() -> list[Entry]:
    """What waits for its turn in this Blender, the next one first."""
    ours = (entry for entry in registry.entries() if entry.state == "waiting" and entry.is_ours)
    return sorted(ours, key=lambda entry: entry.place)


def is_in_hand(scene: bpy.types.Scene) -> bool:
    """Whether the job that a scene remembers is at work here or waits for it. Cheap enough for a panel."""
    noted = shot.unfinished(scene)
    return noted is not None and any(
        item.entry.path == noted and item.condition in registry.IN_HAND for item in listing.items()
    )


def start() -> None:
    """Begin to work, if that has not begun."""
    if not bpy.app.timers.is_registered(_beat):
        bpy.app.timers.register(_beat, first_interval=0.0, persistent=True)


def run_to_end() -> None:
    """Work until nothing waits any more, without an interface."""
    while (pause := step()) is not None:
        time.sleep(pause)


def step() -> float | None:
    """One tick of the queue. Returns seconds until the next one; None when nothing is left to do."""
    _keep_alive()
    if _queue.current is None and not (_begin_delivery() or _begin_work()):
        return _PATIENCE if _queue.undelivered else None
    current = _queue.current
    assert current is not None
    if current.delivers and not delivery.is_ready(current.entry):
        return _PATIENCE
    try:
        current.whole.take(current.ticker.tick())
    except StopIteration as end:
        _end(current, end.value)
    except PantheonError as error:
        _fail(current, error)
    except Exception as error:
        _fail(current, explained(error, current.ticker.label))
    _redraw()
    current.ticker.rest()
    return jobs.INTERVAL


def _redraw() -> None:
    """The panels at each tick, the status bars once in a while."""
    over, now = _queue.current is None, time.monotonic()
    often = not over and now - _queue.drawn < _STATUS_INTERVAL
    for manager in bpy.data.window_managers:
        jobs.redraw(manager, whole=over)
        if not often:
            jobs.redraw_status(manager)
    if not often:
        _queue.drawn = now


def _beat() -> float | None:
    """For Blender's timer, which drops what raises."""
    try:
        return step()
    except Exception:
        _log.exception("The queue stumbled")
        return _AFTER_A_FAULT


def _keep_alive() -> None:
    """Once in a while, let other Blenders see that what is in hand here is not abandoned."""
    now = time.monotonic()
    if now - _queue.seen_alive < _SIGN_OF_LIFE:
        return
    _queue.seen_alive = now
    running = [_queue.current.entry.id] if _queue.current is not None and not _queue.current.delivers else []
    registry.keep_alive([*running, *(entry.id for entry in queued())])


def _begin_delivery() -> bool:
    """Begin to deliver the first finished job that can be delivered now."""
    for job_id, warnings in list(_queue.undelivered.items()):
        entry = registry.find(job_id)
        if entry is None:
            del _queue.undelivered[job_id]
        elif delivery.is_ready(entry):
            del _queue.undelivered[job_id]
            ticker = Ticker(delivery.deliver(entry, warnings), entry.title)
            ticker.notices.warnings.extend(warnings)
            _queue.current = Current(entry, ticker, whole_progress.WholeProgress(entry.kind), delivers=True)
            return True
    return False


def _begin_work() -> bool:
    entry = next((entry for entry in queued() if entry.id not in _queue.begun), None)
    if entry is None:
        return False
    _queue.begun.add(entry.id)
    _queue.current = Current(entry, Ticker(delivery.work(entry), entry.title), whole_progress.WholeProgress(entry.kind))
    return True


def _end(current: Current, result: Any) -> None:
    _queue.current = None
    current.ticker.close()
    entry = current.entry
    if current.delivers:
        _queue.told[entry.id] = [str(result)]
        _queue.delivered = entry
        stage, label = outcomes.stage_of(entry.kind)
        warnings = current.ticker.notices.warnings
        outcomes.succeed(delivery.scene_of(entry), stage, label, warnings, _log_of(entry), whole=True)
        jobs.push_undo(entry.title)
    elif delivery.is_for_this_file(registry.find(entry.id) or entry):
        _queue.undelivered[entry.id] = list(result)
    else:
        where = delivery.file_of(registry.find(entry.id) or entry)
        _queue.told[entry.id] = [f"{entry.title} is finished. Deliver it when {where} is open.", *result]


def _fail(current: Current, error: PantheonError) -> None:
    """Keep why it failed. What could not be delivered is finished all the same."""
    _queue.current = None
    _queue.told[current.entry.id] = current.ticker.notices.warnings
    current.ticker.close()
    entry = registry.find(current.entry.id)
    if current.delivers or (entry is not None and (entry.is_ours or entry.state == "failed")):
        state = "finished" if current.delivers else "failed"
        registry.note(current.entry.id, state=state, error=str(error), repair=error.repair or "")
    scene, (stage, label) = delivery.scene_of(current.entry), outcomes.stage_of(current.entry.kind)
    if scene is not None:  # else the list of jobs tells it
        warnings = current.ticker.notices.warnings
        outcomes.fail(scene, stage, label, error, warnings, _log_of(current.entry))


def _log_of(entry: Entry) -> Path:
    return entry.path / job_folder.LOG_FILE


def register() -> None:
    """The timer begins with the first job."""


def unregister() -> None:
    """Leave every job of this Blender to another one."""
    if bpy.app.timers.is_registered(_beat):
        bpy.app.timers.unregister(_beat)
    if _queue.current is not None:
        pause(_queue.current.entry.id)
    for entry in queued():
        registry.note(entry.id, state="paused")
    for kept in (_queue.told, _queue.begun, _queue.undelivered):
        kept.clear()
    _queue.delivered = None

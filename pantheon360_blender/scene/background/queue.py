"""The queue of this Blender: prepared jobs, one after the other, while the artist works on.

What waits and what runs stands in the person's registry (core/jobs/registry.py), named after this process; here is only
what drives it: a timer that outlives the file that is open. Undo, loading and deleting scenes do not touch it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import bpy

from ...core import duration
from ...core.errors import PantheonError
from ...core.jobs import registry
from ...core.jobs.registry import Entry
from ...core.jobs.whole_progress import WholeProgress
from ...core.progress import Job
from ...core.unexpected import explained
from ..app import jobs
from ..app.jobs import Ticker
from ..shot import shot
from . import delivery, listing

_STATUS_INTERVAL = 1.0  # seconds between two drawings of the status bar

_log = logging.getLogger(__name__)


@dataclass
class Current:
    """The job that this Blender works on. entry: as it was when it began. whole: how far it is in all."""

    entry: Entry
    ticker: Ticker
    whole: WholeProgress

    @property
    def time_left(self) -> str:
        """Time to the end in words, empty while nothing can be said."""
        seconds = self.whole.seconds_left()
        return duration.as_text(seconds) if seconds is not None else ""


@dataclass
class _Queue:
    current: Current | None = None
    told: dict[str, list[str]] = field(default_factory=dict)
    drawn: float = 0.0


_queue = _Queue()


def current() -> Current | None:
    """The job that this Blender works on now."""
    return _queue.current


def told(job_id: str) -> list[str]:
    """What a job of this Blender said at its end, and warned of."""
    return _queue.told.get(job_id, [])


def enqueue(job_id: str) -> None:
    """Have a prepared, paused, failed or interrupted job done after those that wait. Raises FileError.

    One that another Blender has in hand is left to it.
    """
    entry = registry.find(job_id)
    if entry is None or entry.condition in registry.IN_HAND:
        return
    registry.add(replace(entry, state="waiting", place=time.time(), error="", repair=""))
    _queue.told.pop(job_id, None)
    start()


def deliver(job_id: str) -> None:
    """Bring the results of a finished job into the scene that is open, now if nothing else is delivered."""
    _run_next(job_id, delivery.deliver)
    start()


def pause(job_id: str) -> None:
    """Stop a job that this Blender works on, or take one that waits out of the queue. What is finished is kept."""
    running = _queue.current
    if running is not None and running.entry.id == job_id:
        _queue.current = None
        running.ticker.close()
    entry = registry.find(job_id)
    if entry is not None and entry.is_ours:
        registry.note(job_id, state="paused")


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
    if _queue.current is None and not _begin():
        return None
    current = _queue.current
    assert current is not None
    try:
        current.whole.take(current.ticker.tick())
    except StopIteration as end:
        _end(current, str(end.value))
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
        _log.exception("The queue stopped")
        return None


def _begin() -> bool:
    waiting = queued()
    if waiting:
        _run_next(waiting[0].id, delivery.work)
    return bool(waiting)


def _run_next(job_id: str, way: Callable[[Entry], Job[str]]) -> None:
    entry = registry.find(job_id)
    if entry is not None and _queue.current is None:
        _queue.current = Current(entry, Ticker(way(entry), entry.title), WholeProgress(entry.kind))


def _end(current: Current, sentence: str) -> None:
    _queue.current = None
    _queue.told[current.entry.id] = [sentence, *current.ticker.notices.warnings]
    current.ticker.close()
    _push_undo(current.entry.title)


def _fail(current: Current, error: PantheonError) -> None:
    _queue.current = None
    _queue.told[current.entry.id] = current.ticker.notices.warnings
    current.ticker.close()
    registry.note(current.entry.id, state="failed", error=str(error), repair=error.repair or "")


def _push_undo(message: str) -> None:
    """Let undo take the results away, and not what the artist did before them."""
    for manager in bpy.data.window_managers:
        for window in manager.windows[:1]:
            with bpy.context.temp_override(window=window):
                bpy.ops.ed.undo_push(message=message)


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
    _queue.told.clear()

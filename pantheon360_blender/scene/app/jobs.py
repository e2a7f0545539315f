"""One stepper, two drivers: long jobs are generators, run by a modal operator or by a blocking loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import bpy
from bpy.app.handlers import persistent

from ...core import duration, progress
from ...core.progress import Eta, Notices, Progress
from ..translation import translated
from . import pictures

Result = TypeVar("Result")

TICK = 0.02
"""Seconds of work between two redraws: the interface stays alive, and little is lost on the way in and out."""
LONGEST_TICK = 0.04
"""The same if redrawing takes as long: else it would take most of the job's time. What takes long is done elsewhere."""
INTERVAL = 0.02
"""Seconds between two ticks, and of sleep while a job waits."""

log = logging.getLogger(__name__)


def run_blocking(job: progress.Job[Result], report: Callable[[Progress], None] | None = None) -> Result:
    """Run a job to its end in this thread and return its result.

    report: called with every step. Whatever the job raises is raised; Ctrl-C closes the job first.
    """
    try:
        while True:
            step = next(job)
            if report is not None:
                report(step)
            if step.waiting:
                time.sleep(INTERVAL)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        job.close()


class Ticker:
    """A job that is advanced in ticks, between which Blender draws and listens.

    label: the job's, for people. notices: what it has told so far besides its progress. newest: its last step.
    """

    def __init__(self, job: progress.Job[Any], label: str) -> None:
        self.label = label
        self.notices = Notices()
        self.newest = Progress(label)
        self.eta = ""
        self._job = job
        self._eta = Eta()
        self._rested = time.monotonic()

    def tick(self) -> Progress:
        """Advance the job until a tick's time is spent or it waits.

        Raises StopIteration with the result at the end, and whatever the job raises.
        """
        now = time.monotonic()
        deadline = now + min(max(TICK, now - self._rested), LONGEST_TICK)
        self.notices.preview = ""
        while True:
            step = next(self._job)
            self.notices.take(step)
            if step.waiting or self.notices.preview or time.monotonic() >= deadline:
                break  # to show a preview takes a tick of its own
        seconds = self._eta.seconds(step)
        self.newest, self.eta = step, duration.as_text(seconds) if seconds is not None else ""
        if self.notices.preview:  # of this tick
            pictures.show_newest(self.notices.preview)
        return step

    def rest(self) -> None:
        """Note that the tick is over and drawing begins."""
        self._rested = time.monotonic()

    def close(self) -> None:
        """Cancel the job."""
        self.notices.preview = ""
        pictures.forget_newest()
        try:
            self._job.close()
        except Exception:
            log.exception("%s did not stop cleanly", self.label)


class Session:
    """A job running in the interface: its timer and what the panel shows. `end` is the only way out."""

    def __init__(self, context: Any, job: progress.Job[Any], label: str, owner: type | None = None) -> None:
        """owner: the operator's class; when it is unregistered the session ends."""
        self.label = label
        self.owner = owner
        self.cancelled_by = ""
        self._ticker = Ticker(job, label)
        self._manager = context.window_manager
        self._workspace = context.workspace
        self._timer = self._manager.event_timer_add(INTERVAL, window=context.window)
        _running.append(self)
        _guard()
        self._show(Progress(label), running=True)

    @property
    def notices(self) -> Notices:
        """What the job has told so far besides its progress."""
        return self._ticker.notices

    def tick(self) -> Progress:
        """Advance the job; raises as Ticker.tick."""
        step = self._ticker.tick()
        self._show(step, running=True)
        self._ticker.rest()
        return step

    def end(self, reason: str = "") -> None:
        """Close the job, remove the timer and clear the panel; nothing if that is done already."""
        if not self.active:
            return
        _running.remove(self)
        self.cancelled_by = reason
        self._ticker.close()
        # The window or its manager may be gone: Blender is quitting, or another file is being read.
        with suppress(ReferenceError, RuntimeError, ValueError):
            self._manager.event_timer_remove(self._timer)
        with suppress(ReferenceError, RuntimeError):
            self._show(Progress(""), running=False)

    @property
    def active(self) -> bool:
        """Whether the job still runs."""
        return self in _running

    def _show(self, step: Progress, *, running: bool) -> None:
        eta = self._ticker.eta
        shown = getattr(self._manager, "pantheon360", None)
        if shown is not None:
            shown.running, shown.progress, shown.eta = running, step.fraction, eta
            shown.phase = translated(step.phase)
            shown.warnings = "\n".join(self.notices.warnings) if running else ""
        self._workspace.status_text_set(_status(step, eta) if running else None)
        redraw(self._manager, whole=not running)


def redraw(window_manager: Any, *, whole: bool) -> None:
    """Draw what shows jobs. whole: not progress alone, but what a job changes.

    While a job runs its progress alone is drawn: a view of millions of points would take the job's time.
    """
    for window in window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if whole or region.type == "UI" or area.type == "PREFERENCES":
                    region.tag_redraw()


def redraw_status(window_manager: Any) -> None:
    """Draw the status bars. Python reaches them by their text alone, which a modal operator may have set: not then."""
    for window in window_manager.windows:
        if not getattr(window, "modal_operators", ()):
            with bpy.context.temp_override(window=window):
                window.workspace.status_text_set(None)


def push_undo(message: str) -> None:
    """Let undo take results away, and not what the artist did before them; other modes have steps of their own."""
    if bpy.context.mode != "OBJECT":
        return
    for manager in bpy.data.window_managers:
        for window in manager.windows[:1]:
            with bpy.context.temp_override(window=window):
                bpy.ops.ed.undo_push(message=message)


NOTHING_CHANGED = "Nothing was changed."
"""What a cancelled job leaves behind that changes the scene in its last step alone."""

_running: list[Session] = []
"""Sessions whose timers Blender holds: they must be ended before the add-on goes, or Blender hangs when it quits."""


def running() -> str:
    """Label of the job that runs in the interface, or empty."""
    return _running[0].label if _running else ""


def is_rendering() -> bool:
    """Whether a render reads scenes in a thread of its own now."""
    app: Any = bpy.app
    return bool(app.is_job_running("RENDER"))


def end_running(reason: str) -> None:
    """Cancel whatever runs in the interface."""
    for session in list(_running):
        session.end(reason)


def end_sessions_of(owner: type, reason: str) -> None:
    """Cancel what an operator's class has running, before the class is unregistered."""
    for session in list(_running):
        if session.owner is owner:
            session.end(reason)
    _unguard()


@persistent
def _end_before_another_file(*_: Any) -> None:
    """Another file takes the place of the data a job works on. Undo does a job no harm: it holds no Blender data."""
    end_running("another file replaced the data it works on")


def _guard() -> None:
    if _end_before_another_file not in bpy.app.handlers.load_pre:
        bpy.app.handlers.load_pre.append(_end_before_another_file)


def _unguard() -> None:
    """Not when a session ends: Blender may be walking through this very list."""
    if _end_before_another_file in bpy.app.handlers.load_pre and not _running:
        bpy.app.handlers.load_pre.remove(_end_before_another_file)


def _status(step: Progress, eta: str) -> str:
    counted = " " + translated("{step} of {of}", step=step.step, of=step.of) if step.of else ""
    left = ", " + translated("{time} left", time=eta) if eta else ""
    return f"{translated(step.phase)}{counted}{left}    {translated('Esc: cancel')}"

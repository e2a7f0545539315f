"""One stepper, two drivers: long jobs are generators, run by a modal operator or by a blocking loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import bpy
from bpy.app.handlers import persistent

from ..core import duration, progress
from ..core.errors import PantheonError
from ..core.progress import Eta, Progress

Result = TypeVar("Result")

TICK = 0.05
"""Seconds of work between two redraws: the interface stays alive, and little is lost on the way in and out."""
LONGEST_TICK = 0.5
"""Seconds of work between two redraws where redrawing takes as long: else it would take most of the job's time."""
INTERVAL = 0.02
"""Seconds between two ticks, and of sleep where a job waits."""

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


class Session:
    """A job running in the interface: its timer and what the panel shows. `end` is the only way out."""

    def __init__(self, context: Any, job: progress.Job[Any], label: str, owner: type | None = None) -> None:
        """owner: the operator's class; when it is unregistered the session ends."""
        self.label = label
        self.owner = owner
        self.cancelled_by = ""
        self._job = job
        self._eta = Eta()
        self._rested = time.monotonic()
        self._manager = context.window_manager
        self._workspace = context.workspace
        self._timer = self._manager.event_timer_add(INTERVAL, window=context.window)
        _running.append(self)
        _guard()
        self._show(Progress(label), running=True)

    def tick(self) -> Progress:
        """Advance the job until a tick's time is spent or it waits.

        Raises StopIteration with the result at the end, and whatever the job raises.
        """
        now = time.monotonic()
        deadline = now + min(max(TICK, now - self._rested), LONGEST_TICK)
        while True:
            step = next(self._job)
            if step.waiting or time.monotonic() >= deadline:
                self._show(step, running=True)
                self._rested = time.monotonic()
                return step

    def end(self, reason: str = "") -> None:
        """Close the job, remove the timer and clear the panel; nothing where that is done already."""
        if self not in _running:
            return
        _running.remove(self)
        self.cancelled_by = reason
        try:
            self._job.close()
        except Exception:
            log.exception("%s did not stop cleanly", self.label)
        # The window or its manager may be gone: Blender is quitting, or another file is being read.
        with suppress(ReferenceError, RuntimeError, ValueError):
            self._manager.event_timer_remove(self._timer)
        with suppress(ReferenceError, RuntimeError):
            self._show(Progress(""), running=False)

    def _show(self, step: Progress, *, running: bool) -> None:
        seconds = self._eta.seconds(step)
        eta = duration.as_text(seconds) if seconds is not None else ""
        shown = getattr(self._manager, "pantheon360", None)
        if shown is not None:
            shown.running, shown.progress, shown.phase, shown.eta = running, step.fraction, step.phase, eta
        self._workspace.status_text_set(_status(step, eta) if running else None)
        for window in self._manager.windows:
            for area in window.screen.areas:
                _redraw(area, whole=not running)


def _redraw(area: bpy.types.Area, *, whole: bool) -> None:
    """While a job runs its progress alone: drawing a view of millions of points would take the job's time."""
    for region in area.regions:
        if whole or region.type == "UI":
            region.tag_redraw()


NOTHING_CHANGED = "Nothing was changed."
"""What a cancelled job leaves behind that changes the scene in its last step alone."""

_running: list[Session] = []
"""Sessions whose timers Blender holds: they must be ended before the add-on goes, or Blender hangs when it quits."""


def running() -> str:
    """Label of the job that runs in the interface, or empty."""
    return _running[0].label if _running else ""


def end_running(reason: str) -> None:
    """Cancel whatever runs in the interface."""
    for session in list(_running):
        session.end(reason)


@persistent
def _end_before_data_changes(*_: Any) -> None:
    """Undo and reading a file replace the data a job holds on to; going on would crash Blender."""
    end_running("undo, redo or another file replaced the data it works on")


_HANDLERS = ("undo_pre", "redo_pre", "load_pre")


def _guard() -> None:
    for name in _HANDLERS:
        handlers = getattr(bpy.app.handlers, name)
        if _end_before_data_changes not in handlers:
            handlers.append(_end_before_data_changes)


def _unguard() -> None:
    """Not when a session ends: Blender may be walking through these very lists."""
    for name in _HANDLERS:
        handlers = getattr(bpy.app.handlers, name)
        if _end_before_data_changes in handlers and not _running:
            handlers.remove(_end_before_data_changes)


def _rendering() -> bool:
    app: Any = bpy.app
    return bool(app.is_job_running("RENDER"))


class RefusingOperator(bpy.types.Operator):
    """An operator whose grey button says why it cannot be pressed. A subclass may define `refusal`."""

    @classmethod
    def poll(cls, context: Any) -> bool:
        reason = cls.obstacle(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    @classmethod
    def obstacle(cls, context: Any) -> str:
        """What stands in the way; empty where nothing does."""
        return cls.refusal(context)

    @classmethod
    def refusal(cls, _context: Any) -> str:
        """Why the work cannot begin now, as the tooltip of the grey button says it; empty where it can."""
        return ""


class JobOperator(RefusingOperator):
    """An operator whose work is a long job.

    A subclass defines `job` and may define `refusal` and `finished`. From a button it runs modally, with progress and
    Esc; from a script or in the background it blocks. Errors are reported and the operator is cancelled.
    """

    bl_options = {"REGISTER"}
    changes_data = True
    """Whether there is anything in the .blend to undo."""
    left = "What is finished is kept."
    """What a cancelled job leaves behind, as a sentence."""
    _session: Session | None = None

    @classmethod
    def obstacle(cls, context: Any) -> str:
        return f"{running()} is still running" if running() else super().obstacle(context)

    def job(self, context: Any) -> progress.Job[Any]:
        """The work: a generator of Progress. Raises PantheonError."""
        raise NotImplementedError

    def finished(self, context: Any, result: Any) -> None:
        """Deliver the result of the job. Raises PantheonError."""

    @classmethod
    def unregister(cls) -> None:
        """Blender calls this before it forgets the class; a timer left over would make it hang when it quits."""
        for session in list(_running):
            if session.owner is cls:
                session.end("the extension was disabled")
        _unguard()

    def execute(self, context: Any) -> set[Any]:
        """From a script; once a file is chosen, where `invoke` opens the file browser; or again, with other values.

        Adjust Last Operation waits for the result, and would take a modal operator for one that failed.
        """
        again = self.options.is_repeat or self.options.is_repeat_last
        return self.start(context) if self.options.is_invoke and not again else self._block(context)

    def invoke(self, context: Any, _event: bpy.types.Event) -> set[Any]:
        return self.start(context)

    def start(self, context: Any) -> set[Any]:
        """Run modally; without an interface, block."""
        if bpy.app.background or context.window is None:
            return self._block(context)
        if _running:
            self.report({"ERROR"}, f"{running()} is still running. Wait for it, or press Esc to cancel it.")
            return {"CANCELLED"}
        try:
            job = self.job(context)
        except PantheonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self._session = Session(context, job, self.bl_label, type(self))
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def _block(self, context: Any) -> set[Any]:
        try:
            self.finished(context, run_blocking(self.job(context)))
        except PantheonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def modal(self, context: Any, event: bpy.types.Event) -> set[Any]:
        session = self._session
        if session is None or session not in _running:
            self.report({"WARNING"}, f"{self.bl_label} was cancelled: {session.cancelled_by if session else ''}")
            return {"CANCELLED"}
        if event.type == "ESC" and event.value == "PRESS":
            session.end("Esc was pressed")
            self.report({"INFO"}, f"{self.bl_label} was cancelled. {self.left}")
            return {"CANCELLED"}
        # A render reads the scene in a thread of its own: a job that steps through frames meanwhile would crash it.
        if event.type != "TIMER" or _rendering():
            return {"PASS_THROUGH"}
        return self._advance(context, session)

    def cancel(self, _context: Any) -> None:
        """Blender ends the operator: another file is read, its window is closed, or Blender quits."""
        if self._session is not None:
            self._session.end("Blender ended it")

    def _advance(self, context: Any, session: Session) -> set[Any]:
        try:
            session.tick()
            return {"RUNNING_MODAL"}
        except StopIteration as end:
            session.end()
            return self._deliver(context, end.value)
        except PantheonError as error:
            self.report({"ERROR"}, str(error))
        except Exception as error:
            log.exception("%s failed", self.bl_label)
            self.report({"ERROR"}, f"{self.bl_label} failed unexpectedly: {error}. The console has the details.")
        session.end()
        return {"CANCELLED"}

    def _deliver(self, context: Any, result: Any) -> set[Any]:
        try:
            self.finished(context, result)
        except PantheonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        # With UNDO among its options Blender pushes the step itself when a modal operator finishes.
        if self.changes_data and "UNDO" not in self.bl_options:
            bpy.ops.ed.undo_push(message=self.bl_label)
        return {"FINISHED"}


def _status(step: Progress, eta: str) -> str:
    counted = f" {step.step} of {step.of}" if step.of else ""
    left = f", {eta} left" if eta else ""
    return f"{step.phase}{counted}{left}    Esc: cancel"

"""What operators share: why a button is grey, and how results, warnings and errors reach the person.

Work that is done at once is an ImmediateOperator. Work that takes longer is a job: JobOperator, or
FilesOperator where it begins with files to choose. A subclass says why it cannot be done now (`refusal`) and does it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from bpy.props import CollectionProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from ..pantheon360_blender.core import progress
from ..pantheon360_blender.core.errors import PantheonError
from ..pantheon360_blender.scene.app import jobs
from ..pantheon360_blender.scene.app.jobs import NOTHING_CHANGED, Session, run_blocking, running
from ..pantheon360_blender.scene.cache import cache_objects
from ..pantheon360_blender.scene.captures import capture_objects

log = logging.getLogger(__name__)


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
        jobs.end_sessions_of(cls, "the extension was disabled")

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
        if running():
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
        if session is None or not session.active:
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


class ImmediateOperator(RefusingOperator):
    """An operator that is done at once, in one undoable step. A subclass defines `act` and may define `refusal`."""

    bl_options = {"REGISTER", "UNDO"}

    def act(self, context: Any) -> str:
        """Do it, and say what was done; empty says nothing. Raises PantheonError."""
        raise NotImplementedError

    def execute(self, context: Any) -> set[Any]:
        try:
            done = self.act(context)
        except PantheonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if done:
            self.report({"INFO"}, done)
        return {"FINISHED"}


class FilesOperator(JobOperator, ImportHelper):  # type: ignore[misc]
    """A job that reads files, chosen in the file browser or dropped into the window; a script gives `filepath`.

    A subclass gives `filter_glob`, a hidden StringProperty, and reads `paths` in its `job`.
    """

    left = NOTHING_CHANGED
    filepath: StringProperty(  # type: ignore[valid-type]
        name="File Path",
        subtype="FILE_PATH",
        options={"HIDDEN", "SKIP_PRESET", "PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    files: CollectionProperty(  # type: ignore[valid-type]
        type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"}
    )
    directory: StringProperty(  # type: ignore[valid-type]
        subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE", "PATH_SUPPORTS_BLEND_RELATIVE"}
    )

    def invoke(self, context: Any, _event: bpy.types.Event) -> set[Any]:  # type: ignore[override]
        if self.directory and self.files:  # dropped into the window
            return self.start(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def paths(self) -> list[Path]:
        """The files chosen, or else what is named in the browser's field: a folder, perhaps."""
        folder = bpy.path.abspath(self.directory)  # a script may write paths from the .blend's folder on, "//"
        named = [Path(folder) / file.name for file in self.files if file.name]
        chosen = bpy.path.abspath(self.filepath)
        return named or ([Path(chosen)] if chosen else [])


def warn(operator: bpy.types.Operator, *texts: str) -> None:
    """Report warnings, each for itself, so that the last one does not hide the others."""
    for text in texts:
        operator.report({"WARNING"}, text)


def without_captures(scene: bpy.types.Scene) -> str:
    """Refusal where the scene has no capture; else empty."""
    return "" if capture_objects.in_scene(scene) else "Import a 360° capture first"


def without_cache(scene: bpy.types.Scene) -> str:
    """Refusal where the scene has no 3D cache; else empty."""
    return "" if cache_objects.find(scene) is not None else "Build or project a 3D cache first"


def registration(*classes: type) -> tuple[Callable[[], None], Callable[[], None]]:
    """The `register` and `unregister` of a module that has these classes and nothing else."""
    factory: Any = bpy.utils.register_classes_factory
    register, unregister = factory(classes)
    return register, unregister


def _rendering() -> bool:
    app: Any = bpy.app
    return bool(app.is_job_running("RENDER"))

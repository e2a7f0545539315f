"""What operators share: why a button is grey, and how results, warnings and errors reach the person.

Work that is done at once is an ImmediateOperator. Work that takes longer is a job: JobOperator, or
FilesOperator if it begins with files to choose. A subclass says why it cannot be done now (`disabled_reason`) and
does it.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import bpy
from bpy.props import CollectionProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from ..pantheon360_blender.core import progress, repairs
from ..pantheon360_blender.core.errors import PantheonError
from ..pantheon360_blender.core.plain_text import filled
from ..pantheon360_blender.core.progress import Notices
from ..pantheon360_blender.core.unexpected import boundary, explained
from ..pantheon360_blender.scene.app import jobs
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.app.jobs import NOTHING_CHANGED, Session, run_blocking, running
from ..pantheon360_blender.scene.app.registration import registration as registration
from ..pantheon360_blender.scene.background import outcomes
from ..pantheon360_blender.scene.cache import cache_objects
from ..pantheon360_blender.scene.captures import capture_objects
from ..pantheon360_blender.scene.sources import projection
from ..pantheon360_blender.scene.translation import translated
from . import errors

DIALOG = 420
"""Pixels across a dialog with text in it."""
_DIALOG_LINE = 62
"""Characters of its lines."""


class PolledOperator(bpy.types.Operator):
    """An operator whose gray button says why it cannot be pressed. A subclass may define `disabled_reason`."""

    stage = ""
    """Of the way, see scene/background/outcomes.py: what becomes of the work is kept in that stage's panel."""
    _told: tuple[str, ...] = ()
    """Warnings that were reported already."""

    @classmethod
    def poll(cls, context: Any) -> bool:
        found = cls.busy() or cls.disabled_reason(context)
        if found is not None:
            cls.poll_message_set(translated(found.text))
        return found is None

    @classmethod
    def busy(cls) -> DisabledReason | None:
        """What else is going on that keeps this from starting."""
        return None

    @classmethod
    def disabled_reason(cls, _context: Any) -> DisabledReason | None:
        """Why the work cannot begin now; None if it can. Panels show it with its repair, tooltips without."""
        return None

    def tell(self, level: str, text: str) -> None:
        """Report to the person; level: as of Operator.report, which cannot be overridden."""
        errors.tell(self, level, text)

    def failed(self, context: Any, error: PantheonError) -> set[Any]:
        """Tell an error now, and in the stage's panel. Returns what the operator returns."""
        if self.stage:
            outcomes.fail(context.scene, self.stage, self.bl_label, error, self._told)
        errors.report(self, context, error)
        return {"CANCELLED"}

    def succeeded(self, context: Any, *, whole: bool) -> set[Any]:
        """Keep what was warned of in the stage's panel. whole: as of outcomes.succeed."""
        if self.stage:
            outcomes.succeed(context.scene, self.stage, self.bl_label, self._told, whole=whole)
        return {"FINISHED"}


class JobOperator(PolledOperator):
    """An operator whose work is a long job.

    A subclass defines `job` and may define `disabled_reason` and `finished`. From a button it runs modally, with
    progress and Esc; from a script or in the background it blocks. Errors are reported and the operator is cancelled.
    """

    bl_options = {"REGISTER"}
    changes_data = True
    """Whether there is anything in the .blend to undo."""
    left = "What is finished is kept."
    """What a cancelled job leaves behind, as a sentence."""
    while_working = False
    """Whether the artist works on meanwhile: a job may then be left to the queue (scene/background)."""
    _session: Session | None = None

    @classmethod
    def busy(cls) -> DisabledReason | None:
        return DisabledReason(filled("{job} is still running", job=translated(running()))) if running() else None

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
        """From a script; once a file is chosen, if `invoke` opened the file browser; or again, with other values.

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
            label = translated(running())
            self.tell("ERROR", filled("{job} is still running. Wait for it, or press Esc to cancel it.", job=label))
            return {"CANCELLED"}
        self.while_working = True
        try:
            with boundary(self.bl_label):
                job = self.job(context)
        except PantheonError as error:
            return self.failed(context, error)
        self._session = Session(context, job, self.bl_label, type(self))
        begun = self._advance(context, self._session)  # at once: it was given data that undo may replace later
        if begun == {"RUNNING_MODAL"}:
            context.window_manager.modal_handler_add(self)
        return begun

    def _block(self, context: Any) -> set[Any]:
        notices = Notices()
        try:
            with boundary(self.bl_label):
                result = run_blocking(self.job(context), notices.take)
            warn(self, *notices.warnings)
            with boundary(self.bl_label):
                self.finished(context, result)
        except PantheonError as error:
            warn(self, *notices.warnings)
            return self.failed(context, error)
        return self.succeeded(context, whole=True)

    def modal(self, context: Any, event: bpy.types.Event) -> set[Any]:
        session = self._session
        if session is None or not session.active:
            why = translated(session.cancelled_by if session else "")
            self.tell("WARNING", translated("{job} was canceled: {why}", job=translated(self.bl_label), why=why))
            return {"CANCELLED"}
        if event.type == "ESC" and event.value == "PRESS":
            session.end("Esc was pressed")
            left = translated(self.left)
            self.tell("INFO", translated("{job} was canceled. {left}", job=translated(self.bl_label), left=left))
            return {"CANCELLED"}
        # A render reads the scene in a thread of its own: a job that steps through frames meanwhile would crash it.
        if event.type != "TIMER" or jobs.is_rendering():
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
            warn(self, *session.notices.warnings)
            return self._deliver(context, end.value)
        except PantheonError as error:
            failure = error
        except Exception as error:
            failure = explained(error, self.bl_label)
        session.end()
        warn(self, *session.notices.warnings)
        return self.failed(context, failure)

    def _deliver(self, context: Any, result: Any) -> set[Any]:
        try:
            with boundary(self.bl_label):
                self.finished(context, result)
        except PantheonError as error:
            return self.failed(context, error)
        # With UNDO among its options Blender pushes the step itself when a modal operator finishes.
        if self.changes_data and "UNDO" not in self.bl_options:
            bpy.ops.ed.undo_push(message=self.bl_label)
        return self.succeeded(context, whole=True)


class ImmediateOperator(PolledOperator):
    """An operator that is done at once, in one undoable step. A subclass defines `act`, perhaps `disabled_reason`."""

    bl_options = {"REGISTER", "UNDO"}

    def act(self, context: Any) -> str:
        """Do it, and say what was done; empty says nothing. Raises PantheonError."""
        raise NotImplementedError

    def execute(self, context: Any) -> set[Any]:
        try:
            with boundary(self.bl_label):
                done = self.act(context)
        except PantheonError as error:
            return self.failed(context, error)
        if done:
            self.tell("INFO", done)
        return self.succeeded(context, whole=False)


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


def warn(operator: PolledOperator, *texts: str) -> None:
    """Report warnings, each once and for itself, so that the last one does not hide the others."""
    for text in texts:
        if text not in operator._told:
            operator._told += (text,)
            operator.tell("WARNING", text)


def dialog_text(layout: Any, text: str, icon: str = "NONE") -> Any:
    """A text on as many lines as it needs in a dialog of DIALOG pixels. Returns the column that it is in."""
    column = layout.column(align=True)
    for number, line in enumerate(textwrap.wrap(translated(text), _DIALOG_LINE)):
        column.label(text=line, icon="BLANK1" if number and icon != "NONE" else icon)
    return column


def without_captures(scene: bpy.types.Scene) -> DisabledReason | None:
    """The reason if the scene has no capture."""
    there = capture_objects.in_scene(scene)
    return None if there else DisabledReason("Import a 360° capture first", repairs.IMPORT_CAPTURES)


def without_cache(scene: bpy.types.Scene) -> DisabledReason | None:
    """The reason if the scene has no 3D cache."""
    there = cache_objects.find(scene) is not None
    return None if there else DisabledReason("Build or project a 3D cache first", projection.cache_repair(scene))


def without_camera(scene: bpy.types.Scene) -> DisabledReason | None:
    """The reason if the scene has no camera."""
    text = "Add a camera, or set the path's ends to captures, first"
    return None if scene.camera is not None else DisabledReason(text, repairs.SET_PATH_ENDS)

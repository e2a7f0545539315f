"""What operators share: why a button is grey, and how results, warnings and errors reach the person.

Work that is done at once is an ImmediateOperator. Work that takes longer is a job: scene.jobs.JobOperator, or
FilesOperator where it begins with files to choose. A subclass says why it cannot be done now (`refusal`) and does it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from bpy.props import CollectionProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from ..pantheon360_blender.core.errors import PantheonError
from ..pantheon360_blender.scene import cache, captures
from ..pantheon360_blender.scene.jobs import NOTHING_CHANGED, JobOperator, RefusingOperator


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
    files: CollectionProperty(  # type: ignore[valid-type]
        type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"}
    )
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def invoke(self, context: Any, _event: bpy.types.Event) -> set[Any]:  # type: ignore[override]
        if self.directory and self.files:  # dropped into the window
            return self.start(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def paths(self) -> list[Path]:
        """The files chosen, or else what is named in the browser's field: a folder, perhaps."""
        folder = bpy.path.abspath(self.directory)  # a script may write paths from the .blend's folder on, "//"
        named = [Path(folder) / file.name for file in self.files if file.name]
        chosen = bpy.path.abspath(str(getattr(self, "filepath", "")))  # ImportHelper's
        return named or ([Path(chosen)] if chosen else [])


def warn(operator: bpy.types.Operator, *texts: str) -> None:
    """Report warnings, each for itself, so that the last one does not hide the others."""
    for text in texts:
        operator.report({"WARNING"}, text)


def without_captures(scene: bpy.types.Scene) -> str:
    """Refusal where the scene has no capture; else empty."""
    return "" if captures.in_scene(scene) else "Import a 360° capture first"


def without_cache(scene: bpy.types.Scene) -> str:
    """Refusal where the scene has no 3D cache; else empty."""
    return "" if cache.find(scene) is not None else "Build or project a 3D cache first"


def registration(*classes: type) -> tuple[Callable[[], None], Callable[[], None]]:
    """The `register` and `unregister` of a module that has these classes and nothing else."""
    factory: Any = bpy.utils.register_classes_factory
    register, unregister = factory(classes)
    return register, unregister

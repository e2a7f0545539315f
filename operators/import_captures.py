"""Import 360° Captures: photographs become objects in the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import CollectionProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene import captures
from ..pantheon360_blender.scene.jobs import JobOperator

PATTERNS = "*.jpg;*.jpeg;*.png;*.tif;*.tiff;*.exr;*.hdr;*.webp"


class PANTHEON360_OT_import_captures(JobOperator, ImportHelper):
    """Import 360° photographs as captures, placed by their GPS position and heading where they have them"""

    bl_idname = "pantheon360.import_captures"
    bl_label = "Import 360° Captures"
    bl_options = {"REGISTER", "UNDO"}

    files: CollectionProperty(  # type: ignore[valid-type]
        type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"}
    )
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]
    filter_glob: StringProperty(default=PATTERNS, options={"HIDDEN"})  # type: ignore[valid-type]

    def invoke(self, context: Any, event: bpy.types.Event) -> set[Any]:  # type: ignore[override]
        if self.directory and self.files:  # dropped into the window
            answer: set[Any] = JobOperator.invoke(self, context, event)
            return answer
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Any) -> set[Any]:
        chosen_in_file_browser = self.options.is_invoke and not bpy.app.background
        answer: set[Any] = (
            JobOperator.invoke(self, context, None) if chosen_in_file_browser else JobOperator.execute(self, context)
        )
        return answer

    def job(self, context: Any) -> Job[list[bpy.types.Object]]:
        self._warnings: list[str] = []
        return captures.import_files(context.scene, self._paths(), self._warnings.append)

    def finished(self, context: Any, result: list[bpy.types.Object]) -> None:
        for text in self._warnings:
            self.report({"WARNING"}, text)
        for obj in context.selected_objects:
            obj.select_set(False)
        for obj in result:
            obj.select_set(True)
        context.view_layer.objects.active = result[-1]
        self.report({"INFO"}, f"{len(result)} capture{'' if len(result) == 1 else 's'} imported")

    def _paths(self) -> list[Path]:
        named = [Path(self.directory) / file.name for file in self.files if file.name]
        return named or ([Path(self.filepath)] if self.filepath else [])


def register() -> None:
    bpy.utils.register_class(PANTHEON360_OT_import_captures)


def unregister() -> None:
    bpy.utils.unregister_class(PANTHEON360_OT_import_captures)

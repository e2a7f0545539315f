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


class PANTHEON360_OT_import_captures(JobOperator, ImportHelper):  # type: ignore[misc]
    """Import 360° photographs as captures, placed by their GPS position and heading where they have them"""

    bl_idname = "pantheon360.import_captures"
    bl_label = "Import 360° Captures"
    bl_options = {"REGISTER", "UNDO"}

    files: CollectionProperty(  # type: ignore[valid-type]
        type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"}
    )
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]
    filter_glob: StringProperty(default=PATTERNS, options={"HIDDEN"})  # type: ignore[valid-type]

    def invoke(self, context: Any, _event: bpy.types.Event) -> set[Any]:  # type: ignore[override]
        if self.directory and self.files:  # dropped into the window
            return self.start(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def job(self, context: Any) -> Job[list[bpy.types.Object]]:
        self._warnings: list[str] = []
        return captures.import_files(context.scene, self._paths(), self._warnings.append)

    def finished(self, context: Any, result: list[bpy.types.Object]) -> None:
        for text in self._warnings:
            self.report({"WARNING"}, text)
        self.report({"INFO"}, f"{len(result)} capture{'' if len(result) == 1 else 's'} imported")
        _select(result, context.view_layer)

    def _paths(self) -> list[Path]:
        named = [Path(self.directory) / file.name for file in self.files if file.name]
        chosen = str(getattr(self, "filepath", ""))  # ImportHelper's
        return named or ([Path(chosen)] if chosen else [])


def _select(objects: list[bpy.types.Object], layer: bpy.types.ViewLayer) -> None:
    """Select nothing but these, as Blender's own importers do: that needs Object Mode.

    Those that the layer does not show, in an excluded collection or another scene, are left alone.
    """
    layer.update()  # or it does not know objects that were just linked
    objects = [obj for obj in objects if obj.name in layer.objects]
    if not objects:
        return
    set_mode: Any = bpy.ops.object.mode_set
    if set_mode.poll():
        set_mode(mode="OBJECT")
    for obj in layer.objects.selected[:]:
        obj.select_set(False, view_layer=layer)
    for obj in objects:
        obj.select_set(True, view_layer=layer)
    layer.objects.active = objects[-1]


def register() -> None:
    bpy.utils.register_class(PANTHEON360_OT_import_captures)


def unregister() -> None:
    bpy.utils.unregister_class(PANTHEON360_OT_import_captures)

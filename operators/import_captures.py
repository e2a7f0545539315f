"""Import 360° Captures: photographs become objects in the scene."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty

from ..pantheon360_blender.core import files, inputs
from ..pantheon360_blender.core.errors import CaptureError
from ..pantheon360_blender.core.plain_text import filled
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app import sidebar
from ..pantheon360_blender.scene.captures import capture_objects
from . import base

PATTERNS = "*.jpg;*.jpeg;*.png;*.tif;*.tiff;*.exr;*.hdr;*.webp"


class PANTHEON360_OT_import_captures(base.FilesOperator):
    """Import 360° photographs, or all of a folder, as captures, placed by their GPS and heading if they have them"""

    bl_idname = "pantheon360.import_captures"
    bl_label = "Import 360° Captures"
    stage = "captures"
    bl_options = {"REGISTER", "UNDO"}

    filter_glob: StringProperty(default=PATTERNS, options={"HIDDEN"})  # type: ignore[valid-type]

    def job(self, context: Any) -> Job[list[bpy.types.Object]]:
        self._warnings: list[str] = []
        self._first = not capture_objects.in_scene(context.scene)
        chosen = self.paths()
        if not any(file.name for file in self.files):  # the browser gives the folder that it shows
            chosen = [path for named in chosen for path in _photographs(named)]
        return capture_objects.import_files(context.scene, chosen, self._warnings.append)

    def finished(self, context: Any, result: list[bpy.types.Object]) -> None:
        base.warn(self, *self._warnings)
        self.tell(
            "INFO", "1 capture imported" if len(result) == 1 else filled("{count} captures imported", count=len(result))
        )
        _select(result, context.view_layer)
        if self._first:
            sidebar.open_in(context.window)


def _photographs(chosen: Path) -> list[Path]:
    """A file as it is; of a folder, what the file browser shows of it. Raises CaptureError if that is nothing."""
    if not inputs.is_folder(chosen):
        return [chosen]
    with files.translate_os_errors(chosen):
        names = sorted(path.name for path in chosen.iterdir() if not path.name.startswith("."))
    found = [chosen / name for name in names if any(fnmatch(name.lower(), each) for each in PATTERNS.split(";"))]
    if not found:
        raise CaptureError(
            f"The folder {chosen} has no photographs.",
            advice="Choose 360° photographs: JPEG, PNG, TIFF, EXR, HDR or WebP.",
        )
    return found


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


register, unregister = base.registration(PANTHEON360_OT_import_captures)

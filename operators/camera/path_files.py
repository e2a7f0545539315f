"""Import and Export Camera Path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import EnumProperty, FloatProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from ...pantheon360_blender.core.progress import Job
from ...pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ...pantheon360_blender.scene.camera import path_files
from .. import base

_KINDS = (
    ("json", "JSON", "Frames and 4 x 4 matrices in meters, Z up"),
    ("csv", "CSV", "A row for each frame: place and quaternion"),
    ("nerfstudio", "Nerfstudio", "A camera path that `ns-render camera-path` reads"),
    ("colmap", "COLMAP", "A folder with a sparse model as text, a picture for each frame"),
)
"""Of core/importers/camera_paths.py, which is not run before it is needed."""


class PANTHEON360_OT_import_camera_path(base.FilesOperator):
    """Keyframe the scene's camera as a file has it: JSON, CSV, a camera path of nerfstudio, poses of COLMAP"""

    bl_idname = "pantheon360.import_camera_path"
    bl_label = "Import Camera Path"
    stage = "path"
    bl_options = {"REGISTER", "UNDO"}

    filter_glob: StringProperty(default="*.json;*.csv;*.txt;*.bin", options={"HIDDEN"})  # type: ignore[valid-type]
    scale: FloatProperty(  # type: ignore[valid-type]
        name="Scale", description="Meters that a unit of the file stands for", default=1.0, min=1e-6, soft_max=1000.0
    )

    def draw(self, _context: Any) -> None:
        layout: Any = self.layout
        layout.use_property_split = True
        layout.prop(self, "scale")

    def job(self, context: Any) -> Job[path_files.Laid]:
        return path_files.import_path(context.scene, self.paths()[0], self.scale)

    def finished(self, _context: Any, result: path_files.Laid) -> None:
        base.warn(self, *result.notes)
        self.tell("INFO", result.text)


class PANTHEON360_OT_export_camera_path(base.JobOperator, ExportHelper):  # type: ignore[misc]
    """Write the pose of the scene's camera at every frame of the range, for other programs"""

    bl_idname = "pantheon360.export_camera_path"
    bl_label = "Export Camera Path"
    stage = "path"
    changes_data = False
    left = "Nothing was written."
    bl_options = {"REGISTER"}
    filename_ext = ".json"
    check_extension = None

    filepath: StringProperty(name="File Path", subtype="FILE_PATH")  # type: ignore[valid-type]
    filter_glob: StringProperty(default="*.json;*.csv", options={"HIDDEN"})  # type: ignore[valid-type]
    kind: EnumProperty(name="Format", description="What the file is for", items=_KINDS)  # type: ignore[valid-type]

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return base.without_camera(context.scene)

    def invoke(self, context: Any, event: bpy.types.Event) -> set[Any]:  # type: ignore[override]
        helper: Any = ExportHelper.invoke
        return helper(self, context, event)  # type: ignore[no-any-return]

    def check(self, _context: Any) -> bool:  # type: ignore[override]
        """The name's suffix follows the format."""
        given = Path(self.filepath)
        named = str(given.with_suffix(path_files.KINDS[self.kind])) if given.name else self.filepath
        changed = bool(named != self.filepath)
        self.filepath = named
        return changed

    def job(self, context: Any) -> Job[str]:
        return path_files.export_path(context.scene, Path(bpy.path.abspath(self.filepath)), self.kind)

    def finished(self, _context: Any, result: str) -> None:
        self.tell("INFO", result)


register, unregister = base.registration(PANTHEON360_OT_import_camera_path, PANTHEON360_OT_export_camera_path)

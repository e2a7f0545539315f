"""Export 3D Cache: its points as every stage reads them, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from ..pantheon360_blender.core.plain_text import filled
from ..pantheon360_blender.scene.app import access
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.cache import cache_export
from . import base


class PANTHEON360_OT_export_cache(base.ImmediateOperator, ExportHelper):  # type: ignore[misc]
    """Write the points of all visible 3D caches, as their modifiers leave them, to a PLY or NPZ file in meters"""

    bl_idname = "pantheon360.export_cache"
    bl_label = "Export 3D Cache"
    stage = "cache"
    bl_options = {"REGISTER"}

    filename_ext = ".ply"
    filepath: StringProperty(name="File Path", subtype="FILE_PATH")  # type: ignore[valid-type]
    filter_glob: StringProperty(default="*.ply;*.npz", options={"HIDDEN"})  # type: ignore[valid-type]
    check_existing: BoolProperty(default=True, options={"HIDDEN"})  # type: ignore[valid-type]

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return base.without_cache(context.scene)

    def check(self, context: Any) -> bool:  # type: ignore[override]
        """Give a name without one the usual suffix, and leave .npz."""
        named = Path(self.filepath).suffix.lower() in (".ply", ".npz")
        return False if named else bool(super().check(context))  # type: ignore[func-returns-value]

    def act(self, context: Any) -> str:
        path = Path(bpy.path.abspath(self.filepath))
        count = cache_export.export(context.scene, access.evaluated(context.scene), path)
        return filled("{count:,} points are in {path}", count=count, path=path)


register, unregister = base.registration(PANTHEON360_OT_export_cache)

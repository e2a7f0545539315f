"""Lay Path: the menu of whole camera paths, in the panel Camera Path."""

from __future__ import annotations

from typing import Any

import bpy

from ..pantheon360_blender.scene.app.registration import registration


class PANTHEON360_MT_path_moves(bpy.types.Menu):
    """Whole paths, laid at once"""

    bl_label = "Lay Path"
    layout: Any

    def draw(self, _context: Any) -> None:
        self.layout.operator("pantheon360.path_through_captures", icon="CON_FOLLOWPATH")
        self.layout.operator("pantheon360.path_follow_curve", icon="CURVE_BEZCURVE")
        self.layout.operator("pantheon360.path_orbit", icon="PIVOT_CURSOR")
        self.layout.separator()
        self.layout.operator("pantheon360.path_walk", icon="MOD_DYNAMICPAINT")
        self.layout.operator("pantheon360.path_smooth", icon="SMOOTHCURVE")
        self.layout.operator("pantheon360.level_camera", icon="ORIENTATION_GLOBAL")
        self.layout.separator()
        self.layout.operator_context = "INVOKE_DEFAULT"
        self.layout.operator("pantheon360.import_camera_path", icon="IMPORT")
        self.layout.operator("pantheon360.export_camera_path", icon="EXPORT")


register, unregister = registration(PANTHEON360_MT_path_moves)

"""Show Result: the newest strip of a scene, playing, in one click."""

from __future__ import annotations

from typing import Any

import bpy

from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.shot import result_view, strips
from . import base


class PANTHEON360_OT_show_result(base.ImmediateOperator):
    """Open the Video Editing workspace on the newest 360° video of this scene and play it"""

    bl_idname = "pantheon360.show_result"
    bl_label = "Show Result"
    bl_options = {"REGISTER"}

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        there = strips.newest(context.scene) is not None
        return None if there else DisabledReason("Generate a 360° video first")

    def act(self, context: Any) -> str:
        strip = strips.newest(context.scene)
        results: bpy.types.Scene = strip.id_data
        result_view.show(context, results, strip)
        return f"Strip {strip.name} of scene {results.name}; Space plays and stops"


register, unregister = base.registration(PANTHEON360_OT_show_result)

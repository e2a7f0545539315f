"""Set Up Rendering: F12 and render farms render what the camera will see."""

from __future__ import annotations

from typing import Any

import bpy

from ..pantheon360_blender.scene import render_engine


class PANTHEON360_OT_set_up_rendering(bpy.types.Operator):
    """Make Pantheon360 this scene's render engine, at the shot's width, for F12 and render farms"""

    bl_idname = "pantheon360.set_up_rendering"
    bl_label = "Set Up Rendering"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        if render_engine.is_set_up(context.scene):
            cls.poll_message_set("F12 renders the shot already")
            return False
        return True

    def execute(self, context: Any) -> set[Any]:
        render_engine.set_up(context.scene)
        return {"FINISHED"}


def register() -> None:
    bpy.utils.register_class(PANTHEON360_OT_set_up_rendering)


def unregister() -> None:
    bpy.utils.unregister_class(PANTHEON360_OT_set_up_rendering)

"""Set Path Ends to Captures."""

from __future__ import annotations

from typing import Any

import bpy

from ..pantheon360_blender.core.errors import PantheonError
from ..pantheon360_blender.scene import captures, path_ends


class PANTHEON360_OT_set_path_ends(bpy.types.Operator):
    """Keyframe the scene's camera to start and end at the chosen captures"""

    bl_idname = "pantheon360.set_path_ends"
    bl_label = "Set Path Ends to Captures"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        if not captures.in_scene(context.scene):
            cls.poll_message_set("Import a 360° capture first")
            return False
        return True

    def execute(self, context: Any) -> set[Any]:
        warnings: list[str] = []
        try:
            frames = path_ends.set_path_ends(context.scene, warnings.append)
        except PantheonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for text in warnings:
            self.report({"WARNING"}, text)
        self.report({"INFO"}, f"Keyframes at {' and '.join(f'frame {frame}' for frame in frames)}")
        return {"FINISHED"}


def register() -> None:
    bpy.utils.register_class(PANTHEON360_OT_set_path_ends)


def unregister() -> None:
    bpy.utils.unregister_class(PANTHEON360_OT_set_path_ends)

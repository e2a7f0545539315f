"""Make Proxy: ground and distant walls to project the captures onto."""

from __future__ import annotations

from typing import Any

import bpy

from ..pantheon360_blender.core.errors import PantheonError
from ..pantheon360_blender.scene import captures, proxy


class PANTHEON360_OT_make_proxy(bpy.types.Operator):
    """Add a ground plane and distant walls around the captures, to be moved and modelled to fit the photographs"""

    bl_idname = "pantheon360.make_proxy"
    bl_label = "Make Proxy"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        if not captures.in_scene(context.scene):
            cls.poll_message_set("Import a 360° capture first")
            return False
        return True

    def execute(self, context: Any) -> set[Any]:
        try:
            made = proxy.create(context.scene)
        except PantheonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{len(made)} proxy meshes added")
        return {"FINISHED"}


def register() -> None:
    bpy.utils.register_class(PANTHEON360_OT_make_proxy)


def unregister() -> None:
    bpy.utils.unregister_class(PANTHEON360_OT_make_proxy)

"""Quit: what becomes of the jobs that are at work is asked before Blender ends."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import EnumProperty

from ...pantheon360_blender.scene.app import preferences
from ...pantheon360_blender.scene.background import quitting
from .. import base


class PANTHEON360_OT_quit(bpy.types.Operator):
    """Quit Blender, and say what becomes of the jobs that are at work"""

    bl_idname = "pantheon360.quit"
    bl_label = "Quit"
    bl_options = {"INTERNAL"}
    jobs: EnumProperty(  # type: ignore[valid-type]
        name="Jobs",
        description="What becomes of the jobs that are at work or wait",
        items=preferences.WHEN_QUITTING,
        default="GO_ON",
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: Any, _event: bpy.types.Event) -> set[Any]:
        if not quitting.in_hand():
            return self._quit()
        return context.window_manager.invoke_props_dialog(  # type: ignore[no-any-return]
            self, title="Jobs Are at Work", confirm_text="Quit"
        )

    def draw(self, _context: Any) -> None:
        layout: Any = self.layout
        for entry in quitting.in_hand():
            layout.label(text=entry.title, icon="PLAY")
        layout.prop(self, "jobs", expand=True)

    def execute(self, _context: Any) -> set[Any]:
        quitting.decide(self.jobs)
        return self._quit()

    @staticmethod
    def _quit() -> set[Any]:
        bpy.ops.wm.quit_blender("INVOKE_DEFAULT")
        return {"FINISHED"}


_keys: list[Any] = []


def _add_keys() -> None:
    """Quit from the keyboard asks about jobs first; without any it is Blender's own."""
    keyconfig = bpy.context.window_manager.keyconfigs.addon if bpy.context.window_manager else None
    if keyconfig is not None:
        keymap = keyconfig.keymaps.new(name="Window")
        _keys.append((keymap, keymap.keymap_items.new(PANTHEON360_OT_quit.bl_idname, "Q", "PRESS", ctrl=True)))


def _remove_keys() -> None:
    while _keys:
        keymap, item = _keys.pop()
        keymap.keymap_items.remove(item)


_register, _unregister = base.registration(PANTHEON360_OT_quit)


def register() -> None:
    _register()
    _add_keys()


def unregister() -> None:
    _remove_keys()
    _unregister()

"""Errors in the interface: the popup with the button that repairs, and what panels need beside a failed job."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import bpy
from bpy.props import StringProperty

from ..pantheon360_blender.core import inputs, plain_text
from ..pantheon360_blender.core.errors import PantheonError
from ..pantheon360_blender.scene.app import preferences
from ..pantheon360_blender.scene.app.disabled_reason import repair_label
from ..pantheon360_blender.scene.app.registration import registration
from ..pantheon360_blender.scene.background import outcomes
from ..pantheon360_blender.scene.translation import translated

POPUP_WIDTH = 70
"""Characters of a line in the popup."""


def report(operator: Any, context: Any, error: PantheonError) -> None:
    """Tell an error: from a button in a popup, with the one that repairs it; to scripts as any other error.

    Blender shows a popup of its own for a report of an error, in one line that is wider than the screen.
    """
    if _from_a_button(operator, context):
        tell(operator, "WARNING", str(error))
        context.window_manager.popup_menu(
            popup(error, operator.stage),
            title=translated("{job} Failed", job=translated(operator.bl_label)),
            icon="ERROR",
        )
    else:
        tell(operator, "ERROR", str(error))


def tell(operator: bpy.types.Operator, level: str, text: str) -> None:
    """Report a text, which Blender prints in its terminal, too: names in it may come from anywhere."""
    operator.report({level}, plain_text.paragraph(translated(text)))  # type: ignore[arg-type]


def popup(error: PantheonError, stage: str = "") -> Callable[[Any, Any], None]:
    """What draws the popup of an error: what happened, what to do, and the button that does it."""

    def draw(menu: Any, _context: Any) -> None:
        layout = menu.layout
        for paragraph in (error.text, error.advice):
            for line in textwrap.wrap(paragraph, POPUP_WIDTH):
                layout.label(text=line)
        layout.separator()
        layout.operator_context = "INVOKE_DEFAULT"  # a menu would run operators without their dialog
        # The pointer stands on the first item, and a popup may come while somebody is clicking elsewhere.
        layout.operator("pantheon360.dismiss_error", icon="X").stage = stage
        if repair_label(error.repair):
            layout.operator(error.repair, icon="TOOL_SETTINGS")

    return draw


def _from_a_button(operator: Any, context: Any) -> bool:
    return bool(operator.options.is_invoke) and not bpy.app.background and context.window is not None


class PANTHEON360_OT_dismiss_error(bpy.types.Operator):
    """Take this out of the panel"""

    bl_idname = "pantheon360.dismiss_error"
    bl_label = "Dismiss"
    bl_options = {"INTERNAL"}
    stage: StringProperty(name="Stage", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def execute(self, context: Any) -> set[Any]:
        outcomes.forget(context.scene, self.stage)
        return {"FINISHED"}


class PANTHEON360_OT_open_log(bpy.types.Operator):
    """Open the log of this in another program"""

    bl_idname = "pantheon360.open_log"
    bl_label = "Open Log"
    bl_options = {"INTERNAL"}
    stage: StringProperty(name="Stage", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def execute(self, context: Any) -> set[Any]:
        outcome = outcomes.of(context.scene, self.stage)
        if outcome is None or outcome.log is None or not inputs.is_file(outcome.log):
            tell(self, "WARNING", "There is no log any more")
            return {"CANCELLED"}
        bpy.ops.wm.path_open(filepath=str(outcome.log))
        return {"FINISHED"}


class PANTHEON360_OT_open_preferences(bpy.types.Operator):
    """Open this add-on's preferences, where the backend's Python is chosen"""

    bl_idname = "pantheon360.open_preferences"
    bl_label = "Open Add-on Preferences"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context: Any) -> bool:
        if bpy.app.background:
            cls.poll_message_set(translated("Blender runs without an interface"))
        return not bpy.app.background

    def execute(self, _context: Any) -> set[Any]:
        bpy.ops.preferences.addon_show(module=preferences.ROOT_PACKAGE)
        return {"FINISHED"}


CLASSES = (PANTHEON360_OT_dismiss_error, PANTHEON360_OT_open_log, PANTHEON360_OT_open_preferences)

register, unregister = registration(*CLASSES)

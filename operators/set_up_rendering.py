"""Set Up Rendering: F12 and render farms render what the camera will see."""

from __future__ import annotations

from typing import Any

from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.render import render_engine
from . import base


class PANTHEON360_OT_set_up_rendering(base.ImmediateOperator):
    """Make Pantheon360 this scene's render engine, at the shot's width, for F12 and render farms"""

    bl_idname = "pantheon360.set_up_rendering"
    bl_label = "Set Up Rendering"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        ready = render_engine.is_set_up(context.scene)
        return DisabledReason("F12 renders the shot already") if ready else None

    def act(self, context: Any) -> str:
        return render_engine.set_up(context.scene)


register, unregister = base.registration(PANTHEON360_OT_set_up_rendering)

"""Level Camera: a horizon that is level."""

from __future__ import annotations

import math
from typing import Any

from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.camera import level
from . import base


class PANTHEON360_OT_level_camera(base.ImmediateOperator):
    """Turn the scene's camera upright, at every keyframe of its rotation, so that the panorama's horizon is level"""

    bl_idname = "pantheon360.level_camera"
    bl_label = "Level Camera"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return base.without_camera(context.scene)

    def act(self, context: Any) -> str:
        return f"Turned by up to {math.degrees(level.level(context.scene)):.1f}°"


register, unregister = base.registration(PANTHEON360_OT_level_camera)

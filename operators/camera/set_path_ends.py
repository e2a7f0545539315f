"""The camera's path: Set Path Ends to Captures, Level Camera."""

from __future__ import annotations

import math
from typing import Any

from ...pantheon360_blender.core.plain_text import filled
from ...pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ...pantheon360_blender.scene.camera import camera_path, level, path_ends
from .. import base


class PANTHEON360_OT_set_path_ends(base.ImmediateOperator):
    """Keyframe the scene's camera to start and end at the chosen captures"""

    bl_idname = "pantheon360.set_path_ends"
    bl_label = "Set Path Ends to Captures"
    stage = "path"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return base.without_captures(context.scene)

    def act(self, context: Any) -> str:
        warnings: list[str] = []
        frames = path_ends.set_path_ends(context.scene, warnings.append)
        if (tilt := camera_path.tilt_now(context.scene)) > level.TILTED:
            angle = math.degrees(tilt)
            warnings.append(
                filled("The camera is tilted by {angle:.0f}°: Level Camera makes the horizon level.", angle=angle)
            )
        base.warn(self, *warnings)
        return filled("Keyframes at frames {frames}", frames=", ".join(map(str, frames)))


class PANTHEON360_OT_level_camera(base.ImmediateOperator):
    """Turn the scene's camera upright, at every keyframe of its rotation, so that the panorama's horizon is level"""

    bl_idname = "pantheon360.level_camera"
    bl_label = "Level Camera"
    stage = "path"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return base.without_camera(context.scene)

    def act(self, context: Any) -> str:
        return filled("Turned by up to {angle:.1f}°", angle=math.degrees(level.level(context.scene)))


register, unregister = base.registration(PANTHEON360_OT_set_path_ends, PANTHEON360_OT_level_camera)

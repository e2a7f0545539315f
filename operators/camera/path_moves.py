"""Moves of the camera: Path Through Captures, Orbit, Follow Curve, Walk, Smooth Path."""

from __future__ import annotations

from typing import Any

from bpy.props import BoolProperty, EnumProperty, FloatProperty

from ...pantheon360_blender.core import progress
from ...pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ...pantheon360_blender.scene.camera import path_moves
from ...pantheon360_blender.scene.translation import CONTEXT
from .. import base

# Facings of scene/camera/path_moves.py, which is not run before one of its moves is.
_ALONG = ("ALONG", "Along the Way", "Look where the camera goes, level")
_KEEP = ("KEEP", "As It Does", "Leave the camera's rotation, keyframed or not, as it is")


def _speed() -> Any:
    return FloatProperty(
        name="Speed", description="Meters a second; walking is 1.4", default=1.0, min=0.01, soft_max=10.0
    )


def _eased() -> Any:
    return BoolProperty(name="Ease", description="Begin and end at rest", default=True, translation_context=CONTEXT)


class PANTHEON360_OT_path_through_captures(base.ImmediateOperator):
    """Keyframe the scene's camera through all captures in their order, at a steady pace"""

    bl_idname = "pantheon360.path_through_captures"
    bl_label = "Path Through Captures"
    stage = "path"
    speed: _speed()  # type: ignore[valid-type]
    facing: EnumProperty(  # type: ignore[valid-type]
        name="Look",
        translation_context=CONTEXT,
        description="Where the camera looks on its way",
        items=(_ALONG, ("CAPTURES", "As Captures", "Look as each capture does"), _KEEP),
    )
    eased: _eased()  # type: ignore[valid-type]

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return base.without_captures(context.scene)

    def act(self, context: Any) -> str:
        return path_moves.through_captures(context.scene, self.speed, self.facing, eased=self.eased)


class PANTHEON360_OT_path_orbit(base.ImmediateOperator):
    """Keyframe the scene's camera on a level circle round the 3D cursor, from where it stands"""

    bl_idname = "pantheon360.path_orbit"
    bl_label = "Orbit 3D Cursor"
    stage = "path"
    turns: FloatProperty(  # type: ignore[valid-type]
        name="Turns", description="Rounds, anticlockwise seen from above; negative goes the other way", default=1.0
    )
    speed: _speed()  # type: ignore[valid-type]
    facing: EnumProperty(  # type: ignore[valid-type]
        name="Look",
        translation_context=CONTEXT,
        description="Where the camera looks on its way",
        items=(("INWARD", "At the Cursor", "Look at what the camera goes round, level"), _ALONG, _KEEP),
    )

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return base.without_camera(context.scene)

    def act(self, context: Any) -> str:
        return path_moves.orbit(context.scene, self.turns, self.speed, self.facing)


class PANTHEON360_OT_path_follow_curve(base.ImmediateOperator):
    """Keyframe the scene's camera along the active curve, at a steady pace"""

    bl_idname = "pantheon360.path_follow_curve"
    bl_label = "Follow Active Curve"
    stage = "path"
    speed: _speed()  # type: ignore[valid-type]
    facing: EnumProperty(  # type: ignore[valid-type]
        name="Look", translation_context=CONTEXT, description="Where the camera looks on its way", items=(_ALONG, _KEEP)
    )
    eased: _eased()  # type: ignore[valid-type]

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        is_curve = context.object is not None and context.object.type == "CURVE"
        return None if is_curve else DisabledReason("Select a curve that leads the way first")

    def act(self, context: Any) -> str:
        return path_moves.follow_curve(context.scene, context.object, self.speed, self.facing, eased=self.eased)


class _OfPath(base.JobOperator):
    """A change of the whole path, which is read frame by frame first. Its job returns a sentence."""

    stage = "path"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return base.without_camera(context.scene)

    def finished(self, _context: Any, result: str) -> None:
        self.tell("INFO", result)


class PANTHEON360_OT_path_walk(_OfPath):
    """Keep the path of the scene's camera at eye height above the ground of the 3D cache"""

    bl_idname = "pantheon360.path_walk"
    bl_label = "Walk"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return super().disabled_reason(context) or base.without_cache(context.scene)

    def job(self, context: Any) -> progress.Job[str]:
        return path_moves.walk(context.scene, context.scene.pantheon360.eye_height)


class PANTHEON360_OT_path_smooth(_OfPath):
    """Take the jerks out of the path of the scene's camera; both ends stay"""

    bl_idname = "pantheon360.path_smooth"
    bl_label = "Smooth Path"
    seconds: FloatProperty(  # type: ignore[valid-type]
        name="Seconds", description="What is shorter is evened out", default=0.5, min=0.05, soft_max=5.0
    )

    def job(self, context: Any) -> progress.Job[str]:
        return path_moves.smooth(context.scene, self.seconds)


register, unregister = base.registration(
    PANTHEON360_OT_path_through_captures,
    PANTHEON360_OT_path_orbit,
    PANTHEON360_OT_path_follow_curve,
    PANTHEON360_OT_path_walk,
    PANTHEON360_OT_path_smooth,
)

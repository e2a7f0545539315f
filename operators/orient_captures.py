"""Up axis, floor and scale of the captures with their cache and proxy."""

from __future__ import annotations

import math
from typing import Any

import bpy
from bpy.props import FloatProperty

from ..pantheon360_blender.core.errors import PantheonError
from ..pantheon360_blender.core.plain_text import filled
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.captures import orientation
from . import base


class PlaceOperator(base.ImmediateOperator):
    """An operator that moves the captures, the cache and the proxy together. A subclass defines `orient`."""

    stage = "captures"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return base.without_captures(context.scene)

    def orient(self, context: Any) -> str:
        """Do it, and say what was done. Raises PantheonError."""
        raise NotImplementedError

    def act(self, context: Any) -> str:
        done = self.orient(context)
        if held := orientation.held(context.scene):
            base.warn(self, filled("Keyframes, drivers or constraints hold {names} in place.", names=", ".join(held)))
        return done


class SelectionOperator(PlaceOperator):
    """One that reads selected vertices in Edit Mode, or else the origins of selected objects."""

    fewest = 2
    most = 2
    wanted = ""

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        if context.mode == "EDIT_MESH":
            return None  # counting selected vertices for each redraw would be slow
        count = len(context.selected_objects) if context.mode == "OBJECT" else 0
        return None if cls.fewest <= count <= cls.most else DisabledReason(cls.wanted)

    def selected(self, context: Any) -> Any:
        """(N, 3) metres, world. Edit Mode is left: its undo would not bring the moved objects back."""
        vertices = context.mode == "EDIT_MESH"
        objects = list(context.objects_in_mode if vertices else context.selected_objects)
        if vertices:
            bpy.ops.object.mode_set(mode="OBJECT")
        points = orientation.selected_points(objects, vertices)
        if not self.fewest <= len(points) <= self.most:
            raise PantheonError(f"{len(points)} points are selected.", advice=f"{self.wanted}.")
        return points


class PANTHEON360_OT_level_captures(PlaceOperator):
    """Turn captures, 3D cache and proxy together until the captures stand upright in the mean"""

    bl_idname = "pantheon360.level_captures"
    bl_label = "Level to Captures"

    def orient(self, context: Any) -> str:
        return filled("Turned by {angle:.2f}°", angle=math.degrees(orientation.level(context.scene)))


class PANTHEON360_OT_scale_captures(SelectionOperator):
    """Scale captures, 3D cache and proxy so that two selected objects or vertices are a real distance apart"""

    bl_idname = "pantheon360.scale_captures"
    bl_label = "Scale to Distance"
    wanted = "Select two objects, or two vertices in Edit Mode, whose distance you know"

    distance: FloatProperty(  # type: ignore[valid-type]
        name="Distance",
        description="How far apart the two points really are",
        default=1.0,
        min=1e-3,
        soft_max=100.0,
        subtype="DISTANCE",
        unit="LENGTH",
    )

    def invoke(self, context: Any, _event: bpy.types.Event) -> set[Any]:
        return context.window_manager.invoke_props_dialog(self)  # type: ignore[no-any-return]

    def orient(self, context: Any) -> str:
        first, second = self.selected(context)
        return filled("Scaled by {by:.4g}", by=orientation.scale(context.scene, first, second, self.distance))


class PANTHEON360_OT_set_floor(SelectionOperator):
    """Turn and lift captures, 3D cache and proxy until the selected points lie on the ground, z = 0"""

    bl_idname = "pantheon360.set_floor"
    bl_label = "This Is the Floor"
    fewest = 3
    most = 1 << 40
    wanted = "Select three or more objects, or vertices in Edit Mode, that lie on the floor"

    def orient(self, context: Any) -> str:
        angle = orientation.floor(context.scene, self.selected(context))
        return filled("Turned by {angle:.2f}°; the floor is at z = 0", angle=math.degrees(angle))


CLASSES = (PANTHEON360_OT_level_captures, PANTHEON360_OT_scale_captures, PANTHEON360_OT_set_floor)

register, unregister = base.registration(*CLASSES)

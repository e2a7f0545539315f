"""Check Coverage: the camera's path against the 3D cache; and what the camera sees of it now."""

from __future__ import annotations

import math
from typing import Any

import bpy
from bpy.props import FloatProperty, IntProperty

from ..pantheon360_blender.core.coverage import Limits
from ..pantheon360_blender.core.errors import PantheonError
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene import cache, camera_path, coverage_check
from ..pantheon360_blender.scene.coverage_check import Checked
from ..pantheon360_blender.scene.jobs import JobOperator


def _refusal(context: Any) -> str:
    if cache.find(context.scene) is None:
        return "Build or project a 3D cache first"
    if context.scene.camera is None:
        return "Add a camera, or set the path's ends, first"
    return ""


class PANTHEON360_OT_check_coverage(JobOperator):
    """Find where the camera's path leaves the 3D cache, touches it or moves too fast, and mark it on the timeline"""

    bl_idname = "pantheon360.check_coverage"
    bl_label = "Check Coverage"
    bl_options = {"REGISTER", "UNDO"}

    least_covered: FloatProperty(  # type: ignore[valid-type]
        name="Least Coverage",
        description="Warn below this share of what the best capture sees",
        default=Limits.least_covered,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    clearance: FloatProperty(  # type: ignore[valid-type]
        name="Clearance",
        description="Warn where points are nearer to the camera's way than this",
        default=Limits.clearance,
        min=0.0,
        soft_max=2.0,
        subtype="DISTANCE",
        unit="LENGTH",
    )
    largest_shift: FloatProperty(  # type: ignore[valid-type]
        name="Largest Shift",
        description="Warn where what is near moves by more than this angle a frame",
        default=Limits.largest_shift,
        min=0.0,
        max=math.pi,
        subtype="ANGLE",
        unit="ROTATION",
    )
    step: IntProperty(name="Step", description="Check every n-th frame", default=1, min=1, soft_max=10)  # type: ignore[valid-type]

    @classmethod
    def refusal(cls, context: Any) -> str:
        return _refusal(context)

    def job(self, context: Any) -> Job[Checked]:
        self._scene = context.scene.name
        limits = Limits(self.least_covered, self.clearance, self.largest_shift)
        return coverage_check.check(context.scene, camera_path.frame_numbers(context.scene, self.step), limits)

    def finished(self, _context: Any, result: Checked) -> None:
        scene = camera_path.scene_named(self._scene)
        coverage_check.store(scene, result)
        coverage_check.mark(scene, result)
        for warning in result.warnings[:5]:
            self.report({"WARNING"}, f"Frames {warning.first}-{warning.last}: {warning.text}")
        worst = result.path.covered.min()
        self.report({"INFO"}, f"{len(result.path.frames)} frames checked; at least {worst:.0%} of the view is covered")


class PANTHEON360_OT_clear_coverage(bpy.types.Operator):
    """Forget the last coverage check and remove its timeline markers"""

    bl_idname = "pantheon360.clear_coverage"
    bl_label = "Clear Coverage Check"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        if context.scene.get(coverage_check.KEY) is None:
            cls.poll_message_set("There is no coverage check to clear")
            return False
        return True

    def execute(self, context: Any) -> set[Any]:
        coverage_check.clear(context.scene)
        return {"FINISHED"}


class PANTHEON360_OT_show_coverage(bpy.types.Operator):
    """Make a 360° picture of what the camera sees of the 3D cache now, holes in red"""

    bl_idname = "pantheon360.show_coverage"
    bl_label = "Show Coverage of Camera"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        reason = _refusal(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: Any) -> set[Any]:
        try:
            seen, image = coverage_check.of_camera(context.scene)
        except PantheonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for area in context.screen.areas if context.screen else ():
            if area.type == "IMAGE_EDITOR":
                area.spaces.active.image = image
        hole = f"the largest hole is {seen.hole:.0%}, the nearest point {seen.nearest:.2f} m away"
        self.report({"INFO"}, f"{seen.covered:.0%} covered, {hole}. See {image.name} in an Image Editor")
        return {"FINISHED"}


CLASSES = (PANTHEON360_OT_check_coverage, PANTHEON360_OT_clear_coverage, PANTHEON360_OT_show_coverage)


def register() -> None:
    for operator in CLASSES:
        bpy.utils.register_class(operator)


def unregister() -> None:
    for operator in reversed(CLASSES):
        bpy.utils.unregister_class(operator)

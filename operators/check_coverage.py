"""Check Coverage: the camera's path against the 3D cache; and what the camera sees of it now."""

from __future__ import annotations

import math
from typing import Any

import bpy
from bpy.props import FloatProperty, IntProperty

from ..pantheon360_blender.core.plain_text import filled
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.core.render.coverage import Limits
from ..pantheon360_blender.scene.app import units
from ..pantheon360_blender.scene.app.access import SceneReference
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.camera import camera_path, coverage_check
from ..pantheon360_blender.scene.translation import translated
from . import base
from .base import JobOperator


def _disabled_reason(scene: bpy.types.Scene) -> DisabledReason | None:
    return base.without_cache(scene) or base.without_camera(scene)


MOST_REPORTED = 5
"""Warnings that appear as reports; all of them are on the timeline and in the panel."""


class PANTHEON360_OT_check_coverage(JobOperator):
    """Mark where the camera's path leaves the 3D cache, as it is at this frame, touches it or moves too fast"""

    bl_idname = "pantheon360.check_coverage"
    bl_label = "Check Coverage"
    stage = "path"
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
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return _disabled_reason(context.scene)

    def job(self, context: Any) -> Job[coverage_check.Checked]:
        self._scene = SceneReference(context.scene)
        limits = Limits(self.least_covered, self.clearance, self.largest_shift)
        return coverage_check.check(context.scene, camera_path.frame_numbers(context.scene, self.step), limits)

    def finished(self, _context: Any, result: coverage_check.Checked) -> None:
        scene = self._scene.scene
        coverage_check.store(scene, result)
        coverage_check.mark(scene, result)
        for each in result.warnings[:MOST_REPORTED]:
            text = translated(each.text)
            base.warn(self, filled("Frames {first}-{last}: {text}", first=each.first, last=each.last, text=text))
        path = result.path
        told = filled(
            "{count} frames checked; at least {covered:.0%} of the view is covered, "
            "up to {guessed:.0%} of it by guesses",
            count=len(path.frames), covered=path.covered.min(), guessed=path.guessed.max(),
        )  # fmt: skip
        self.tell("INFO", told)


class PANTHEON360_OT_clear_coverage(base.ImmediateOperator):
    """Forget the last coverage check and remove its timeline markers"""

    bl_idname = "pantheon360.clear_coverage"
    bl_label = "Clear Coverage Check"
    stage = "path"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        checked = context.scene.get(coverage_check.KEY) is not None
        return None if checked else DisabledReason("There is no coverage check to clear")

    def act(self, context: Any) -> str:
        coverage_check.clear(context.scene)
        return ""


class PANTHEON360_OT_show_coverage(base.ImmediateOperator):
    """Make a 360° picture of what the camera sees of the 3D cache now, holes in red and guesses in orange"""

    bl_idname = "pantheon360.show_coverage"
    bl_label = "Show Coverage of Camera"
    stage = "path"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return _disabled_reason(context.scene)

    def act(self, context: Any) -> str:
        seen, image = coverage_check.of_camera(context.scene)
        for area in context.screen.areas if context.screen else ():
            if area.type == "IMAGE_EDITOR":
                area.spaces.active.image = image
        return filled(
            "{covered:.0%} covered, {guessed:.0%} guessed, the largest hole is {hole:.0%}, "
            "the nearest point {near} away. "
            "See {image} in an Image Editor",
            covered=seen.covered, guessed=seen.guessed, hole=seen.hole, near=units.length(context.scene, seen.nearest),
            image=image.name,
        )  # fmt: skip


CLASSES = (PANTHEON360_OT_check_coverage, PANTHEON360_OT_clear_coverage, PANTHEON360_OT_show_coverage)

register, unregister = base.registration(*CLASSES)

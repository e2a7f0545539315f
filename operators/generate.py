"""Generate: from the scene to a strip in the sequencer; and going on where that was interrupted."""

from __future__ import annotations

from typing import Any

import bpy

from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.cache import cache_objects
from ..pantheon360_blender.scene.shot import painters, shot
from . import base
from .base import JobOperator


class PANTHEON360_OT_generate(JobOperator):
    """Render the geometry pass along the camera's path, paint it and put the 360° video into the sequencer"""

    bl_idname = "pantheon360.generate"
    bl_label = "Generate 360° Video"
    bl_options = {"REGISTER"}

    @classmethod
    def refusal(cls, context: Any) -> str:
        return missing(context.scene) or painters.refusal(context.scene)

    def job(self, context: Any) -> Job[Any]:
        return shot.generate(context.scene)

    def finished(self, _context: Any, result: Any) -> None:
        self.report({"INFO"}, f"Strip {result.name} is in scene {result.id_data.name}")


class PANTHEON360_OT_resume(JobOperator):
    """Go on with this scene's unfinished job: frames that are finished are kept"""

    bl_idname = "pantheon360.resume"
    bl_label = "Resume"
    bl_options = {"REGISTER"}

    @classmethod
    def refusal(cls, context: Any) -> str:
        return "" if shot.unfinished(context.scene) else "No job of this scene is unfinished"

    def job(self, context: Any) -> Job[Any]:
        return shot.resume(context.scene)

    def finished(self, _context: Any, result: Any) -> None:
        self.report({"INFO"}, f"Strip {result.name} is in scene {result.id_data.name}")


def missing(scene: bpy.types.Scene) -> str:
    """What a shot still lacks, in the order of the work; empty where nothing is."""
    if reason := base.without_captures(scene):
        return reason
    if cache_objects.find(scene) is None:
        return "Project the captures onto geometry first"
    if scene.camera is None:
        return "Add a camera, or set the path's ends to captures"
    return painters.unset(scene)


CLASSES = (PANTHEON360_OT_generate, PANTHEON360_OT_resume)

register, unregister = base.registration(*CLASSES)

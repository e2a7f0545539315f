"""Generate: from the scene to a strip in the sequencer; going on if that was interrupted; and watching it."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import EnumProperty

from ..pantheon360_blender.core.plain_text import filled
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.background import queue
from ..pantheon360_blender.scene.shot import look_around, painters, result_view, shot, strips
from . import base
from .base import JobOperator


class PANTHEON360_OT_generate(JobOperator):
    """Render the geometry pass along the camera's path, paint it and put the 360° video into the sequencer"""

    bl_idname = "pantheon360.generate"
    bl_label = "Generate 360° Video"
    stage = "video"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return incomplete(context.scene) or painters.disabled_reason(context.scene)

    def job(self, context: Any) -> Job[Any]:
        return shot.begin(context.scene) if self.while_working else shot.generate(context.scene)

    def finished(self, _context: Any, result: Any) -> None:
        if self.while_working:
            queue.enqueue(result.id)
        else:
            names = {"strip": result.name, "scene": result.id_data.name}
            self.tell("INFO", filled("Strip {strip} is in scene {scene}; Show Result plays it", **names))


class PANTHEON360_OT_resume(JobOperator):
    """Go on with this scene's unfinished job: frames that are finished are kept"""

    bl_idname = "pantheon360.resume"
    bl_label = "Resume"
    stage = "video"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return None if shot.unfinished(context.scene) else DisabledReason("No job of this scene is unfinished")

    def job(self, context: Any) -> Job[Any]:
        return shot.adopt(context.scene) if self.while_working else shot.resume(context.scene)

    def finished(self, _context: Any, result: Any) -> None:
        if self.while_working:
            queue.enqueue(result.id)
        else:
            names = {"strip": result.name, "scene": result.id_data.name}
            self.tell("INFO", filled("Strip {strip} is in scene {scene}", **names))


class PANTHEON360_OT_show_result(base.ImmediateOperator):
    """Play the newest 360° video of this scene: in the sequencer, on a sphere to look around in, or both"""

    bl_idname = "pantheon360.show_result"
    bl_label = "Show Result"
    stage = "video"
    bl_options = {"REGISTER"}

    view: EnumProperty(  # type: ignore[valid-type]
        name="View",
        description="Where it is shown",
        items=(
            ("SEQUENCER", "In the Sequencer", "The Video Editing workspace, with the strip framed", "SEQ_SEQUENCER", 0),
            ("AROUND", "Look Around", "From within, in a workspace that goes when it is left", "SPHERE", 1),
            ("BOTH", "Both", "The sequencer, and beside its preview the view from within", "VIEW3D", 2),
        ),
        default="SEQUENCER",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        there = strips.newest(context.scene) is not None
        return None if there else DisabledReason("Generate a 360° video first")

    def act(self, context: Any) -> str:
        strip = strips.newest(context.scene)
        results: bpy.types.Scene = strip.id_data
        told = filled("Strip {strip} of scene {scene}; Space plays and stops", strip=strip.name, scene=results.name)
        result_view.show(context, results, strip, self.view)
        return told


class PANTHEON360_OT_leave_look_around(base.ImmediateOperator):
    """Go back to the workspace and the scene that you came from; the sphere goes"""

    bl_idname = "pantheon360.leave_look_around"
    bl_label = "Leave Look Around"
    bl_options = {"INTERNAL"}

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return None if look_around.is_here(context.workspace) else DisabledReason("This is another workspace")

    def act(self, context: Any) -> str:
        context.window.workspace = look_around.way_back(context.workspace)
        return ""


def incomplete(scene: bpy.types.Scene) -> DisabledReason | None:
    """What a scene still lacks for its geometry pass, in the order of the work; None if nothing does."""
    return base.without_captures(scene) or base.without_cache(scene) or base.without_camera(scene)


CLASSES = (
    PANTHEON360_OT_generate,
    PANTHEON360_OT_resume,
    PANTHEON360_OT_show_result,
    PANTHEON360_OT_leave_look_around,
)

register, unregister = base.registration(*CLASSES)

"""Rendering: the geometry pass as files, and Blender's own rendering set up for it."""

from __future__ import annotations

from typing import Any

from bpy.props import BoolProperty

from ..pantheon360_blender.core.jobs import job_folder
from ..pantheon360_blender.core.plain_text import filled
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app.access import SceneReference
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.render import render_engine
from ..pantheon360_blender.scene.shot import painters, shot
from ..pantheon360_blender.scene.translation import translated
from . import base
from .base import JobOperator
from .generate import incomplete


class PANTHEON360_OT_render_geometry(JobOperator):
    """Write the geometry pass of the frame range into a new job folder, without painting it"""

    bl_idname = "pantheon360.render_geometry"
    bl_label = "Render Geometry Pass"
    stage = "geometry"

    use_engine: BoolProperty(  # type: ignore[valid-type]
        name="Set Up Rendering",
        description="Also make Pantheon360 this scene's render engine, at the shot's width, for F12 and render farms",
        default=False,
    )

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return incomplete(context.scene)

    def job(self, context: Any) -> Job[job_folder.PaintFolder]:
        self._scene = SceneReference(context.scene)  # the window may show another one when the job is done
        if self.use_engine and (told := render_engine.set_up(context.scene)):
            self.tell("INFO", told)
        lacks = painters.disabled_reason(context.scene, preparing=True)
        if lacks is not None:
            self.tell(
                "INFO",
                filled(
                    "The job folder is for the draft painter. {lacks} to have another one", lacks=translated(lacks.text)
                ),
            )
        return shot.prepare(context.scene, painter="draft" if lacks is not None else None)

    def finished(self, _context: Any, result: job_folder.PaintFolder) -> None:
        shot.remember(self._scene.scene, result)
        self.tell(
            "INFO", filled("{count} frames of geometry are in {path}", count=len(result.job.frames), path=result.path)
        )


class PANTHEON360_OT_set_up_rendering(base.ImmediateOperator):
    """Make Pantheon360 this scene's render engine, at the shot's width, for F12 and render farms"""

    bl_idname = "pantheon360.set_up_rendering"
    bl_label = "Set Up Rendering"
    stage = "geometry"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        ready = render_engine.is_set_up(context.scene)
        return DisabledReason("F12 renders the shot already") if ready else None

    def act(self, context: Any) -> str:
        return render_engine.set_up(context.scene)


register, unregister = base.registration(PANTHEON360_OT_render_geometry, PANTHEON360_OT_set_up_rendering)

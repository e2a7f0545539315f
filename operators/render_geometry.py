"""Render Geometry Pass: what the model will see, as files."""

from __future__ import annotations

from typing import Any

from bpy.props import BoolProperty

from ..pantheon360_blender.core.jobs.job_folder import PaintFolder
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app.access import SceneReference
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.render import render_engine
from ..pantheon360_blender.scene.shot import shot
from . import base
from .base import JobOperator
from .generate import unprepared


class PANTHEON360_OT_render_geometry(JobOperator):
    """Write the geometry pass of the frame range into a new job folder, without painting it"""

    bl_idname = "pantheon360.render_geometry"
    bl_label = "Render Geometry Pass"

    use_engine: BoolProperty(  # type: ignore[valid-type]
        name="Set Up Rendering",
        description="Also make Pantheon360 this scene's render engine, at the shot's width, for F12 and render farms",
        default=False,
    )

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return unprepared(context.scene)

    def job(self, context: Any) -> Job[PaintFolder]:
        self._scene = SceneReference(context.scene)  # the window may show another one when the job is done
        if self.use_engine:
            render_engine.set_up(context.scene)
        return shot.prepare(context.scene)

    def finished(self, _context: Any, result: PaintFolder) -> None:
        shot.remember(self._scene.scene, result)
        self.tell("INFO", f"{len(result.job.frames)} frames of geometry are in {result.path}")


register, unregister = base.registration(PANTHEON360_OT_render_geometry)

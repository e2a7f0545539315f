"""Project Captures onto Geometry: photographs and meshes become the 3D cache."""

from __future__ import annotations

from typing import Any

from ..pantheon360_blender.core.point_cloud import PointCloud
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene import cache, camera_path, projection
from ..pantheon360_blender.scene.jobs import JobOperator
from . import base


class PANTHEON360_OT_project_captures(JobOperator):
    """Make cache points where rays from the captures meet the projection geometry; projecting again updates them"""

    bl_idname = "pantheon360.project_captures"
    bl_label = "Project Captures onto Geometry"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: Any) -> str:
        bare = (
            ""
            if projection.geometry_in(context.scene)
            else "Make a proxy, or mark meshes as projection geometry, first"
        )
        return base.without_captures(context.scene) or bare

    def job(self, context: Any) -> Job[PointCloud]:
        self._scene = context.scene.name  # the window may show another one when the job is done
        return projection.project(context.scene, context.evaluated_depsgraph_get())

    def finished(self, _context: Any, result: PointCloud) -> None:
        obj = cache.replace(camera_path.scene_named(self._scene), result)
        self.report({"INFO"}, f"{len(result):,} points in {obj.name}")


register, unregister = base.registration(PANTHEON360_OT_project_captures)

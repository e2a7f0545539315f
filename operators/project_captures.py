"""Make Proxy and Project Captures onto Geometry: photographs and meshes become the 3D cache."""

from __future__ import annotations

from typing import Any

from ..pantheon360_blender.core import repairs
from ..pantheon360_blender.core.points.point_cloud import PointCloud
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app.access import SceneReference
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.cache import cache_objects
from ..pantheon360_blender.scene.sources import projection, proxy
from . import base
from .base import JobOperator


class PANTHEON360_OT_make_proxy(base.ImmediateOperator):
    """Add a ground plane and distant walls around the captures, to be moved and modeled to fit the photographs"""

    bl_idname = "pantheon360.make_proxy"
    bl_label = "Make Proxy"
    stage = "cache"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return base.without_captures(context.scene)

    def act(self, context: Any) -> str:
        return f"{len(proxy.create(context.scene))} proxy meshes added"


class PANTHEON360_OT_project_captures(JobOperator):
    """Make cache points where rays from the captures meet the projection geometry; projecting again updates them"""

    bl_idname = "pantheon360.project_captures"
    bl_label = "Project Captures onto Geometry"
    stage = "cache"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        if reason := base.without_captures(context.scene):
            return reason
        text = "Make a proxy, or mark meshes as projection geometry, first"
        return None if projection.geometry_in(context.scene) else DisabledReason(text, repairs.MAKE_PROXY)

    def job(self, context: Any) -> Job[PointCloud]:
        self._scene = SceneReference(context.scene)  # the window may show another one when the job is done
        return projection.project(context.scene, context.evaluated_depsgraph_get())

    def finished(self, _context: Any, result: PointCloud) -> None:
        obj = cache_objects.replace(self._scene.scene, result)
        self.tell("INFO", f"{len(result):,} points in {obj.name}")


register, unregister = base.registration(PANTHEON360_OT_make_proxy, PANTHEON360_OT_project_captures)

"""Make Proxy, Make Walls, and Project Captures onto Geometry: photographs and meshes become the 3D cache."""

from __future__ import annotations

from typing import Any

from ..pantheon360_blender.core import repairs
from ..pantheon360_blender.core.plain_text import filled
from ..pantheon360_blender.core.points.point_cloud import PointCloud
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app import units
from ..pantheon360_blender.scene.app.access import SceneReference
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.app.jobs import NOTHING_CHANGED
from ..pantheon360_blender.scene.cache import cache_objects
from ..pantheon360_blender.scene.captures import capture_objects
from ..pantheon360_blender.scene.sources import plan_proxy, projection, proxy
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
        return filled("{count} proxy meshes added", count=len(proxy.create(context.scene)))


class PANTHEON360_OT_make_walls(JobOperator):
    """Make floor, walls and ceiling of what a capture sees of the 3D cache, to be dragged and projected onto"""

    bl_idname = "pantheon360.make_walls"
    bl_label = "Make Walls from 3D Cache"
    stage = "cache"
    bl_options = {"REGISTER", "UNDO"}
    left = NOTHING_CHANGED

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        if reason := base.without_captures(context.scene) or base.without_cache(context.scene):
            return reason
        if capture_objects.chosen(context.scene, context.object) is None:
            return DisabledReason("Select the capture that stands among the walls")
        return None

    def job(self, context: Any) -> Job[plan_proxy.Built]:
        self._scene = SceneReference(context.scene)
        capture = capture_objects.chosen(context.scene, context.object)
        assert capture is not None  # else the button is disabled
        return plan_proxy.create(context.scene, capture)

    def finished(self, _context: Any, result: plan_proxy.Built) -> None:
        walls = filled("1 wall") if result.walls == 1 else filled("{count} walls", count=result.walls)
        scene = self._scene.scene
        above = filled("open above")
        if result.ceiling is not None:
            above = filled("{height} high", height=units.length(scene, result.ceiling))
        instead = filled(", in place of {count} meshes", count=result.replaced) if result.replaced else ""
        told = filled(
            "{walls}, {above}{instead}: drag them to fit, then project the captures onto them",
            walls=walls, above=above, instead=instead,
        )  # fmt: skip
        self.tell("INFO", told)


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
        self.tell("INFO", filled("{count:,} points in {name}", count=len(result), name=obj.name))


register, unregister = base.registration(
    PANTHEON360_OT_make_proxy, PANTHEON360_OT_make_walls, PANTHEON360_OT_project_captures
)

"""Points from Mesh: modelled or scanned surfaces become points of the 3D cache."""

from __future__ import annotations

from typing import Any

from bpy.props import EnumProperty, FloatProperty, IntProperty

from ..pantheon360_blender.core.errors import CacheError
from ..pantheon360_blender.core.points.point_cloud import MOST_POINTS
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.app.jobs import NOTHING_CHANGED
from ..pantheon360_blender.scene.cache import cache_merge
from ..pantheon360_blender.scene.sources import mesh_points
from . import base
from .base import JobOperator


class PANTHEON360_OT_sample_mesh(JobOperator):
    """Make cache points of the selected meshes, in the colors of their materials or as the captures see them"""

    bl_idname = "pantheon360.sample_mesh"
    bl_label = "Points from Mesh"
    stage = "cache"
    bl_options = {"REGISTER", "UNDO"}
    left = NOTHING_CHANGED

    spacing: FloatProperty(  # type: ignore[valid-type]
        name="Spacing",
        description="Distance between neighboring points",
        default=0.02,
        min=1e-4,
        soft_max=1.0,
        precision=3,
        subtype="DISTANCE",
        unit="LENGTH",
    )
    colours: EnumProperty(  # type: ignore[valid-type]
        name="Colors",
        description="Where the points have their colors from",
        items=[
            ("AUTO", "Automatic", "The mesh's own if it has a texture or a color attribute, else the captures'"),
            ("OWN", "Mesh", "The picture of the base color, else the color attribute, else the plain base color"),
            ("CAPTURES", "Captures", "As the nearest capture sees them; what none sees has the mesh's own"),
        ],
        default="AUTO",
    )
    result: EnumProperty(  # type: ignore[valid-type]
        name="Result",
        description="What becomes of the points that are there",
        items=cache_merge.RESULTS[::-1],
        default="MERGE",
    )
    limit: IntProperty(  # type: ignore[valid-type]
        name="Most Points",
        description="The spacing grows if there would be more",
        default=MOST_POINTS,
        min=1000,
        soft_max=50_000_000,
    )

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        if context.mode != "OBJECT":
            return DisabledReason("Leave Edit Mode first")
        found = mesh_points.sources(context.scene, context.selected_objects)
        return None if found else DisabledReason("Select the meshes to make points of")

    def invoke(self, context: Any, _event: Any) -> set[Any]:
        return context.window_manager.invoke_props_dialog(self)  # type: ignore[no-any-return]

    def job(self, context: Any) -> Job[mesh_points.Sampled]:
        found = mesh_points.sources(context.scene, context.selected_objects)
        if not found:
            raise CacheError("No mesh is selected.", advice="Select the meshes to make points of.")
        return mesh_points.sample(
            context.scene, found, spacing=self.spacing, colours=self.colours, result=self.result, limit=self.limit
        )

    def finished(self, _context: Any, result: mesh_points.Sampled) -> None:
        base.warn(self, *result.notes)
        self.tell("INFO", result.text)


register, unregister = base.registration(PANTHEON360_OT_sample_mesh)

"""Import 3D Cache: points, and pictures with poses, of other programs."""

from __future__ import annotations

from typing import Any

from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..pantheon360_blender.core.points.point_cloud import MOST_POINTS
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app import units
from ..pantheon360_blender.scene.cache import cache_merge, cache_objects
from ..pantheon360_blender.scene.sources import file_types, import_files
from . import base


class PANTHEON360_OT_import_cache(base.FilesOperator):
    """Import points, and 360° photographs with their poses, of other programs: PLY, LAS, LAZ, COPC, E57, COLMAP, nerfstudio, ViPE"""  # noqa: E501

    bl_idname = "pantheon360.import_cache"
    bl_label = "Import 3D Cache"
    stage = "cache"
    bl_options = {"REGISTER", "UNDO"}

    filter_glob: StringProperty(  # type: ignore[valid-type]
        default=";".join(f"*{suffix}" for suffix in file_types.POINTS_AND_POSES), options={"HIDDEN"}
    )
    result: EnumProperty(  # type: ignore[valid-type]
        name="Result",
        description="What becomes of the points that are there",
        items=cache_merge.RESULTS,
        default="REPLACE",
    )
    with_captures: BoolProperty(  # type: ignore[valid-type]
        name="Captures",
        description="Bring in pictures with poses, too: panoramas become captures, perspective pictures cameras, "
        "and captures that show the same photograph are moved",
        default=True,
    )
    up: EnumProperty(  # type: ignore[valid-type]
        name="Up",
        description="The file's axis that points up",
        items=[("AUTO", "By Format", "As the format has it, or as the cameras of the file stand")]
        + [(axis, axis.upper(), f"{axis.upper()} points up in the file") for axis in ("z", "-z", "y", "-y", "x", "-x")],
        default="AUTO",
    )
    scale: FloatProperty(  # type: ignore[valid-type]
        name="Scale",
        description="Meters that a unit of the file stands for; 0 takes what the file says, else 1",
        default=0.0,
        min=0.0,
        soft_max=1000.0,
        precision=4,
    )
    voxel: FloatProperty(  # type: ignore[valid-type]
        name="Thin by Voxel",
        description="Keep one point for each cube of this size; 0 thins only what has too many points",
        default=0.0,
        min=0.0,
        soft_max=1.0,
        precision=3,
        subtype="DISTANCE",
        unit="LENGTH",
    )
    limit: IntProperty(  # type: ignore[valid-type]
        name="Most Points",
        description="Larger clouds are thinned to this many points, by voxels as large as they must be",
        default=MOST_POINTS,
        min=1000,
        soft_max=50_000_000,
    )
    every: IntProperty(  # type: ignore[valid-type]
        name="Frame Step",
        description="Of a video with depth (ViPE), take every n-th frame",
        default=1,
        min=1,
        soft_max=100,
    )

    def invoke(self, context: Any, event: Any) -> set[Any]:  # type: ignore[override]
        dropped = bool(self.directory and self.files)
        if dropped and cache_objects.find(context.scene) is not None:
            self.result = cache_merge.MERGE  # a drop is quickly done: nothing is lost by it unless one says so
            return context.window_manager.invoke_props_dialog(self)  # type: ignore[no-any-return]
        return super().invoke(context, event)

    def draw(self, _context: Any) -> None:
        layout: Any = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        for name in ("result", "with_captures", "up", "scale", "voxel", "limit", "every"):
            layout.prop(self, name)

    def job(self, context: Any) -> Job[import_files.ImportResult]:
        return import_files.import_files(
            context.scene,
            self.paths(),
            result=self.result,
            with_captures=self.with_captures,
            up=None if self.up == "AUTO" else self.up,
            scale=self.scale or None,
            voxel=self.voxel / units.per_metre(context.scene),
            limit=self.limit,
            every=self.every,
        )

    def finished(self, _context: Any, result: import_files.ImportResult) -> None:
        base.warn(self, *result.notes)
        self.tell("INFO", result.text)


register, unregister = base.registration(PANTHEON360_OT_import_cache)

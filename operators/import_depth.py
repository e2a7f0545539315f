"""Points from Depth Image: one panorama alone, with any depth the artist brings."""

from __future__ import annotations

from typing import Any

from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty

from ..pantheon360_blender.core.errors import CaptureError
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app import units
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.captures import capture_objects
from ..pantheon360_blender.scene.sources import depth_points, file_types
from ..pantheon360_blender.scene.translation import translated
from . import base


class PANTHEON360_OT_import_depth(base.FilesOperator):
    """Make cache points of the active capture by an equirectangular depth image of it: 16-bit PNG or OpenEXR"""

    bl_idname = "pantheon360.import_depth"
    bl_label = "Points from Depth Image"
    stage = "cache"
    bl_options = {"REGISTER", "UNDO"}

    filter_glob: StringProperty(  # type: ignore[valid-type]
        default=";".join(f"*{suffix}" for suffix in file_types.DEPTH_IMAGES), options={"HIDDEN"}
    )
    result: EnumProperty(  # type: ignore[valid-type]
        name="Result",
        description="What becomes of the points that are there",
        items=[
            ("MERGE", "Merge", "Points of other captures stay; those of this capture are exchanged"),
            ("REPLACE", "Replace", "The new points replace all of the 3D cache"),
        ],
        default="MERGE",
    )
    scale: FloatProperty(  # type: ignore[valid-type]
        name="Scale",
        description="Meters of one step of the image's values; for inverse depth, 1 / meters of one step; "
        "0 is a millimeter for whole numbers and a meter for OpenEXR",
        default=0.0,
        min=0.0,
        soft_max=100.0,
        precision=6,
    )
    inverse: BoolProperty(  # type: ignore[valid-type]
        name="Inverse Depth",
        description="The values are 1 / depth, brighter is nearer, as estimators give them",
        default=False,
    )
    measure: EnumProperty(  # type: ignore[valid-type]
        name="Measured",
        description="What the depth of a pixel is",
        items=[
            ("range", "Along the Ray", "Distance from the camera, as panoramic renders have it"),
            ("cube", "By Cube Face", "Along the axis of the cube face that the ray meets, as depth merged from a cube"),
            ("horizontal", "Over Ground", "Distance from the vertical axis through the camera"),
        ],
        default="range",
    )
    voxel: FloatProperty(  # type: ignore[valid-type]
        name="Thin by Voxel",
        description="Keep one point for each cube of this size; 0 keeps all",
        default=0.0,
        min=0.0,
        soft_max=1.0,
        precision=3,
        subtype="DISTANCE",
        unit="LENGTH",
    )

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        if reason := base.without_captures(context.scene):
            return reason
        found = capture_objects.chosen(context.scene, context.object)
        return None if found is not None else DisabledReason("Select the capture that the depth image belongs to")

    def draw(self, context: Any) -> None:
        layout: Any = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        found = capture_objects.chosen(context.scene, context.object)
        if found is not None:
            layout.label(text=translated("Depth of {name}", name=found.name), icon="WORLD")
        for name in ("result", "scale", "inverse", "measure", "voxel"):
            layout.prop(self, name)

    def job(self, context: Any) -> Job[depth_points.DepthPoints]:
        found = capture_objects.chosen(context.scene, context.object)
        paths = self.paths()
        if found is None or len(paths) != 1:
            raise CaptureError(
                "A depth image belongs to one capture.", advice="Select the capture and choose one depth image of it."
            )
        return depth_points.import_depth(
            context.scene,
            found,
            paths[0],
            result=self.result,
            voxel=self.voxel / units.per_metre(context.scene),
            depth_scale=self.scale or None,
            depth_inverse=self.inverse,
            depth_measure=self.measure,
        )

    def finished(self, _context: Any, result: depth_points.DepthPoints) -> None:
        base.warn(self, *result.notes)
        self.tell("INFO", result.text)


register, unregister = base.registration(PANTHEON360_OT_import_depth)

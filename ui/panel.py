"""The sidebar tab, in the order of the work: captures, cache, camera path, geometry pass, generate."""

from __future__ import annotations

from typing import Any

import bpy

from ..pantheon360_blender.scene import cache, captures, shot
from ..pantheon360_blender.scene.properties import of_object


class SidebarPanel(bpy.types.Panel):
    """Where every panel of this extension stands."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Pantheon360"
    layout: Any


class PANTHEON360_PT_captures(SidebarPanel):
    bl_label = "Captures"
    bl_idname = "PANTHEON360_PT_captures"

    def draw(self, context: Any) -> None:
        layout = _property_layout(self.layout)
        found = captures.in_scene(context.scene)
        layout.operator("pantheon360.import_captures", icon="IMPORT")
        for capture in found:
            row = layout.row(align=True)
            row.label(text=capture.name, icon="WORLD")
            settings = of_object(capture)
            row.prop(settings, "show_preview", text="", icon="HIDE_OFF" if settings.show_preview else "HIDE_ON")


class PANTHEON360_PT_capture(SidebarPanel):
    """The active capture: levelling and what of it to ignore."""

    bl_label = "Active Capture"
    bl_idname = "PANTHEON360_PT_capture"
    bl_parent_id = "PANTHEON360_PT_captures"

    @classmethod
    def poll(cls, context: Any) -> bool:
        return context.object is not None and context.object.pantheon360.is_capture

    def draw(self, context: Any) -> None:
        layout = _property_layout(self.layout)
        capture = context.object.pantheon360
        levelling = layout.column(align=True, heading="Level")
        for axis in ("yaw", "pitch", "roll"):
            levelling.prop(capture, axis)
        ignored = layout.column(heading="Ignore")
        ignored.prop(capture, "nadir", slider=True)
        ignored.prop(capture, "mask")


class PANTHEON360_PT_cache(SidebarPanel):
    bl_label = "3D Cache"
    bl_idname = "PANTHEON360_PT_cache"

    def draw(self, context: Any) -> None:
        layout = _property_layout(self.layout)
        settings = context.scene.pantheon360
        layout.operator("pantheon360.make_proxy", icon="MESH_GRID")
        if context.object is not None and context.object.type == "MESH" and not context.object.pantheon360.is_cache:
            layout.prop(context.object.pantheon360, "is_geometry", text="Project onto Active Mesh")
        layout.prop(settings, "projection_width", text="Width")
        layout.prop(settings, "nearest_capture_only", text="Nearest Only")
        layout.operator("pantheon360.project_captures", icon="MOD_UVPROJECT")
        found = cache.find(context.scene)
        if found is not None:
            mesh: Any = found.data
            layout.label(text=f"{len(mesh.vertices):,} points in {found.name}", icon="OUTLINER_OB_POINTCLOUD")


class PANTHEON360_PT_path(SidebarPanel):
    bl_label = "Camera Path"
    bl_idname = "PANTHEON360_PT_path"

    def draw(self, context: Any) -> None:
        layout = _property_layout(self.layout)
        scene = context.scene
        settings = scene.pantheon360
        layout.prop(scene, "camera")
        layout.prop(settings, "start_capture")
        layout.prop(settings, "end_capture")
        layout.prop(settings, "match_orientation")
        layout.operator("pantheon360.set_path_ends", icon="KEYFRAME_HLT")


class PANTHEON360_PT_geometry(SidebarPanel):
    bl_label = "Geometry Pass"
    bl_idname = "PANTHEON360_PT_geometry"

    def draw(self, context: Any) -> None:
        layout = _property_layout(self.layout)
        settings = context.scene.pantheon360
        layout.prop(settings, "width")
        layout.prop(settings, "near")
        layout.operator("pantheon360.render_geometry", icon="RENDER_ANIMATION")


class PANTHEON360_PT_generate(SidebarPanel):
    bl_label = "Generate"
    bl_idname = "PANTHEON360_PT_generate"

    def draw(self, context: Any) -> None:
        layout = _property_layout(self.layout)
        settings = context.scene.pantheon360
        state = context.window_manager.pantheon360
        layout.prop(settings, "painter")
        layout.prop(settings, "seed")
        layout.prop(settings, "frame_step")
        layout.prop(settings, "strip_source")
        layout.prop(settings, "jobs_folder")
        if state.running:
            layout.progress(factor=state.progress, text=f"{state.phase}  {state.eta}".strip())
            layout.label(text="Press Esc to cancel")
        else:
            layout.operator("pantheon360.generate", icon="PLAY")
            if shot.unfinished(context.scene) is not None:
                layout.operator("pantheon360.resume", icon="FRAME_NEXT")
        layout.separator()
        layout.operator("pantheon360.tag_360", icon="FILE_MOVIE")


class PANTHEON360_PT_sequencer(bpy.types.Panel):
    """The same tag where finished videos are edited."""

    bl_label = "360° Video"
    bl_idname = "PANTHEON360_PT_sequencer"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Pantheon360"

    def draw(self, context: Any) -> None:
        layout: Any = self.layout
        layout.operator("pantheon360.tag_360", icon="FILE_MOVIE")


CLASSES = (
    PANTHEON360_PT_captures,
    PANTHEON360_PT_capture,
    PANTHEON360_PT_cache,
    PANTHEON360_PT_path,
    PANTHEON360_PT_geometry,
    PANTHEON360_PT_generate,
    PANTHEON360_PT_sequencer,
)


def register() -> None:
    for panel in CLASSES:
        bpy.utils.register_class(panel)


def unregister() -> None:
    for panel in reversed(CLASSES):
        bpy.utils.unregister_class(panel)


def _property_layout(layout: Any) -> Any:
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column

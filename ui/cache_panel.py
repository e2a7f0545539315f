"""Sub-panels beside the main way: other sources of the 3D cache, editing it, levelling the place, checking the path."""

from __future__ import annotations

from typing import Any

import bpy

from ..pantheon360_blender.core.plain_text import filled
from ..pantheon360_blender.scene.app import units
from ..pantheon360_blender.scene.app.access import of_object, of_scene, of_window_manager
from ..pantheon360_blender.scene.app.registration import registration
from ..pantheon360_blender.scene.cache import cache_edit
from ..pantheon360_blender.scene.camera import coverage_check
from ..pantheon360_blender.scene.translation import translated
from .panel import SidebarPanel, job_button, property_layout
from .text_lines import hint

MOST_LISTED = 6
"""Warnings that the panel lists."""

_ICONS = {"leaves": "ERROR", "touches": "MOD_PHYSICS", "fast": "TIME"}


class PANTHEON360_PT_cache_sources(SidebarPanel):
    """Points that come from elsewhere than the captures."""

    bl_label = "Other Sources"
    bl_idname = "PANTHEON360_PT_cache_sources"
    bl_parent_id = "PANTHEON360_PT_cache"

    def draw(self, context: Any) -> None:
        column = property_layout(self.layout).column(align=True)
        job_button(column, context, "import_cache", icon="IMPORT")
        job_button(column, context, "import_depth", icon="IMAGE_ZDEPTH")
        job_button(column, context, "sample_mesh", icon="MESH_DATA")


class PANTHEON360_PT_cache_edit(SidebarPanel):
    bl_label = "Edit Points"
    bl_idname = "PANTHEON360_PT_cache_edit"
    bl_parent_id = "PANTHEON360_PT_cache"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        return cache_edit.chosen(context.scene, context.object) is not None

    def draw(self, context: Any) -> None:
        layout = property_layout(self.layout)
        obj = cache_edit.chosen(context.scene, context.object)
        if obj is None:
            return
        layout.prop(of_object(obj), "most_shown")
        layout.prop(of_object(obj), "least_confidence", slider=True)
        clean = layout.column(align=True)
        clean.operator("pantheon360.threshold_confidence", icon="FILTER")
        clean.operator("pantheon360.remove_invented", icon="BRUSH_DATA")
        clean.operator("pantheon360.remove_floaters", icon="OUTLINER_DATA_POINTCLOUD")
        clean.operator("pantheon360.thin_cache", icon="LIGHTPROBE_VOLUME")
        cut = layout.column(align=True)
        cut.operator("pantheon360.crop_cache", icon="SELECT_SET")
        cut.operator("pantheon360.mask_cache", icon="MOD_MASK")
        colours = layout.column(align=True)
        colours.operator("pantheon360.match_colours", icon="COLOR")
        colours.operator("pantheon360.restore_colours", icon="LOOP_BACK")


class PANTHEON360_PT_orientation(SidebarPanel):
    bl_label = "Level and Scale"
    bl_idname = "PANTHEON360_PT_orientation"
    bl_parent_id = "PANTHEON360_PT_captures"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, _context: Any) -> None:
        layout = property_layout(self.layout)
        column = layout.column(align=True)
        column.operator("pantheon360.level_captures", icon="ORIENTATION_GLOBAL")
        column.operator("pantheon360.set_floor", icon="AXIS_TOP")
        column.operator("pantheon360.scale_captures", icon="DRIVER_DISTANCE")


class PANTHEON360_PT_coverage(SidebarPanel):
    bl_label = "Coverage"
    bl_idname = "PANTHEON360_PT_coverage"
    bl_parent_id = "PANTHEON360_PT_path"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        layout = property_layout(self.layout)
        job_button(layout, context, "check_coverage", icon="CAMERA_DATA", explain=True)
        layout.operator("pantheon360.show_coverage", icon="IMAGE_RGB_ALPHA")
        checked = coverage_check.stored(context.scene)
        if checked is None:
            return
        if coverage_check.outdated(context.scene):
            hint(layout, "Out of date: the path or", "the cache has changed since", icon="ERROR")
        layout.prop(of_window_manager(context.window_manager), "show_coverage_plot")
        _summary(context.scene, layout, checked)
        layout.operator("pantheon360.clear_coverage", icon="X")


class PANTHEON360_PT_live(SidebarPanel):
    bl_label = "Live Panorama"
    bl_idname = "PANTHEON360_PT_live"
    bl_parent_id = "PANTHEON360_PT_path"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header(self, context: Any) -> None:
        self.layout.prop(of_scene(context.scene), "live", text="")

    def draw(self, context: Any) -> None:
        layout = property_layout(self.layout)
        settings = of_scene(context.scene)
        layout.active = settings.live
        layout.prop(settings, "live_corner")
        layout.prop(settings, "live_size", slider=True)
        layout.prop(settings, "live_opacity", slider=True)
        layout.prop(settings, "live_width")
        layout.prop(settings, "live_marks")
        layout.prop(settings, "live_in_editors", text="Image Editors")


def _summary(scene: bpy.types.Scene, layout: Any, checked: coverage_check.Checked) -> None:
    path = checked.path
    figures = layout.column(align=True)
    for text in (
        filled("Covered: {least:.0%} to {most:.0%} of the view", least=path.covered.min(), most=path.covered.max()),
        filled("Guessed: {least:.0%} to {most:.0%} of the view", least=path.guessed.min(), most=path.guessed.max()),
        filled("Largest hole: {share:.0%}", share=path.hole.max()),
        filled("Nearest point: {distance}", distance=units.length(scene, path.nearest.min())),
        filled("Speed: up to {speed}", speed=units.speed(scene, path.speed.max())),
    ):
        figures.label(text=translated(text))
    if not checked.warnings:
        layout.label(text="The path stays within the cache", icon="CHECKMARK")
    for warning in checked.warnings[:MOST_LISTED]:
        what, _, detail = translated(warning.text).partition(":")
        column = layout.column(align=True)
        column.label(text=f"{warning.first}-{warning.last}: {what}", icon=_ICONS[warning.kind])
        column.label(text=detail.strip(), icon="BLANK1")
    if len(checked.warnings) > MOST_LISTED:
        hint(layout, "and {count} more, marked on the timeline", count=len(checked.warnings) - MOST_LISTED)


CLASSES = (
    PANTHEON360_PT_cache_sources,
    PANTHEON360_PT_cache_edit,
    PANTHEON360_PT_orientation,
    PANTHEON360_PT_live,
    PANTHEON360_PT_coverage,
)

register, unregister = registration(*CLASSES)

"""The takes of a scene: small pictures, what painted them, and what can be done with each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..pantheon360_blender.scene.app import pictures
from ..pantheon360_blender.scene.app.registration import registration
from ..pantheon360_blender.scene.background import takes
from ..pantheon360_blender.scene.translation import translated
from .job_state import draw_outcome
from .panel import SidebarPanel, draw_queued
from .text_lines import hint

MOST = 8
"""Takes that are listed; more are counted."""
PICTURE = 4.0
"""Height of a take's picture, in buttons."""


class PANTHEON360_PT_takes(SidebarPanel):
    bl_label = "Takes"
    bl_idname = "PANTHEON360_PT_takes"

    def draw(self, context: Any) -> None:
        layout = self.layout
        draw_outcome(layout, context.scene, "takes")
        draw_queued(layout, context.scene, "extend")
        found = takes.of_scene(context.scene)
        if not found:
            hint(layout, "What is painted for this scene", "is kept here, to compare")
        if len(found) > 1:
            layout.operator("pantheon360.compare_takes", icon="ARROW_LEFTRIGHT")
        for take in found[:MOST]:
            _draw_take(layout.box(), take)
        if len(found) > MOST:
            layout.label(text=translated("and {count} more", count=len(found) - MOST))


def _draw_take(layout: Any, take: takes.Take) -> None:
    row = layout.row()
    icon = pictures.icon(Path(take.preview))
    if icon:
        picture = row.column()
        picture.ui_units_x = 2 * PICTURE
        picture.template_icon(icon_value=icon, scale=PICTURE)
    column = row.column(align=True)
    column.scale_y = 0.8
    column.label(text=take.painter)
    if take.origins:
        column.label(text=translated(take.origins))
    size = {"width": take.width, "height": take.width // 2}
    column.label(text=translated("{width} x {height}, {frames} frames", frames=take.frames, **size))
    column.label(text=f"{take.bytes / 1e6:,.0f} MB")
    buttons = layout.row(align=True)
    shown = takes.is_shown(take)
    buttons.operator("pantheon360.show_take", text="Shown" if shown else "Show", depress=shown).job = take.entry.id
    buttons.operator("pantheon360.load_take", text="Settings", icon="SETTINGS").job = take.entry.id
    layout.operator("pantheon360.add_take", text="Add to Cache", icon="OUTLINER_OB_POINTCLOUD").job_id = take.entry.id
    exporting = layout.row(align=True)
    for verb, text in (("export_video", "Video"), ("export_frames", "Frames"), ("export_poster", "Poster")):
        exporting.operator(f"pantheon360.{verb}", text=text, icon="EXPORT").job_id = take.entry.id
    exporting.operator("pantheon360.take_as_world", text="", icon="WORLD").job_id = take.entry.id
    buttons.operator("pantheon360.open_job", text="", icon="FILE_FOLDER").job = take.entry.id
    buttons.operator("pantheon360.delete_take", text="", icon="TRASH").job = take.entry.id


CLASSES = (PANTHEON360_PT_takes,)

register, unregister = registration(*CLASSES)

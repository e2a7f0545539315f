"""The live panorama's settings, below the camera path that it follows."""

from __future__ import annotations

from typing import Any

from ..pantheon360_blender.scene.app.access import of_scene
from ..pantheon360_blender.scene.app.registration import registration
from .panel import SidebarPanel, property_layout


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


register, unregister = registration(PANTHEON360_PT_live)

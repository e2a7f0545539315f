"""What else can be set of the diffusion painter; what is needed each time stands in the Generate panel."""

from __future__ import annotations

from typing import Any

from ..pantheon360_blender.scene.app.registration import registration
from .panel import SidebarPanel, property_layout


class PANTHEON360_PT_diffusion(SidebarPanel):
    """The diffusion painter's settings that usually stay as they are."""

    bl_label = "Advanced"
    bl_idname = "PANTHEON360_PT_diffusion"
    bl_parent_id = "PANTHEON360_PT_generate"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        return bool(context.scene.pantheon360.painter == "DIFFUSION")

    def draw(self, context: Any) -> None:
        layout = property_layout(self.layout)
        settings = context.scene.pantheon360.diffusion
        seam = layout.column(heading="Seam")
        seam.prop(settings, "circular")
        padding = seam.column()
        padding.active = not settings.circular
        padding.prop(settings, "padding")
        seam.prop(settings, "roll")
        layout.prop(settings, "weighting")
        sampling = layout.column()
        sampling.prop(settings, "scheduler")
        sampling.prop(settings, "guidance_start")
        sampling.prop(settings, "noise_aug", text="Augmentation")
        sampling.prop(settings, "motion_bucket")
        sampling.prop(settings, "fps")
        layout.prop(settings, "draft_share")
        clips = layout.column(align=True)
        for name in ("every", "clip", "overlap"):
            clips.prop(settings, name)
        device = layout.column()
        for name in ("device", "precision", "memory", "compile"):
            device.prop(settings, name)
        layout.column(heading="Keep").prop(settings, "save_seen", text="What It Sees")
        _loras(layout, settings)


def _loras(layout: Any, settings: Any) -> None:
    for index, lora in enumerate(settings.loras):
        entry = layout.column(align=True)
        row = entry.row(align=True)
        row.prop(lora, "file", text=f"LoRA {index + 1}")
        row.operator("pantheon360.remove_lora", text="", icon="REMOVE").index = index
        entry.prop(lora, "strength")
    layout.operator("pantheon360.add_lora", icon="ADD")


CLASSES = (PANTHEON360_PT_diffusion,)

register, unregister = registration(*CLASSES)

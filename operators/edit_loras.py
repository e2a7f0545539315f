"""The diffusion painter's list of LoRAs: one more, one less."""

from __future__ import annotations

from typing import Any

from bpy.props import IntProperty

from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from . import base


class PANTHEON360_OT_add_lora(base.ImmediateOperator):
    """Add a LoRA to the diffusion painter's model"""

    bl_idname = "pantheon360.add_lora"
    bl_label = "Add LoRA"
    stage = "video"

    def act(self, context: Any) -> str:
        context.scene.pantheon360.diffusion.loras.add()
        return ""


class PANTHEON360_OT_remove_lora(base.ImmediateOperator):
    """Take this LoRA off the diffusion painter's model; its file stays"""

    bl_idname = "pantheon360.remove_lora"
    bl_label = "Remove LoRA"
    stage = "video"

    index: IntProperty(name="Index", description="Place in the list", default=0, min=0)  # type: ignore[valid-type]

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return None if context.scene.pantheon360.diffusion.loras else DisabledReason("There is no LoRA")

    def act(self, context: Any) -> str:
        context.scene.pantheon360.diffusion.loras.remove(self.index)
        return ""


register, unregister = base.registration(PANTHEON360_OT_add_lora, PANTHEON360_OT_remove_lora)

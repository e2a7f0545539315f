"""Make Proxy: ground and distant walls to project the captures onto."""

from __future__ import annotations

from typing import Any

from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.sources import proxy
from . import base


class PANTHEON360_OT_make_proxy(base.ImmediateOperator):
    """Add a ground plane and distant walls around the captures, to be moved and modeled to fit the photographs"""

    bl_idname = "pantheon360.make_proxy"
    bl_label = "Make Proxy"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return base.without_captures(context.scene)

    def act(self, context: Any) -> str:
        return f"{len(proxy.create(context.scene))} proxy meshes added"


register, unregister = base.registration(PANTHEON360_OT_make_proxy)

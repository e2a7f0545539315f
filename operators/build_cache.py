"""Build 3D Cache: photographs of a place become posed captures and points."""

from __future__ import annotations

from typing import Any

from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.background import queue
from ..pantheon360_blender.scene.sources import reconstruct
from . import base
from .base import JobOperator


class PANTHEON360_OT_build_cache(JobOperator):
    """Find where the captures were taken and the points they see; undo brings back the poses and the cache"""

    bl_idname = "pantheon360.build_cache"
    bl_label = "Build 3D Cache"
    stage = "cache"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return reconstruct.disabled_reason(context.scene)

    def job(self, context: Any) -> Job[Any]:
        return reconstruct.begin(context.scene) if self.while_working else reconstruct.build(context.scene)

    def finished(self, _context: Any, result: Any) -> None:
        if self.while_working:
            queue.enqueue(result.id)
        else:
            self._told_built(result)

    def _told_built(self, result: reconstruct.Built) -> None:
        base.warn(self, *(f"{name} was not posed: {reason}" for name, reason in result.left.items()), *result.notes)
        self.tell("INFO", result.text)


register, unregister = base.registration(PANTHEON360_OT_build_cache)

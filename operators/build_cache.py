"""Build 3D Cache: photographs of a place become posed captures and points."""

from __future__ import annotations

from typing import Any

from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene import build_cache
from ..pantheon360_blender.scene.build_cache import Built
from ..pantheon360_blender.scene.jobs import JobOperator
from . import base


class PANTHEON360_OT_build_cache(JobOperator):
    """Find where the captures were taken and the points they see; undo brings back the poses and the cache"""

    bl_idname = "pantheon360.build_cache"
    bl_label = "Build 3D Cache"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: Any) -> str:
        return build_cache.refusal(context.scene)

    def job(self, context: Any) -> Job[Built]:
        return build_cache.build(context.scene)

    def finished(self, _context: Any, result: Built) -> None:
        base.warn(self, *(f"{name} was not posed: {reason}" for name, reason in result.left.items()), *result.notes)
        self.report({"INFO"}, result.text)


register, unregister = base.registration(PANTHEON360_OT_build_cache)

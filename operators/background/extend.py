"""Add Take to Cache: what the painter of a take made up becomes points of the 3D cache."""

from __future__ import annotations

from typing import Any

import bpy

from ...pantheon360_blender.core.progress import Job
from ...pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ...pantheon360_blender.scene.background import delivery, queue, takes
from ...pantheon360_blender.scene.shot import strips
from ...pantheon360_blender.scene.sources import painted_frames
from .. import base
from ..base import JobOperator
from .export import OfTake


class PANTHEON360_OT_add_take(OfTake, JobOperator):  # type: ignore[misc]
    """Add what this take shows and the 3D cache lacks to the cache, so that later paths see the same"""

    bl_idname = "pantheon360.add_take"
    bl_label = "Add Take to Cache"
    stage = "takes"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        # The scene of the results has takes of others, whose caches are looked at once it is told which take it is.
        return None if strips.are_results(context.scene) else painted_frames.disabled_reason(context.scene)

    def job(self, context: Any) -> Job[Any]:
        folder, scene = self.folder(context), self._scene(context)
        begun = painted_frames.begin if self.while_working else painted_frames.add
        return begun(scene, folder)

    def _scene(self, context: Any) -> bpy.types.Scene:
        """The scene that the take was made for. Raises JobError if it is not in this file."""
        return delivery.require_scene(takes.find(self.job_id).entry) if self.job_id else context.scene  # type: ignore[no-any-return]

    def finished(self, _context: Any, result: Any) -> None:
        if self.while_working:
            queue.enqueue(result.id)
        else:
            self.tell("INFO", result.text)


register, unregister = base.registration(PANTHEON360_OT_add_take)

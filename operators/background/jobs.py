"""Jobs in the background: go on with one, pause, move, deliver, remove it; look into its folder; cancel what runs."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import IntProperty, StringProperty

from ...pantheon360_blender.core.errors import JobError
from ...pantheon360_blender.core.jobs import registry
from ...pantheon360_blender.scene.app import identity, jobs
from ...pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ...pantheon360_blender.scene.background import delivery, listing, queue, removal
from .. import base

_AGAIN = {"paint": "generate", "reconstruct": "build_cache"}
"""Kind of job -> what begins one; a take that is added is chosen anew."""


class _JobAction(base.ImmediateOperator):
    """Something that is done with one job of the list."""

    bl_options = {"INTERNAL"}
    stage = "jobs"
    job: StringProperty(name="Job", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def item(self) -> listing.Item:
        """The job as it is listed now. Raises JobError if it is not."""
        found = listing.find(self.job)
        if found is None:
            raise JobError("This job is not in the list any more.")
        return found

    def act_on(self, item: listing.Item) -> str:
        """Do it, and say what was done. Raises PantheonError."""
        raise NotImplementedError

    def act(self, _context: Any) -> str:
        return self.act_on(self.item())


class PANTHEON360_OT_resume_job(_JobAction):
    """Go on with this job after those that wait; frames and stages that are finished are kept"""

    bl_idname = "pantheon360.resume_job"
    bl_label = "Resume"

    def act_on(self, item: listing.Item) -> str:
        if item.is_begun:
            return _begin_again(item)
        if item.is_gone:
            raise JobError(f"The folder of this job, {item.entry.folder}, is gone.", advice="Remove it from the list.")
        queue.enqueue(item.entry.id)
        return ""


class PANTHEON360_OT_pause_job(_JobAction):
    """Stop this job; what is finished is kept"""

    bl_idname = "pantheon360.pause_job"
    bl_label = "Pause"

    def act_on(self, item: listing.Item) -> str:
        queue.pause(item.entry.id)
        return ""


class PANTHEON360_OT_move_job(_JobAction):
    """Let this job change places with the one beside it"""

    bl_idname = "pantheon360.move_job"
    bl_label = "Move"
    by: IntProperty(name="By", default=1, min=-1, max=1, options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def act_on(self, item: listing.Item) -> str:
        queue.move(item.entry.id, self.by)
        return ""


class PANTHEON360_OT_deliver_job(_JobAction):
    """Bring the results of this job into the scene that it was begun for; into this one if its file was never saved"""

    bl_idname = "pantheon360.deliver_job"
    bl_label = "Deliver"

    def act(self, context: Any) -> str:
        entry = self.item().entry
        if not entry.blend and delivery.scene_of(entry) is None:
            scene = context.scene
            registry.update(entry.id, scene=scene.name, identity=identity.of(scene), blend=bpy.data.filepath)
        else:
            delivery.require_scene(entry)
        queue.deliver(entry.id)
        return ""


class PANTHEON360_OT_remove_job(_JobAction):
    """Remove this job and delete its folder with all that was made"""

    bl_idname = "pantheon360.remove_job"
    bl_label = "Remove and Delete Files"

    def invoke(self, context: Any, event: bpy.types.Event) -> set[Any]:
        return context.window_manager.invoke_confirm(self, event)  # type: ignore[no-any-return]

    def act_on(self, item: listing.Item) -> str:
        queue.pause(item.entry.id)
        return removal.remove(item.entry).text


class PANTHEON360_OT_open_job(_JobAction):
    """Show the folder of this job, or its log, in another program"""

    bl_idname = "pantheon360.open_job"
    bl_label = "Open Folder"
    file: StringProperty(name="File", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def act_on(self, item: listing.Item) -> str:
        path = item.entry.path / self.file
        if not path.exists():
            raise JobError(f"{path} is not there.")
        bpy.ops.wm.path_open(filepath=str(path))
        return ""


class PANTHEON360_OT_copy_text(bpy.types.Operator):
    """Copy this message to the clipboard"""

    bl_idname = "pantheon360.copy_text"
    bl_label = "Copy"
    bl_options = {"INTERNAL"}
    text: StringProperty(name="Text", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def execute(self, context: Any) -> set[Any]:
        context.window_manager.clipboard = self.text
        return {"FINISHED"}


class PANTHEON360_OT_cancel(base.ImmediateOperator):
    """Stop what is at work; what is finished is kept, and Resume goes on from there"""

    bl_idname = "pantheon360.cancel"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    @classmethod
    def disabled_reason(cls, _context: Any) -> DisabledReason | None:
        return None if jobs.running() or queue.current() else DisabledReason("Nothing is at work")

    def act(self, _context: Any) -> str:
        running = queue.current()
        if jobs.running():
            jobs.end_running("Cancel was pressed")
        elif running is not None:
            queue.pause(running.entry.id)
        return ""


def _begin_again(item: listing.Item) -> str:
    """Blender was ended while it wrote the job's folder: there is nothing to go on from but the scene."""
    scene = delivery.require_scene(item.entry)
    if item.entry.kind not in _AGAIN:
        raise JobError(f"Nothing of {item.entry.title} was finished.", advice="Remove it, and add the take again.")
    with bpy.context.temp_override(scene=scene):
        ours: Any = getattr(bpy.ops, "pantheon360")  # noqa: B009 - type checkers do not know it
        verb = getattr(ours, _AGAIN[item.entry.kind])
        if not verb.poll():
            raise JobError(f"{item.entry.title} cannot be begun again now.", advice="Its panel says what is missing.")
        verb("INVOKE_DEFAULT")
    registry.remove(item.entry.id)
    return "It is begun again: nothing of it was finished"


CLASSES = (
    PANTHEON360_OT_resume_job,
    PANTHEON360_OT_pause_job,
    PANTHEON360_OT_move_job,
    PANTHEON360_OT_deliver_job,
    PANTHEON360_OT_remove_job,
    PANTHEON360_OT_open_job,
    PANTHEON360_OT_copy_text,
    PANTHEON360_OT_cancel,
)

register, unregister = base.registration(*CLASSES)

"""Takes: show one, compare two, load the settings of one, delete one with its files."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import StringProperty

from ...pantheon360_blender.core import plain_text
from ...pantheon360_blender.core.errors import JobError
from ...pantheon360_blender.core.plain_text import filled
from ...pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ...pantheon360_blender.scene.background import queue, takes
from ...pantheon360_blender.scene.shot import strips
from ...pantheon360_blender.scene.translation import translated
from .. import base


class _TakeAction(base.ImmediateOperator):
    """Something that is done with one take of the scene."""

    bl_options = {"REGISTER", "UNDO", "INTERNAL"}
    stage = "takes"
    job: StringProperty(name="Job", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def act_on(self, context: Any, take: takes.Take) -> str:
        """Do it, and say what was done. Raises PantheonError."""
        raise NotImplementedError

    def act(self, context: Any) -> str:
        return self.act_on(context, takes.find(self.job))


class PANTHEON360_OT_show_take(_TakeAction):
    """Let this take be what the results show; one that is in no sequencer is put there first"""

    bl_idname = "pantheon360.show_take"
    bl_label = "Show Take"

    def act_on(self, _context: Any, take: takes.Take) -> str:
        strip = takes.strip_of(take)
        if strip is not None:
            strips.show_only(strip)
            return filled("{name} is shown", name=strip.name)
        if queue.current() is not None:
            raise JobError("Another job is at work.", advice="Wait for it, or pause it.")
        queue.deliver(take.entry.id)
        if bpy.app.background:
            queue.run_to_end()
        return ""


class PANTHEON360_OT_compare_takes(base.ImmediateOperator):
    """Show the other one of the two newest takes; again shows the first one again"""

    bl_idname = "pantheon360.compare_takes"
    bl_label = "Compare Takes"
    stage = "takes"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        there = takes.other_of(context.scene) is not None
        return None if there else DisabledReason("There are no two takes in the sequencer")

    def act(self, context: Any) -> str:
        other = takes.other_of(context.scene)
        assert other is not None
        strips.show_only(takes.strip_of(other))
        return filled("{name} is shown", name=other.painter)


class PANTHEON360_OT_load_take(_TakeAction):
    """Set the painter, its settings, the size and the seed of this scene as they were for this take"""

    bl_idname = "pantheon360.load_take"
    bl_label = "Load Settings"

    def act_on(self, context: Any, take: takes.Take) -> str:
        takes.load_settings(context.scene, take)
        return "The settings are those of the take"


class PANTHEON360_OT_delete_take(_TakeAction):
    """Delete this take with its files and its strip; undo brings the strip back, but not the files"""

    bl_idname = "pantheon360.delete_take"
    bl_label = "Delete Take"

    def invoke(self, context: Any, event: bpy.types.Event) -> set[Any]:
        try:
            message = _warning(takes.find(self.job))
        except JobError:
            return self.execute(context)  # which says that it is gone
        return context.window_manager.invoke_confirm(  # type: ignore[no-any-return]
            self,
            event,
            title=translated("Delete Take"),
            message=message,
            confirm_text=translated("Delete"),
            translate=False,
        )

    def act_on(self, _context: Any, take: takes.Take) -> str:
        removed = takes.delete(take)
        return _stay(take) if removed is None else removed.text


def _warning(take: takes.Take) -> str:
    """What deleting a take comes to, for the person who is about to."""
    gone = filled("{path} is deleted; undo does not bring it back", path=take.entry.path)
    return plain_text.one_line(translated(gone if takes.owns_files(take) else _stay(take)))


def _stay(take: takes.Take) -> str:
    return filled("Its files belong to {file} and stay", file=take.entry.blend)


CLASSES = (
    PANTHEON360_OT_show_take,
    PANTHEON360_OT_compare_takes,
    PANTHEON360_OT_load_take,
    PANTHEON360_OT_delete_take,
)

register, unregister = base.registration(*CLASSES)

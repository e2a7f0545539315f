"""The list of jobs: what is at work and what waits, what can be gone on with, what failed and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..pantheon360_blender.core.jobs import job_folder, registry
from ..pantheon360_blender.scene.app.registration import registration
from ..pantheon360_blender.scene.background import listing, queue
from ..pantheon360_blender.scene.translation import translated
from .job_state import draw_current, draw_outcome, draw_repair
from .panel import SidebarPanel
from .text_lines import hint, lines, paragraph

ICONS = {
    "preparing": "PREFERENCES",
    "waiting": "SORTTIME",
    "running": "PLAY",
    "paused": "PAUSE",
    "interrupted": "QUIT",
    "failed": "CANCEL",
    "finished": "CHECKMARK",
}
KINDS = {"paint": "360° video", "reconstruct": "3D cache", "extend": "Take for the 3D cache"}
MOST = 12
"""Jobs that are listed; more are counted."""


class PANTHEON360_PT_jobs(SidebarPanel):
    bl_label = "Jobs"
    bl_idname = "PANTHEON360_PT_jobs"

    def draw_header_preset(self, _context: Any) -> None:
        offered = len(listing.offers())
        if offered:
            self.layout.label(text=translated("{count} to go on with", count=offered), icon="INFO")

    def draw(self, context: Any) -> None:
        draw_outcome(self.layout, context.scene, "jobs")
        items = listing.items()
        if not items:
            hint(self.layout, "What is generated and built is", "listed here until it is delivered")
        for item in _ranked(items)[:MOST]:
            _draw_item(self.layout.column(align=True), item)
        if len(items) > MOST:
            self.layout.label(text=translated("and {count} more", count=len(items) - MOST))
        _draw_delivered(self.layout)


def _draw_delivered(layout: Any) -> None:
    """What the last delivery said: captures that could not be posed, say, of which nothing else would tell."""
    last = queue.delivered()
    if last is not None:
        layout.label(text=last.title, icon="CHECKMARK")
        _draw_told(layout, last.id)


def _ranked(items: Sequence[listing.Item]) -> list[listing.Item]:
    """What is at work first, then what waits in its order, then this file's, the newest first."""
    order = ("running", "preparing", "waiting")
    newest_first = sorted(items, key=lambda item: item.entry.made, reverse=True)
    in_turn = sorted(newest_first, key=lambda item: item.entry.place if item.condition == "waiting" else 0.0)
    return sorted(
        in_turn,
        key=lambda item: order.index(item.condition) if item.condition in order else len(order) + (not item.is_here),
    )


def _draw_item(layout: Any, item: listing.Item) -> None:
    entry = item.entry
    row = layout.row(align=True)
    row.label(text=entry.title, icon=ICONS.get(item.condition, "QUESTION"))
    for verb, icon in _main_verbs(item):
        row.operator(f"pantheon360.{verb}", text="", icon=icon).job = entry.id
    if item.condition == "waiting" and entry.is_ours:
        for by, icon in ((-1, "TRIA_UP"), (1, "TRIA_DOWN")):
            moving = row.operator("pantheon360.move_job", text="", icon=icon)
            moving.job, moving.by = entry.id, by
    if not item.is_gone and not item.is_begun:
        opening = row.operator("pantheon360.open_job", text="", icon="TEXT")
        opening.job, opening.file = entry.id, job_folder.LOG_FILE
        row.operator("pantheon360.open_job", text="", icon="FILE_FOLDER").job = entry.id
    if item.condition not in registry.IN_HAND or entry.is_ours:
        row.operator("pantheon360.remove_job", text="", icon="TRASH").job = entry.id
    paragraph(layout, _facts(item), icon="BLANK1")
    current = queue.current()
    if current is not None and current.entry.id == entry.id:
        draw_current(layout, current)
    _draw_texts(layout, item)


def _draw_texts(layout: Any, item: listing.Item) -> None:
    """Why a job failed, with what repairs it, or what its end said."""
    entry = item.entry
    if entry.error:
        paragraph(layout, entry.error, icon="ERROR")
        row = layout.row(align=True)
        draw_repair(row, entry.repair)
        row.operator("pantheon360.copy_text", icon="COPYDOWN").text = entry.error
    _draw_told(layout, entry.id)
    if item.is_gone:
        lines(layout, "Its folder is gone", icon="ERROR")


def _draw_told(layout: Any, job_id: str) -> None:
    for text in queue.told(job_id):
        paragraph(layout, text, icon="INFO")


def _main_verbs(item: listing.Item) -> list[tuple[str, str]]:
    """(operator, icon) of what this job is waiting for a person to press."""
    if item.condition == "finished":
        return [("deliver_job", "IMPORT")] if item.is_here or not item.entry.blend else []
    if item.condition in listing.UNFINISHED:
        return [("resume_job", "PLAY")]
    return [("pause_job", "PAUSE")] if item.condition != "preparing" else []


def _facts(item: listing.Item) -> str:
    """What is made, how far it is, and for which file if that is another one."""
    entry = item.entry
    facts = [translated(KINDS.get(entry.kind, entry.kind)), translated(item.condition)]
    if not item.is_here and entry.blend:
        facts.append(translated("for {file}", file=Path(entry.blend).name))
    return ", ".join(facts)


class PANTHEON360_PT_disk(SidebarPanel):
    """What delivered jobs take of the disk: strips read their frames from there."""

    bl_label = "Delivered"
    bl_idname = "PANTHEON360_PT_disk"
    bl_parent_id = "PANTHEON360_PT_jobs"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, _context: Any) -> None:
        found = listing.delivered()
        layout = self.layout.column(align=True)
        total = sum(taken for _, taken in found)
        one = translated("1 job takes {size:,.0f} MB", size=total / 1e6)
        many = translated("{count} jobs take {size:,.0f} MB", count=len(found), size=total / 1e6)
        layout.label(text=one if len(found) == 1 else many, icon="DISK_DRIVE")
        for item, taken in sorted(found, key=lambda pair: -pair[1])[:MOST]:
            row = layout.row(align=True)
            row.label(text=f"{taken / 1e6:,.0f} MB: {item.entry.title}, {translated(KINDS.get(item.entry.kind, ''))}")
            row.operator("pantheon360.open_job", text="", icon="FILE_FOLDER").job = item.entry.id
            row.operator("pantheon360.remove_job", text="", icon="TRASH").job = item.entry.id


CLASSES = (PANTHEON360_PT_jobs, PANTHEON360_PT_disk)

register, unregister = registration(*CLASSES)

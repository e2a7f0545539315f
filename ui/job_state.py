"""What panels tell of jobs: progress, the newest picture and warnings; how one ended; why a button is gray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

from ..pantheon360_blender.scene.app import identity, jobs, pictures
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason, repair_label
from ..pantheon360_blender.scene.background import outcomes, queue
from ..pantheon360_blender.scene.translation import translated
from .text_lines import lines, paragraph

_BOX = 0.6
"""What a box takes of a line's width, in widget units."""
PREVIEW_SCALE = 8.0
"""Height of the newest picture, in buttons."""
MOST_WARNINGS = 6
"""Warnings that a panel lists of a job; all of them are reported at its end."""


def draw_running(layout: Any, state: Any) -> None:
    """The job that runs. state: a PANTHEON360_PG_window_manager."""
    layout.progress(factor=state.progress, text=f"{state.phase}  {state.eta}".strip())
    layout.operator("pantheon360.cancel", icon="X")
    _draw_notices(layout, state.warnings.splitlines())


def _draw_notices(layout: Any, warnings: Sequence[str]) -> None:
    """The newest picture of the job at work, and what it warned of."""
    if icon := pictures.newest_icon():
        layout.template_icon(icon_value=icon, scale=PREVIEW_SCALE)
    _draw_warnings(layout, warnings)


def _draw_warnings(layout: Any, warnings: Sequence[str], inset: float = 0.0) -> None:
    """The last ones. inset: as of text_lines.paragraph."""
    for text in warnings[-MOST_WARNINGS:]:
        paragraph(layout, text, icon="ERROR", inset=inset)
    if len(warnings) > MOST_WARNINGS:
        lines(layout, translated("and {count} more before", count=len(warnings) - MOST_WARNINGS), icon="BLANK1")


def draw_current(layout: Any, current: Any) -> None:
    """The job that the queue works on: one bar for all of it, the phase, the newest picture. current: queue.Current."""
    step = current.ticker.newest
    draw_bar(layout.row(align=True), current)
    counted = translated("{step} of {of}", step=step.step, of=step.of) if step.of else ""
    paragraph(layout, f"{translated(step.phase)} {counted}".strip(), icon="BLANK1")
    _draw_notices(layout, current.ticker.notices.warnings)


def draw_bar(row: Any, current: Any, width: float = 0.0) -> None:
    """How far the job is in all, and the button that stops it. width: in the interface's units; 0 is what there is."""
    left = ", " + translated("{time} left", time=current.time_left) if current.time_left else ""
    bar = row.row()
    bar.ui_units_x = width
    bar.progress(factor=current.whole.fraction, text=f"{current.whole.fraction:.0%}{left}")
    row.operator("pantheon360.pause_job", text="", icon="X").job = current.entry.id


def draw_outcome(layout: Any, scene: Any, stage: str) -> None:
    """How the last work of a stage ended, if it failed or warned, with what helps; not while it is done again."""
    outcome = outcomes.of(scene, stage)
    if outcome is None or _is_at_work(scene, stage, outcome.label):
        return
    box = layout.box()
    row = box.row()
    if outcome.error:
        row.label(text=translated("{job} failed", job=translated(outcome.label)), icon="CANCEL")
    else:
        row.label(text=outcome.label, icon="INFO")
    row.operator("pantheon360.dismiss_error", text="", icon="X", emboss=False).stage = stage
    if outcome.error:
        paragraph(box, outcome.error, inset=_BOX)
    _draw_warnings(box, outcome.warnings, inset=_BOX)
    draw_repair(box, outcome.repair)
    row = box.row(align=True)
    row.operator("pantheon360.copy_text", icon="COPYDOWN").text = outcome.text
    if outcome.log is not None:
        row.operator("pantheon360.open_log", icon="TEXT").stage = stage


def _is_at_work(scene: Any, stage: str, label: str) -> bool:
    current = queue.current() if scene is not None else None
    if current is not None and current.entry.identity == identity.known_of(scene):
        return jobs.running() == label or outcomes.stage_of(current.entry.kind)[0] == stage
    return jobs.running() == label


def draw_reason(layout: Any, reason: DisabledReason) -> None:
    """Why a button is gray, beside what helps."""
    column = layout.column(align=True)
    paragraph(column, reason.text, icon="INFO")
    draw_repair(column, reason.repair)


def draw_repair(layout: Any, repair: str | None) -> None:
    """The button that helps, or how far that is."""
    if (label := repair_label(repair)) and label == jobs.running():
        context: Any = bpy.context
        draw_running(layout, context.window_manager.pantheon360)
    elif label:
        layout.operator(repair, icon="TOOL_SETTINGS")

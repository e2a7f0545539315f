"""What panels tell of jobs: progress, the newest picture and warnings; why one failed; why a button is gray."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import bpy

from ..pantheon360_blender.scene.app import jobs, pictures
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason, repair_label

LINE_WIDTH = 34
"""Characters of a line of small text that a sidebar of usual width holds."""
PREVIEW_SCALE = 8.0
"""Height of the newest picture, in buttons."""
MOST_WARNINGS = 6
"""Warnings of a running job that its panel lists; all of them are reported at its end."""


def draw_running(layout: Any, state: Any) -> None:
    """The job that runs. state: a PANTHEON360_PG_window_manager."""
    layout.progress(factor=state.progress, text=f"{state.phase}  {state.eta}".strip())
    layout.operator("pantheon360.cancel", icon="X")
    _draw_notices(layout, state.warnings.splitlines())


def _draw_notices(layout: Any, warnings: Sequence[str]) -> None:
    """The newest picture of the job at work, and what it warned of."""
    if icon := pictures.newest_icon():
        layout.template_icon(icon_value=icon, scale=PREVIEW_SCALE)
    for text in warnings[-MOST_WARNINGS:]:
        lines(layout, *textwrap.wrap(text, LINE_WIDTH), icon="ERROR")
    if len(warnings) > MOST_WARNINGS:
        lines(layout, f"and {len(warnings) - MOST_WARNINGS} more before", icon="BLANK1")


def draw_current(layout: Any, current: Any) -> None:
    """The job that the queue works on: one bar for all of it, the phase, the newest picture. current: queue.Current."""
    step = current.ticker.newest
    draw_bar(layout.row(align=True), current)
    counted = f" {step.step} of {step.of}" if step.of else ""
    lines(layout, *textwrap.wrap(f"{step.phase}{counted}", LINE_WIDTH), icon="BLANK1")
    _draw_notices(layout, current.ticker.notices.warnings)


def draw_bar(row: Any, current: Any, width: float = 0.0) -> None:
    """How far the job is in all, and the button that stops it. width: in the interface's units; 0 is what there is."""
    left = f", {current.time_left} left" if current.time_left else ""
    bar = row.row()
    bar.ui_units_x = width
    bar.progress(factor=current.whole.fraction, text=f"{current.whole.fraction:.0%}{left}")
    row.operator("pantheon360.pause_job", text="", icon="X").job = current.entry.id


def draw_failure(layout: Any, state: Any) -> None:
    """Why the last job failed, with what repairs it and a button that takes this away."""
    box = layout.box()
    row = box.row()
    row.label(text=f"{state.failed} failed", icon="CANCEL")
    row.operator("pantheon360.dismiss_error", text="", icon="X", emboss=False)
    lines(box, *textwrap.wrap(state.error, LINE_WIDTH))
    _repair(box, state.repair)
    box.operator("pantheon360.copy_text", text="Copy Message", icon="COPYDOWN").text = state.error


def draw_reason(layout: Any, reason: DisabledReason) -> None:
    """Why a button is gray, beside what helps."""
    column = layout.column(align=True)
    lines(column, *textwrap.wrap(reason.text, LINE_WIDTH), icon="INFO")
    _repair(column, reason.repair)


def hint(layout: Any, *texts: str) -> None:
    """What to do next, in lines short enough for the sidebar."""
    lines(layout, *texts, icon="INFO")


def lines(layout: Any, *texts: str, icon: str = "NONE") -> None:
    """Small text, a label a line; the first one has the icon, the others stand under its text."""
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(texts):
        column.label(text=line, icon="BLANK1" if number and icon != "NONE" else icon)


def _repair(layout: Any, repair: str | None) -> None:
    """The button that helps, or how far that is."""
    if (label := repair_label(repair)) and label == jobs.running():
        context: Any = bpy.context
        draw_running(layout, context.window_manager.pantheon360)
    elif label:
        layout.operator(repair, icon="TOOL_SETTINGS")

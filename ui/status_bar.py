"""The status bar: what the queue works on, how far it is, and a button that stops it, in whichever workspace."""

from __future__ import annotations

from typing import Any

import bpy

from ..pantheon360_blender.scene.background import queue

WIDTH = 8
"""Of the bar, in the interface's units of a button's height."""


def draw(header: Any, _context: Any) -> None:
    """Drawn into Blender's own status bar."""
    current = queue.current()
    if current is None:
        return
    row = header.layout.row(align=True)
    row.label(text=f"{current.entry.title}: {current.ticker.newest.phase}")
    left = f", {current.time_left} left" if current.time_left else ""
    bar = row.row()
    bar.ui_units_x = WIDTH
    bar.progress(factor=current.whole.fraction, text=f"{current.whole.fraction:.0%}{left}")
    row.operator("pantheon360.pause_job", text="", icon="X").job = current.entry.id


def register() -> None:
    _bar().prepend(draw)


def unregister() -> None:
    _bar().remove(draw)


def _bar() -> Any:
    return bpy.types.STATUSBAR_HT_header

"""The status bar: what the queue works on, how far it is, and a button that stops it, in whichever workspace."""

from __future__ import annotations

from typing import Any

import bpy

from ..pantheon360_blender.scene.background import queue
from ..pantheon360_blender.scene.translation import translated
from .job_state import draw_bar

WIDTH = 8
"""Of the bar, in the interface's units of a button's height."""


def draw(header: Any, _context: Any) -> None:
    """Drawn into Blender's own status bar."""
    current = queue.current()
    if current is None:
        return
    row = header.layout.row(align=True)
    row.label(text=f"{current.entry.title}: {translated(current.ticker.newest.phase)}")
    draw_bar(row, current, WIDTH)


def register() -> None:
    _bar().prepend(draw)


def unregister() -> None:
    _bar().remove(draw)


def _bar() -> Any:
    return bpy.types.STATUSBAR_HT_header

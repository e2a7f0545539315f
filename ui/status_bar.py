"""The status bar: what the queue works on, how far it is, and a button that stops it, in whichever workspace."""

from __future__ import annotations

from typing import Any

import bpy

from ..pantheon360_blender.scene.background import queue


def draw(header: Any, _context: Any) -> None:
    """Drawn into Blender's own status bar."""
    current = queue.current()
    if current is None:
        return
    row = header.layout.row(align=True)
    left = f", {current.time_left} left" if current.time_left else ""
    text = f"{current.entry.title}: {current.ticker.newest.phase}{left}"
    row.progress(factor=current.whole.fraction, text=text)
    row.operator("pantheon360.cancel", text="", icon="X")


def register() -> None:
    _bar().prepend(draw)


def unregister() -> None:
    _bar().remove(draw)


def _bar() -> Any:
    return bpy.types.STATUSBAR_HT_header

"""Small text in a panel: wrapped to the width of the region that is drawn, whatever the scale of the interface."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import blf
import bpy

from ..pantheon360_blender.scene.translation import translated

LINE_WIDTH = 34
"""Characters of a line where there is no region to measure: those that a sidebar of usual width holds."""

_FRAME = 2.6
"""What a panel of the sidebar takes of the region's width, in widget units: its margins, and the tabs beside it."""
_ICON = 1.1
"""What an icon takes of a line, in widget units."""
_LEAST = 4.0
"""Widget units that a line has at least: in a region narrower than that nothing can be read anyway."""
_UNIT = 20.0
"""Pixels of a widget unit at a scale of 1; source: U.widget_unit in Blender's wm_window.cc."""


def paragraph(layout: Any, text: str, icon: str = "NONE", inset: float = 0.0) -> None:
    """Text on as many lines as it needs. inset: what boxes around it take of the width, in widget units."""
    lines(layout, *wrapped(translated(text), inset + (_ICON if icon != "NONE" else 0.0)), icon=icon)


def hint(layout: Any, *texts: str, icon: str = "INFO", **values: object) -> None:
    """What to do next, in lines short enough for the sidebar; a translation, of all lines together, is wrapped.

    values: what takes the place of names in braces.
    """
    said = [text.format_map(values) for text in texts]
    told = translated(" ".join(texts), **values)
    lines(layout, *(said if told == " ".join(said) else wrapped(told, _ICON)), icon=icon)


def lines(layout: Any, *texts: str, icon: str = "NONE") -> None:
    """Small text, a label a line; the first one has the icon, the others stand under its text."""
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(texts):
        column.label(text=line, icon="BLANK1" if number and icon != "NONE" else icon)


def wrapped(text: str, inset: float = 0.0) -> list[str]:
    """The lines of a text in the region that is drawn now. inset: widget units that are taken of its width."""
    width = _region_width()
    if width <= 1:
        return [line for part in text.splitlines() for line in textwrap.wrap(part, LINE_WIDTH)]
    preferences: Any = bpy.context.preferences
    scale = float(preferences.system.ui_scale)
    unit, size = _UNIT * scale, float(preferences.ui_styles[0].widget.points) * scale
    return list(_measured(text, round(max(width - (_FRAME + inset) * unit, _LEAST * unit)), size))


def fill(text: str, fits: Callable[[str], bool]) -> list[str]:
    """A text cut into lines that fit, between words, or within one that is too long for a line.

    Line breaks stay, but for empty lines. A line has one character at least, whether or not that fits.
    """
    found = []
    for part in text.splitlines():
        line = ""
        for word in part.split():
            if line and not fits(f"{line} {word}"):
                found.append(line)
                line = ""
            line = f"{line} {word}" if line else word
            while len(line) > 1 and not fits(line):
                most = next((end for end in range(len(line) - 1, 1, -1) if fits(line[:end])), 1)
                found.append(line[:most])
                line = line[most:]
        if line:
            found.append(line)
    return found


@lru_cache(maxsize=256)
def _measured(text: str, width: int, size: float) -> tuple[str, ...]:
    """Panels are drawn often, and their texts seldom change. width: pixels. size: of the font, pixels."""
    blf.size(0, size)
    return tuple(fill(text, lambda line: blf.dimensions(0, line)[0] <= width))


def _region_width() -> float:
    """Pixels across the region that is drawn now, as its panels count them: they can be zoomed. 0 without one."""
    region = bpy.context.region
    if region is None or bpy.app.background:
        return 0.0
    view: Any = region.view2d
    return float(view.region_to_view(region.width, 0)[0] - view.region_to_view(0, 0)[0])

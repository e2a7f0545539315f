"""The sidebar of the 3D viewport: opened at this extension's tab for somebody who does not know of it yet."""

from __future__ import annotations

from typing import Any

import bpy

from . import access

CATEGORY = "Pantheon360"
"""The tab's name."""

_PATIENCE, _PAUSE = 20, 0.1  # how often it is looked whether the tab was drawn, and seconds between


def open_in(window: Any) -> None:
    """Open the sidebar of a window's largest 3D viewport at the tab; nothing where there is no window."""
    area = _largest_viewport(window) if window is not None else None
    if area is None:
        return
    area.spaces.active.show_region_ui = True
    address, tries = window.as_pointer(), iter(range(_PATIENCE))

    def turn() -> float | None:
        # Screens and areas may be replaced between two calls: they are looked for each time.
        found = next((_largest_viewport(each) for each in access.windows() if each.as_pointer() == address), None)
        if found is None or _turned(found) or next(tries, None) is None:
            return None
        return _PAUSE

    bpy.app.timers.register(turn, first_interval=_PAUSE)


def _largest_viewport(window: Any) -> Any:
    areas: list[Any] = [area for area in window.screen.areas if area.type == "VIEW_3D"]
    return max(areas, key=lambda each: each.width * each.height, default=None)


def _turned(area: Any) -> bool:
    """Whether the sidebar shows the tab now; it can be chosen once it was drawn."""
    region: Any = next((each for each in area.regions if each.type == "UI"), None)
    try:
        region.active_panel_category = CATEGORY
    except (AttributeError, TypeError):  # not drawn yet, or without tabs
        return False
    return bool(region.active_panel_category == CATEGORY)

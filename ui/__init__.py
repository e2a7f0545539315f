"""Panels, overlays, drag and drop. They read the scene and call operators by their ids."""

from __future__ import annotations

from . import cache_overlay, drag_and_drop, panel

MODULES = (panel, drag_and_drop, cache_overlay)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()

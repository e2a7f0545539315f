"""Everything that touches Blender's data and is neither button nor panel."""

from __future__ import annotations

from . import backend_process, cache, captures, command_line, preferences, properties, render_engine

MODULES = (preferences, properties, captures, cache, render_engine, backend_process, command_line)
"""Registered in this order, unregistered in reverse."""


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()

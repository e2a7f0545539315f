"""Everything that touches Blender's data and is neither button nor panel. Folders follow the way of the data."""

from __future__ import annotations

from . import properties
from .app import backend_process, preferences
from .cache import cache_objects
from .captures import capture_objects
from .render import render_engine

MODULES = (preferences, properties, capture_objects, cache_objects, render_engine, backend_process)
"""Registered in this order, unregistered in reverse."""


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()

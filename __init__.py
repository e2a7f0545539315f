"""Pantheon360: turn sparse 360° captures into camera-controlled 360° video."""

from __future__ import annotations

from . import operators, ui
from .cli import command_line
from .pantheon360_blender import scene

ROOMS = (scene, operators, ui, command_line)


def register() -> None:
    for room in ROOMS:
        room.register()


def unregister() -> None:
    for room in reversed(ROOMS):
        room.unregister()

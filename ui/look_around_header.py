"""The way back, in the header of the viewport that a result is looked around in."""

from __future__ import annotations

from typing import Any

import bpy

from ..pantheon360_blender.scene.shot import look_around


def draw(header: Any, context: Any) -> None:
    """Drawn at the beginning of Blender's own header."""
    if look_around.is_here(context.workspace):
        header.layout.operator("pantheon360.leave_look_around", icon="LOOP_BACK")


def register() -> None:
    _header().append(draw)


def unregister() -> None:
    _header().remove(draw)


def _header() -> Any:
    return bpy.types.VIEW3D_HT_header

"""File > Import: where people look first for a file of points or a 360° photograph."""

from __future__ import annotations

from typing import Any

import bpy


def draw(self: Any, _context: Any) -> None:
    """Blender's menu draws this at its end."""
    # A menu runs operators without their dialog unless told so: both open the file browser.
    self.layout.operator_context = "INVOKE_DEFAULT"
    self.layout.operator("pantheon360.import_captures", text="360° Captures (.jpg, .png, .exr)")
    self.layout.operator("pantheon360.import_cache", text="Pantheon360 3D Cache (.ply, .las, .e57, COLMAP)")


def _menu() -> Any:
    return bpy.types.TOPBAR_MT_file_import  # type: ignore[attr-defined]


def register() -> None:
    _menu().append(draw)


def unregister() -> None:
    _menu().remove(draw)

"""File > Import and Export: where people look first for a file of points or a 360° photograph."""

from __future__ import annotations

from typing import Any

import bpy


def draw(self: Any, _context: Any) -> None:
    """Blender's menu draws this at its end."""
    # A menu runs operators without their dialog unless told so: both open the file browser.
    self.layout.operator_context = "INVOKE_DEFAULT"
    self.layout.operator("pantheon360.import_captures", text="360° Captures (.jpg, .png, .exr)")
    self.layout.operator("pantheon360.import_cache", text="Pantheon360 3D Cache (.ply, .las, .e57, COLMAP)")
    self.layout.operator("pantheon360.import_camera_path", text="360° Camera Path (.json, .csv, nerfstudio, COLMAP)")


def draw_export(self: Any, _context: Any) -> None:
    """As `draw`, of the other menu."""
    self.layout.operator_context = "INVOKE_DEFAULT"
    self.layout.operator("pantheon360.export_cache", text="Pantheon360 3D Cache (.ply, .npz)")
    self.layout.operator("pantheon360.export_camera_path", text="360° Camera Path (.json, .csv, nerfstudio, COLMAP)")


def _menus() -> list[tuple[Any, Any]]:
    types: Any = bpy.types
    return [(types.TOPBAR_MT_file_import, draw), (types.TOPBAR_MT_file_export, draw_export)]


def register() -> None:
    for menu, entry in _menus():
        menu.append(entry)


def unregister() -> None:
    for menu, entry in _menus():
        menu.remove(entry)

"""Dropping photographs into the 3D viewport imports them as captures."""

from __future__ import annotations

import bpy


class PANTHEON360_FH_captures(bpy.types.FileHandler):
    """Offer "Import 360° Captures" when image files are dropped into a 3D viewport."""

    bl_idname = "PANTHEON360_FH_captures"
    bl_label = "360° Captures"
    bl_import_operator = "pantheon360.import_captures"
    bl_file_extensions = ".jpg;.jpeg;.png;.tif;.tiff;.exr;.hdr;.webp"

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


def register() -> None:
    bpy.utils.register_class(PANTHEON360_FH_captures)


def unregister() -> None:
    bpy.utils.unregister_class(PANTHEON360_FH_captures)

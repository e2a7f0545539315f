"""Dropping files into the 3D viewport: photographs become captures, points of other programs the 3D cache."""

from __future__ import annotations

import bpy

from ..pantheon360_blender.scene.app.registration import registration


class ViewportDrop:
    """What both handlers say of where files may be dropped."""

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


class PANTHEON360_FH_captures(ViewportDrop, bpy.types.FileHandler):
    """Offer "Import 360° Captures" when image files are dropped into a 3D viewport."""

    bl_idname = "PANTHEON360_FH_captures"
    bl_label = "360° Captures"
    bl_import_operator = "pantheon360.import_captures"
    bl_file_extensions = ".jpg;.jpeg;.png;.tif;.tiff;.exr;.hdr;.webp"


class PANTHEON360_FH_cache(ViewportDrop, bpy.types.FileHandler):
    """Offer "Import 3D Cache" when files of points are dropped into a 3D viewport."""

    bl_idname = "PANTHEON360_FH_cache"
    bl_label = "3D Cache"
    bl_import_operator = "pantheon360.import_cache"
    bl_file_extensions = ".ply;.las;.laz;.e57"


CLASSES = (PANTHEON360_FH_captures, PANTHEON360_FH_cache)

register, unregister = registration(*CLASSES)

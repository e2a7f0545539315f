"""The artist's own exports: tag them as 360°, and say how they are tagged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..pantheon360_blender.core.formats import spherical_video
from ..pantheon360_blender.core.plain_text import filled
from ..pantheon360_blender.core.progress import Job
from . import base
from .base import ImmediateOperator, JobOperator

_FILES = "*.mp4;*.mov;*.m4v;*.mkv;*.webm"


class PANTHEON360_OT_tag_360(JobOperator):
    """Mark a video as a 360° one, so that YouTube, VLC and headsets show it as such; broken marks are mended"""

    bl_idname = "pantheon360.tag_360"
    bl_label = "Tag Video as 360°"
    stage = "video"
    changes_data = False

    filepath: StringProperty(  # type: ignore[valid-type]
        name="Video",
        description="MP4, MOV, MKV or WebM with an equirectangular picture",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    filter_glob: StringProperty(default=_FILES, options={"HIDDEN"})  # type: ignore[valid-type]
    in_place: BoolProperty(  # type: ignore[valid-type]
        name="In Place",
        description="Tag the file itself; off writes a copy beside it whose name ends in _360",
        default=False,
    )
    stereo: EnumProperty(  # type: ignore[valid-type]
        name="Stereo",
        description="How the two eyes' pictures lie in the frame",
        items=[
            ("mono", "Monoscopic", "One picture for both eyes"),
            ("top-bottom", "Top-Bottom", "Left eye above right eye"),
            ("left-right", "Left-Right", "Left eye beside right eye"),
        ],
        default="mono",
    )

    def invoke(self, context: Any, _event: bpy.types.Event) -> set[Any]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def job(self, _context: Any) -> Job[Path]:
        source = Path(bpy.path.abspath(self.filepath))
        return spherical_video.tagging(source, None if self.in_place else copy_name(source), stereo=self.stereo)

    def finished(self, _context: Any, result: Path) -> None:
        self.tell("INFO", filled("{name} is tagged as 360°", name=result.name))


class PANTHEON360_OT_check_360(ImmediateOperator):
    """Say whether a video is marked as a 360° one, and whether the mark is sound"""

    bl_idname = "pantheon360.check_360"
    bl_label = "Check 360° Tags"
    bl_options = {"REGISTER"}

    filepath: StringProperty(  # type: ignore[valid-type]
        name="Video",
        description="MP4, MOV, MKV or WebM",
        subtype="FILE_PATH",
        options={"SKIP_SAVE", "PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    filter_glob: StringProperty(default=_FILES, options={"HIDDEN"})  # type: ignore[valid-type]

    def invoke(self, context: Any, _event: bpy.types.Event) -> set[Any]:
        if self.filepath:  # a strip's
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def act(self, _context: Any) -> str:
        path = Path(bpy.path.abspath(self.filepath))
        found = spherical_video.check(path)
        text = filled("{name} is {found}", name=path.name, found=found.text)
        if found.is_sound:
            return text
        self.tell("WARNING", text)
        return ""


def copy_name(source: Path) -> Path:
    """The first name beside the source that is free: shot_360.mp4, shot_360-2.mp4, ..."""
    candidate, number = source.with_name(f"{source.stem}_360{source.suffix}"), 1
    while candidate.exists():
        number += 1
        candidate = source.with_name(f"{source.stem}_360-{number}{source.suffix}")
    return candidate


register, unregister = base.registration(PANTHEON360_OT_tag_360, PANTHEON360_OT_check_360)

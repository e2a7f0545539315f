"""Tag as 360°: the artist's own exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..pantheon360_blender.core.formats import spherical_video
from ..pantheon360_blender.core.progress import Job
from . import base
from .base import JobOperator


class PANTHEON360_OT_tag_360(JobOperator):
    """Mark an MP4 as a 360° video, so that YouTube, VLC and headsets show it as one"""

    bl_idname = "pantheon360.tag_360"
    bl_label = "Tag Video as 360°"
    stage = "video"
    changes_data = False

    filepath: StringProperty(  # type: ignore[valid-type]
        name="Video",
        description="MP4 or MOV with an equirectangular picture",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    filter_glob: StringProperty(default="*.mp4;*.mov;*.m4v", options={"HIDDEN"})  # type: ignore[valid-type]
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
        self.tell("INFO", f"{result.name} is tagged as 360°")


def copy_name(source: Path) -> Path:
    """The first name beside the source that is free: shot_360.mp4, shot_360-2.mp4, ..."""
    candidate, number = source.with_name(f"{source.stem}_360{source.suffix}"), 1
    while candidate.exists():
        number += 1
        candidate = source.with_name(f"{source.stem}_360-{number}{source.suffix}")
    return candidate


register, unregister = base.registration(PANTHEON360_OT_tag_360)

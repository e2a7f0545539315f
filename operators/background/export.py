"""Export a take: as a 360° video, as frames, as one picture, as the world of a scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from ...pantheon360_blender.core import inputs
from ...pantheon360_blender.core.errors import JobError
from ...pantheon360_blender.core.jobs import job_folder
from ...pantheon360_blender.core.plain_text import filled
from ...pantheon360_blender.core.progress import Job
from ...pantheon360_blender.scene.background import takes
from ...pantheon360_blender.scene.shot import encoder, export, video, world
from .. import base
from ..base import JobOperator

_FRAMES = -1
"""Of a width: that of the frames."""


class OfTake:
    """What has a take to work on."""

    job_id: StringProperty(  # type: ignore[valid-type]
        name="Take", description="The take's job; empty is the newest take", options={"HIDDEN", "SKIP_SAVE"}
    )

    def folder(self, context: Any) -> job_folder.PaintFolder:
        """The take's folder. Raises JobError if there is none."""
        found = [takes.find(self.job_id)] if self.job_id else takes.of_scene(context.scene)[:1]
        if not found:
            raise JobError("This scene has no take.", advice="Generate a 360° video first.")
        return job_folder.PaintFolder.open(found[0].entry.path)


class _ToFile(OfTake, ExportHelper):  # type: ignore[misc]
    """What is made of a take and written where a person says."""

    filepath: StringProperty(name="File Path", subtype="FILE_PATH", options={"HIDDEN"})  # type: ignore[valid-type]

    def target(self) -> Path:
        """Where it goes."""
        if not self.filepath:
            raise JobError("No file is named to export to.", advice="Give `filepath`.")
        return Path(bpy.path.abspath(self.filepath))


class _Export(_ToFile, JobOperator):  # type: ignore[misc]
    """A long export."""

    changes_data = False
    left = "Nothing was written."

    def invoke(self, context: Any, event: bpy.types.Event) -> set[Any]:  # type: ignore[override]
        helper: Any = ExportHelper.invoke
        return helper(self, context, event)  # type: ignore[no-any-return]


class PANTHEON360_OT_export_video(_Export):
    """Encode a take as one video file and tag it as 360°"""

    bl_idname = "pantheon360.export_video"
    bl_label = "Export 360° Video"
    stage = "takes"
    filename_ext = ".mp4"
    check_extension = None

    filter_glob: StringProperty(default="*.mp4;*.mov", options={"HIDDEN"})  # type: ignore[valid-type]
    codec: EnumProperty(  # type: ignore[valid-type]
        name="Codec",
        description="How the frames are encoded",
        items=(
            ("H264", "H.264", "Plays everywhere"),
            ("H265", "H.265", "Smaller; plays in headsets and on newer computers"),
            ("AV1", "AV1", "Smallest; slow to encode, plays on new devices"),
            ("PRORES", "ProRes 422 HQ", "For editing: large, hardly compressed, a MOV file"),
        ),
        default="H264",
    )
    quality: EnumProperty(  # type: ignore[valid-type]
        name="Quality",
        description="How much the codec may change the frames; ProRes has a quality of its own",
        items=(
            ("HIGH", "High", "Small files"),
            ("VISUALLY_LOSSLESS", "Visually Lossless", "No difference is seen"),
            ("LOSSLESS", "Lossless", "The very colors, in a file that few players decode"),
        ),
        default="VISUALLY_LOSSLESS",
    )
    width: IntProperty(  # type: ignore[valid-type]
        name="Width",
        description="Pixels from left to right; -1 is that of the frames",
        default=_FRAMES,
        min=_FRAMES,
        max=16384,
        subtype="PIXEL",
    )
    sound: StringProperty(  # type: ignore[valid-type]
        name="Sound",
        description="A file whose sound is put under the video, as the video that the captures were taken from",
        default="",
        subtype="FILE_PATH",
    )

    def check(self, _context: Any) -> bool:  # type: ignore[override]
        """Blender asks this when something in the browser was changed: keep the suffix of the codec."""
        wanted = str(Path(self.filepath or "video").with_suffix(encoder.CODECS[self.codec].suffix))
        changed = bool(wanted != self.filepath)
        self.filepath = wanted
        return changed

    def job(self, context: Any) -> Job[Path]:
        sound = Path(bpy.path.abspath(self.sound)) if self.sound.strip() else None
        width = None if self.width < 4 else self.width // 4 * 4
        settings = video.VideoSettings(self.codec, self.quality, width, sound)
        return video.encode(self.folder(context), self.target(), settings)

    def finished(self, _context: Any, result: Path) -> None:
        self.tell("INFO", filled("{name} is tagged as 360°", name=result))


class PANTHEON360_OT_export_frames(_Export):
    """Copy the frames of a take as numbered PNG files, byte for byte"""

    bl_idname = "pantheon360.export_frames"
    bl_label = "Export Frames"
    stage = "takes"
    filename_ext = ""
    use_filter_folder = True
    filter_glob: StringProperty(default="*.png", options={"HIDDEN"})  # type: ignore[valid-type]

    def job(self, context: Any) -> Job[Path]:
        return export.frames(self.folder(context), _folder_of(self.target()))

    def finished(self, _context: Any, result: Path) -> None:
        self.tell("INFO", filled("The frames are in {path}", path=result))


def _folder_of(target: Path) -> Path:
    """The folder that was chosen, which may have any name; of a picture that was chosen, the folder it is in."""
    is_picture = target.suffix.lower() == ".png" and not inputs.is_folder(target)
    return target.parent if is_picture else target


class PANTHEON360_OT_export_poster(_ToFile, base.ImmediateOperator):  # type: ignore[misc]
    """Write the present frame of a take as a JPEG that viewers open as a panorama"""

    bl_idname = "pantheon360.export_poster"
    bl_label = "Export Poster"
    stage = "takes"
    bl_options = {"REGISTER"}
    filename_ext = ".jpg"
    filter_glob: StringProperty(default="*.jpg", options={"HIDDEN"})  # type: ignore[valid-type]

    def act(self, context: Any) -> str:
        folder = self.folder(context)
        frame = min(folder.job.frames, key=lambda number: abs(number - context.scene.frame_current))
        export.poster(folder, frame, self.target())
        return filled("Frame {frame} is in {path}", frame=frame, path=self.filepath)


class PANTHEON360_OT_take_as_world(OfTake, base.ImmediateOperator):
    """Light this scene by the frames of a take, turned as the camera was that they were painted for"""

    bl_idname = "pantheon360.take_as_world"
    bl_label = "Take as World"
    stage = "takes"

    def act(self, context: Any) -> str:
        made = world.make(context.scene, self.folder(context))
        return filled("{name} is the world of this scene", name=made.name)


CLASSES = (
    PANTHEON360_OT_export_video,
    PANTHEON360_OT_export_frames,
    PANTHEON360_OT_export_poster,
    PANTHEON360_OT_take_as_world,
)

register, unregister = base.registration(*CLASSES)

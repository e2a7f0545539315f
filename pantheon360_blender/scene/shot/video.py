"""A shot's frames as one MP4: Blender's own encoder in a scene that leaves the colours alone, then the 360° tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core import inputs
from ...core.errors import JobError, MetadataError, RenderError
from ...core.formats import spherical_video
from ...core.jobs.job import PaintJob
from ...core.jobs.job_folder import PaintFolder
from ...core.output_folder import OutputFolder
from ...core.progress import Job, Progress, in_thread
from ..app import versions

QUALITY = {"HIGH": "HIGH", "VISUALLY_LOSSLESS": "PERC_LOSSLESS", "LOSSLESS": "LOSSLESS"}
"""Constant rate factors by what they promise.

LOSSLESS is Y'CbCr 4:4:4 of 10 bits, which few players decode. Decoded and rounded to 8 bits it is the very sRGB bytes:
its rounding is at most 0.41 of one (BT.709, blue). Of 8 bits it would be up to 2 off.
"""


@dataclass(frozen=True)
class Codec:
    """A codec of Blender's. container, suffix: of its files. depth: bits of a color."""

    container: str
    suffix: str
    depth: str = "8"


CODECS = {
    "H264": Codec("MPEG4", ".mp4"),
    "H265": Codec("MPEG4", ".mp4"),
    "AV1": Codec("MPEG4", ".mp4"),
    "PRORES": Codec("QUICKTIME", ".mov", "10"),
}
"""What a video can be encoded with and still carry the 360° tags, by Blender's names."""


@dataclass(frozen=True)
class VideoSettings:
    """How a video is encoded.

    codec: of CODECS. quality: of QUALITY; ProRes has its own. width: pixels, even; None is that of the frames.
    sound: a file whose sound is put under it from the first frame on, or None.
    """

    codec: str = "H264"
    quality: str = "VISUALLY_LOSSLESS"
    width: int | None = None
    sound: Path | None = None

    def size(self, job: PaintJob) -> tuple[int, int]:
        """(width, height) of the video."""
        width = self.width or job.width
        return width, width // 2


FULL_SCALE = 256 / 257
"""FFmpeg takes 16-bit RGB, in which Blender hands 10-bit video over, for 8.8 bits, so that white, 65535, is 255.996."""


def encode(folder: PaintFolder, target: Path, settings: VideoSettings | None = None) -> Job[Path]:
    """Encode a job's frames as a video and tag it as monoscopic 360° (V1 and V2).

    With a frame step each image is repeated, so that the video runs in time with the scene.
    The file appears complete or not at all. The temporary scene is removed whichever way this ends.
    Returns `target`. Raises JobError if frames are missing, RenderError if the encoder fails or the sound cannot be
    read, FileError if the target cannot be written.
    """
    settings, job = settings or VideoSettings(), folder.job
    step = Progress("Encoding video", 0, 2)
    yield step
    yield from in_thread(partial(require_all_frames, folder), step)
    images, holds = [folder.frame_file(frame) for frame in job.frames], frame_holds(job.frames)
    output = folder.output if target.parent == folder.path else OutputFolder.made(target.parent)
    suffix = CODECS[settings.codec].suffix
    with output.scratch() as scratch:  # the encoder would follow links
        with _scene(settings.size(job), rate(job)) as scene:
            strip = show_images(scene, images, frame_start=1, channel=1, holds=holds)
            if settings.quality == "LOSSLESS":
                strip.use_float, strip.color_multiply = True, FULL_SCALE
            strip.transform.scale_x = strip.transform.scale_y = settings.size(job)[0] / job.width
            scene.frame_start, scene.frame_end = 1, sum(holds)
            if settings.sound is not None:
                _add_sound(scene, settings.sound)
            _render_video(scene, scratch / f"untagged{suffix}", settings, target.parent)
        yield Progress("Encoding video", 1, 2)
        _tag(scratch / f"untagged{suffix}", scratch / f"tagged{suffix}", target.parent)
        output.take(scratch / f"tagged{suffix}", target.name)
    yield Progress("Encoding video", 2, 2)
    return target


def _add_sound(scene: Any, sound: Path) -> None:
    try:
        inputs.check_regular(sound)
        scene.sequence_editor.strips.new_sound(name="Sound", filepath=str(sound), channel=2, frame_start=1)
    except (OSError, RuntimeError) as error:
        raise RenderError(f"The sound of {sound} cannot be read.", advice="Choose another file, or none.") from error


def require_all_frames(folder: PaintFolder) -> None:
    """Raise JobError if a frame of the job is missing or damaged."""
    finished = set(folder.finished_frames())
    missing = [frame for frame in folder.job.frames if frame not in finished]
    if missing:
        count = len(folder.job.frames)
        raise JobError(
            f"{folder.path.name} has {len(finished)} of {count} frames; frame {missing[0]} is missing.",
            advice="Run the job again: it goes on where it stopped.",
        )


def frame_holds(frames: Sequence[int]) -> list[int]:
    """How many frames each image of a job stays for: until the next one, the last as long as the one before it.

    Raises JobError if the frames do not ascend, so that no strip could show them in time.
    """
    gaps = np.diff(list(frames)).tolist()
    if any(gap < 1 for gap in gaps):
        raise JobError("The job's frames do not ascend, so no strip can show them in time.")
    return [*gaps, gaps[-1] if gaps else 1]


def rate(job: PaintJob) -> tuple[int, float]:
    """Frames per second as Blender keeps them: a whole number and what it is divided by (24, 1.001)."""
    whole = max(round(job.fps), 1)
    return whole, whole / job.fps


def show_images(
    scene: bpy.types.Scene,
    images: Sequence[Path],
    *,
    frame_start: int,
    channel: int,
    holds: Sequence[int] | None = None,
    name: str = "",
) -> Any:
    """Add an image strip of these files, all in one folder, each staying for as many frames as `holds` says."""
    editor: Any = scene.sequence_editor or scene.sequence_editor_create()
    strip = editor.strips.new_image(
        name=name or images[0].stem,
        filepath=str(images[0]),
        channel=channel,
        frame_start=frame_start,
        fit_method="ORIGINAL",
    )
    repeated = [image for image, hold in zip(images, holds or [1] * len(images), strict=True) for _ in range(hold)]
    for image in repeated[1:]:
        strip.elements.append(image.name)
    strip.colorspace_settings.name = "sRGB"
    return strip


def use_exact_colours(scene: Any) -> None:
    """Make the scene's output the very sRGB bytes of its images: nothing but the Standard view, no dithering."""
    scene.display_settings.display_device = "sRGB"
    view = scene.view_settings
    view.view_transform = "Standard"
    view.look = "None"
    view.exposure, view.gamma = 0.0, 1.0
    view.use_curve_mapping = False
    scene.sequencer_colorspace_settings.name = "sRGB"
    scene.render.dither_intensity = 0.0


def set_rate(scene: bpy.types.Scene, fps: tuple[int, float]) -> None:
    """Set the scene's frames per second as Blender keeps them: a whole number and what it is divided by."""
    scene.render.fps, scene.render.fps_base = fps


@contextmanager
def _scene(size: tuple[int, int], fps: tuple[int, float]) -> Iterator[bpy.types.Scene]:
    scene = bpy.data.scenes.new("Pantheon360 Encoding")
    try:
        use_exact_colours(scene)
        set_rate(scene, fps)
        render = scene.render
        render.resolution_x, render.resolution_y = size
        render.resolution_percentage = 100
        render.use_sequencer, render.use_compositing = True, False
        render.use_stamp = render.use_border = render.use_multiview = False
        for stamp in [name for name in render.bl_rna.properties.keys() if name.startswith("use_stamp_")]:  # noqa: SIM118
            setattr(render, stamp, False)  # dates and paths in the file would make each encoding another one
        yield scene
    finally:
        bpy.data.scenes.remove(scene)


def _render_video(scene: Any, target: Path, chosen: VideoSettings, place: Path) -> None:
    """place: the folder that a person knows."""
    render = scene.render
    versions.set_output(render.image_settings, "FFMPEG")
    codec = CODECS[chosen.codec]
    render.image_settings.color_mode = "RGB"
    settings = render.ffmpeg
    settings.format, settings.codec = codec.container, chosen.codec
    settings.audio_codec = "AAC" if chosen.sound is not None else "NONE"
    if chosen.codec == "PRORES":
        settings.ffmpeg_prores_profile = "422_HQ"
    render.image_settings.color_depth = "10" if chosen.quality == "LOSSLESS" else codec.depth
    settings.constant_rate_factor, settings.ffmpeg_preset = QUALITY[chosen.quality], "GOOD"
    settings.gopsize = max(round(render.fps / render.fps_base / 2), 1)  # half a second: scrubbing stays quick
    settings.use_autosplit = False
    render.filepath = str(target).replace("{", "{{").replace("}", "}}")  # or Blender takes them for its variables
    render.use_file_extension = False
    render.use_overwrite = True
    try:
        bpy.ops.render.render("EXEC_DEFAULT", animation=True, scene=scene.name)
    except RuntimeError as error:
        raise RenderError(
            f"Blender's encoder failed on {place}: {str(error).strip()}",
            advice="Check that the disk is writable and has room, then run it again.",
        ) from error
    if not target.exists() or not target.stat().st_size:
        raise RenderError(
            f"Blender's encoder wrote no video to {place}.",
            advice="Usually the disk is full: free some space, then run it again. The console has its own message.",
        )


def _tag(untagged: Path, target: Path, place: Path) -> None:
    """Tag what the encoder made. It says nothing of a disk that was full: its file is then not whole."""
    try:
        spherical_video.tag(untagged, target)
    except MetadataError as error:
        raise RenderError(
            f"Blender's encoder did not finish the video in {place}.",
            advice="Usually the disk is full: free some space, then run it again.",
        ) from error

"""A shot's frames as one MP4: Blender's own encoder in a scene that leaves the colours alone, then the 360° tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy

from ..core import files, spherical_video
from ..core.errors import RenderError
from ..core.progress import Job, Progress
from . import versions

QUALITY = {"HIGH": "HIGH", "VISUALLY_LOSSLESS": "PERC_LOSSLESS", "LOSSLESS": "LOSSLESS"}
"""Constant rate factors by what they promise; LOSSLESS is exact in Y'CbCr 4:4:4, which few players decode."""


def encode(
    frames: Sequence[Path],
    target: Path,
    *,
    size: tuple[int, int],
    fps: tuple[int, float],
    holds: Sequence[int] | None = None,
    quality: str = "VISUALLY_LOSSLESS",
) -> Job[Path]:
    """Encode panoramas as H.264 in an MP4 and tag it as monoscopic 360° (V1 and V2).

    frames: image files in order, all in one folder, all `size` = (width, height) pixels.
    fps: Blender's pair, frames per second and the number they are divided by (24, 1.001).
    holds: how many frames of video each image stays for, so that a shot made with a frame step keeps its time; one
    each where None.
    The file appears complete or not at all. The temporary scene is removed whichever way this ends.
    Returns `target`. Raises RenderError where the encoder fails, FileError where the target cannot be written.
    """
    if not frames:
        raise RenderError(f"There is no frame to encode into {target.name}.", advice="Generate the frames first.")
    yield Progress("Encoding video", 0, 2)
    with files.explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    untagged = target.with_name(f".{target.stem}.untagged.mp4")
    try:
        with _scene(size, fps) as scene:
            show_images(scene, frames, frame_start=1, channel=1, holds=holds)
            scene.frame_start, scene.frame_end = 1, sum(holds) if holds else len(frames)
            _render_video(scene, untagged, quality)
        yield Progress("Encoding video", 1, 2)
        spherical_video.tag(untagged, target)
    finally:
        untagged.unlink(missing_ok=True)
    yield Progress("Encoding video", 2, 2)
    return target


def show_images(
    scene: bpy.types.Scene,
    images: Sequence[Path],
    *,
    frame_start: int,
    channel: int,
    holds: Sequence[int] | None = None,
    name: str = "",
) -> Any:
    """Add an image strip of these files, all in one folder, each staying for its number of frames. Returns the strip."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    strip = versions.strips(editor).new_image(
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


def use_exact_colours(scene: bpy.types.Scene) -> None:
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
        yield scene
    finally:
        bpy.data.scenes.remove(scene)


def _render_video(scene: bpy.types.Scene, target: Path, quality: str) -> None:
    render = scene.render
    versions.set_video_output(render.image_settings)
    render.image_settings.color_mode = "RGB"
    settings = render.ffmpeg
    settings.format, settings.codec, settings.audio_codec = "MPEG4", "H264", "NONE"
    settings.constant_rate_factor, settings.ffmpeg_preset = QUALITY[quality], "GOOD"
    settings.gopsize = max(round(render.fps / render.fps_base / 2), 1)  # half a second: scrubbing stays quick
    settings.use_autosplit = False
    render.filepath = str(target)
    render.use_file_extension = False
    render.use_overwrite = True
    _explained(lambda: bpy.ops.render.render("EXEC_DEFAULT", animation=True, scene=scene.name), target)
    if not target.exists() or not target.stat().st_size:
        raise RenderError(
            f"Blender's encoder wrote no video to {target.parent}.",
            advice="See the console for FFmpeg's own message; the frames are kept.",
        )


def _explained(render: Callable[[], Any], target: Path) -> None:
    try:
        render()
    except RuntimeError as error:
        raise RenderError(
            f"Blender's encoder failed on {target.parent}: {str(error).strip()}", advice="The frames are kept."
        ) from error

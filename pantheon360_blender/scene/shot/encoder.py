"""Blender's own encoder, in a scene that leaves the colours alone: images in, one video out, without any tags.

It runs in whichever Blender is asked; all that it needs are plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ...core.errors import RenderError
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


FULL_SCALE = 256 / 257
"""FFmpeg takes 16-bit RGB, in which Blender hands 10-bit video over, for 8.8 bits, so that white, 65535, is 255.996."""


@dataclass(frozen=True)
class Encoding:
    """A video to be made.

    folder, images: names of image files, all in one folder, in their order. holds: frames that each stays for.
    image_width: pixels of the images. size: (width, height) of the video. fps: as `set_rate`'s. codec: of CODECS.
    quality: of QUALITY. sound: path of a file whose sound is put under it from the first frame on, or None.
    place: the folder of the result that a person knows.
    """

    folder: str
    images: Sequence[str]
    holds: Sequence[int]
    image_width: int
    size: Sequence[int]
    fps: Sequence[float]
    codec: str
    quality: str
    sound: str | None
    place: str


def write(work: Encoding, target: Path, tell: Callable[[int], None] = lambda _: None) -> None:
    """Encode a video into a new file. The temporary scene is removed whichever way this ends.

    tell: called with the number of frames that are written. Raises RenderError if the encoder fails or the sound cannot
    be read.
    """
    images = [Path(work.folder) / name for name in work.images]
    with _scene((work.size[0], work.size[1]), (round(work.fps[0]), work.fps[1])) as scene:
        strip = show_images(scene, images, frame_start=1, channel=1, holds=work.holds)
        if work.quality == "LOSSLESS":
            strip.use_float, strip.color_multiply = True, FULL_SCALE
        strip.transform.scale_x = strip.transform.scale_y = work.size[0] / work.image_width
        scene.frame_start, scene.frame_end = 1, sum(work.holds)
        if work.sound is not None:
            _add_sound(scene, work.sound)
        with _told(tell):
            _render(scene, target, work)


@contextmanager
def _told(tell: Callable[[int], None]) -> Iterator[None]:
    """Tell of each frame that Blender has written during the block."""
    handlers: Any = bpy.app.handlers.render_write

    def written(scene: bpy.types.Scene, *_: Any) -> None:
        tell(scene.frame_current)

    handlers.append(written)
    try:
        yield
    finally:
        handlers.remove(written)


def _add_sound(scene: Any, sound: str) -> None:
    try:
        scene.sequence_editor.strips.new_sound(name="Sound", filepath=sound, channel=2, frame_start=1)
    except RuntimeError as error:
        raise RenderError(f"The sound of {sound} cannot be read.", advice="Choose another file, or none.") from error


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


def _render(scene: Any, target: Path, work: Encoding) -> None:
    render = scene.render
    versions.set_output(render.image_settings, "FFMPEG")
    codec = CODECS[work.codec]
    render.image_settings.color_mode = "RGB"
    settings = render.ffmpeg
    settings.format, settings.codec = codec.container, work.codec
    settings.audio_codec = "AAC" if work.sound is not None else "NONE"
    if work.codec == "PRORES":
        settings.ffmpeg_prores_profile = "422_HQ"
    render.image_settings.color_depth = "10" if work.quality == "LOSSLESS" else codec.depth
    settings.constant_rate_factor, settings.ffmpeg_preset = QUALITY[work.quality], "GOOD"
    settings.gopsize = max(round(render.fps / render.fps_base / 2), 1)  # half a second: scrubbing stays quick
    settings.use_autosplit = False
    render.filepath = str(target).replace("{", "{{").replace("}", "}}")  # or Blender takes them for its variables
    render.use_file_extension = False
    render.use_overwrite = True
    try:
        bpy.ops.render.render("EXEC_DEFAULT", animation=True, scene=scene.name)
    except RuntimeError as error:
        raise RenderError(
            f"Blender's encoder failed on {work.place}: {str(error).strip()}",
            advice="Check that the disk is writable and has room, then run it again.",
        ) from error
    if not target.exists() or not target.stat().st_size:
        raise RenderError(
            f"Blender's encoder wrote no video to {work.place}.",
            advice="Usually the disk is full: free some space, then run it again. The console has its own message.",
        )

"""A take as other programs want it: numbered frames, or one picture that says it is a panorama."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import bpy

from ...core import budget, inputs
from ...core.errors import FileError, RenderError
from ...core.formats import gpano, image_headers
from ...core.jobs.job_folder import PaintFolder, file_name
from ...core.output_folder import OutputFolder
from ...core.progress import Job, Progress, in_thread
from ..app import versions
from . import encoder, video

JPEG_QUALITY = 95
_LARGEST_JPEG = 1 << 30  # bytes; Blender has just written it


def frames(folder: PaintFolder, target: Path) -> Job[Path]:
    """Copy a job's frames into a folder as NAME-ID_0001.png, byte for byte. Returns the folder.

    The job's id tells takes of one scene apart. Frames of this job that lie there already are replaced.
    Raises JobError if frames are missing, FileError.
    """
    numbers = folder.job.frames
    step = Progress("Exporting frames", 0, len(numbers))
    yield step
    yield from in_thread(partial(video.require_all_frames, folder), step)
    output = OutputFolder.made(target)
    name = f"{file_name(folder.job.name)}-{folder.id}"
    for index, frame in enumerate(numbers):
        yield Progress("Exporting frames", index, len(numbers))
        source = folder.frame_file(frame)
        try:
            data = inputs.read_bytes(source, budget.exactly(*folder.job.size).bytes)
        except OSError as error:
            raise FileError(f"{source} cannot be read: {error.strerror or error}.") from error
        output.write_bytes(f"{name}_{frame:04d}.png", data)
    return target


def poster(folder: PaintFolder, frame: int, target: Path) -> None:
    """Write one frame as a JPEG that viewers of 360° photographs open as a panorama.

    Raises FileError if it cannot be written, RenderError if Blender cannot encode it.
    """
    source = folder.frame_file(frame)
    image_headers.check_whole(source, budget.exactly(*folder.job.size))
    output = OutputFolder.made(target.parent)
    with output.scratch() as scratch:
        _save_jpeg(source, scratch / "poster.jpg")
        plain = inputs.read_bytes(scratch / "poster.jpg", _LARGEST_JPEG)
        output.write_bytes(target.name, gpano.tagged(plain, *folder.job.size))


def _save_jpeg(source: Path, target: Path) -> None:
    scene = bpy.data.scenes.new("Pantheon360 Poster")
    image: Any = None
    try:
        image = bpy.data.images.load(str(source))
        encoder.use_exact_colours(scene)
        settings: Any = scene.render.image_settings
        versions.set_output(settings, "JPEG")
        settings.quality, settings.color_mode = JPEG_QUALITY, "RGB"
        image.save_render(str(target), scene=scene)
    except RuntimeError as error:
        raise RenderError(f"{source} cannot be written as a JPEG: {str(error).strip()}") from error
    finally:
        if image is not None:
            bpy.data.images.remove(image)
        bpy.data.scenes.remove(scene)

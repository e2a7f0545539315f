"""What the model sees, as videos in the job folder: `seen/0001.mp4`, and `seen/0001-2.mp4` of a second pass."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.progress import Job, Progress

FOLDER = "seen"


def write(folder: OutputFolder, index: int, passes: list[np.ndarray], fps: float) -> Job[None]:
    """Write a video for each pass of a clip, in the pass's order: a backward pass begins with the clip's last frame.

    index: number of the clip from 0. passes: (F, H, W, 3) uint8 sRGB each. fps: frames a second.
    Raises FileError if it cannot be written, PantheonError if imageio is missing.
    """
    for number, frames in enumerate(passes):
        yield Progress("Saving what the model sees", number, len(passes))
        name = f"{index + 1:04d}-{number + 1}" if number else f"{index + 1:04d}"
        folder.write_bytes(f"{FOLDER}/{name}.mp4", encoded(folder, frames, fps))


def encoded(folder: OutputFolder, frames: np.ndarray, fps: float) -> bytes:
    """An MP4 of (F, H, W, 3) uint8 sRGB, sharp enough to tell single points.

    folder: holds the encoder's own file meanwhile. imageio's writer of bytes has one in the system's temporary folder,
    where nobody removes it if this process is killed.
    Raises FileError if it cannot be written, PantheonError if imageio is missing.
    """
    if importlib.util.find_spec("imageio") is None or importlib.util.find_spec("imageio_ffmpeg") is None:
        raise PantheonError(
            "Saving what the model sees needs imageio and imageio-ffmpeg, which this Python does not have.",
            advice=f'"{sys.executable}" -m pip install imageio imageio-ffmpeg',
            code="missing-packages",
        )
    import imageio.v3

    options = {"fps": fps, "codec": "libx264", "output_params": ["-crf", "12"], "macro_block_size": 2}
    with folder.scratch() as made:
        video = made / "seen.mp4"
        imageio.v3.imwrite(video, frames, **options)
        return video.read_bytes()

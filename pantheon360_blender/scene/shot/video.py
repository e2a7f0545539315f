"""A shot's frames as one MP4: Blender's own encoder in a scene that leaves the colours alone, then the 360° tags."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ...core import inputs
from ...core.errors import JobError, MetadataError, RenderError
from ...core.formats import spherical_video
from ...core.jobs.job import PaintJob
from ...core.jobs.job_folder import PaintFolder
from ...core.output_folder import OutputFolder
from ...core.progress import Job, Progress, in_thread
from ..worker import process
from . import encoder
from .encoder import Encoding


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


def encode(folder: PaintFolder, target: Path, settings: VideoSettings | None = None) -> Job[Path]:
    """Encode a job's frames as a video and tag it as monoscopic 360° (V1 and V2).

    With a frame step each image is repeated, so that the video runs in time with the scene.
    The file appears complete or not at all. The temporary scene is removed whichever way this ends.
    Returns `target`. Raises JobError if frames are missing, RenderError if the encoder fails or the sound cannot be
    read, FileError if the target cannot be written.
    """
    settings, job = settings or VideoSettings(), folder.job
    step = Progress("Encoding video", 0, sum(frame_holds(job.frames)))
    yield step
    yield from in_thread(partial(require_all_frames, folder), step)
    if settings.sound is not None:
        _check_sound(settings.sound)
    work = _encoding(folder, settings, target.parent)
    output = folder.output if target.parent == folder.path else OutputFolder.made(target.parent)
    with output.scratch() as scratch:  # the encoder would follow links
        untagged, tagged = (scratch / f"{name}{encoder.CODECS[work.codec].suffix}" for name in ("untagged", "tagged"))
        yield from _written(work, untagged)
        last = Progress("Encoding video", step.of, step.of)
        yield from in_thread(partial(_tag, untagged, tagged, target.parent), last)
        output.take(tagged, target.name)
    yield last
    return target


def _encoding(folder: PaintFolder, settings: VideoSettings, place: Path) -> Encoding:
    job = folder.job
    images = [folder.frame_file(frame) for frame in job.frames]
    return Encoding(
        folder=str(images[0].parent),
        images=[image.name for image in images],
        holds=frame_holds(job.frames),
        image_width=job.width,
        size=settings.size(job),
        fps=rate(job),
        codec=settings.codec,
        quality=settings.quality,
        sound=str(settings.sound) if settings.sound is not None else None,
        place=str(place),
    )


def _written(work: Encoding, target: Path) -> Job[None]:
    """Encode in a second Blender, so that this one draws and listens; without an interface, in this one."""
    if process.is_wanted():
        with suppress(process.Unavailable), process.request_folder() as request:
            arguments = {"encoding": asdict(work), "target": str(target)}
            yield from process.ask("encode", arguments, request, "Encoding video", alone=True)
            return
    encoder.write(work, target)


def _check_sound(sound: Path) -> None:
    try:
        inputs.check_regular(sound)
    except OSError as error:
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


def _tag(untagged: Path, target: Path, place: Path) -> None:
    """Tag what the encoder made. It says nothing of a disk that was full: its file is then not whole."""
    try:
        spherical_video.tag(untagged, target)
    except MetadataError as error:
        raise RenderError(
            f"Blender's encoder did not finish the video in {place}.",
            advice="Usually the disk is full: free some space, then run it again.",
        ) from error

"""Running a job folder: what is finished stays, what is missing is made, and what happened is written down."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from pantheon360_blender.core import progress
from pantheon360_blender.core.errors import BackendError, FileError, PantheonError, reason
from pantheon360_blender.core.jobs.job_folder import (
    INPUT_FOLDERS,
    ExtendFolder,
    JobFolder,
    PaintFolder,
    ReconstructFolder,
    Status,
    now,
)
from pantheon360_blender.core.jobs.lock import locked
from pantheon360_blender.core.progress import Progress

from . import known_pixels, origins, painters
from .reconstruction import extend, reconstruct

STATE_INTERVAL = 2.0
"""Seconds between two updates of `state.json` while painting."""

_WORK = {"reconstruct": "Reconstruction", "extend": "Adding the take"}
"""Kind of job -> what an error says that failed; of all others it is painting."""

Work = Callable[[str], progress.Job[None]]
"""What does a job. It is told when the job was started."""


def run(path: Path) -> progress.Job[JobFolder]:
    """Do what is missing in the job folder at `path` and return it; nothing is written if nothing is missing.

    Closing the generator cancels the job. Finished frames and stages are kept whatever happens.
    Raises PantheonError: the folder is damaged, an input was changed, the disk is full, the work failed.
    """
    yield Progress("Opening the job")
    folder: JobFolder = JobFolder.open(path)
    if isinstance(folder, PaintFolder):
        finished, frames = (yield from _finished(folder)), len(folder.job.frames)
        found = f"running: {len(finished)} of {frames} frames are finished"
        yield from _completed(folder, len(finished) == frames, found, partial(_painted, folder))
    elif isinstance(folder, ReconstructFolder):
        yield from _completed(folder, reconstruct.is_finished(folder), "running", lambda _: reconstruct.run(folder))
    elif isinstance(folder, ExtendFolder):
        yield from _completed(folder, extend.is_finished(folder), "running", lambda _: extend.run(folder))
    return folder


def _completed(folder: JobFolder, whole: bool, found: str, work: Work) -> progress.Job[None]:
    """Do the work unless it was done. whole: whether every result is there. found: for the log."""
    folder.output.remove_abandoned(alone=False)  # of a Blender that was killed while it delivered what is finished
    if whole and folder.state().status == "done":
        return
    folder.output.refuse_links(besides=INPUT_FOLDERS)
    with locked(folder.output) as alone:
        folder.output.remove_abandoned(alone=alone)
        yield from _recorded(folder, found, work)


def _finished(folder: PaintFolder) -> progress.Job[list[int]]:
    """The frames that need no painting, judged by decoding them."""
    frames = folder.job.frames
    finished = []
    for index, frame in enumerate(frames):
        yield Progress("Looking for finished frames", index, len(frames))
        lack = folder.lack(frame)
        if lack is None:
            finished.append(frame)
        elif folder.frame_file(frame).exists():
            warning = f"Frame {frame} {lack} and is painted again."
            yield Progress("Looking for finished frames", index, len(frames), warning=warning)
    return finished


def _recorded(folder: JobFolder, found: str, work: Work) -> progress.Job[None]:
    """Do the work, and leave in `state.json` and `log.txt` how it ended, whichever way."""
    started = now()

    def record(status: Status, error: PantheonError | None = None) -> None:
        said = {"code": error.code, "text": error.text, "advice": error.advice} if error else None
        folder.write_state(status, folder.finished_frames(), said, started)
        folder.log(f"{status}: {error}" if error else status)

    folder.write_state("running", folder.finished_frames(), None, started)
    folder.log(found)
    try:
        yield from work(started)
        record("done")
    except (GeneratorExit, KeyboardInterrupt):
        with suppress(FileError):
            record("cancelled")
        raise
    except PantheonError as error:
        with suppress(FileError):
            record("failed", error)
        raise
    except Exception as error:
        for line in traceback.format_exc().splitlines():
            folder.log(line)
        explained = _explained(folder, error)
        with suppress(FileError):
            record("failed", explained)
        raise explained from error


def _painted(folder: PaintFolder, started: str) -> progress.Job[None]:
    """Check the inputs, paint, and check that everything is there."""
    painter = painters.named(folder.job.painter)
    yield from folder.verification()
    updated = time.monotonic()
    for step in painter.paint(folder):
        if time.monotonic() - updated > STATE_INTERVAL:
            updated = time.monotonic()
            folder.write_state("running", folder.finished_frames(), None, started)
        yield step
    missing = [frame for frame in folder.job.frames if not folder.is_finished(frame)]
    if missing:
        raise BackendError(
            f"The painter {folder.job.painter} left out {len(missing)} frames, the first is {missing[0]}."
        )
    yield from known_pixels.compare(folder)
    yield from origins.note(folder)


def _explained(folder: JobFolder, error: Exception) -> BackendError:
    if isinstance(error, MemoryError):
        return BackendError(
            "The backend ran out of memory.", advice="Lower the resolution or close other programs.", code="memory"
        )
    what = _WORK.get(folder.job.kind, "Painting")
    return BackendError(
        f"{what} failed unexpectedly: {reason(error)}.",
        advice=f"The details are in {folder.log_file}.",
        code="unexpected",
    )

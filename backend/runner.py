"""Running a job folder: what is finished stays, what is missing is painted, and what happened is written down."""

from __future__ import annotations

import time
import traceback
from contextlib import suppress
from pathlib import Path

from pantheon360_blender.core import progress
from pantheon360_blender.core.errors import BackendError, FileError, PantheonError, reason
from pantheon360_blender.core.job_folder import JobFolder, Status, now
from pantheon360_blender.core.progress import Progress

from . import painters
from .lock import locked

STATE_INTERVAL = 2.0
"""Seconds between two updates of `state.json` while painting."""


def run(path: Path) -> progress.Job[JobFolder]:
    """Paint what is missing in the job folder at `path` and return it; nothing is written where nothing is missing.

    Closing the generator cancels the job. Finished frames are kept whatever happens.
    Raises PantheonError: the folder is damaged, an input was changed, the disk is full, the painter failed.
    """
    yield Progress("Opening the job")
    folder = JobFolder.open(path)
    finished = yield from _finished(folder)
    if len(finished) == len(folder.job.frames) and folder.state().status == "done":
        return folder
    with locked(folder.path):
        _remove_leftovers(folder)
        yield from _recorded(folder, finished)
    return folder


def _finished(folder: JobFolder) -> progress.Job[list[int]]:
    """The frames that need no painting, judged by decoding them."""
    frames = folder.job.frames
    finished = []
    for index, frame in enumerate(frames):
        yield Progress("Looking for finished frames", index, len(frames))
        if folder.is_finished(frame):
            finished.append(frame)
        elif folder.frame_file(frame).exists():
            yield painters.Notice(
                "Looking for finished frames",
                index,
                len(frames),
                warning=f"Frame {frame} is damaged or of another size and is painted again.",
            )
    return finished


def _remove_leftovers(folder: JobFolder) -> None:
    """Temporary files of a run that was killed while it wrote."""
    for place in (folder.path, folder.path / "frames"):
        for leftover in place.glob(".*.part"):
            with suppress(OSError):
                leftover.unlink()


def _recorded(folder: JobFolder, finished: list[int]) -> progress.Job[None]:
    """Paint, and leave in `state.json` and `log.txt` how it ended, whichever way."""
    started = now()

    def record(status: Status, error: PantheonError | None = None) -> None:
        said = {"code": error.code, "text": error.text, "advice": error.advice} if error else None
        folder.write_state(status, folder.finished_frames(), said, started)
        folder.log(f"{status}: {error}" if error else status)

    folder.write_state("running", finished, None, started)
    folder.log(f"running: {len(finished)} of {len(folder.job.frames)} frames are finished")
    try:
        yield from _painted(folder, finished, started)
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
        folder.log(traceback.format_exc())
        explained = _explained(folder, error)
        with suppress(FileError):
            record("failed", explained)
        raise explained from error


def _painted(folder: JobFolder, finished: list[int], started: str) -> progress.Job[None]:
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
        raise BackendError(f"The painter {painter.name} left out {len(missing)} frames, the first is {missing[0]}.")


def _explained(folder: JobFolder, error: Exception) -> BackendError:
    if isinstance(error, MemoryError):
        return BackendError(
            "The backend ran out of memory.", advice="Lower the resolution or close other programs.", code="memory"
        )
    return BackendError(
        f"Painting failed unexpectedly: {reason(error)}.",
        advice=f"The details are in {folder.log_file}.",
        code="unexpected",
    )

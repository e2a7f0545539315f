"""One job folder run in a terminal: `python -m backend run FOLDER`."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.jobs import messages
from pantheon360_blender.core.unexpected import boundary

from .reporting import MessageWriter, Reporter, claim_stdout, missing_numpy
from .terminal import CANCELLED, DONE, FAILED, Printer, for_people


def main(folder: str, *, as_json: bool) -> int:
    """Run a job folder and return the exit code."""
    printer = MessageWriter(claim_stdout()) if as_json else for_people(sys.stdout)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if importlib.util.find_spec("numpy") is None:
            printer.send(missing_numpy())
            return FAILED
        return _run(Path(folder).absolute(), printer)
    except BrokenPipeError:
        # Whoever read the output is gone ("| head"); Python must not fail again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _run(path: Path, printer: Printer) -> int:
    name = path.name
    try:
        from pantheon360_blender.core.jobs import job_folder

        from . import runner

        printer.send(messages.Started(name))
        with boundary(f"Running {path}"):
            folder = Reporter(name, *job_folder.previews(path)).follow(runner.run(path), printer.send)
            printer.send(messages.Done(name, str(folder.path), len(folder.finished_frames())))
        return DONE
    except KeyboardInterrupt:
        printer.send(messages.Cancelled(name))
        return CANCELLED
    except PantheonError as error:
        printer.send(messages.Error(error.code, error.text, error.advice, name))
        return FAILED


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """A farm that wants its machine back asks with SIGTERM: stop as for Ctrl-C, with the state written down."""
    raise KeyboardInterrupt

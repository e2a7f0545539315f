"""The backend in a terminal: one job folder, with a progress bar, plain lines or JSON lines."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Protocol, TextIO

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.jobs import duration, messages
from pantheon360_blender.core.jobs.messages import Message

from .reporting import Answers, Reporter, claim_stdout, missing_numpy

DONE, FAILED, CANCELLED = 0, 1, 130
"""Exit codes; 130 is what shells give for Ctrl-C, and argparse gives 2 for a wrong command line."""
LINE_INTERVAL = 5.0
"""Seconds between two plain progress lines of a phase: a farm's log is read by people."""
_BAR = 24


class Printer(Protocol):
    """Shows messages to whoever started the command."""

    def send(self, message: Message) -> None:
        """Show one message."""


def main(folder: str, *, as_json: bool) -> int:
    """Run a job folder and return the exit code."""
    printer = Answers(claim_stdout()) if as_json else _for_people(sys.stdout)
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


def _for_people(stream: TextIO) -> Printer:
    return Bar(stream) if stream.isatty() else Lines(stream)


def _run(path: Path, printer: Printer) -> int:
    name = path.name
    try:
        from . import runner

        steps = runner.run(path)
        reporter = Reporter(name, path / "preview.png")
        printer.send(messages.Started(name))
        try:
            while True:
                for message in reporter.messages(next(steps)):
                    printer.send(message)
        except StopIteration as end:
            printer.send(messages.Done(name, str(end.value.path), len(end.value.job.frames)))
            return DONE
        finally:
            steps.close()
    except KeyboardInterrupt:
        printer.send(messages.Cancelled(name))
        return CANCELLED
    except PantheonError as error:
        printer.send(messages.Error(error.code, error.text, error.advice, name))
        return FAILED


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """A farm that wants its machine back asks with SIGTERM: stop as for Ctrl-C, with the state written down."""
    raise KeyboardInterrupt


class Lines:
    """Plain lines, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._phase = ""
        self._told = 0.0

    def send(self, message: Message) -> None:
        if isinstance(message, messages.ProgressMessage):
            self.show(message)
        elif isinstance(message, messages.Error):
            self.say(f"Error: {message.text} {message.advice}".rstrip(), sys.stderr)
        elif isinstance(message, messages.Warning_):
            self.say(f"Warning: {message.text}", sys.stderr)
        elif isinstance(message, messages.Done):
            made = f"{message.frames} frames are in {Path(message.folder) / 'frames'}"
            self.say(f"Done: {made if message.frames else f'the results are in {message.folder}'}")
        elif isinstance(message, messages.Cancelled):
            self.say("Cancelled. What is finished is kept; run it again to go on.", sys.stderr)

    def show(self, message: messages.ProgressMessage) -> None:
        """Show progress."""
        now = time.monotonic()
        if message.phase != self._phase or now - self._told >= LINE_INTERVAL:
            self._phase, self._told = message.phase, now
            self.say(described(message))

    def say(self, text: str, stream: TextIO | None = None) -> None:
        """Print a line that stays."""
        print(text, file=stream or self.stream, flush=True)


class Bar(Lines):
    """One line that is written over, for people who watch."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._open = False

    def show(self, message: messages.ProgressMessage) -> None:
        share = message.step / message.of if message.of else 0.0
        full = round(min(max(share, 0.0), 1.0) * _BAR)
        text = f"[{'#' * full}{'.' * (_BAR - full)}] {described(message)}"
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{text[:width]}", end="", file=self.stream, flush=True)
        self._open = True

    def say(self, text: str, stream: TextIO | None = None) -> None:
        if self._open:
            print(file=self.stream, flush=True)
            self._open = False
        super().say(text, stream)


def described(message: messages.ProgressMessage) -> str:
    """Progress in words: "Painting 12 of 49, 8 s left"."""
    counted = f" {message.step} of {message.of}" if message.of else ""
    left = duration.as_text(message.eta) if message.eta is not None and message.step < message.of else ""
    return f"{message.phase}{counted}{f', {left} left' if left else ''}"

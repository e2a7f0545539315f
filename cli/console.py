"""What the person or program at the other end of the command line reads.

Results go to stdout, progress and errors to stderr; with JSON all of them are lines on stdout, of the same kinds as the
backend's messages, and nothing else is.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO, TypeVar

from ..pantheon360_blender.core import duration, plain_text, repairs
from ..pantheon360_blender.core.errors import PantheonError
from ..pantheon360_blender.core.jobs import messages
from ..pantheon360_blender.core.progress import Eta, Job, Progress
from ..pantheon360_blender.scene.app import jobs

Result = TypeVar("Result")

PROGRAM = "blender --command pantheon360"
VERBS = {
    repairs.IMPORT_CAPTURES: "import FILE.blend PHOTO...",
    repairs.MAKE_PROXY: "project FILE.blend --proxy",
    repairs.PROJECT_CAPTURES: "project FILE.blend",
    repairs.BUILD_CACHE: "reconstruct FILE.blend",
    repairs.OPEN_PREFERENCES: "doctor",
    repairs.INSTALL_ENGINE: "engine install",
}
"""What repairs an error -> the verb that does the same here. A camera and the render settings are set in Blender."""


class Output:
    """What the person or program at the other end reads."""

    def __init__(self, stream: TextIO, as_json: bool) -> None:
        self._stream = stream
        self._json = as_json
        self._eta = Eta()
        self._shown = ""
        self._warned: set[str] = set()

    def run(self, job: Job[Result]) -> Result:
        """Drive a job to its end, showing its progress."""
        try:
            return jobs.run_blocking(job, self._progress)
        finally:
            self._end_line()

    def say(self, text: str) -> None:
        if not self._json:
            _print(text)

    def warn(self, text: str) -> None:
        """Pass on a warning, unless it was told already: jobs give theirs while they run and with their result."""
        if text in self._warned:
            return
        self._warned.add(text)
        self._end_line()
        if self._json:
            self._message(messages.Warning_(text))
        else:
            _print(f"Warning: {text}")

    def done(self, facts: dict[str, Any]) -> None:
        if self._json and facts:
            self._line({"kind": "done", **facts})
        elif not self._json:
            for name, value in facts.items():
                text = ", ".join(value) if isinstance(value, list) else value
                _print(f"{name}: {text}", self._stream)

    def failed(self, error: PantheonError) -> None:
        verb = VERBS.get(error.repair or "", "")
        if self._json:
            told = {"code": error.code, "text": error.text, "advice": error.advice}
            self._line({"kind": "error", **told, "job": "", "repair": error.repair or "", "verb": verb})
            return
        _print(f"Error: {error}")
        if verb:
            _print(f"Run first: {PROGRAM} {verb}")

    def cancelled(self) -> None:
        if self._json:
            self._message(messages.Cancelled(""))
        else:
            _print("Interrupted. What is finished is kept.")

    def raw(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _progress(self, step: Progress) -> None:
        if step.warning:
            self.warn(step.warning)
        if step.preview and self._json:
            self._message(messages.Preview(step.preview))
        if step.waiting or step.warning or step.preview:  # these repeat the progress before them
            return
        seconds = self._eta.seconds(step)
        if self._json:
            self._message(messages.ProgressMessage("", step.phase, step.step, step.of, seconds, step.text))
            return
        left = duration.as_text(seconds) if seconds is not None else ""
        counted = f" {step.step}/{step.of}" if step.of else ""
        self._show(f"{step.phase}{counted}{f', {left} left' if left else ''}", step.phase)

    def _show(self, text: str, phase: str) -> None:
        """One line rewritten on a terminal; in a log a line at the start of each phase."""
        if sys.stderr.isatty():
            print(f"\r{plain_text.one_line(text)}\x1b[K", end="", file=sys.stderr, flush=True)
        elif phase != self._shown:
            _print(text)
        self._shown = phase

    def _end_line(self) -> None:
        if self._shown and sys.stderr.isatty():
            print(file=sys.stderr, flush=True)
        self._shown = ""

    def _message(self, message: messages.Message) -> None:
        self.raw(messages.encode(message).decode("ascii"))

    def _line(self, record: dict[str, Any]) -> None:
        self.raw(json.dumps(record) + "\n")


@contextmanager
def opened(as_json: bool) -> Iterator[Output]:
    """Keep stdout for results: what Blender prints while it works, at the level of the process, goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with (
            suppress(BrokenPipeError),
            redirect_stdout(sys.stderr),
            open(os.dup(kept), "w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream,
        ):
            yield Output(stream, as_json)
    finally:
        sys.stdout.flush()
        _flush_c_library()
        os.dup2(kept, 1)
        os.close(kept)


def _print(text: str, stream: TextIO | None = None) -> None:
    """For people, on stderr if no stream is given: names of files may hold what a terminal takes for commands."""
    print(plain_text.paragraph(text), file=stream or sys.stderr, flush=True)


def _flush_c_library() -> None:
    """Blender prints through the C library, whose buffer would come out where stdout points to later."""
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
        library.fflush(None)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and a farm's SIGTERM end the job cleanly: Blender in the background would swallow the first one."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):  # not the main thread
            previous[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

"""Messages in a terminal: a progress bar for people who watch, plain lines for logs and pipes."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Protocol, TextIO

from pantheon360_blender.core import duration, plain_text
from pantheon360_blender.core.jobs import messages
from pantheon360_blender.core.jobs.messages import Message

DONE, FAILED, CANCELLED = 0, 1, 130
"""Exit codes; 130 is what shells give for Ctrl-C, and argparse gives 2 for a wrong command line."""
LINE_INTERVAL = 5.0
"""Seconds between two plain progress lines of a phase: a farm's log is read by people."""
_BAR = 24


class Printer(Protocol):
    """Shows messages to whoever started the command."""

    def send(self, message: Message) -> None:
        """Show one message."""


def for_people(stream: TextIO) -> Printer:
    """What shows messages on a stream."""
    return Bar(stream) if stream.isatty() else Lines(stream)


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
        print(plain_text.paragraph(text), file=stream or self.stream, flush=True)


class Bar(Lines):
    """One line that is written over, for people who watch."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._open = False

    def show(self, message: messages.ProgressMessage) -> None:
        share = message.step / message.of if message.of else 0.0
        full = round(min(max(share, 0.0), 1.0) * _BAR)
        text = f"[{'#' * full}{'.' * (_BAR - full)}] {plain_text.one_line(described(message))}"
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

"""What the service says: answers, progress at a bounded rate, and a heartbeat."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from pantheon360_blender.core.jobs import messages
from pantheon360_blender.core.jobs.messages import Message
from pantheon360_blender.core.progress import Eta, Job, Progress, Result

PROGRESS_INTERVAL = 0.1
"""Seconds between two progress messages of a phase."""

HEARTBEAT = 2.0
"""Seconds of silence within a step after which its progress is told again."""

_STDIN, _STDERR, _STDOUT = 0, 2, 1


def missing_numpy(job: str = "") -> messages.Error:
    """What to say if not even the draft painter can work."""
    return messages.Error("missing-package", f"{sys.executable} has no numpy.", "Install numpy into it.", job)


def claim_stdin() -> int:
    """Keep stdin for the protocol: whatever a painter or a program it starts reads from stdin finds nothing there.

    Returns a descriptor of the real stdin.
    """
    protocol = os.dup(_STDIN)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, _STDIN)
    os.close(nothing)
    return protocol


def claim_stdout() -> int:
    """Keep stdout for the protocol: everything that prints, in Python or in a library, goes to stderr from now on.

    Returns a descriptor of the real stdout.
    """
    protocol = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    sys.stdout = sys.stderr
    return protocol


class MessageWriter:
    """Writes messages to a descriptor: whole lines, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Write a message. Raises BrokenPipeError if nobody listens any more."""
        line = messages.encode(message)
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]


class Heartbeat:
    """Tells the last progress again while a step takes long, so that whoever listens knows it is being worked on."""

    def __init__(self, writer: MessageWriter) -> None:
        self._writer = writer
        self._changed = threading.Condition()
        self._last: messages.ProgressMessage | None = None
        self._told = 0.0
        self._ended = False
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """No beat comes after this: the job's last answer is the last."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def send(self, message: Message) -> None:
        """Send a message of the job. Raises BrokenPipeError if nobody listens any more."""
        with self._changed:
            self._writer.send(message)
            self._told = time.monotonic()
            if isinstance(message, messages.ProgressMessage):
                self._last = message

    def _beat(self) -> None:
        with self._changed:
            while not self._changed.wait_for(lambda: self._ended, HEARTBEAT / 4):
                if self._last is not None and time.monotonic() - self._told >= HEARTBEAT:
                    try:
                        self._writer.send(self._last)
                    except OSError:
                        return  # the job itself will meet it
                    self._told = time.monotonic()


class Reporter:
    """The messages of a job's steps: progress at a readable pace, warnings, new previews."""

    def __init__(self, job: str, *previews: Path) -> None:
        """previews: files of which it is told whenever they are new."""
        self._job = job
        self._eta = Eta()
        self._phase = ""
        self._told = 0.0
        self._shown = {path: _changed(path) for path in previews}

    def follow(self, job: Job[Result], send: Callable[[Message], None]) -> Result:
        """Run a job to its end and send the messages of its steps."""
        with closing(job):
            try:
                while True:
                    for message in self.messages(next(job)):
                        send(message)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    def messages(self, step: Progress) -> Iterator[Message]:
        """The messages of one step, in their order."""
        if step.warning:
            yield messages.Warning_(step.warning, self._job)
        eta = self._eta.seconds(step)
        now = time.monotonic()
        if step.phase != self._phase or now - self._told >= PROGRESS_INTERVAL or (step.of and step.step >= step.of):
            self._phase, self._told = step.phase, now
            yield messages.ProgressMessage(self._job, step.phase, step.step, step.of, eta, step.text)
        for path, before in self._shown.items():
            self._shown[path] = _changed(path)
            if self._shown[path] not in (before, None):
                yield messages.Preview(str(path), self._job)


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None

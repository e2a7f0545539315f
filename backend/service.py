"""The backend as Blender's child: requests on stdin, answers on stdout, one job at a time."""

from __future__ import annotations

import importlib.util
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

from pantheon360_blender.core.errors import MessageError, PantheonError
from pantheon360_blender.core.jobs import messages
from pantheon360_blender.core.jobs.messages import Message
from pantheon360_blender.core.unexpected import explained
from pantheon360_blender.core.version import version

from .reporting import Heartbeat, MessageWriter, Reporter, claim_stdin, claim_stdout, missing_numpy

LAST_STEP = 1.0
"""Seconds the step in progress may take to finish when stdin ends; after that the process goes without it."""


def main() -> int:
    """Serve on stdin and stdout until stdin ends. Returns the exit code."""
    writer = MessageWriter(claim_stdout())
    if importlib.util.find_spec("numpy") is None:
        writer.send(missing_numpy())
        return 1
    return Service(claim_stdin(), writer).serve()


class Service:
    """Two threads: one reads requests and answers at once what needs no work, the main one paints."""

    def __init__(self, requests: int, writer: MessageWriter) -> None:
        self._requests = requests
        self._writer = writer
        self._runs: queue.Queue[messages.Run | None] = queue.Queue()
        self._lock = threading.Lock()
        self._current: str | None = None
        self._cancelled = threading.Event()
        self._ended = threading.Event()

    def serve(self) -> int:
        """Greet, then work until a Quit or the end of stdin. Returns the exit code."""
        try:
            self._writer.send(messages.Hello(messages.PROTOCOL, version(), os.getpid(), _device()))
            threading.Thread(target=self._read, name="requests", daemon=True).start()
            while (request := self._runs.get()) is not None:
                self._writer.send(self._outcome(request))
        except BrokenPipeError:
            pass  # Blender is gone, and so is the reason to be here
        finally:
            self._ended.set()
        return 0

    # The reading thread

    def _read(self) -> None:
        try:
            for line in lines(self._requests):
                if line is None:
                    self._refuse(f"A line is longer than the {messages.LINE_LIMIT} bytes allowed.")
                elif line.strip() and not self._handled(line):
                    break
        except OSError:
            pass
        self._leave()

    def _handled(self, line: bytes) -> bool:
        """Act on a request; False if it is Quit."""
        try:
            request = messages.decode(line)
        except MessageError as error:
            self._refuse(error.text)
            return True
        if isinstance(request, messages.Run):
            self._accept(request)
        elif isinstance(request, messages.Cancel):
            self._cancel(request)
        elif not isinstance(request, messages.Quit):
            self._refuse(f"A {type(request).__name__} message is an answer; run, cancel and quit are requests.")
        return not isinstance(request, messages.Quit)

    def _accept(self, request: messages.Run) -> None:
        with self._lock:
            busy = self._current is not None
            if not busy:
                self._current = request.job
                self._cancelled.clear()
                self._runs.put(request)
        if busy:
            text = "The backend is working on another job."
            self._writer.send(messages.Error("busy", text, "Wait for it, or cancel it.", request.job))

    def _cancel(self, request: messages.Cancel) -> None:
        with self._lock:
            running = self._current == request.job
            if running:
                self._cancelled.set()
        if not running:
            # The job may have ended while the request was under way: that is no fault of the sender's.
            self._writer.send(messages.Warning_("There is no such job to cancel.", request.job))

    def _refuse(self, text: str) -> None:
        self._writer.send(messages.Error("message", text, "Install the extension again."))

    def _leave(self) -> None:
        """Stop after the step in progress, or without it if it takes long: nobody is waiting for it."""
        self._cancelled.set()
        self._runs.put(None)
        if not self._ended.wait(LAST_STEP):
            os._exit(0)

    # The main thread

    def _outcome(self, request: messages.Run) -> Message:
        try:
            return self._painted(request)
        except BrokenPipeError:
            raise
        except PantheonError as error:
            return messages.Error(error.code, error.text, error.advice, request.job)
        except Exception as error:
            told = explained(error, "The backend")
            return messages.Error(told.code, told.text, told.advice, request.job)
        finally:
            # Before the last answer is sent, so that whoever reads it can ask for the next job at once.
            with self._lock:
                self._current = None

    def _painted(self, request: messages.Run) -> Message:
        from pantheon360_blender.core.jobs import job_folder

        from . import runner

        self._writer.send(messages.Started(request.job))
        reporter = Reporter(request.job, *job_folder.previews(Path(request.folder)))
        steps = runner.run(Path(request.folder))
        with Heartbeat(self._writer) as heartbeat:
            try:
                while True:
                    step = next(steps)
                    if self._cancelled.is_set():
                        return messages.Cancelled(request.job)
                    for message in reporter.messages(step):
                        heartbeat.send(message)
            except StopIteration as end:
                folder = end.value
                return messages.Done(request.job, str(folder.path), len(folder.finished_frames()))
            finally:
                steps.close()


def lines(descriptor: int) -> Iterator[bytes | None]:
    """Lines of a descriptor without their newline; None for one longer than LINE_LIMIT, which is skipped.

    Read below Python's buffered files: their lock, held by a thread that waits for input, aborts the interpreter when
    it ends.
    """
    held, skipping = b"", False
    while block := os.read(descriptor, 1 << 16):
        *complete, held = (held + block).split(b"\n")
        for line in complete:
            yield None if skipping or len(line) >= messages.LINE_LIMIT else line
            skipping = False
        if len(held) >= messages.LINE_LIMIT:
            held, skipping = b"", True
    if held or skipping:
        yield None if skipping else held


def _device() -> str:
    """What can be said without importing torch, which takes seconds."""
    return f"CPU, {os.cpu_count() or 1} cores"

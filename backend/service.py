"""The backend as Blender's child: requests on stdin, answers on stdout, one job at a time."""

from __future__ import annotations

import importlib.util
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from pantheon360_blender.core import messages
from pantheon360_blender.core.errors import MessageError, PantheonError, reason
from pantheon360_blender.core.messages import Message
from pantheon360_blender.core.progress import Eta, Progress

LAST_STEP = 1.0
"""Seconds the step in progress may take to finish when stdin ends; after that the process goes without it."""
PROGRESS_INTERVAL = 0.1
"""Seconds between two progress messages of a phase."""
HEARTBEAT = 2.0
"""Seconds of silence within a step after which its progress is told again."""
_STDIN, _STDERR, _STDOUT = 0, 2, 1


def main() -> int:
    """Serve on stdin and stdout until stdin ends. Returns the exit code."""
    answers = Answers(claim_stdout())
    if importlib.util.find_spec("numpy") is None:
        answers.send(missing_numpy())
        return 1
    return Service(claim_stdin(), answers).serve()


def missing_numpy(job: str = "") -> messages.Error:
    """What to say where not even the draft painter can work."""
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


class Answers:
    """The way out: whole lines from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Write a message. Raises BrokenPipeError where nobody listens any more."""
        line = messages.encode(message)
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]


class Service:
    """Two threads: one reads requests and answers at once what needs no work, the main one paints."""

    def __init__(self, requests: int, answers: Answers) -> None:
        self._requests = requests
        self._answers = answers
        self._runs: queue.Queue[messages.Run | None] = queue.Queue()
        self._lock = threading.Lock()
        self._current: str | None = None
        self._cancelled = threading.Event()
        self._ended = threading.Event()

    def serve(self) -> int:
        """Greet, then work until a Quit or the end of stdin. Returns the exit code."""
        try:
            self._answers.send(messages.Hello(messages.PROTOCOL, version(), os.getpid(), _device()))
            threading.Thread(target=self._read, name="requests", daemon=True).start()
            while (request := self._runs.get()) is not None:
                self._answers.send(self._outcome(request))
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
        """Act on a request; False where it is Quit."""
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
            self._answers.send(messages.Error("busy", text, "Wait for it, or cancel it.", request.job))

    def _cancel(self, request: messages.Cancel) -> None:
        with self._lock:
            running = self._current == request.job
            if running:
                self._cancelled.set()
        if not running:
            # The job may have ended while the request was under way: that is no fault of the sender's.
            self._answers.send(messages.Warning_("There is no such job to cancel.", request.job))

    def _refuse(self, text: str) -> None:
        self._answers.send(messages.Error("message", text, "Install the extension again."))

    def _leave(self) -> None:
        """Stop after the step in progress, or without it where it takes long: nobody is waiting for it."""
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
            traceback.print_exc()
            text = f"The backend failed unexpectedly: {reason(error)}."
            return messages.Error("unexpected", text, "Its stderr has the details.", request.job)
        finally:
            # Before the last answer is sent, so that whoever reads it can ask for the next job at once.
            with self._lock:
                self._current = None

    def _painted(self, request: messages.Run) -> Message:
        from . import runner

        self._answers.send(messages.Started(request.job))
        reporter = Reporter(request.job, Path(request.folder) / "preview.png")
        steps = runner.run(Path(request.folder))
        with Heartbeat(self._answers) as heartbeat:
            try:
                while True:
                    step = next(steps)
                    if self._cancelled.is_set():
                        return messages.Cancelled(request.job)
                    for message in reporter.messages(step):
                        heartbeat.send(message)
            except StopIteration as end:
                folder = end.value
                return messages.Done(request.job, str(folder.path), len(folder.job.frames))
            finally:
                steps.close()


class Heartbeat:
    """Tells the last progress again while a step takes long, so that whoever listens knows it is being worked on."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
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
        """Send a message of the job. Raises BrokenPipeError where nobody listens any more."""
        with self._changed:
            self._answers.send(message)
            self._told = time.monotonic()
            if isinstance(message, messages.ProgressMessage):
                self._last = message

    def _beat(self) -> None:
        with self._changed:
            while not self._changed.wait_for(lambda: self._ended, HEARTBEAT / 4):
                if self._last is not None and time.monotonic() - self._told >= HEARTBEAT:
                    try:
                        self._answers.send(self._last)
                    except OSError:
                        return  # the job itself will meet it
                    self._told = time.monotonic()


class Reporter:
    """What is worth telling of a job's steps: progress at a readable pace, warnings, new previews."""

    def __init__(self, job: str, preview: Path) -> None:
        self._job = job
        self._eta = Eta()
        self._phase = ""
        self._told = 0.0
        self._preview = preview
        self._shown = _changed(preview)

    def messages(self, step: Progress) -> Iterator[Message]:
        """The messages of one step, none to three."""
        warning = getattr(step, "warning", "")
        if warning:
            yield messages.Warning_(warning, self._job)
        eta = self._eta.seconds(step)
        now = time.monotonic()
        if step.phase != self._phase or now - self._told >= PROGRESS_INTERVAL or (step.of and step.step >= step.of):
            self._phase, self._told = step.phase, now
            yield messages.ProgressMessage(self._job, step.phase, step.step, step.of, eta, step.text)
        shown = _changed(self._preview)
        if shown != self._shown:
            self._shown = shown
            yield messages.Preview(str(self._preview), self._job)


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


def version() -> str:
    """The extension's version, from the manifest beside this package; "unknown" where there is none."""
    import tomllib

    try:
        manifest = (Path(__file__).resolve().parent.parent / "blender_manifest.toml").read_text("utf-8")
        return str(tomllib.loads(manifest)["version"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return "unknown"


def _device() -> str:
    """What can be said without importing torch, which takes seconds."""
    return f"CPU, {os.cpu_count() or 1} cores"


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None

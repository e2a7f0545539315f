"""A child process of this project: start, greeting, requests, death explained, and an end whatever happens.

Both sides use it: the add-on starts the backend and its importers, the backend the pose solver. They speak the messages
of messages.py, one JSON object a line.
"""

from __future__ import annotations

import collections
import errno
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from .. import repairs
from ..errors import BackendError, MessageError
from ..progress import Job, Progress
from ..version import EXTENSION_ROOT
from . import messages
from .messages import Message

HELLO_TIMEOUT = 30.0
"""Seconds a cold disk and a virus scanner may take before the first word."""
CANCEL_GRACE = 5.0
"""Seconds a cancelled job has for the step it is in, before its process is ended."""
STOP_GRACE = 2.0
_TAIL_BYTES = 8192
_TAIL_LINES = 6
CHOOSE_PYTHON = (
    "Choose a Python 3.11 or newer with numpy as Backend Python in the add-on's preferences, or clear that field to "
    "use Blender's own."
)
_AGAIN = "Run it again: it goes on where it stopped."
_CRASHED = ("crashed", "Run it again; if it crashes again, update the graphics driver and the backend's packages.")
_DEATHS_BY_SIGNAL = {
    "SIGKILL": ("was killed", "Usually the computer ran out of memory: close other programs or lower the resolution."),
    "SIGTERM": ("was ended from outside", _AGAIN),
    "SIGINT": ("was interrupted", _AGAIN),
    "SIGHUP": ("was ended from outside", _AGAIN),
    "SIGSEGV": _CRASHED,
    "SIGBUS": ("crashed", "Check that the disk is not full, then run it again."),
    "SIGABRT": _CRASHED,
    "SIGILL": ("uses instructions this processor lacks", "Install packages that are built for this computer."),
}
_DEATHS_BY_CODE = {
    0xC0000005: _CRASHED,
    0xC0000017: ("ran out of memory", "Close other programs or lower the resolution."),
    0xC0000135: ("lacks a DLL", "Install the Microsoft Visual C++ Redistributable."),
    0xC000013A: ("was interrupted", _AGAIN),
}
"""Windows' exit codes for what POSIX tells by signals (ntstatus.h)."""


class ChildProcess:
    """One child process.

    python: the interpreter, None for this one's own. root: the folder with the `backend` package. module: what to run
    of it, with its arguments. name: what it is called in errors. advice: what to do if it does not start or greet.
    command: the whole command line of another program that speaks so, in place of python and module; what it prints
    before its greeting is passed over.
    Nothing blocks but `wait_for_hello`, `cancel` and `stop`, which are bounded. Two threads read; they know nothing of
    Blender.
    """

    def __init__(
        self,
        python: Path | None = None,
        root: Path = EXTENSION_ROOT,
        module: Sequence[str] = ("backend", "serve"),
        name: str = "backend",
        advice: str = CHOOSE_PYTHON,
        command: Sequence[str] = (),
    ) -> None:
        self.python = python
        self.command = tuple(command)
        self.name = name
        self.advice = advice
        self.repair = repairs.OPEN_PREFERENCES if advice == CHOOSE_PYTHON else None
        self.root = root
        self.module = tuple(module)
        self.hello: messages.Hello | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._reaped = False
        self._started = 0.0
        self._lines: queue.Queue[bytes] = queue.Queue(maxsize=10_000)
        self._mail: list[Message] = []
        self._tail: collections.deque[bytes] = collections.deque()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    # Life

    def start(self) -> None:
        """Start the child. Raises BackendError if there is no interpreter or it cannot be started."""
        interpreter = self.command[0] if self.command else str(self.python or own_python())
        command = self.command or (interpreter, "-B", "-X", "utf8", "-u", "-m", *self.module)
        try:
            self._child = subprocess.Popen(
                command,
                cwd=self.root,
                env=clean_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **own_group(),
            )
        except OSError as error:
            reason = "it is not a program for this computer" if error.errno == errno.ENOEXEC else error.strerror
            raise self._failure(f"The {self.name} cannot be started with {interpreter}: {reason or error}.") from error
        self._started = time.monotonic()
        for work, stream in ((self._read_answers, self._child.stdout), (self._read_errors, self._child.stderr)):
            thread = threading.Thread(target=work, args=(stream,), name="pantheon360-backend", daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        if self._child is None or self._reaped:
            return False
        self._reaped = self._child.poll() is not None
        if self._reaped:
            # At once, before its number is given to another process: helpers it left behind hold the pipes open.
            end_group(self._child, kill=True)
        return not self._reaped

    @property
    def pid(self) -> int | None:
        """Process id of the child, None before `start`."""
        return self._child.pid if self._child else None

    def wait_for_hello(self, timeout: float = HELLO_TIMEOUT) -> messages.Hello:
        """Block until the backend has greeted. Raises BackendError if it does not, or speaks another version."""
        while self.hello is None:
            self.await_hello(timeout)
            time.sleep(0.005)
        return self.hello

    def await_hello(self, timeout: float = HELLO_TIMEOUT) -> None:
        """Look for the greeting without blocking. Raises BackendError if it is overdue or wrong."""
        self._collect()
        if self.hello is None and time.monotonic() - self._started > timeout:
            self.stop(grace=0)
            asked = f"{self.name} ({self.python or own_python()})"
            raise self._failure(f"The {asked} did not answer within {timeout:g} seconds.")

    def stop(self, grace: float = STOP_GRACE) -> None:
        """End the child: ask it, after `grace` seconds terminate it, then kill it. Nothing of it is left."""
        child = self._child
        if child is None:
            return
        self._stopping.set()
        if grace > 0 and self.alive:
            self.send(messages.Quit())
        with suppress(OSError):
            child.stdin.close()  # type: ignore[union-attr]
        self._wait(grace)
        for kill in (False, True):
            if self.alive:
                end_group(child, kill)
                self._wait(max(grace, 1.0))
        for thread in self._threads:
            thread.join(1.0)
        for stream in (child.stdout, child.stderr):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    # Talking

    def send(self, message: Message) -> None:
        """Send a request; a child that is dead shows at the next `receive`."""
        if self._child is None or self._child.stdin is None:
            raise BackendError(f"The {self.name} is not running.")
        with suppress(OSError, ValueError):
            self._child.stdin.write(messages.encode(message))
            self._child.stdin.flush()

    def receive(self, job: str | None = None) -> list[Message]:
        """What has arrived, without blocking: for one job (with what is for nobody), or all of it.

        Raises BackendError, explained, if the child is dead and its last words are handed out, or breaks the protocol.
        """
        self._collect()
        wanted = [message for message in self._mail if job is None or getattr(message, "job", "") in (job, "")]
        self._mail = [message for message in self._mail if message not in wanted]
        if not wanted and self._dead():
            raise BackendError(self.explain_death(), code="backend-died", repair=None if self.hello else self.repair)
        return wanted

    def cancel(self, job: str, grace: float = CANCEL_GRACE) -> None:
        """Cancel a job and wait until it has stopped; after `grace` seconds end the process instead."""
        deadline = time.monotonic() + grace
        self.send(messages.Cancel(job))
        with suppress(BackendError):
            while time.monotonic() < deadline:
                if any(isinstance(message, messages.FINAL) for message in self.receive(job)):
                    return
                time.sleep(0.005)
        self.stop(grace=0)

    def explain_death(self) -> str:
        """What the exit code or signal means, what to do, and the last lines it wrote to stderr."""
        if self._child is None or self.alive:
            return f"The {self.name} is running." if self._child else f"The {self.name} was not started."
        what, advice = _meaning(self._child.returncode)
        if self.hello is None:
            what, advice = f"{what} before it answered", self.advice
        return f"The {self.name} {what}. {advice}{self.last_words()}"

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.alive and time.monotonic() < deadline:
            time.sleep(0.005)

    def _collect(self) -> None:
        """Read what the threads have put down; the first line must be the greeting."""
        while True:
            try:
                line = self._lines.get_nowait()
            except queue.Empty:
                break
            self._take(line)
        if self.hello is None and self._dead():
            raise BackendError(self.explain_death(), code="backend-died", repair=self.repair)

    def _take(self, line: bytes) -> None:
        try:
            message = messages.decode(line)
        except MessageError as error:
            if self.command and self.hello is None:
                return
            self.stop(grace=0)
            python = self.python or own_python()
            raise self._failure(f"{python} does not speak like the {self.name}. {error.text}") from error
        if self.hello is not None:
            self._mail.append(message)
        elif isinstance(message, messages.Hello):
            self._greet(message)
        else:
            self.stop(grace=0)
            text = message.text if isinstance(message, messages.Error) else f"The {self.name} did not say hello."
            raise self._failure(text)

    def _failure(self, text: str) -> BackendError:
        """Why the child does not start or greet."""
        return BackendError(text, advice=self.advice, repair=self.repair)

    def _greet(self, hello: messages.Hello) -> None:
        if hello.protocol != messages.PROTOCOL:
            self.stop(grace=0)
            raise BackendError(
                f"The {self.name} speaks protocol {hello.protocol}, this extension protocol {messages.PROTOCOL}.",
                advice="Install the extension again and restart Blender, so that both are of one version.",
            )
        self.hello = hello

    def _dead(self) -> bool:
        """Dead, and everything it said has been read."""
        return not self.alive and not any(thread.is_alive() for thread in self._threads) and self._lines.empty()

    def _read_answers(self, stream: IO[bytes]) -> None:
        with suppress(OSError, ValueError):
            while line := stream.readline(messages.LINE_LIMIT + 1):
                while not self._stopping.is_set():
                    with suppress(queue.Full):
                        self._lines.put(line, timeout=0.1)
                        break

    def _read_errors(self, stream: IO[bytes]) -> None:
        kept = 0
        with suppress(OSError, ValueError):
            while chunk := os.read(stream.fileno(), 4096):
                self._tail.append(chunk)
                kept += len(chunk)
                while kept - len(self._tail[0]) >= _TAIL_BYTES:
                    kept -= len(self._tail.popleft())

    def last_words(self) -> str:
        """The last lines that the child wrote to stderr, each on a line of its own, indented."""
        text = b"".join(self._tail).decode("utf-8", errors="replace")
        lines = [line.rstrip() for line in text.splitlines() if line.strip()][-_TAIL_LINES:]
        return "".join(f"\n    {line}" for line in lines)


def drive(
    child: ChildProcess, request: messages.Run | None = None, starting: str = "Starting the backend"
) -> Job[messages.Done]:
    """Greet a started child, send it a request, and pass on its progress, warnings and previews until it is done.

    request: None if the child was told on its command line what to do; then it answers for nobody else.
    Closing the generator leaves the child as it is: whoever started it cancels or ends it.
    Raises AnswerError with the child's own explanation, BackendError with that of its death or if it was cancelled.
    """
    step = Progress(starting, waiting=True)
    while child.hello is None:
        child.await_hello()
        yield step
    if request is not None:
        child.send(request)
    while True:
        for message in child.receive(request.job if request is not None else None):
            if isinstance(message, messages.Error):
                raise AnswerError(message.text, advice=message.advice, code=message.code)
            if isinstance(message, messages.Cancelled):
                raise BackendError("It was canceled.", advice=_AGAIN)
            if isinstance(message, messages.Done):
                return message
            if isinstance(message, messages.ProgressMessage):
                step = Progress(message.phase, message.step, message.of, waiting=True, text=message.text)
                yield replace(step, waiting=False)
            elif isinstance(message, messages.Warning_):
                yield replace(step, waiting=False, warning=message.text)
            elif isinstance(message, messages.Preview):
                yield replace(step, waiting=False, preview=message.path)
        yield step


def run(python: Path | None, *module: str) -> Job[None]:
    """Run a module of this project that was told on its command line what to do, to its end; closing ends it.

    python: as ChildProcess'. module: with its arguments. Raises as `drive`.
    """
    process = ChildProcess(python, module=module)
    process.start()
    try:
        yield from drive(process)
    finally:
        process.stop(grace=0)


def answer(python: Path | None, *module: str, patience: float) -> str:
    """What a module of this project prints, which blocks until its end.

    python, module: as of `run`. patience: seconds. Raises BackendError with the last that it said if it fails.
    """
    interpreter = python or own_python()
    command = [str(interpreter), "-B", "-X", "utf8", "-m", *module]
    try:
        asked = subprocess.run(
            command,
            cwd=EXTENSION_ROOT,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=patience,
            **own_group(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"{interpreter} gave no answer: {error}.", advice="Try again.") from error
    if asked.returncode != 0:
        said = asked.stderr.strip().removeprefix("Error: ") or f"exit code {asked.returncode}"
        raise BackendError(said[-1000:], code="refused")
    return str(asked.stdout)


def start_detached(python: Path | None, module: Sequence[str], root: Path = EXTENSION_ROOT) -> int:
    """Start a module of this project as a process that nobody waits for or listens to, and return its id.

    python, module: as ChildProcess'. It outlives this process. Raises BackendError if it cannot be started.
    """
    interpreter = python or own_python()
    silent = subprocess.DEVNULL
    command = [str(interpreter), "-B", "-X", "utf8", "-m", *module]
    try:
        started = subprocess.Popen(
            command, cwd=root, env=clean_environment(), stdin=silent, stdout=silent, stderr=silent, **own_group()
        )
    except OSError as error:
        raise BackendError(f"{interpreter} cannot be started: {error.strerror or error}.") from error
    started.returncode = 0  # so that Python does not warn of a process that is left behind
    return started.pid


class AnswerError(BackendError):
    """What the child itself said went wrong."""


def own_python() -> Path:
    """The interpreter of this Blender.

    `sys.executable` may be Blender itself if a distribution builds it against the system's Python.
    Raises BackendError if none is found.
    """
    if sys.executable and "python" in Path(sys.executable).name.lower():
        return Path(sys.executable)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    prefix = Path(sys.prefix)
    names = (f"bin/python{version}", "bin/python3", "bin/python.exe", "python.exe")
    for candidate in (prefix / name for name in names):
        if candidate.is_file():
            return candidate
    raise BackendError(
        f"Blender's own Python was not found in {prefix}.", advice=CHOOSE_PYTHON, repair=repairs.OPEN_PREFERENCES
    )


def clean_environment() -> dict[str, str]:
    """Blender's PYTHON* variables are about its own interpreter; another one would break on them."""
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("PYTHON")}
    return environment | {"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def own_group() -> dict[str, Any]:
    """A group of its own: Ctrl-C in Blender's terminal is for Blender, which then ends the child in order."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined]
    return {"start_new_session": True}


def end_group(child: subprocess.Popen[Any], kill: bool) -> None:
    """End a process that was started so, with its children. kill: at once, instead of asking it to."""
    with suppress(OSError):
        if os.name == "nt":
            child.kill() if kill else child.terminate()
        else:
            os.killpg(child.pid, signal.SIGKILL if kill else signal.SIGTERM)


def _meaning(code: int) -> tuple[str, str]:
    """What happened and what to do, from an exit code as subprocess gives it (negative: a signal)."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        what, advice = _DEATHS_BY_SIGNAL.get(name, ("was ended", _AGAIN))
        return f"{what} ({name})", advice
    what, advice = _DEATHS_BY_CODE.get(code & 0xFFFFFFFF, ("ended", _AGAIN))
    return f"{what} (exit code {code})", advice

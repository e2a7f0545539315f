"""A command that works for an engine: run to its end, every line in the log, ended with all its children if left."""

from __future__ import annotations

import queue
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from .. import files, plain_text
from ..errors import BackendError
from ..jobs.child import clean_environment, end_group, own_group
from ..progress import Job, Progress

AGAIN = "Install again: it goes on from there."
_PULSE = 0.1  # seconds between two looks at a process that says nothing
_LONGEST_LINE = 200
_LONGEST_REASON = 600
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|os error (28|112|122)\b")
_NO_ANSWER = re.compile(
    r"error sending request|Failed to fetch|operation timed out|connection (closed|reset)", re.IGNORECASE
)
_ERROR = re.compile(r"\s*(error|cause|hint|Caused by|ERROR|\w+Error)\b.*:", re.IGNORECASE)


def run(
    command: Sequence[str | Path], log: Path | None, step: Progress, *,
    more: Mapping[str, str] | None = None, cwd: Path | None = None, counts: Callable[[str], float] = lambda line: 0.0,
    advice: str = AGAIN,
) -> Job[list[str]]:  # fmt: skip
    """Run a command; its lines go into the log, if there is one, and the progress. Returns the lines.

    step: the phase, and of how much. more: environment variables besides our own clean ones. counts: how much of the
    step a line says is done. advice: what to do if it fails. Closing the generator kills the process and its children.
    Raises BackendError with what the command said if it fails, code "disk" if the disk was full.
    """
    said: list[str] = []
    done = 0.0
    with _Running([str(part) for part in command], clean_environment() | dict(more or {}), cwd) as process:
        for line in _lines(process):
            if line is None:
                yield replace(step, step=min(int(done), step.of), waiting=True)
                continue
            line = plain_text.one_line(line)  # a file's name may be in it
            said.append(line)
            if log is not None:
                _append(log, line)
            done += counts(line)
            yield replace(step, step=min(int(done), step.of), text=line[:_LONGEST_LINE])
        code = process.wait()
    if code != 0:
        raise _failure(f"{step.phase} failed", said, code, log, advice)
    return said


def _failure(what: str, said: list[str], code: int, log: Path | None, advice: str) -> BackendError:
    """Why a command failed, from what it said."""
    if any(_DISK_FULL.search(line) for line in said):
        return BackendError(
            f"{what}: the disk{f' of {log.parent}' if log is not None else ''} is full.",
            advice="Free some, and install again: what was downloaded is kept.",
            code="disk",
            log=log,
        )
    if any(_NO_ANSWER.search(line) for line in said):
        advice = f"Look whether the network works. {advice}"
    reason = " ".join(line.strip() for line in said if _ERROR.match(line)) or " ".join(said[-3:])
    return BackendError(
        f"{what}: {reason[:_LONGEST_REASON] or f'exit code {code}'}",
        advice=advice if log is None else f"{advice} All that was said is in {log}.",
        code="engine",
        log=log,
    )


class _Running:
    """A process of its own group, killed with all its children if the block is left before its end."""

    def __init__(self, command: list[str], environment: dict[str, str], cwd: Path | None) -> None:
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=environment,
                cwd=cwd,
                **own_group(),
            )
        except OSError as error:
            raise BackendError(
                f"{command[0]} cannot be run: {error.strerror or error}.",
                advice="Look whether programs may run from there, or choose another Python.",
                code="engine",
            ) from error

    def __enter__(self) -> subprocess.Popen[str]:
        return self.process

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            end_group(self.process, kill=True)
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def _lines(process: subprocess.Popen[str]) -> Iterator[str | None]:
    """The lines that a process says; None whenever it has said nothing for a moment."""
    said: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        with suppress(ValueError, OSError):  # the pipe is closed when the process is killed
            for line in process.stdout or ():
                said.put(line.rstrip())
        said.put(None)

    threading.Thread(target=read, name="engine", daemon=True).start()
    while True:
        try:
            line = said.get(timeout=_PULSE)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


def _append(log: Path, line: str) -> None:
    with files.translate_os_errors(log), log.open("a", encoding="utf-8", errors="replace") as opened:
        opened.write(line + "\n")

"""The second Blender as this one starts and asks it: one for pictures, kept a while, and one for each video.

It is this very program, so that whatever it reads and writes is what this one would have read and written. A request
is a folder with a `request.json`; the answer is an `answer.json` beside it, and pixels are files there, too.
Where there is no interface nobody waits: there the work is done in this process, and no second one takes memory.
"""

from __future__ import annotations

import atexit
import logging
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy

from ...core import errors, inputs, plain_text, temporary
from ...core.budget import RECORD_FILE
from ...core.errors import BackendError, PantheonError
from ...core.jobs import child, messages
from ...core.output_folder import OutputFolder
from ...core.progress import Job
from ...core.version import EXTENSION_ROOT

MODULE = "pantheon360_blender.scene.second_blender"
REQUEST, ANSWER = "request.json", "answer.json"
IDLE = 60.0
"""Seconds after which a second Blender that has nothing to do is ended; it takes 330 MB."""

_log = logging.getLogger(__name__)


class Unavailable(BackendError):
    """No second Blender can be started here: whoever asked does the work itself."""


class _Shared:
    """The second Blender for pictures. asked: requests under way. used: when one last ended. failed: whether one did
    not start.
    """

    process: child.ChildProcess | None = None
    asked = 0
    used = 0.0
    failed = False


def is_wanted() -> bool:
    """Whether somebody waits for this Blender to draw, so that a second one should do what takes long."""
    return not bpy.app.background and not _Shared.failed


def ask(
    task: str, arguments: Mapping[str, Any], folder: Path, starting: str, *, alone: bool = False
) -> Job[dict[str, Any]]:
    """Have a second Blender do a task of second_blender.TASKS, and yield its progress. Returns its answer.

    folder: that of the request, for nobody else (see `request_folder`). starting: what is told until it has begun.
    alone: whether to start one for this task, which ends with it: closing the job then kills it at once. A request to
    the one for pictures is only given up.
    Raises Unavailable if none can be started, the task's own error, BackendError if it dies over the task.
    """
    OutputFolder(folder).write_json(REQUEST, {"task": task, "arguments": dict(arguments)})
    process = _started() if alone else _shared()
    _Shared.asked += 1
    try:
        yield from child.drive(process, messages.Run(uuid.uuid4().hex, str(folder)), starting)
    except child.AnswerError as error:
        raise _as_raised(error) from error
    except BackendError as error:
        if process.hello is None:
            raise _unavailable(error) from error
        raise
    finally:
        _Shared.asked -= 1
        _Shared.used = time.monotonic()
        if alone:
            process.stop(grace=0)
    answer: dict[str, Any] = inputs.read_json(folder / ANSWER, RECORD_FILE)
    return answer


@contextmanager
def request_folder() -> Iterator[Path]:
    """A private folder for one request; it is removed after the block."""
    with temporary.directory(Path(tempfile.gettempdir()), "pantheon360-request") as folder:
        yield folder


def command() -> list[str]:
    """What starts a second Blender: this one's program, or, where Blender is a Python module, its Python."""
    if not bpy.app.binary_path:
        return [sys.executable, "-B", "-X", "utf8", "-u", "-m", MODULE]
    place = f"import runpy, sys; sys.path.insert(0, {str(EXTENSION_ROOT)!r})"
    begin = f"{place}; runpy.run_module({MODULE!r}, run_name='__main__')"
    return [bpy.app.binary_path, "--background", "--factory-startup", "--python-exit-code", "1", "--python-expr", begin]


def _started() -> child.ChildProcess:
    """Raises Unavailable."""
    process = child.ChildProcess(command=command(), name="second Blender", advice="Restart Blender.")
    try:
        process.start()
    except BackendError as error:
        raise _unavailable(error) from error
    return process


def _shared() -> child.ChildProcess:
    if _Shared.process is None or not _Shared.process.alive:
        stop()
        _Shared.process = _started()
        if not bpy.app.timers.is_registered(_end_when_idle):
            bpy.app.timers.register(_end_when_idle, first_interval=IDLE, persistent=True)
    return _Shared.process


def _unavailable(error: BackendError) -> Unavailable:
    """The next one is not even tried: each try takes seconds."""
    _Shared.failed = True
    _log.warning("%s Pictures and videos are read and written in this Blender.", plain_text.paragraph(str(error)))
    return Unavailable(error.text, advice=error.advice, code=error.code)


def _as_raised(error: PantheonError) -> PantheonError:
    """The error that was raised in the other process, of the class that it had there."""
    kinds: dict[str, type[PantheonError]] = {
        kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PantheonError)
    }
    return kinds.get(error.code, PantheonError)(error.text, advice=error.advice, code=error.code)


def _end_when_idle() -> float | None:
    """Timer: seconds until it is looked at again; None once it has ended."""
    left = _Shared.used + IDLE - time.monotonic()
    if _Shared.asked or left > 0:
        return max(left, 1.0)
    stop()
    return None


def stop() -> None:
    """End the second Blender for pictures, if there is one."""
    process, _Shared.process = _Shared.process, None
    if process is not None:
        process.stop(grace=0)


def register() -> None:
    atexit.register(stop)


def unregister() -> None:
    stop()
    if bpy.app.timers.is_registered(_end_when_idle):
        bpy.app.timers.unregister(_end_when_idle)
    atexit.unregister(stop)
    _Shared.failed = False

"""What a second Blender does: `python -m pantheon360_blender.scene.second_blender`, or the same within Blender.

It greets, reads one request a line from its stdin, and answers on its stdout, as the backend does; worker/process.py
starts and asks it. Nothing here knows the file that the artist works on. It ends with its stdin.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

from ..core import inputs
from ..core.budget import RECORD_FILE
from ..core.errors import MessageError, PantheonError
from ..core.jobs import messages
from ..core.jobs.messages import Message
from ..core.output_folder import OutputFolder
from ..core.progress import Progress
from ..core.unexpected import explained
from ..core.version import version
from .captures import decoding, photograph_reading
from .shot import encoder
from .worker.process import ANSWER, REQUEST

Tell = Callable[[Progress], None]
Task = Callable[[dict[str, Any], Path, Tell], dict[str, Any]]
"""What was asked for, the folder for files, and whom to tell of progress; returns the answer."""


def _encode(asked: dict[str, Any], _folder: Path, tell: Tell) -> dict[str, Any]:
    work = encoder.Encoding(**asked["encoding"])
    of = sum(work.holds)
    encoder.write(work, Path(asked["target"]), lambda done: tell(Progress("Encoding video", done, of)))
    return {}


def _decode(asked: dict[str, Any], folder: Path, _tell: Tell) -> dict[str, Any]:
    return decoding.answer(asked, folder)


def _photograph(asked: dict[str, Any], folder: Path, tell: Tell) -> dict[str, Any]:
    return photograph_reading.answer(asked, folder, lambda text: tell(Progress("", warning=text)))


TASKS: dict[str, Task] = {"encode": _encode, decoding.TASK: _decode, photograph_reading.TASK: _photograph}


class _Answers:
    """Messages on a descriptor of their own: whatever Blender prints goes to stderr from now on."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr

    def send(self, message: Message) -> None:
        line = messages.encode(message)
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            os._exit(1)  # who asked is gone, perhaps in the middle of a video


def main() -> int:
    """Serve until stdin ends. Returns the exit code."""
    answers = _Answers()
    answers.send(messages.Hello(messages.PROTOCOL, version(), os.getpid(), f"Blender {bpy.app.version_string}"))
    for line in os.fdopen(os.dup(0), "rb"):
        try:
            request = messages.decode(line)
        except MessageError as error:
            answers.send(messages.Error("message", error.text, error.advice))
            continue
        if isinstance(request, messages.Quit):
            break
        if isinstance(request, messages.Run):
            answers.send(_outcome(request, answers))
    return 0


def _outcome(request: messages.Run, answers: _Answers) -> Message:
    def tell(step: Progress) -> None:
        if step.warning:
            answers.send(messages.Warning_(step.warning, request.job))
        else:
            answers.send(messages.ProgressMessage(request.job, step.phase, step.step, step.of, text=step.text))

    folder = Path(request.folder)
    try:
        asked = inputs.read_json(folder / REQUEST, RECORD_FILE)
        answer = TASKS[asked["task"]](asked["arguments"], folder, tell)
        OutputFolder(folder).write_json(ANSWER, answer)
    except PantheonError as error:
        return messages.Error(error.code, error.text, error.advice, request.job)
    except Exception as error:
        told = explained(error, "The second Blender")
        return messages.Error(told.code, told.text, told.advice, request.job)
    return messages.Done(request.job, request.folder, 0)


if __name__ == "__main__":
    os._exit(main())  # there is nothing to save, and Blender as a module may hang on its own way out

"""Files that need a library: the backend reads them in a process of its own and hands over an import folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ...core.errors import BackendError
from ...core.importers import Imported, MissingLibraryError, SourceError, import_folder
from ...core.jobs import messages
from ...core.jobs.job_folder import JobFolder
from ...core.progress import Job, Progress
from ..app import preferences
from ..app.backend_process import BackendProcess

Result = TypeVar("Result")

_CHOOSE_PYTHON = (
    "Blender's own Python is not added to. Choose a Python 3.11 or newer that has numpy, laspy[lazrs], pye57, "
    "opencv-python-headless and openimageio as Backend Python in the add-on's preferences."
)


def read(path: Path, root: Path, extracted: list[Path], **options: Any) -> Job[Imported]:
    """Read a file or folder of another program in the backend.

    root: folder that gets one of its own for pictures that lie inside the file; without any, nothing stays. It is added
    to `extracted`: pictures in it, in a folder below it, are the caller's to keep or remove; perspective ones, of which
    nothing is made, are not named.
    options: those fields of importers.Options that a command line can tell.
    Closing the generator ends the process. Raises MissingLibraryError where the backend's Python lacks a library, with
    the way to get it; SourceError with the importer's own explanation; BackendError where there is no backend.
    """
    folder = JobFolder.new(root, f"{path.stem}-import").path
    extracted.append(folder)
    imported, _ = yield from _handed_over(path, folder, options, import_folder.read)
    named = (each.image is None or each.panoramic or folder not in each.image.parents for each in imported.captures)
    kept = [each if keep else replace(each, image=None) for each, keep in zip(imported.captures, named, strict=True)]
    return replace(imported, captures=tuple(kept))


def read_range(path: Path, root: Path, **options: Any) -> Job[tuple[Any, list[str]]]:
    """Range of a depth image, (H, 2 H) float32 metres, and notes on it; otherwise as `read`."""
    folder = JobFolder.new(root, f"{path.stem}-import").path
    return (yield from _handed_over(path, folder, {**options, "range_only": True}, import_folder.read_range))


def _handed_over(
    path: Path, folder: Path, options: dict[str, Any], reader: Callable[[Path], Result]
) -> Job[tuple[Result, list[str]]]:
    try:
        notes = yield from _run([str(path), str(folder), "--json", *_arguments(options)], path.name)
        return reader(folder), notes
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        for name in (import_folder.CACHE, import_folder.LIST, import_folder.RANGE):
            (folder / name).unlink(missing_ok=True)
        for empty in (folder / "pictures", folder):
            with suppress(OSError):  # pictures stay
                empty.rmdir()


def _run(arguments: list[str], what: str) -> Job[list[str]]:
    """Drive the importers' process to its end; its warnings."""
    python = preferences.backend_python()
    process = BackendProcess(python, module=("backend.importers", *arguments))
    process.start()
    notes: list[str] = []
    step = Progress("Starting the backend", waiting=True, text=what)
    try:
        while process.hello is None:
            process.await_hello()
            yield step
        while True:
            for message in process.receive():
                if isinstance(message, messages.Done):
                    return notes
                if isinstance(message, messages.Error):
                    raise _explained(message, python)
                if isinstance(message, messages.Cancelled):
                    raise BackendError(f"Reading {what} was interrupted.", advice="Import it again.")
                if isinstance(message, messages.Warning_):
                    notes.append(message.text)
                elif isinstance(message, messages.ProgressMessage):
                    step = Progress(message.phase, message.step, message.of, waiting=True, text=message.text)
                    yield replace(step, waiting=False)
            yield step
    finally:
        process.stop(grace=0)


def _explained(message: messages.Error, python: Path | None) -> SourceError:
    if message.code == MissingLibraryError.code:
        return MissingLibraryError(message.text, advice=message.advice if python else _CHOOSE_PYTHON)
    return SourceError(message.text, advice=message.advice, code=message.code)


def _arguments(options: dict[str, Any]) -> list[str]:
    """Options as the importers' command line has them."""
    arguments: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is None or value is False:
            continue
        if value is True:
            arguments.append(flag)
        elif isinstance(value, (tuple, list)):
            arguments += [flag, *map(_text, value)]
        else:
            arguments.append(f"{flag}={_text(value)}")  # in one word: argparse takes a "-z" alone for an option
    return arguments


def _text(value: Any) -> str:
    """Negative numbers in fixed point: argparse takes "-4e5" for an option."""
    return f"{value:.9f}" if isinstance(value, float) and value < 0 else str(value)

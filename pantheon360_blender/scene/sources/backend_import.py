"""Files that need a library: the backend reads them in a process of its own and hands over an import folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ...core.importers import Imported, MissingLibraryError, SourceError, import_folder
from ...core.jobs import child
from ...core.jobs.child import AnswerError, ChildProcess
from ...core.jobs.job_folder import JobFolder
from ...core.progress import Job, Progress, map_progress
from ..app import preferences

Result = TypeVar("Result")

_CHOOSE_PYTHON = (
    "Blender's own Python is not added to. Choose a Python 3.11 or newer that has numpy, laspy[lazrs], pyproj, pye57, "
    "opencv-python-headless and openimageio as Backend Python in the add-on's preferences."
)


def read(path: Path, root: Path, extracted: list[Path], **options: Any) -> Job[Imported]:
    """Read a file or folder of another program in the backend.

    root: a folder is made in it for pictures that lie inside the file, and added to `extracted`; it goes if there are
    none. The caller keeps or removes the pictures. No capture names a perspective one: nothing is made of it.
    options: those fields of importers.Options that a command line can tell.
    Closing the generator ends the process. Raises MissingLibraryError if the backend's Python lacks a library, with
    the way to get it; SourceError with the importer's own explanation; BackendError if there is no backend.
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
    process = ChildProcess(python, module=("backend.importers", *arguments))
    process.start()
    notes: list[str] = []

    def noted(step: Progress) -> Iterator[Progress]:
        if step.warning:
            notes.append(step.warning)
        yield replace(step, warning="", text=step.text or what)

    try:
        yield from map_progress(child.drive(process), noted)
        return notes
    except AnswerError as error:
        raise _explained(error, python) from error
    finally:
        process.stop(grace=0)


def _explained(error: AnswerError, python: Path | None) -> SourceError:
    if error.code == MissingLibraryError.code:
        return MissingLibraryError(error.text, advice=error.advice if python else _CHOOSE_PYTHON)
    return SourceError(error.text, advice=error.advice, code=error.code)


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

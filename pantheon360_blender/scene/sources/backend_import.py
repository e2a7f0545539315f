"""Files that need a library: the backend reads them in a process of its own and hands over an import folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ...core.importers import Imported, ImportedCapture, MissingLibraryError, SourceError, import_folder
from ...core.importers.imported import PICTURES
from ...core.jobs import child
from ...core.jobs.child import AnswerError
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
    folder: JobFolder[Any] = JobFolder.new(root, f"{path.stem}-import")
    imported, _ = yield from _handed_over(path, folder, options, import_folder.read)
    made = folder.path
    if made.is_dir():
        folder.keep()
        extracted.append(folder.path)
    return replace(imported, captures=tuple(_kept(each, made, folder.path) for each in imported.captures))


def _kept(capture: ImportedCapture, made: Path, kept: Path) -> ImportedCapture:
    """A capture whose picture lies in the folder that was made, and then got another name; a perspective one goes."""
    if capture.image is None or not capture.image.is_relative_to(made):
        return capture
    return replace(capture, image=kept / capture.image.relative_to(made) if capture.panoramic else None)


def read_range(path: Path, root: Path, **options: Any) -> Job[tuple[Any, list[str]]]:
    """Range of a depth image, (H, 2 H) float32 metres, and notes on it; otherwise as `read`."""
    folder: JobFolder[Any] = JobFolder.new(root, f"{path.stem}-import")
    return (yield from _handed_over(path, folder, {**options, "range_only": True}, import_folder.read_range))


def _handed_over(
    path: Path, folder: JobFolder[Any], options: dict[str, Any], reader: Callable[[Path], Result]
) -> Job[tuple[Result, list[str]]]:
    """What the backend read, and its notes. Of the folder remain the pictures; it goes if there are none."""
    try:
        notes = yield from _run([str(path), str(folder.path), "--json", *_arguments(options)], path.name)
        read = reader(folder.path)
        for name in (import_folder.CACHE, import_folder.LIST, import_folder.RANGE):
            folder.output.remove(name)
    except BaseException:
        folder.discard()
        raise
    if not any((folder.path / PICTURES).glob("*")):
        folder.discard()
    return read, notes


def _run(arguments: list[str], what: str) -> Job[list[str]]:
    """Drive the importers' process to its end; its warnings."""
    python = preferences.backend_python()
    notes: list[str] = []

    def noted(step: Progress) -> Iterator[Progress]:
        if step.warning:
            notes.append(step.warning)
        yield replace(step, warning="", text=step.text or what)

    try:
        yield from map_progress(child.run(python, "backend.importers", *arguments), noted)
        return notes
    except AnswerError as error:
        raise _explained(error, python) from error


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

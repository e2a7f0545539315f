"""Folders that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pantheon360_blender.core import files, output_folder, temporary
from pantheon360_blender.core.errors import ModelError


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` that becomes it when the block ends without an exception, and is gone otherwise.

    What killed processes left of theirs beside it is removed.
    Raises ModelError if something is there already, FileError if it cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise ModelError(f"{target} is there already.", advice="Choose another place or remove it.")
    with files.translate_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    scratch = temporary.make_directory(target.parent, target.name)
    try:
        yield scratch
        output_folder.rename(scratch, target)
    finally:
        temporary.remove(scratch)

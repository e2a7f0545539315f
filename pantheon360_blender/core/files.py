"""Writing files that a person named, so that a reader sees the old one or the new one, never half of one.

What lies in a folder that may come from anywhere is written by output_folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from . import inputs, temporary
from .os_errors import translate_os_errors as translate_os_errors
from .output_folder import OutputFolder


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that replaces it when the block ends without an exception.

    The folder is made if it is missing. What a killed process left of an earlier try is removed.
    Raises FileError if the disk is full, read-only or the folder cannot be written; the old file, if any, is then
    untouched.
    """
    path = Path(path)
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary.remove_abandoned(path.parent)
    with OutputFolder(path.parent).writing(path.name) as file:
        yield file


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to `path` atomically. Raises FileError."""
    with writing(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON atomically. Raises FileError; ValueError if it holds NaN or infinity."""
    OutputFolder.made(path.parent).write_json(path.name, value)


def sha256(path: Path) -> str:
    """Lower-case hexadecimal SHA-256 of a file's bytes, read in blocks. Raises OSError if it cannot be read."""
    digest = hashlib.sha256()
    with inputs.open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

"""Writing files so that a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from . import inputs
from .errors import FileError

_ADVICE = {
    errno.ENOSPC: ("the disk is full", "Free some space or choose another folder, then run it again."),
    errno.EDQUOT: ("your disk quota is used up", "Free some space or choose another folder, then run it again."),
    errno.EACCES: ("it is not writable for you", "Change its permissions or choose another folder."),
    errno.EPERM: ("it is not writable for you", "Change its permissions or choose another folder."),
    errno.EROFS: ("the disk is read-only", "Choose a folder on a writable disk."),
    errno.ENOENT: ("the folder does not exist", "Make the folder or choose another one."),
    errno.EEXIST: ("a file is where a folder belongs", "Choose another folder."),
    errno.ENOTDIR: ("a part of the path is a file", "Choose another folder."),
}


_PATIENCE = 2.0  # seconds a virus scanner or a viewer may hold the file that is to be replaced
_IN_USE = (5, 32)  # ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that replaces it when the block ends without an exception.

    The folder is made if it is missing. Raises FileError if the disk is full, read-only or the folder cannot be
    written; the old file, if any, is then untouched.
    """
    path = Path(path)
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(_mode_of(path))
            _replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a FileError that names `path`, the reason and what to do."""
    try:
        yield
    except OSError as error:
        reason, advice = _ADVICE.get(error.errno or 0, (error.strerror or str(error), ""))
        raise FileError(f"{path} cannot be written: {reason}.", advice=advice) from error


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to `path` atomically. Raises FileError."""
    with writing(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON atomically. Raises FileError; ValueError if it holds NaN or infinity."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8", "backslashreplace"))  # of a lone surrogate JSON's own escape


def sha256(path: Path) -> str:
    """Lower-case hexadecimal SHA-256 of a file's bytes, read in blocks. Raises OSError if it cannot be read."""
    digest = hashlib.sha256()
    with inputs.open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _replace(name: str, path: Path) -> None:
    """Rename over the old file, waiting a little for whoever reads it: Windows does not replace open files."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return os.replace(name, path)
        except OSError as error:
            if getattr(error, "winerror", None) not in _IN_USE or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _mode_of(path: Path) -> int:
    """Permission bits of the file being replaced, else what a plain open() would have given."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask

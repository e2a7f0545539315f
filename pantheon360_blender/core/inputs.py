"""The door for files from elsewhere: whatever a person or another file names is opened and read here.

A path may lead anywhere. Opening a pipe waits for somebody to write into it, reading a device never ends, and a file
may be larger than the memory. Libraries that open files by themselves are preceded by `check_regular`.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from . import budget

_READ = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"))
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path | str) -> BinaryIO:
    """Open a regular file for reading; links are followed, and what is no regular file is refused unopened.

    Raises OSError as open() does, whose `strerror` is for people: also for pipes, sockets and devices, and for names
    that no file can have, at which Python raises a ValueError.
    """
    check_regular(path)
    handle = os.open(path, _READ)  # a pipe that came in between does not make it wait
    try:
        _check_kind(os.fstat(handle).st_mode, path)
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def check_regular(path: Path | str) -> None:
    """Raise OSError, as open_regular does, unless a path leads to a regular file."""
    try:
        mode = Path(path).stat().st_mode
    except ValueError as error:  # NUL, or lone surrogates
        raise OSError(errno.EINVAL, "no file can have this name", str(path)) from error
    _check_kind(mode, path)


def is_file(path: Path) -> bool:
    """Whether there is a regular file at a path; False also for names that none can have, at which pathlib raises."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder at a path; otherwise as is_file."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def expanded(path: Path | str) -> Path:
    """A path as a person writes it: "~" is the home folder, where there is one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # of somebody whom the system does not know
        return Path(path)


def why(error: Exception) -> str:
    """What an error says of a file that could not be read, for a sentence about it."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _check_kind(mode: int, path: Path | str) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(mode):
        what = next((what for test, what in _KINDS if test(mode)), "something else")
        raise OSError(errno.EINVAL, f"it is {what}, not a file", str(path))


def read_bytes(path: Path | str, most: int) -> bytes:
    """What is in a file of at most `most` bytes. Raises OSError, as open_regular does, and if it is larger."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it is {size:,} bytes large, and {most:,} are the most", str(path))
        return file.read(size)  # not `most`: Python reserves what it is asked for


def read_json(path: Path | str, most: int, *, constants: Callable[[str], Any] | None = None) -> Any:
    """The value in a JSON file of at most `most` bytes. Raises OSError as read_bytes, ValueError as parsed does."""
    return parsed(read_bytes(path, most), constants=constants)


def parsed(text: bytes, *, constants: Callable[[str], Any] | None = None) -> Any:
    """The value of a JSON text, UTF-8. constants: as of json.loads, called with "NaN", "Infinity" or "-Infinity".

    Raises ValueError if it is no JSON, nests too deep, or holds too many values.
    """
    values = sum(text.count(mark) for mark in (b"[", b"{", b","))
    if values > budget.JSON_VALUES:
        raise ValueError(f"it holds {values:,} values, and {budget.JSON_VALUES:,} are the most")
    try:
        return json.loads(text.decode("utf-8-sig"), parse_constant=constants)
    except RecursionError as error:
        raise ValueError("it nests too deep") from error

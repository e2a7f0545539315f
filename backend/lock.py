"""A lock on a job folder: two processes that paint the same one would fight over its state."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pantheon360_blender.core import files
from pantheon360_blender.core.errors import BackendError

_TAKEN = {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN, errno.EDEADLK}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for the block; the system drops it when the process dies, however it dies.

    Raises BackendError if another process holds it, FileError if the folder cannot be written.
    """
    path = folder / "run.lock"
    with files.translate_os_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _take(handle, folder)
        yield
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            raise BackendError(
                f"{folder} is being painted by another process.", advice="Wait for it to end.", code="busy"
            ) from error
        # Some network disks know no locks. Painting twice wastes time but harms nothing: files are renamed into place.

"""A lock on a folder: two processes that work in the same one would fight over its state."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import BackendError
from ..output_folder import OutputFolder

_TAKEN = {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN, errno.EDEADLK}


@contextmanager
def locked(folder: OutputFolder, work: str = "it is being painted") -> Iterator[bool]:
    """Hold the folder's lock for the block; the system drops it when the process dies, however it dies.

    work: what another process does that holds it, for people.
    Yields whether it is held: some network disks know no locks.
    Raises BackendError if another process holds it, FileError if the folder cannot be written.
    """
    handle = folder.open("run.lock", os.O_RDWR | os.O_CREAT)
    try:
        yield _take(handle, folder.path, work)
    finally:
        os.close(handle)


def _take(handle: int, folder: Path, work: str) -> bool:
    """Whether the lock was taken; without locks, painting twice wastes time but harms nothing: files are renamed."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno in _TAKEN:
            raise BackendError(
                f"{folder} is in use: {work} by another process.", advice="Wait for it to end.", code="busy"
            ) from error
        return False

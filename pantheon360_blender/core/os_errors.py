"""What the system says of files that cannot be written, in words."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a FileError that names `path`, the reason and what to do."""
    try:
        yield
    except OSError as error:
        reason, advice = _ADVICE.get(error.errno or 0, (error.strerror or str(error), ""))
        raise FileError(f"{path} cannot be written: {reason}.", advice=advice) from error

"""Temporary files and folders that tell who made them: `.NAME.HOST-PROCESS-RUN.part`.

A process that is killed leaves them behind. The next one knows them by their names and removes them, if whoever made
them is gone.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .os_errors import translate_os_errors

LONGEST_SILENCE = 24 * 3600.0
"""Seconds without a change after which an owner is taken for dead that cannot be asked: on another computer, or one
whose process id somebody else may have by now."""

_HOST = hashlib.sha256(platform.node().encode("utf-8", "backslashreplace")).hexdigest()[:8]
_RUN = uuid.uuid4().hex[:8]
_OWNER = re.compile(r"(?P<host>[0-9a-f]{8})-(?P<process>\d+)-(?P<run>[0-9a-f]{8})")
_NAME = re.compile(rf"\..*\.(?P<owner>{_OWNER.pattern})(-[0-9a-f]{{6}})?\.part", re.DOTALL)
_OF_0_1_0 = re.compile(r"\..*\.[a-z0-9_]{8}\.part", re.DOTALL)
_LONGEST_STEM = 100  # bytes: a name has 255 in most file systems


def name(stem: str) -> str:
    """A new name for a temporary file or folder of this process. stem: what it will be called."""
    short = stem.encode("utf-8", "surrogateescape")[:_LONGEST_STEM].decode("utf-8", "ignore")
    return f".{short}.{owner()}-{uuid.uuid4().hex[:6]}.part"


def owner() -> str:
    """This process, told from every other one on any computer: HOST-PROCESS-RUN."""
    return f"{_HOST}-{os.getpid()}-{_RUN}"


def is_gone(owner: str, changed: float) -> bool:
    """Whether the process that `owner` named is gone. changed: when it last gave a sign of life, seconds since 1970.

    One on another computer cannot be asked, nor one whose number somebody else may have by now: it counts as gone when
    it has been silent for LONGEST_SILENCE. What names no process counts as gone.
    """
    found = _OWNER.fullmatch(owner)
    if found is None:
        return True
    process, ours = int(found["process"]), found["host"] == _HOST
    if ours and process == os.getpid():
        return found["run"] != _RUN
    return (ours and not _is_alive(process)) or time.time() - changed > LONGEST_SILENCE


def is_abandoned(entry: os.DirEntry[str], *, alone: bool = False) -> bool:
    """Whether a file or folder is a temporary one whose owner is gone.

    alone: nobody but this process writes there now, as a lock tells: what another computer left is abandoned, too, and
    so is what version 0.1.0 left, which did not name its owner.
    """
    found = _NAME.fullmatch(entry.name)
    if found is None:
        return alone and _OF_0_1_0.fullmatch(entry.name) is not None
    if alone and found["host"] != _HOST:
        return True
    return is_gone(found["owner"], _last_change(entry))


def remove_abandoned(folder: Path, *, alone: bool = False) -> None:
    """Remove what is abandoned directly in a folder. What cannot be removed stays; links are not followed."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in [each for each in entries if is_abandoned(each, alone=alone)]:
            remove(Path(entry.path))


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if that can be done; links in it are removed, not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def make_directory(parent: Path, stem: str, mode: int = 0o777) -> Path:
    """Make a folder with a temporary name in `parent`, and remove what others abandoned there.

    mode: its permissions, less what the umask takes. The caller renames or removes it.
    Raises FileError if it cannot be made.
    """
    remove_abandoned(parent)
    made = parent / name(stem)
    with translate_os_errors(parent):
        made.mkdir(mode)
    return made


@contextmanager
def directory(parent: Path, stem: str) -> Iterator[Path]:
    """A folder in `parent` for the block, for nobody but this person; it is removed afterwards."""
    made = make_directory(parent, stem, mode=0o700)
    try:
        yield made
    finally:
        remove(made)


def _last_change(entry: os.DirEntry[str]) -> float:
    """When a file, or a folder or something directly in it, was last changed; now if that cannot be told."""
    try:
        changes = [entry.stat(follow_symlinks=False).st_mtime]
        if entry.is_dir(follow_symlinks=False):
            with os.scandir(entry.path) as inner:
                changes += [each.stat(follow_symlinks=False).st_mtime for each in inner]
        return max(changes)
    except OSError:
        return time.time()


def _is_alive(process: int) -> bool:
    """Whether a process of this computer runs."""
    if sys.platform == "win32":
        return _is_alive_on_windows(process)
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_alive_on_windows(process: int) -> bool:
    """There os.kill would end it. Source: Win32, OpenProcess and WaitForSingleObject."""
    import ctypes

    synchronize, timeout = 0x00100000, 0x102
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined, unused-ignore]
    handle = kernel.OpenProcess(synchronize, False, process & 0xFFFFFFFF)
    if not handle:
        return bool(ctypes.get_last_error() == 5)  # type: ignore[attr-defined, unused-ignore]  # somebody else's
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == timeout)
    finally:
        kernel.CloseHandle(handle)

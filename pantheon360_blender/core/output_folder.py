"""A folder that is written into: whatever lies in it, links above all, leads no write and no removal out of it.

A job folder may come from anywhere. If its `log.txt` or its `frames` were links, painting would write into the files
that they lead to. Everything that a job makes therefore goes through an OutputFolder: folders below it are opened one
in the other without following links, where the system can do that, and files are opened and renamed in the folder that
was opened. Where it cannot (Windows), paths are resolved and compared before.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from . import temporary
from .errors import FileError
from .os_errors import translate_os_errors

_PATIENCE = 2.0  # seconds a virus scanner or a viewer may hold the file that is to be replaced
_IN_USE = (5, 32)  # ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION
_OPENS_IN_FOLDERS = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_PLAIN = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_TO_LOOK_UP = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0)  # a folder may be unreadable
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # a pipe would wait for its other end for ever

Name = str | PurePath
"""What is written, relative to the folder or as a path in it: "frames/000001.png"."""


@dataclass(frozen=True)
class OutputFolder:
    """A folder that is there already and may be written into; it is never made again if it goes.

    path: as the person named it; it may be a link, and lie behind links.
    known_by: name, size and time of change in ns of a file in it that tells it from another one in its place; or None.
    """

    path: Path
    known_by: tuple[str, int, int] | None = None

    @classmethod
    def made(cls, path: Path) -> OutputFolder:
        """A folder that a person named, made if it is missing. Raises FileError."""
        with translate_os_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    def recognised_by(self, name: str) -> OutputFolder:
        """The folder, known by this file as it is now. Raises FileError if that cannot be read."""
        with translate_os_errors(self.path / name):
            status = (self.path / name).stat()
        return OutputFolder(self.path, (name, status.st_size, status.st_mtime_ns))

    # Writing

    @contextmanager
    def writing(self, name: Name) -> Iterator[BinaryIO]:
        """Open a temporary file that replaces `name` when the block ends without an exception.

        Folders between are made. Raises FileError if the disk is full or read-only, the folder is gone, or a link is in
        the way; the old file, if any, is then untouched.
        """
        with translate_os_errors(self.path / name), self._opened(name, make=True) as (folder, last):
            scratch = temporary.name(last)
            handle = folder.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            try:
                with os.fdopen(handle, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                folder.keep_mode(last, scratch)
                _patiently(lambda: folder.replace(scratch, last))
            except BaseException:
                with suppress(OSError):
                    folder.remove(scratch)
                raise

    def write_bytes(self, name: Name, data: bytes | memoryview) -> None:
        """Write `data`, whole or not at all. Raises as `writing`."""
        with self.writing(name) as file:
            file.write(data)

    def write_json(self, name: Name, value: Any) -> None:
        """Write `value` as indented UTF-8 JSON. Raises as `writing`; ValueError if it holds NaN or infinity."""
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        self.write_bytes(
            name, (text + "\n").encode("utf-8", "backslashreplace")
        )  # of a lone surrogate JSON's own escape

    def append(self, name: Name, data: bytes) -> None:
        """Add to the end of a file. Raises FileError, also if the file is a link of either kind."""
        handle = self.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        with translate_os_errors(self.path / name), os.fdopen(handle, "ab") as file:
            if os.fstat(handle).st_nlink > 1:
                raise FileError(f"{self.path / name} is a file of another folder, too.", advice="Copy it.", code="link")
            file.write(data)

    def open(self, name: Name, flags: int) -> int:
        """A descriptor of a plain file. Raises FileError if it is a link, a device or the like, or cannot be opened."""
        with translate_os_errors(self.path / name), self._opened(name) as (folder, last):
            if folder.is_link(last):
                raise _link(self.path / name)
            handle = folder.open(last, flags | _NO_WAITING)
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                os.close(handle)
                raise FileError(f"{self.path / name} is no plain file.", advice="Remove it.", code="no-file")
            return handle

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new folder in this one for the block, for programs that take nothing but paths; `take` keeps a file."""
        self.require()
        with temporary.directory(self.path, "scratch") as made:
            yield made

    def take(self, file: Path, name: Name) -> None:
        """Give a file of a `scratch` folder its place here. Raises FileError."""
        with translate_os_errors(self.path / name), self._opened(name) as (folder, last):
            _patiently(lambda: folder.replace(str(file.absolute()), last, from_here=False))

    # Removing

    def remove(self, name: Name) -> None:
        """Remove a file, a link or an empty folder if it is there. Raises FileError."""
        with translate_os_errors(self.path / name), suppress(FileNotFoundError), self._opened(name) as (folder, last):
            folder.remove(last)

    def remove_abandoned(self, *, alone: bool) -> None:
        """Remove the temporary files, here and in the folders below, whose owner is gone; alone: as in temporary."""
        for folder, _, _ in os.walk(self.path, followlinks=False):
            temporary.remove_abandoned(Path(folder), alone=alone)

    # Looking

    def require(self) -> None:
        """Raise FileError if the folder is gone, or another one is in its place."""
        with translate_os_errors(self.path), _Opened.root(self):
            pass

    def refuse_links(self, besides: Collection[str] = ()) -> None:
        """Raise FileError if something directly in the folder is a link that leads out of it.

        besides: names of what is only read.
        """
        with translate_os_errors(self.path), os.scandir(self.path) as entries:
            links = [self.path / entry.name for entry in entries if entry.is_symlink() and entry.name not in besides]
        for link in sorted(links):
            if not link.resolve().is_relative_to(self.path.resolve()):
                raise _link(link)

    @contextmanager
    def _opened(self, name: Name, *, make: bool = False) -> Iterator[tuple[_Opened, str]]:
        """The folder that `name` lies in, opened, and its name there; make: whether missing folders between are made.

        Raises ValueError if the name is none below this folder.
        """
        inside = PurePath(name)
        parts = (inside.relative_to(self.path) if inside.is_absolute() else inside).parts
        if not parts or ".." in parts:
            raise ValueError(f"{name} does not lie in {self.path}")
        with ExitStack() as stack:
            folder, place = stack.enter_context(_Opened.root(self)), self.path
            for part in parts[:-1]:
                place /= part
                folder = stack.enter_context(folder.below(part, place, make=make))
            yield folder, parts[-1]


@dataclass(frozen=True)
class _Opened:
    """A folder that was opened: a name in it is `prefix` and the name, relative to the descriptor `handle` if the
    system can open files in opened folders.
    """

    prefix: str
    handle: int | None

    @classmethod
    @contextmanager
    def root(cls, folder: OutputFolder) -> Iterator[_Opened]:
        """The folder itself, whatever links lead to it. Raises FileError if it is gone or was exchanged."""
        try:
            handle = os.open(folder.path, _TO_LOOK_UP) if _OPENS_IN_FOLDERS else None
            prefix = "" if _OPENS_IN_FOLDERS else f"{os.path.realpath(folder.path, strict=True)}{os.sep}"
        except FileNotFoundError as error:
            raise _gone(folder.path) from error
        opened = cls(prefix, handle)
        with opened._closed_afterwards():
            if folder.known_by is not None:
                opened.require(*folder.known_by, folder.path)
            yield opened

    @contextmanager
    def below(self, name: str, path: Path, *, make: bool) -> Iterator[_Opened]:
        """A folder in this one. path: its whole path, for errors. Raises FileError if it is a link."""
        if make:
            with suppress(FileExistsError):
                os.mkdir(self.prefix + name, dir_fd=self.handle)
        if self.is_link(name):
            raise _link(path)
        if self.handle is not None:
            opened = _Opened("", os.open(name, _TO_LOOK_UP | os.O_NOFOLLOW, dir_fd=self.handle))
        else:
            opened = _Opened(f"{self.prefix}{name}{os.sep}", None)
        with opened._closed_afterwards():
            yield opened

    @contextmanager
    def _closed_afterwards(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self.handle is not None:
                os.close(self.handle)

    def require(self, name: str, size: int, changed: int, path: Path) -> None:
        """Raise FileError unless a file of this folder is the one it was."""
        try:
            status = os.stat(self.prefix + name, dir_fd=self.handle)
        except OSError as error:
            raise _gone(path) from error
        if (status.st_size, status.st_mtime_ns) != (size, changed):
            raise FileError(
                f"{path} is another folder than it was, or its {name} was exchanged.",
                advice="Start again.",
                code="folder-changed",
            )

    def is_link(self, name: str) -> bool:
        """Whether something there leads elsewhere: a symbolic link, or a junction of Windows."""
        try:
            status = os.stat(self.prefix + name, dir_fd=self.handle, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if stat.S_ISLNK(status.st_mode):
            return True
        place = self.prefix + name
        return self.handle is None and os.path.normcase(os.path.realpath(place)) != os.path.normcase(place)

    def open(self, name: str, flags: int) -> int:
        return os.open(self.prefix + name, flags | _PLAIN, 0o666, dir_fd=self.handle)

    def keep_mode(self, old: str, new: str) -> None:
        """Give the new file the permissions of the old one, if there is one."""
        with suppress(FileNotFoundError):
            status = os.stat(self.prefix + old, dir_fd=self.handle, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                os.chmod(self.prefix + new, stat.S_IMODE(status.st_mode) & 0o777, dir_fd=self.handle)

    def replace(self, old: str, new: str, *, from_here: bool = True) -> None:
        """Rename within this folder; from_here: whether `old` is a name in it, too, or a whole path."""
        source, place = (self.prefix + old, self.handle) if from_here else (old, None)
        os.replace(source, self.prefix + new, src_dir_fd=place, dst_dir_fd=self.handle)

    def remove(self, name: str) -> None:
        try:
            os.unlink(self.prefix + name, dir_fd=self.handle)
        except (IsADirectoryError, PermissionError):  # what systems answer for a folder
            os.rmdir(self.prefix + name, dir_fd=self.handle)


def rename(old: Path, new: Path) -> None:
    """Rename a file or folder, waiting a little for whoever reads it. Raises FileError."""
    with translate_os_errors(new):
        _patiently(lambda: os.replace(old, new))


def _patiently(work: Callable[[], None]) -> None:
    """Repeat for a while what somebody who reads the file stands in the way of: Windows does not replace open files."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return work()
        except OSError as error:
            if getattr(error, "winerror", None) not in _IN_USE or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _link(path: Path) -> FileError:
    return FileError(
        f"{path} is a link: it would be written through it, out of the folder.",
        advice="Replace the link by the file or folder that it leads to, or remove it.",
        code="link",
    )


def _gone(path: Path) -> FileError:
    return FileError(
        f"{path} is gone: it was moved or deleted meanwhile.",
        advice="Put it back, or go on where it is now.",
        code="folder-gone",
    )

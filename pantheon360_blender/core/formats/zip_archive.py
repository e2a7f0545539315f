"""ZIP archives from elsewhere: what they declare is compared with a budget before it is unpacked.

Source: PKWARE, "APPNOTE.TXT, .ZIP File Format Specification".
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import budget, inputs

DAMAGED = (OSError, ValueError)
"""What is raised if an archive cannot be opened, is damaged, encrypted, packed in an unknown way, or too large."""

_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others are unpacked without regard to a limit
_RAISED = (
    EOFError, LookupError, NotImplementedError, OverflowError, RuntimeError, struct.error, zlib.error,
    zipfile.BadZipFile,
)  # fmt: skip
"""What zipfile raises besides on archives that are not sound."""


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive. Raises OSError and ValueError."""
    with inputs.open_regular(path) as file, _archive(file) as archive:
        archive.filename = str(path)
        yield archive


@contextmanager
def opened_bytes(data: bytes) -> Iterator[zipfile.ZipFile]:
    """Open an archive that was read already. Raises OSError and ValueError."""
    with _archive(io.BytesIO(data)) as archive:
        yield archive


@contextmanager
def _archive(file: Any) -> Iterator[zipfile.ZipFile]:
    guarded = _GuardedFile(file)
    with _damage_told():
        archive = zipfile.ZipFile(guarded)
    guarded.most = None
    with archive:
        yield archive


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """What is in a member, which may unpack to `most` bytes. Raises OSError and ValueError."""
    if member.compress_type not in _PACKINGS:
        raise ValueError(f"{member.filename} is packed in a way that is not read: store it, or deflate it")
    if member.file_size > most:
        raise ValueError(f"{member.filename} unpacks to {member.file_size:,} bytes, and {most:,} are the most")
    with _damage_told(), archive.open(member) as file:
        return file.read(member.file_size)


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except _RAISED as error:
        raise ValueError(f"it is damaged: {error or type(error).__name__}") from error


class _GuardedFile(io.BufferedReader):
    """A file of which no more than `most` bytes are read at once.

    zipfile reads an archive's table of contents in one go, as long as the archive says it is, and makes objects of it
    that are many times as large.
    """

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.most: int | None = budget.ARCHIVE_TABLE

    def read(self, size: int | None = -1) -> bytes:
        if self.most is not None and size is not None and size > self.most:
            raise ValueError(f"its table of contents is {size:,} bytes long, and {self.most:,} are the most")
        return super().read(size)

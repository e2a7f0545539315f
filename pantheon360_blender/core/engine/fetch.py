"""A process of its own that gets one program out of a wheel: downloaded if it has to be, verified, unpacked.

uv.FETCH runs `main` there with WHEEL SHA256 MEMBER PROGRAM [URL].

A process can be ended in the middle of a download, and Blender does not wait for it. What an interrupted one has got
lies beside WHEEL and is gone on with.
"""

from __future__ import annotations

import http.client
import urllib.request
from pathlib import Path
from typing import BinaryIO

from .. import files, inputs, plain_text
from ..errors import BackendError, PantheonError
from ..formats import zip_archive

_TIMEOUT = 60.0  # seconds without a byte
_BLOCK = 1 << 18
_MOST = 1 << 28  # bytes of the program; uv has 38 MB
_REASON = 300


def main(arguments: list[str]) -> int:
    """See the module. Prints what it does, errors as lines that begin with `error:`; returns the exit code."""
    wheel, sha256, member, program = Path(arguments[0]), arguments[1], arguments[2], Path(arguments[3])
    try:
        if len(arguments) > 4 and not wheel.is_file():
            _download(arguments[4], wheel, sha256)
        _verify(wheel, sha256)
        _unpack(wheel, member, program)
    except PantheonError as error:
        print(plain_text.one_line(f"error: {error}"), flush=True)
        return 1
    return 0


def _download(url: str, wheel: Path, sha256: str) -> None:
    """Download a file, from where an earlier try ended. Raises BackendError, FileError."""
    part = wheel.with_name(f"{wheel.name}.part")
    with files.translate_os_errors(wheel):
        wheel.parent.mkdir(parents=True, exist_ok=True)
        there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except (OSError, ValueError, http.client.HTTPException) as error:
        if getattr(error, "code", 0) == 416:  # all of it is there, or more
            part.unlink()
        raise BackendError(
            f"{url} cannot be downloaded: {error}.", advice="Look whether the network works, and try again."
        ) from error
    with answer:
        goes_on = answer.status == 206
        size = int(answer.headers.get("Content-Length") or 0) + (there if goes_on else 0)
        with files.translate_os_errors(part), part.open("ab" if goes_on else "wb") as file:
            _copy(answer, file, size)
    try:
        _verify(part, sha256)
    except BackendError:
        part.unlink()
        raise
    with files.translate_os_errors(wheel):
        part.replace(wheel)


def _copy(answer: http.client.HTTPResponse, file: BinaryIO, size: int) -> None:
    """All that comes, with a line each eighth. Raises BackendError if the connection ends too early, OSError."""
    told = 0
    while True:
        try:
            block = answer.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(f"The connection broke: {error}.", advice="Try again: it goes on from there.") from error
        file.write(block)
        there = file.tell()
        if size and there * 8 // size > told:
            told = there * 8 // size
            print(plain_text.one_line(f"{there / 1e6:.0f} of {size / 1e6:.0f} MB"), flush=True)
        if not block:
            break
    if there < size:
        raise BackendError("The connection ended too early.", advice="Try again: it goes on from there.")


def _verify(wheel: Path, sha256: str) -> None:
    """Raise BackendError unless a file is the one that the lock names."""
    try:
        found = files.sha256(wheel)
    except OSError as error:
        raise BackendError(f"{wheel} cannot be read: {inputs.why(error)}.", advice="Make the folder again.") from error
    if found != sha256:
        raise BackendError(f"{wheel} is not the file that was expected: its SHA-256 is {found}.", advice="Remove it.")


def _unpack(wheel: Path, member: str, program: Path) -> None:
    """Write one member of a wheel as a program. Raises BackendError, FileError."""
    try:
        with zip_archive.opened(wheel) as archive:
            data = zip_archive.read_member(archive, archive.getinfo(member), _MOST)
    except (KeyError, *zip_archive.DAMAGED) as error:
        raise BackendError(f"{wheel} has no {member}: {inputs.why(error)[:_REASON]}.", advice="Remove it.") from error
    with files.writing(program) as file:
        file.write(data)
    with files.translate_os_errors(program):
        program.chmod(0o755)

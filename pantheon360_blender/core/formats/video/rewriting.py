"""A file written again with some of its bytes replaced: videos are too large to be read for a changed header."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ... import files, inputs
from ...errors import FileError
from ...progress import Progress

Part = tuple[int, int, bytes | None]
"""Bytes from, to of the old file, and what replaces them; None keeps them. Parts follow on each other."""

_BLOCK = 4 << 20


def needs_nothing(file: BinaryIO, parts: Sequence[Part], source: Path, target: Path) -> bool:
    """Whether the target is the source, and has these bytes already."""
    return _same_file(source, target) and all(_is_there(file, part) for part in parts)


def write(parts: Sequence[Part], source: Path, target: Path) -> Iterator[Progress]:
    """Write the target under a temporary name and rename it; it may be the source, and a link stays a link.

    Raises FileError if the source cannot be read, or changes meanwhile, or the target cannot be written.
    """
    length = parts[-1][1]
    # The source is opened inside, for Windows replaces no open file.
    with files.writing(Path(os.path.realpath(target))) as output, inputs.open_regular(source) as file:
        for start, end, replacement in parts:
            if replacement is not None:
                output.write(replacement)
                continue
            done = start
            for block in blocks(file, start, end, source):
                output.write(block)
                done += len(block)
                yield Progress("Tagging the video", done >> 20, length >> 20)


def blocks(file: BinaryIO, start: int, end: int, path: Path) -> Iterator[bytes]:
    """Yield bytes `start` to `end` block by block. Raises FileError if they cannot be read or the file shrank."""
    while start < end:
        try:
            file.seek(start)
            block = file.read(min(_BLOCK, end - start))
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error
        if not block:
            raise FileError(f"{path} was changed while it was read.", advice="Run it again.")
        yield block
        start += len(block)


def _is_there(file: BinaryIO, part: Part) -> bool:
    start, end, replacement = part
    if replacement is None:
        return True
    file.seek(start)
    return end - start == len(replacement) and file.read(end - start) == replacement


def _same_file(source: Path, target: Path) -> bool:
    try:
        return target.samefile(source)
    except OSError:
        return False

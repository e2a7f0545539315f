"""The boxes of MP4 and QuickTime files: walking them, a movie header as a tree, and files rewritten with another one.

Source: ISO/IEC 14496-12 (ISO base media file format); QuickTime File Format Specification.
"""

from __future__ import annotations

import bisect
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .. import budget
from ..errors import MetadataError

_MOST_BOXES = 1_000_000
_MOST_BOXES_IN_MEMORY = 100_000
_DEEPEST = 16
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof")
_SAMPLE_ENTRY = 78
"""Bytes of a visual sample entry before its boxes."""
_PICTURE_SIZE = 24
"""The byte of a visual sample entry at which its width stands."""

_CONTAINERS = {
    b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"dinf": 0, b"stbl": 0, b"sv3d": 0, b"proj": 0,
    b"stsd": 8, b"dref": 8,
}  # fmt: skip
"""Boxes read as trees, and the bytes each has before its boxes."""


@dataclass(frozen=True)
class Span:
    """A box as it lies in a file: bytes `start` to `end`, of which the first `header` are its own header."""

    kind: bytes
    start: int
    header: int
    end: int


@dataclass
class Box:
    """A box in memory.

    content: its bytes before any children. children: the boxes in it. tail: bytes behind them that are no box.
    origin: the byte of the file where `content` lay when it was read, else None.
    """

    kind: bytes
    content: bytes = b""
    children: list[Box] = field(default_factory=list)
    tail: bytes = b""
    origin: int | None = None

    def size(self) -> int:
        """Bytes of the whole box as to_bytes() makes it."""
        inner = len(self.content) + sum(child.size() for child in self.children) + len(self.tail)
        return inner + (8 if inner + 8 < 1 << 32 else 16)

    def to_bytes(self) -> bytes:
        """The whole box with its header, which has a 64-bit size only if it must."""
        inner = b"".join((self.content, *(child.to_bytes() for child in self.children), self.tail))
        if len(inner) + 8 < 1 << 32:
            return struct.pack(">I4s", len(inner) + 8, self.kind) + inner
        return struct.pack(">I4sQ", 1, self.kind, len(inner) + 16) + inner

    def all(self, *path: bytes) -> list[Box]:
        """Boxes at the end of a path of kinds below this one."""
        found = [self]
        for kind in path:
            found = [child for box in found for child in box.children if child.kind == kind]
        return found

    def first(self, *path: bytes) -> Box | None:
        """The first box at the end of a path of kinds, or None."""
        return next(iter(self.all(*path)), None)


def spans(file: BinaryIO, length: int, path: Path) -> Iterator[Span]:
    """The boxes of a file's top level; bytes at its end that are no box come last with the empty kind.

    Raises MetadataError if this is no MP4 file, or a box claims more bytes than the file has.
    """
    position, moved = 0, 0
    while position < length:
        span = _span(file, position, length)
        if position == 0 and (span is None or span.kind not in _FIRST_BOXES):
            raise MetadataError(
                f"{path} is not an MP4 or MOV video.",
                advice="Convert it to MP4, for instance by ffmpeg -i IN -c copy OUT.mp4.",
            )
        if span is None:  # padding, or what a camera appended
            yield Span(b"", position, 0, length)
            return
        if span.end > length:
            raise MetadataError(f"{path} is cut off: its end is missing.", advice="Copy or export it again.")
        yield span
        position, moved = span.end, moved + 1
        if moved > _MOST_BOXES:
            raise MetadataError(
                f"{path} has absurdly many parts.", advice="Convert it by ffmpeg -i IN -c copy OUT.mp4."
            )


def read_tree(file: BinaryIO, span: Span, path: Path) -> Box:
    """Read the box at `span`, a movie header, as a tree. Raises MetadataError if it is damaged or absurdly large."""
    size = span.end - span.start
    if size > budget.MOVIE_HEADER:
        raise MetadataError(
            f"{path} has a movie header of {size:,} bytes; {budget.MOVIE_HEADER:,} are the most.",
            advice="Divide the video.",
        )
    file.seek(span.start + span.header)
    data = file.read(size - span.header)
    try:
        return _tree(span.kind, memoryview(data), span.start + span.header, 0, itertools.count(1))
    except (struct.error, _DamagedError) as error:
        raise MetadataError(f"{path} has a damaged movie header.", advice="Copy or export it again.") from error


def is_video(track: Box) -> bool:
    """Whether a trak box holds pictures."""
    handler = track.first(b"mdia", b"hdlr")
    return handler is not None and handler.content[8:12] == b"vide"


def visual_sample_entries(track: Box, path: Path) -> list[Box]:
    """The sample entries (avc1, hvc1, av01, encv, ...) of a video track, their boxes read as children.

    Raises MetadataError if one is damaged.
    """
    entries = track.all(b"mdia", b"minf", b"stbl", b"stsd")
    entries = [entry for description in entries for entry in description.children]
    for entry in entries:
        if entry.children:
            continue
        try:
            if len(entry.content) < _SAMPLE_ENTRY:
                raise _DamagedError
            entry.children, entry.tail = _children(
                memoryview(entry.content), _SAMPLE_ENTRY, entry.origin or 0, 0, itertools.count(1)
            )
        except (struct.error, _DamagedError) as error:
            raise MetadataError(f"{path} describes its pictures wrongly.", advice="Copy or export it again.") from error
        entry.content = entry.content[:_SAMPLE_ENTRY]
    return entries


def picture_size(track: Box, path: Path) -> tuple[int, int]:
    """(width, height) in pixels of a video track's pictures; 0, 0 if it does not say. Raises MetadataError."""
    entries = visual_sample_entries(track, path)
    return struct.unpack_from(">HH", entries[0].content, _PICTURE_SIZE) if entries else (0, 0)


def is_enabled(track: Box) -> bool:
    """Whether a trak box is to be played."""
    header = track.first(b"tkhd")
    return header is not None and bool(header.content[3:4] and header.content[3] & 1)


def shift_chunks(movie: Box, old: Span, path: Path) -> None:
    """Correct the chunk offsets in a movie header that grew or shrank: data behind it moved.

    movie: the changed header, whose chunk offsets still are those of the old file.
    old: where the old header lay; what is before it stays, what is behind it moves.
    A 32-bit table becomes a 64-bit one if an offset no longer fits; the header then grows again.
    Raises MetadataError if a table is damaged.
    """
    try:
        tables = [_Offsets(box) for box in _offset_boxes(movie)]
    except _DamagedError as error:
        raise MetadataError(f"{path} has a damaged table of chunks.", advice="Copy or export it again.") from error
    while True:
        shift = movie.size() - (old.end - old.start)
        if not any(table.widen(shift, old.end) for table in tables):
            break
    places = _Places(movie, old, shift)
    for table in tables:
        table.move(places)


class _DamagedError(Exception):
    """A box inside a movie header claims what cannot be."""


class _Places:
    """Where bytes of the old file lie in the new one."""

    def __init__(self, movie: Box, old: Span, shift: int) -> None:
        self._old, self._shift = old, shift
        self._moved = sorted(_moves(movie, old.start))
        self._origins = [was for was, _, _ in self._moved]

    def moved(self, offsets: np.ndarray) -> np.ndarray:
        """(N,) uint64 offsets in the old file to those in the new one."""
        places = offsets.copy()
        places[offsets >= self._old.end] += np.uint64(self._shift % (1 << 64))  # wraps round for a smaller header
        for index in np.flatnonzero((offsets >= self._old.start) & (offsets < self._old.end)):
            places[index] = self._inside(int(offsets[index]))
        return places

    def _inside(self, offset: int) -> int:
        """Encrypted video keeps its auxiliary data in the header itself."""
        index = bisect.bisect_right(self._origins, offset) - 1
        if index < 0:
            return offset
        was, now, size = self._moved[index]
        return offset - was + now if offset < was + size else offset


class _Offsets:
    """A box of absolute file offsets: stco, co64 or saio."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._start = 4
        if box.kind == b"saio":
            flagged = bool(box.content[3:4] and box.content[3] & 1)  # then an auxiliary type stands before the count
            self._start = 12 if flagged else 4
        self._wide = box.kind == b"co64" or (box.kind == b"saio" and box.content[:1] == b"\1")
        count = int.from_bytes(box.content[self._start : self._start + 4], "big")
        values = box.content[self._start + 4 : self._start + 4 + count * self._type.itemsize]
        if len(values) < count * self._type.itemsize:
            raise _DamagedError
        self._values = np.frombuffer(values, self._type).astype(np.uint64)

    @property
    def _type(self) -> np.dtype:
        return np.dtype(">u8" if self._wide else ">u4")

    def widen(self, shift: int, old_end: int) -> bool:
        """Make the table 64 bits wide if it has to be; whether it was widened now."""
        if self._wide or int(self._values.max(initial=0)) < max(old_end, (1 << 32) - shift):
            return False
        self._wide = True
        self._write()
        return True

    def move(self, places: _Places) -> None:
        """Replace each offset by where its data now are."""
        self._values = places.moved(self._values)
        self._write()

    def _write(self) -> None:
        head = bytearray(self.box.content[: self._start + 4])
        if self._wide and self.box.kind == b"stco":
            self.box.kind = b"co64"
        elif self._wide and self.box.kind == b"saio":
            head[0] = 1
        self.box.content = bytes(head) + self._values.astype(self._type).tobytes()


def _moves(box: Box, start: int) -> Iterator[tuple[int, int, int]]:
    """Where contents lay in the old file, where they lie now that `box` begins at `start`, and their size."""
    position = start + (8 if box.size() < 1 << 32 else 16)
    if box.origin is not None:
        yield box.origin, position, len(box.content)
    position += len(box.content)
    for child in box.children:
        yield from _moves(child, position)
        position += child.size()


def _offset_boxes(movie: Box) -> list[Box]:
    tables = movie.all(b"trak", b"mdia", b"minf", b"stbl")
    return [box for table in tables for box in table.children if box.kind in (b"stco", b"co64", b"saio")]


def _span(file: BinaryIO, position: int, length: int) -> Span | None:
    """The box at `position`; None if these bytes cannot be one."""
    file.seek(position)
    start = file.read(16)
    if len(start) < 8:
        return None
    size, kind = struct.unpack_from(">I4s", start)
    if not all(0x20 <= letter < 0x7F or letter == 0xA9 for letter in kind):
        return None
    if size == 0:
        return Span(kind, position, 8, length)
    header = 8
    if size == 1:
        if len(start) < 16:
            return None
        header, size = 16, struct.unpack_from(">Q", start, 8)[0]
    return Span(kind, position, header, position + size) if size >= header else None


def _tree(kind: bytes, data: memoryview, origin: int, depth: int, numbers: Iterator[int]) -> Box:
    """numbers: counts the boxes of the whole tree."""
    if depth > _DEEPEST or next(numbers) > _MOST_BOXES_IN_MEMORY:
        raise _DamagedError
    before = _CONTAINERS.get(kind)
    if before is None:
        return Box(kind, bytes(data), origin=origin)
    return Box(kind, bytes(data[:before]), *_children(data, before, origin, depth, numbers), origin)


def _children(
    data: memoryview, position: int, origin: int, depth: int, numbers: Iterator[int]
) -> tuple[list[Box], bytes]:
    """Boxes from `position` to the end of `data`, and what is left: QuickTime ends such lists with four zero bytes.

    origin: the byte of the file where `data` begin.
    """
    children: list[Box] = []
    while position < len(data):
        rest = len(data) - position
        if rest < 8 or not any(data[position : position + 8]):
            if any(data[position:]):
                raise _DamagedError
            return children, bytes(data[position:])
        size, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if size == 1:
            header, size = 16, struct.unpack_from(">Q", data, position + 8)[0]
        if size < header or size > rest:
            raise _DamagedError
        inside = data[position + header : position + size]
        children.append(_tree(kind, inside, origin + position + header, depth + 1, numbers))
        position += size
    return children, b""

"""EBML, which Matroska and WebM are written in: elements with an id, a size and a content.

Source: RFC 8794, Extensible Binary Meta Language.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

VOID, CRC_32 = 0xEC, 0xBF
HEADER = 0x1A45DFA3
"""What every such file begins with."""

_LONGEST_ID, _LONGEST_SIZE = 4, 8
_LARGEST_HEADER = _LONGEST_ID + _LONGEST_SIZE
_MOST_ELEMENTS = 10_000


class DamagedError(Exception):
    """An element claims what cannot be."""


@dataclass(frozen=True)
class Span:
    """Where an element lies in a file. start: its header's first byte, data: its content's, end: behind its last."""

    ident: int
    start: int
    data: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Element:
    """An element in memory. width: bytes that its size takes, at least."""

    ident: int
    content: bytes
    width: int = 1

    def children(self) -> list[Element]:
        """What a master element holds. Raises DamagedError."""
        found: list[Element] = []
        position = 0
        while position < len(self.content):
            ident, size, header, width = _header(self.content[position : position + _LARGEST_HEADER])
            end = position + header + (size or 0)
            if size is None or end > len(self.content) or len(found) == _MOST_ELEMENTS:
                raise DamagedError
            found.append(Element(ident, self.content[position + header : end], width))
            position = end
        return found

    def holding(self, children: Sequence[Element]) -> Element:
        """The master element with other children, and their checksum if it had one."""
        checked = bool(children) and children[0].ident == CRC_32
        content = to_bytes(children[checked:])
        if checked:
            content = Element(CRC_32, struct.pack("<I", zlib.crc32(content))).to_bytes() + content
        return Element(self.ident, content, self.width)

    def first(self, *path: int) -> Element | None:
        """The first element by this way of ids. Raises DamagedError."""
        if not path:
            return self
        found = (child.first(*path[1:]) for child in self.children() if child.ident == path[0])
        return next((each for each in found if each is not None), None)

    def integer(self, *path: int, default: int = 0) -> int:
        """The unsigned integer by this way. Raises DamagedError."""
        found = self.first(*path)
        return default if found is None else int.from_bytes(found.content[-8:], "big")

    def number(self, *path: int) -> float:
        """The floating-point number by this way, 0 if there is none. Raises DamagedError."""
        found = self.first(*path)
        if found is None or not found.content:
            return 0.0
        if len(found.content) not in (4, 8):
            raise DamagedError
        return float(struct.unpack(">f" if len(found.content) == 4 else ">d", found.content)[0])

    def wider(self) -> Element:
        """The same with one more byte. Raises DamagedError if that is one too many."""
        width = max(self.width, _size_width(len(self.content))) + 1
        if width > _LONGEST_SIZE:
            raise DamagedError
        return Element(self.ident, self.content, width)

    def to_bytes(self) -> bytes:
        width = max(self.width, _size_width(len(self.content)))
        size = len(self.content) | 1 << 7 * width
        return _ident(self.ident) + size.to_bytes(width, "big") + self.content


def void(size: int) -> list[Element]:
    """What says nothing, of so many bytes in all: 0, or at least 2."""
    width = 1 if size < 1 << 7 else _LONGEST_SIZE
    return [Element(VOID, bytes(size - 1 - width), width)] if size else []


def filling(element: Element, size: int) -> bytes | None:
    """An element's bytes and behind them a void one, so many bytes in all; None if it is too large for that."""
    spare = size - len(element.to_bytes())
    if spare == 1:  # no void one is that small
        element, spare = element.wider(), 0
    return to_bytes([element, *void(spare)]) if spare >= 0 else None


def to_bytes(elements: Iterable[Element]) -> bytes:
    return b"".join(element.to_bytes() for element in elements)


def spans(file: BinaryIO, start: int, end: int) -> Iterator[Span]:
    """The elements of a file from `start` to `end`, by their headers alone; one of unknown size is the last, and ends
    there. Raises DamagedError if one claims more than that, or there are absurdly many.
    """
    position = start
    for _ in range(_MOST_ELEMENTS):
        if position >= end:
            return
        file.seek(position)
        ident, size, header, _width = _header(file.read(_LARGEST_HEADER))
        after = end if size is None else position + header + size
        if after > end:
            raise DamagedError
        yield Span(ident, position, position + header, after)
        position = after
    raise DamagedError


def read(file: BinaryIO, span: Span, most: int) -> Element:
    """The element at `span`. most: bytes that it may have. Raises DamagedError if it has more, or is cut off."""
    if span.size > most:
        raise DamagedError
    file.seek(span.start)
    data = file.read(span.size)
    ident, size, header, width = _header(data[:_LARGEST_HEADER])
    if len(data) < span.size or size is None:
        raise DamagedError
    return Element(ident, data[header:], width)


def _header(data: bytes) -> tuple[int, int | None, int, int]:
    """(id, size of the content, bytes of the header, bytes of its size). A size of None is unknown."""
    id_width = _width(data, 0)
    size_width = _width(data, id_width)
    header = id_width + size_width
    if id_width > _LONGEST_ID or size_width > _LONGEST_SIZE or len(data) < header:
        raise DamagedError
    largest = (1 << 7 * size_width) - 1
    size = int.from_bytes(data[id_width:header], "big") & largest
    return int.from_bytes(data[:id_width], "big"), None if size == largest else size, header, size_width


def _width(data: bytes, position: int) -> int:
    """How many bytes a number of variable length takes: its first one bit tells."""
    if position >= len(data) or not data[position]:
        raise DamagedError
    return 9 - data[position].bit_length()


def _size_width(size: int) -> int:
    """The fewest bytes for a size; all ones would mean an unknown one."""
    return next(width for width in range(1, _LONGEST_SIZE + 1) if size < (1 << 7 * width) - 1)


def _ident(ident: int) -> bytes:
    return ident.to_bytes((ident.bit_length() + 7) // 8, "big")

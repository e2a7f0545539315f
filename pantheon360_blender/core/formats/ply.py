"""PLY files as columns of their vertices.

Source: G. Turk, "The PLY Polygon File Format", 1994. All three encodings and all scalar types are read; list properties
and elements other than vertices are passed over. What a header claims is checked against the size of the file before
memory is reserved, so that a hostile file costs no more memory than its own size.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .. import budget, files, inputs
from ..errors import PointCloudError

_NAMES = {
    "i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort",
    "i4": "int", "u4": "uint", "f4": "float", "f8": "double",
}  # fmt: skip
_TYPES = {name: kind for kind, name in _NAMES.items()} | {np.dtype(kind).name: kind for kind in _NAMES}
"""Types of both generations of the format, "uchar" and "uint8"."""
_BYTE_ORDERS = {"ascii": None, "binary_little_endian": "<", "binary_big_endian": ">"}
_LONGEST_LINE = 1 << 16
_LONGEST_HEADER = 1 << 20
_ROWS = 1 << 16  # vertices read or written at a time


def read(path: Path, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Vertex properties of a PLY file by name, each (N,) in the file's type and this machine's byte order.

    names: the properties wanted, others are left out; None for all scalar ones.
    Raises PointCloudError if the file cannot be read, is no PLY, has no vertices, or is damaged or cut short.
    """
    path = Path(path)
    try:
        with inputs.open_regular(path) as file:
            return _Reader(path, file).vertices(None if names is None else set(names))
    except OSError as error:
        raise PointCloudError(f"{path} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise PointCloudError(f"{path} does not fit into memory.", advice="Thin it out first.") from error


def properties(path: Path) -> dict[str, tuple[str, ...]]:
    """Names of the properties of each element that a PLY file's header names, lists left out.

    Raises PointCloudError if the file cannot be read or is no PLY.
    """
    try:
        with inputs.open_regular(path) as file:
            return _Reader(Path(path), file).properties()
    except OSError as error:
        raise PointCloudError(f"{path} cannot be read: {error.strerror or error}.") from error


def write(
    path: Path, columns: Mapping[str, np.ndarray], *, comments: Iterable[str] = (), ascii_text: bool = False
) -> None:
    """Write vertex properties as a PLY file, binary little-endian or ascii, atomically.

    columns: name -> (N,) array, integers up to 32 bits or floats; all of one length.
    comments: lines for the header.
    Raises PointCloudError if the columns are no such arrays, FileError if the file cannot be written.
    """
    types = {name: _type_of(name, column) for name, column in columns.items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise PointCloudError(f"The columns of a PLY file are of one length; here are {sorted(lengths) or 'none'}.")
    count = lengths.pop()
    header = ["ply", f"format {'ascii' if ascii_text else 'binary_little_endian'} 1.0"]
    header += [f"comment {' '.join(comment.split())}" for comment in comments]
    header += [f"element vertex {count}"]
    header += [f"property {_NAMES[kind]} {name}" for name, kind in types.items()]
    with files.writing(Path(path)) as file:
        file.write(("\n".join([*header, "end_header"]) + "\n").encode("ascii", "replace"))
        for start in range(0, count, _ROWS):
            block = np.empty(min(_ROWS, count - start), [(name, "<" + kind) for name, kind in types.items()])
            for name, column in columns.items():
                block[name] = column[start : start + _ROWS]
            file.write(_as_text(block) if ascii_text else block.tobytes())


@dataclass
class _Property:
    name: str
    kind: str
    list_kind: str | None = None  # type of the length in front of a list


@dataclass
class _Element:
    name: str
    count: int
    properties: list[_Property] = field(default_factory=list)

    @property
    def has_lists(self) -> bool:
        return any(each.list_kind for each in self.properties)

    def row(self, order: str) -> np.dtype:
        """One row in a binary file, for elements without lists; fields are numbered, names in a file may repeat."""
        return np.dtype([(str(index), order + each.kind) for index, each in enumerate(self.properties)])


class _Reader:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._order, self._elements = self._header()
        self._left = os.fstat(file.fileno()).st_size - file.tell()

    def properties(self) -> dict[str, tuple[str, ...]]:
        return {
            element.name: tuple(each.name for each in element.properties if not each.list_kind)
            for element in self._elements
        }

    def vertices(self, names: set[str] | None) -> dict[str, np.ndarray]:
        for element in self._elements:
            if element.name == "vertex":
                wanted = {
                    each.name: index
                    for index, each in enumerate(element.properties)
                    if not each.list_kind and (names is None or each.name in names)
                }
                self._check_count(element)
                if not element.properties:
                    return {}
                if self._order is None:
                    return self._text_rows(element, wanted)
                if element.has_lists:
                    return self._rows_with_lists(element, wanted)
                return self._binary_rows(element, wanted)
            self._pass_over(element)
        raise self._error("it has no vertices")

    # The header

    def _header(self) -> tuple[str | None, list[_Element]]:
        if self._file.readline(16).strip() != b"ply":
            raise PointCloudError(f"{self._path} is not a PLY file.")
        order: str | None = ""
        elements: list[_Element] = []
        while (line := self._header_line()) != ["end_header"]:
            match line:
                case [] | ["comment" | "obj_info", *_]:
                    pass
                case ["format", kind, "1.0"] if kind in _BYTE_ORDERS:
                    order = _BYTE_ORDERS[kind]
                case ["element", name, number] if number.isascii() and number.isdigit() and len(number) < 19:
                    if any(name == each.name for each in elements):
                        raise self._error(f"its header names the element {name[:80]} twice")
                    elements.append(_Element(name, int(number)))
                case ["property", "list", length, kind, name] if elements and length in _TYPES and kind in _TYPES:
                    if _TYPES[length].startswith("f"):
                        raise self._error("a list's length is no integer")
                    elements[-1].properties.append(_Property(name, _TYPES[kind], _TYPES[length]))
                case ["property", kind, name] if elements and kind in _TYPES:
                    elements[-1].properties.append(_Property(name, _TYPES[kind]))
                case _:
                    raise self._error(f"its header has the line {' '.join(line)[:80]!r}")
        if order == "":
            raise self._error("its header names no format")
        return order, elements

    def _header_line(self) -> list[str]:
        line = self._file.readline(_LONGEST_LINE)
        if not line.endswith(b"\n") or self._file.tell() > _LONGEST_HEADER:
            raise self._error("its header does not end")
        return line.decode("latin-1").split()

    def _check_count(self, element: _Element) -> None:
        """Refuse counts that the rest of the file cannot hold, before anything is reserved for them."""
        if self._order is None:
            least = 2 * len(element.properties)
        else:
            least = sum(np.dtype(each.list_kind or each.kind).itemsize for each in element.properties)
        if element.count * least > self._left + 1:  # the last line of a text may lack its end
            raise self._short()

    # Reading rows

    def _binary_rows(self, element: _Element, wanted: dict[str, int]) -> dict[str, np.ndarray]:
        row = element.row(self._order or "")
        columns = self._columns(element, wanted)
        for start in range(0, element.count, _ROWS):
            count = min(_ROWS, element.count - start)
            block = np.frombuffer(self._exactly(count * row.itemsize), row)
            for name, index in wanted.items():
                columns[name][start : start + count] = block[str(index)]
        return columns

    def _rows_with_lists(self, element: _Element, wanted: dict[str, int]) -> dict[str, np.ndarray]:
        columns = self._columns(element, wanted)
        kinds = [np.dtype((self._order or "") + each.kind) for each in element.properties]
        names = {index: name for name, index in wanted.items()}
        if element.count * len(kinds) > budget.LIST_ROWS:
            raise PointCloudError(
                f"{self._path} has {element.count:,} rows of lists ({element.name}): that is more than is walked.",
                advice="Export its points alone, or before everything else.",
            )
        for row in range(element.count):
            for index, each in enumerate(element.properties):
                if each.list_kind:
                    self._skip(self._list_length(each) * kinds[index].itemsize)
                    continue
                value = self._exactly(kinds[index].itemsize)
                if index in names:
                    columns[names[index]][row] = np.frombuffer(value, kinds[index])[0]
        return columns

    def _text_rows(self, element: _Element, wanted: dict[str, int]) -> dict[str, np.ndarray]:
        columns = self._columns(element, wanted)
        start = 0
        for lines in self._blocks_of_lines(element.count):
            try:
                values = self._values(element, lines)
            except (ValueError, IndexError, OverflowError) as error:
                raise self._error(f"a row near vertex {start} is not {len(element.properties)} numbers") from error
            for name, index in wanted.items():
                self._put(columns[name][start : start + len(lines)], values[:, index])
            start += len(lines)
        return columns

    def _values(self, element: _Element, lines: list[bytes]) -> np.ndarray:
        """Rows of text as (rows, properties) float64; lists leave a zero."""
        count = len(element.properties)
        if element.has_lists:
            return np.array([self._without_lists(element, line.split()) for line in lines], dtype=np.float64)
        text = [line.decode("ascii") for line in lines]
        values = np.loadtxt(text, dtype=np.float64, comments=None, ndmin=2)
        if values.shape != (len(lines), count):
            raise ValueError(values.shape)
        return values

    @staticmethod
    def _without_lists(element: _Element, words: list[bytes]) -> list[float]:
        values, at = [], 0
        for each in element.properties:
            values.append(0.0 if each.list_kind else float(words[at]))
            length = int(words[at]) if each.list_kind else 0
            if length < 0:
                raise ValueError(length)
            at += 1 + length
        if at != len(words):
            raise ValueError(at)
        return values

    def _put(self, column: np.ndarray, values: np.ndarray) -> None:
        if column.dtype.kind == "f":
            with np.errstate(over="ignore"):
                column[:] = values
            return
        limits = np.iinfo(column.dtype)
        if not ((values >= limits.min) & (values <= limits.max)).all():
            raise self._error(f"a value does not fit its type ({_NAMES[column.dtype.str[1:]]})")
        column[:] = values

    def _columns(self, element: _Element, wanted: dict[str, int]) -> dict[str, np.ndarray]:
        return {name: np.empty(element.count, element.properties[index].kind) for name, index in wanted.items()}

    # Passing over what is not wanted

    def _pass_over(self, element: _Element) -> None:
        self._check_count(element)
        if not element.properties:
            return
        if self._order is None:
            for _ in self._blocks_of_lines(element.count):
                pass
        elif element.has_lists:
            self._rows_with_lists(element, {})
        else:
            self._skip(element.count * element.row("").itemsize)

    def _list_length(self, each: _Property) -> int:
        kind = np.dtype((self._order or "") + (each.list_kind or ""))
        length = int(np.frombuffer(self._exactly(kind.itemsize), kind)[0])
        if length < 0:
            raise self._error("a list has a negative length")
        return length

    def _skip(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise self._short()
        self._file.seek(count, os.SEEK_CUR)

    def _exactly(self, count: int) -> bytes:
        data = self._file.read(count)
        self._left -= count
        if len(data) < count:
            raise self._short()
        return data

    def _blocks_of_lines(self, count: int) -> Iterator[list[bytes]]:
        """Yield `count` lines that are not blank, a block at a time."""
        while count:
            lines: list[bytes] = []
            blank = 0
            while len(lines) < min(count, _ROWS):
                line = self._file.readline(_LONGEST_LINE)
                if not line:
                    raise self._short()
                if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                    raise self._error("a line of it is too long")
                if not line.isspace():
                    lines.append(line)
                elif (blank := blank + 1) > budget.BLANK_LINES:
                    raise self._error("it is nearly empty")
            count -= len(lines)
            yield lines

    def _short(self) -> PointCloudError:
        return self._error("it ends before all its vertices")

    def _error(self, what: str) -> PointCloudError:
        return PointCloudError(f"{self._path} cannot be read as PLY: {what}.", advice="Export it again.")


def _type_of(name: str, column: np.ndarray) -> str:
    kind = str(column.dtype.str[1:])
    if column.ndim != 1 or kind not in _NAMES:
        raise PointCloudError(f"A PLY file cannot hold {name}: {column.dtype} {column.shape}.")
    if not name.isascii() or name.split() != [name]:
        raise PointCloudError(f"A PLY property cannot be called {name!r}.")
    return kind


def _as_text(block: np.ndarray) -> bytes:
    """Rows of numbers with the digits they need to read back as the same values."""
    digits = {"f4": "%.9g", "f8": "%.17g"}
    row = " ".join(digits.get(block.dtype[index].str[1:], "%d") for index in range(len(block.dtype))) + "\n"
    return "".join(row % values for values in block.tolist()).encode("ascii")

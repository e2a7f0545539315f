"""OpenEXR images: of every kind by OpenImageIO; without it flat scan lines, uncompressed or packed by RLE or ZIP.

Source: Academy Software Foundation, "OpenEXR File Layout" and "The Interpretation of Floating Point Pixels".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .. import budget
from ..budget import PictureBudget
from ..errors import ImageError
from . import openimageio

MAGIC = b"\x76\x2f\x31\x01"
_TILED, _DEEP, _MULTIPART = 0x200, 0x800, 0x1000
_UINT, _HALF, _FLOAT = 0, 1, 2
_TYPES = {_UINT: "<u4", _HALF: "<f2", _FLOAT: "<f4"}
_NONE, _RLE, _ZIPS, _ZIP = range(4)
_LINES = {_NONE: 1, _RLE: 1, _ZIPS: 1, _ZIP: 16}
_KINDS = ("none", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")
_LARGEST_SIDE = 1 << 17
_MOST_ATTRIBUTES, _MOST_CHANNELS, _MOST_PARTS = 4096, 4096, 1024
_SMALLEST_TILE, _LARGEST_TILE = 8, 1 << 26
_EXPANSION = 1040  # deflate cannot make more bytes than this from one
_DAMAGED = "Copy or export it again."


class UnsupportedExrError(ImageError):
    """A sound OpenEXR file of a kind that is not read without OpenImageIO."""


@dataclass(frozen=True)
class _Channel:
    name: str
    kind: int
    across: int
    down: int

    @property
    def size(self) -> int:
        return 2 if self.kind == _HALF else 4


@dataclass(frozen=True)
class _Window:
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Stated:
    """What a header says of its picture.

    size: (width, height) of the pixels in the file. full_size, offset: (width, height) of the picture that they are a
    part of, and where they lie in it, (left, top). chromaticities: (x, y) of red, green, blue and white, or None.
    cube: whether they are the faces of a cube.
    """

    size: tuple[int, int]
    full_size: tuple[int, int]
    offset: tuple[int, int]
    chromaticities: tuple[tuple[float, float], ...] | None
    cube: bool

    @property
    def is_part(self) -> bool:
        """Whether the pixels are not the very picture."""
        return (self.size, self.offset) != (self.full_size, (0, 0))


@dataclass(frozen=True)
class _Header:
    channels: tuple[_Channel, ...]
    compression: int
    top: int
    width: int
    height: int
    end: int

    @property
    def row_bytes(self) -> int:
        return self.width * sum(channel.size for channel in self.channels)


def decode(data: bytes, name: str = "The image", most: PictureBudget = budget.DEPTH) -> dict[str, np.ndarray]:
    """Channels of the bytes of an OpenEXR file by name ("R", "Z", "ViewLayer.Depth.Z"), (H, W) float32 each.

    name: what to call the image in errors. most: sizes that it may have.
    Raises ImageError if it is damaged, cut short, deep, a part of its picture, or larger; UnsupportedExrError if
    OpenImageIO is missing and it is tiled, in several parts, or packed otherwise than by RLE or ZIP.
    """
    if data[:4] != MAGIC:
        raise ImageError(f"{name} is not an OpenEXR image.")
    if stated(data, name).is_part:
        raise ImageError(
            f"{name} holds a part of its picture: its data window is not its display window.",
            advice="Save it again as a whole, without cropping to what is not empty.",
        )
    library = openimageio.find()
    if library is None:
        return _scan_lines(data, name, most)
    check_declared(data, name, most)
    return openimageio.exr_channels(library, data, name)


def check_declared(data: bytes, name: str, most: PictureBudget) -> None:
    """Compare the sizes in an OpenEXR file's headers with a budget: a library reserves memory for what they say.

    data: the file's start at least, with all headers. Raises ImageError if there are more pixels or it is damaged.
    """
    if len(data) < 8:
        raise _short(name)
    several = int.from_bytes(data[4:8], "little") & _MULTIPART
    at, layers = 8, 0
    for _ in range(_MOST_PARTS):
        attributes, at = _attributes(data, name, at)
        if several and not attributes:
            return
        window, channels = _declared(attributes, name)
        layers += len(channels)
        most.check(window.width, window.height, name, layers)
        _check_tiles(attributes, window, len(channels), name)
        if not several:
            return
    raise ImageError(f"{name} has more than {_MOST_PARTS} parts.", advice="Save only what is needed.")


def stated(data: bytes, name: str = "The image") -> Stated:
    """What the header of an OpenEXR file says, that of its first part if it has several.

    data: the file's start at least, with its header. Raises ImageError if that is damaged.
    """
    if len(data) < 8:
        raise _short(name)
    attributes, _ = _attributes(data, name, 8)
    window, _ = _declared(attributes, name)
    left, top, *_ = struct.unpack("<4i", attributes["dataWindow"])
    places = attributes.get("chromaticities", b"")
    chromaticities = tuple(struct.iter_unpack("<2f", places)) if len(places) == 32 else None
    shown = attributes.get("displayWindow", b"")
    low_x, low_y, high_x, high_y = struct.unpack("<4i", shown if len(shown) == 16 else attributes["dataWindow"])
    return Stated(
        size=(window.width, window.height),
        full_size=(high_x - low_x + 1, high_y - low_y + 1),
        offset=(left - low_x, top - low_y),
        chromaticities=chromaticities,
        cube=attributes.get("envmap", b"")[:1] == b"\x01",
    )


def _check_tiles(attributes: dict[str, bytes], window: _Window, channels: int, name: str) -> None:
    """Of tiles each has an offset in a table that is made before any pixel is read, and one is read as a whole."""
    if "tiles" not in attributes or len(attributes["tiles"]) < 8:
        return
    width, height = struct.unpack_from("<II", attributes["tiles"])
    smallest = min(width, height) < min(_SMALLEST_TILE, window.width, window.height)
    if smallest or width * height * channels > _LARGEST_TILE:
        raise ImageError(f"{name} says that its tiles are {width} x {height} pixels.", advice=_DAMAGED)


def _scan_lines(data: bytes, name: str, most: PictureBudget) -> dict[str, np.ndarray]:
    header = _header(data, name)
    most.check(header.width, header.height, name, len(header.channels))
    if header.row_bytes * header.height > _EXPANSION * len(data):
        raise _short(name)
    image = {channel.name: np.empty((header.height, header.width), np.float32) for channel in header.channels}
    for first, rows in _blocks(data, header, name):
        at = 0
        for channel in header.channels:
            size = channel.size * header.width
            column = np.ascontiguousarray(rows[:, at : at + size]).view(_TYPES[channel.kind])
            image[channel.name][first : first + len(rows)] = column
            at += size
    return image


def _header(data: bytes, name: str) -> _Header:
    if len(data) < 8:
        raise _short(name)
    flags = int.from_bytes(data[4:8], "little")
    for flag, what in ((_TILED, "tiled"), (_DEEP, "deep"), (_MULTIPART, "of several parts")):
        if flags & flag:
            raise UnsupportedExrError(
                f"{name} is an OpenEXR file that is {what}.", advice="Save it as one part of scan lines, packed by ZIP."
            )
    attributes, end = _attributes(data, name, 8)
    window, channels = _declared(attributes, name)
    if any((channel.across, channel.down) != (1, 1) for channel in channels):
        raise UnsupportedExrError(f"{name} has a channel of fewer pixels.", advice="Save it without.")
    if not attributes.get("compression"):
        raise _lacking(name)
    compression = attributes["compression"][0]
    if compression not in _LINES:
        kind = _KINDS[compression] if compression < len(_KINDS) else str(compression)
        raise UnsupportedExrError(f"{name} is packed by {kind}.", advice="Save it packed by ZIP, without loss.")
    return _Header(channels, compression, window.top, window.width, window.height, end)


def _declared(attributes: dict[str, bytes], name: str) -> tuple[_Window, tuple[_Channel, ...]]:
    """The pixels and the channels of a part."""
    try:
        low_x, low_y, high_x, high_y = struct.unpack("<4i", attributes["dataWindow"])
        channels = _channels(attributes["channels"], name)
    except (KeyError, struct.error) as error:
        raise _lacking(name) from error
    window = _Window(low_y, high_x - low_x + 1, high_y - low_y + 1)
    if not 0 < window.width <= _LARGEST_SIDE or not 0 < window.height <= _LARGEST_SIDE:
        raise ImageError(f"{name} says that it is {window.width} x {window.height} pixels.", advice=_DAMAGED)
    return window, channels


def _attributes(data: bytes, name: str, at: int) -> tuple[dict[str, bytes], int]:
    """Attributes by name of the header at a byte, and where it ends."""
    found: dict[str, bytes] = {}
    for _ in range(_MOST_ATTRIBUTES):
        label, at = _text(data, at, name)
        if not label:
            return found, at
        _, at = _text(data, at, name)
        size = int.from_bytes(data[at : at + 4], "little", signed=True)
        at += 4
        if size < 0 or at + size > len(data):
            raise _short(name)
        found[label] = data[at : at + size]
        at += size
    raise ImageError(f"{name} is damaged: its header does not end.", advice=_DAMAGED)


def _channels(listed: bytes, name: str) -> tuple[_Channel, ...]:
    channels, at = [], 0
    while True:
        label, at = _text(listed, at, name)
        if not label:
            break
        kind, _, across, down = struct.unpack_from("<iIii", listed, at)
        at += 16
        if kind not in _TYPES:
            raise ImageError(f"{name} is damaged: its channel {label} is of no known type.", advice=_DAMAGED)
        channels.append(_Channel(label, kind, across, down))
        if len(channels) > _MOST_CHANNELS:
            raise ImageError(f"{name} has more than {_MOST_CHANNELS} channels.", advice="Save only what is needed.")
    if not channels:
        raise ImageError(f"{name} has no channels.", advice=_DAMAGED)
    return tuple(channels)


def _text(data: bytes, at: int, name: str) -> tuple[str, int]:
    end = data.find(b"\0", at, at + 256)
    if end < 0:
        raise _short(name)
    return data[at:end].decode("utf-8", "replace"), end + 1


def _blocks(data: bytes, header: _Header, name: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the first row and the rows (R, bytes of a row) uint8 of each block; every row of the image comes once."""
    lines = _LINES[header.compression]
    count = -(-header.height // lines)
    table = data[header.end : header.end + 8 * count]
    if len(table) < 8 * count:
        raise _short(name)
    seen = set()
    for offset in np.frombuffer(table, "<u8").tolist():
        if offset + 8 > len(data):
            raise _short(name)
        row, size = struct.unpack_from("<ii", data, offset)
        first = row - header.top
        if first % lines or not 0 <= first < header.height or first in seen:
            raise ImageError(f"{name} is damaged: its rows are not in place.", advice=_DAMAGED)
        if size < 0 or offset + 8 + size > len(data):
            raise _short(name)
        seen.add(first)
        high = min(lines, header.height - first)
        rows = _unpacked(data[offset + 8 : offset + 8 + size], header.compression, high * header.row_bytes, name)
        yield first, rows.reshape(high, header.row_bytes)


def _unpacked(packed: bytes, compression: int, wanted: int, name: str) -> np.ndarray:
    if compression == _NONE or len(packed) == wanted:  # what does not get smaller is stored as it is
        raw = np.frombuffer(packed, np.uint8)
    else:
        raw = _reordered(_inflated(packed, compression, wanted, name))
    if len(raw) != wanted:
        raise _short(name)
    return raw


def _inflated(packed: bytes, compression: int, wanted: int, name: str) -> np.ndarray:
    if compression == _RLE:
        return _run_lengths(packed, wanted)
    try:
        return np.frombuffer(zlib.decompressobj().decompress(packed, wanted + 1), np.uint8)
    except zlib.error as error:
        raise ImageError(f"{name} is damaged: {error}.", advice=_DAMAGED) from error


def _run_lengths(packed: bytes, wanted: int) -> np.ndarray:
    out = bytearray()
    at = 0
    while at < len(packed) and len(out) <= wanted:
        count = packed[at] - 256 if packed[at] > 127 else packed[at]
        if count < 0:
            out += packed[at + 1 : at + 1 - count]
            at += 1 - count
        else:
            out += packed[at + 1 : at + 2] * (count + 1)
            at += 2
    return np.frombuffer(bytes(out), np.uint8)


def _reordered(differences: np.ndarray) -> np.ndarray:
    """Undo the predictor (differences of bytes, offset by 128) and put the two halves' bytes together again."""
    values = differences.copy()
    values[1:] -= np.uint8(128)
    np.cumsum(values, dtype=np.uint8, out=values)
    out = np.empty_like(values)
    half = (len(values) + 1) // 2
    out[0::2], out[1::2] = values[:half], values[half:]
    return out


def _lacking(name: str) -> ImageError:
    return ImageError(f"{name} is damaged: its header lacks what an image needs.", advice=_DAMAGED)


def _short(name: str) -> ImageError:
    return ImageError(f"{name} is cut short: pixels are missing.", advice=_DAMAGED)

"""PNG images, so that both processes read and write frames with nothing but numpy and the standard library.

Source: W3C, "Portable Network Graphics (PNG) Specification (Third Edition)".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import budget, files, inputs
from ..budget import PictureBudget
from ..errors import FileError, ImageError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_COLOUR_TYPE = {1: _GREY, 2: _GREY_ALPHA, 3: _RGB, 4: _RGBA}
_DEPTHS = {_GREY: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8), _GREY_ALPHA: (8, 16), _RGBA: (8, 16)}
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)
_LEVEL = 1  # of zlib: higher ones cost several times the time for a few per cent
_EXPANSION = 1040  # deflate cannot make more bytes than this from one
_MOST_CHUNKS = 1_000_000
_BAND = 1024  # rows undone together by the slow filters
_DAMAGED = "Copy or export it again."


def write(path: Path, image: np.ndarray) -> None:
    """Write an image as PNG, tagged sRGB, atomically.

    image: (H, W) grey, (H, W, 2) grey + alpha, (H, W, 3) RGB or (H, W, 4) RGBA, alpha not premultiplied; uint8 or
    uint16.
    Raises ImageError if the array is no such image, FileError if the file cannot be written.
    """
    files.write_bytes(Path(path), encode(image))


def read(path: Path, most: PictureBudget = budget.PANORAMA) -> np.ndarray:
    """Pixels of a PNG file: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4), uint8 or uint16, as decode gives them.

    most: sizes that it may have. Raises FileError if the file cannot be read, ImageError if it is damaged, of an
    unsupported kind or another size.
    """
    try:
        data = inputs.read_bytes(path, most.bytes)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {inputs.why(error)}.") from error
    return decode(data, str(path), most)


def encode(image: np.ndarray, texts: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a PNG file; image and errors as of write. texts: Latin-1 texts in it by their keywords.

    >>> image = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
    >>> np.array_equal(decode(encode(image)), image)
    True
    """
    image = np.asarray(image)
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.dtype not in (np.uint8, np.uint16) or image.ndim not in (2, 3) or channels not in _COLOUR_TYPE:
        raise ImageError(f"A PNG cannot hold {image.dtype} {image.shape}; uint8 or uint16 with 1 to 4 channels is.")
    height, width = image.shape[:2]
    if not 0 < width < 1 << 31 or not 0 < height < 1 << 31:
        raise ImageError(f"A PNG cannot be {width} x {height} pixels.")
    bytes_each = image.dtype.itemsize
    rows = image.astype(image.dtype.newbyteorder(">"), order="C", copy=False).view(np.uint8).reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8 * bytes_each, _COLOUR_TYPE[channels], 0, 0, 0)
    return b"".join(
        [
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"sRGB", b"\0"),  # perceptual intent, as for photographs
            *(_chunk(b"tEXt", f"{key}\0{text}".encode("latin-1")) for key, text in (texts or {}).items()),
            _chunk(b"IDAT", zlib.compress(_filtered(rows, channels * bytes_each), _LEVEL)),
            _chunk(b"IEND", b""),
        ]
    )


def decode(data: bytes, name: str = "The image", most: PictureBudget = budget.PANORAMA) -> np.ndarray:
    """Pixels of the bytes of a PNG file.

    most: sizes that it may have; others are refused before anything is unpacked.
    name: what to call the image in errors.
    Returns (H, W) grey, (H, W, 2) grey + alpha, (H, W, 3) RGB or (H, W, 4) RGBA; uint16 for 16 bits, else uint8:
    1, 2 and 4 bit greys are stretched to 0..255, palettes become colours, a transparent colour becomes alpha. Stored
    values are returned as they are; gamma and colour profiles are not applied.
    Raises ImageError if it is damaged, cut short, interlaced, or of another size.
    """
    header = _Header.parse(data, name)
    most.check(header.width, header.height, name)
    palette = transparency = b""
    compressed = []
    for kind, body in _chunks(data, name):
        if kind == b"IDAT":
            compressed.append(body)
        elif kind == b"PLTE":
            palette = body
        elif kind == b"tRNS":
            transparency = body
    rows = _unfiltered(_decompressed(b"".join(compressed), header), header)
    return _with_transparency(_samples(rows, header), header, palette, transparency)


def texts(data: bytes, name: str = "The image") -> dict[str, str]:
    """The uncompressed texts in the bytes of a PNG file, by their keywords. Raises ImageError if it is damaged."""
    bodies = [body.partition(b"\0") for kind, body in _chunks(data, name) if kind == b"tEXt"]
    return {key.decode("latin-1"): text.decode("latin-1") for key, _, text in bodies}


@dataclass(frozen=True)
class _Header:
    name: str
    width: int
    height: int
    depth: int
    colour_type: int

    @staticmethod
    def parse(data: bytes, name: str) -> _Header:
        if data[:8] != _SIGNATURE:
            raise ImageError(f"{name} is not a PNG image.")
        if len(data) < 33:
            raise ImageError(f"{name} is cut short.", advice=_DAMAGED)
        if data[8:16] != b"\0\0\0\rIHDR" or zlib.crc32(data[12:29]) != int.from_bytes(data[29:33], "big"):
            raise ImageError(f"{name} is damaged: its header does not match its checksum.", advice=_DAMAGED)
        width, height, depth, colour_type, compression, filtering, interlace = struct.unpack(">IIBBBBB", data[16:29])
        if not 0 < width < 1 << 31 or not 0 < height < 1 << 31:
            raise ImageError(f"{name} says that it is {width} x {height} pixels.", advice=_DAMAGED)
        if depth not in _DEPTHS.get(colour_type, ()) or compression or filtering or interlace > 1:
            raise ImageError(f"{name} is of a kind that the PNG specification does not know.", advice=_DAMAGED)
        if interlace:
            raise ImageError(f"{name} is an interlaced PNG.", advice="Export it without interlacing (Adam7).")
        return _Header(name, width, height, depth, colour_type)

    @property
    def pixel_bytes(self) -> int:
        """Distance in bytes to the pixel on the left, as filters count it."""
        return max(1, self.depth * _CHANNELS[self.colour_type] // 8)

    @property
    def row_bytes(self) -> int:
        return (self.width * self.depth * _CHANNELS[self.colour_type] + 7) // 8


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _chunks(data: bytes, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and body of each chunk up to IEND."""
    at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            break
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data):
            break
        sound = zlib.crc32(data[at + 4 : end]) == int.from_bytes(data[end : end + 4], "big")
        critical = not kind[0] & 0x20
        if critical and not sound:
            raise ImageError(f"{name} is damaged: a part of it does not match its checksum.", advice=_DAMAGED)
        if kind == b"IEND":
            return
        if critical and kind not in (b"IHDR", b"PLTE", b"IDAT"):
            raise ImageError(f"{name} needs a PNG feature that is not known ({kind!r}).", advice="Export it again.")
        if sound:
            yield kind, data[at + 8 : end]
        at = end + 4
    raise ImageError(f"{name} is cut short.", advice=_DAMAGED)


def _filtered(rows: np.ndarray, pixel_bytes: int) -> bytes:
    """Rows (H, B) uint8 behind their filter types, each by the filter that leaves the smallest differences.

    The heuristic of the specification (12.7), over the filters that cost nothing to undo.
    """
    sub, up = rows.copy(), rows.copy()
    sub[:, pixel_bytes:] -= rows[:, :-pixel_bytes]
    up[1:] -= rows[:-1]
    out = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    candidates = [rows, sub, up]
    best = np.argmin([np.abs(each.view(np.int8)).view(np.uint8).sum(axis=1, dtype=np.int64) for each in candidates], 0)
    out[:, 0] = best
    for kind, each in enumerate(candidates):
        chosen = best == kind
        out[chosen, 1:] = each[chosen]
    return out.tobytes()


def _decompressed(compressed: bytes, header: _Header) -> np.ndarray:
    """(H, 1 + row bytes) uint8: filter types and filtered rows."""
    wanted = header.height * (1 + header.row_bytes)
    short = ImageError(f"{header.name} is cut short: pixels are missing.", advice=_DAMAGED)
    if wanted > _EXPANSION * len(compressed):
        raise short
    try:
        data = zlib.decompressobj().decompress(compressed, wanted)
    except zlib.error as error:
        raise ImageError(f"{header.name} is damaged: {error}.", advice=_DAMAGED) from error
    if len(data) < wanted:
        raise short
    return np.frombuffer(data, np.uint8).reshape(header.height, -1)


def _unfiltered(filtered: np.ndarray, header: _Header) -> np.ndarray:
    """Undo the filters of (H, 1 + B) uint8; (H, B) uint8."""
    kinds = filtered[:, 0]
    if kinds.max() > _PAETH:
        raise ImageError(f"{header.name} is damaged: it names a filter that does not exist.", advice=_DAMAGED)
    step = header.pixel_bytes
    if kinds.max() <= _UP:
        return _undo_sums(kinds, filtered[:, 1:], step)
    rows = np.empty((header.height, header.row_bytes), np.uint8)
    above = np.zeros(header.row_bytes, np.uint8)
    for first in range(0, header.height, _BAND):
        band = slice(first, first + _BAND)
        rows[band] = _undo_any(kinds[band], filtered[band, 1:], above, step)
        above = rows[band][-1]
    return rows


def _undo_sums(kinds: np.ndarray, differences: np.ndarray, step: int) -> np.ndarray:
    rows = np.array(differences)
    pixels = rows.reshape(len(rows), -1, step) if rows.shape[1] % step == 0 else rows[:, :, None]
    for index, kind in enumerate(kinds):
        if kind == _SUB:
            np.cumsum(pixels[index], axis=0, dtype=np.uint8, out=pixels[index])
        elif kind == _UP and index:
            rows[index] += rows[index - 1]
    return rows


def _undo_any(kinds: np.ndarray, differences: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    """Undo all five filters in a band of rows below the row `above`.

    A pixel needs its left, upper and upper left neighbours, so the pixels of a diagonal can be undone together: row r
    stands r places further right, and the band is walked column by column.
    """
    count, columns = len(kinds), differences.shape[1] // step
    skewed = np.zeros((columns + count, count, step), np.uint8)
    flat = skewed.reshape(-1, step)
    place = np.arange(columns) * count + np.arange(count)[:, None] * (count + 1)  # of row r, column c: [c + r, r]
    flat[place] = differences.reshape(count, columns, step)
    done = np.zeros((columns + count + 1, count + 1, step), np.int16)  # [c + r + 1, r + 1]
    done[:columns, 0] = above.reshape(columns, step)
    sub, up, average, paeth = ((kinds == kind)[:, None] for kind in (_SUB, _UP, _AVERAGE, _PAETH))
    rows = np.arange(count)
    for time in range(columns + count - 1):
        low, high = max(0, time - columns + 1), min(count, time + 1)
        part = rows[low:high]
        a = done[time, low + 1 : high + 1]
        b = done[time, low:high]
        c = done[time - 1, low:high] if time else np.zeros_like(b)
        upper, left = b - c, a - c  # of a + b - c: its distance from a and from b
        pa, pb, pc = np.abs(upper), np.abs(left), np.abs(upper + left)
        nearest = np.where((pa <= pb) & (pa <= pc), a, np.where(pb <= pc, b, c))
        predicted = np.where(paeth[part], nearest, 0)
        predicted += np.where(average[part], (a + b) >> 1, 0)
        predicted += np.where(sub[part], a, 0) + np.where(up[part], b, 0)
        done[time + 1, low + 1 : high + 1] = (skewed[time, low:high] + predicted) & 255
    flat_done = done[1:, 1:].astype(np.uint8).reshape(-1, step)
    return flat_done[place].reshape(count, -1)


def _samples(rows: np.ndarray, header: _Header) -> np.ndarray:
    """(H, W, channels) uint8 or uint16 as stored; palette indices stay indices."""
    shape = (header.height, header.width, _CHANNELS[header.colour_type])
    if header.depth == 16:
        return rows.view(">u2").astype(np.uint16).reshape(shape)
    if header.depth == 8:
        return rows.reshape(shape)
    each = 8 // header.depth
    shifts = np.arange(each - 1, -1, -1, dtype=np.uint8) * np.uint8(header.depth)
    values = (rows[:, :, None] >> shifts) & np.uint8((1 << header.depth) - 1)
    return np.asarray(values.reshape(header.height, -1)[:, : header.width, None])


def _with_transparency(samples: np.ndarray, header: _Header, palette: bytes, transparency: bytes) -> np.ndarray:
    if header.colour_type == _PALETTE:
        return _looked_up(samples[..., 0], header, palette, transparency)
    alpha = None
    channels = samples.shape[2]
    if header.colour_type in (_GREY, _RGB) and len(transparency) == 2 * channels:
        key = np.frombuffer(transparency, ">u2").astype(samples.dtype)
        limit = np.iinfo(samples.dtype).max
        alpha = np.where((samples == key).all(axis=2), 0, limit).astype(samples.dtype)
    if header.depth < 8:
        samples = samples * np.uint8(255 // ((1 << header.depth) - 1))
    if alpha is not None:
        return np.dstack([samples, alpha])
    return np.asarray(samples[..., 0] if channels == 1 else samples)


def _looked_up(indices: np.ndarray, header: _Header, palette: bytes, transparency: bytes) -> np.ndarray:
    colours = np.frombuffer(palette[: len(palette) // 3 * 3], np.uint8).reshape(-1, 3)
    if not len(colours) or int(indices.max()) >= len(colours):
        raise ImageError(f"{header.name} is damaged: its palette lacks colors that it uses.", advice=_DAMAGED)
    if transparency:
        alpha = np.full(len(colours), 255, np.uint8)
        given = np.frombuffer(transparency, np.uint8)[: len(colours)]
        alpha[: len(given)] = given
        colours = np.column_stack([colours, alpha])
    return np.asarray(colours[indices])

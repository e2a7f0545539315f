"""Airborne and terrestrial scans in LAS, LAZ and COPC files, read by laspy a part at a time.

Source: ASPRS, "LAS Specification 1.4 - R15". Coordinates are in the file's reference system, Z up; colours are 16 bits
by the specification, and 8 by many programs.
"""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pantheon360_blender.core import inputs
from pantheon360_blender.core.importers.imported import Gathering, Imported, Options, Source, SourceError
from pantheon360_blender.core.points.vertices import grey_of
from pantheon360_blender.core.progress import Job, Progress

from . import missing, reference_system
from .reference_system import Units

_PART = 1 << 19  # points
_LOW_NOISE, _HIGH_NOISE = 7, 18  # classes; the second one only in the newer point formats
_NEWER = 6
_DAMAGED = (ArithmeticError, EOFError, LookupError, RuntimeError, TypeError, ValueError)
"""What laspy and lazrs raise on broken files besides laspy's own errors."""
_PANIC = "PanicException"
"""What Rust's panics become in Python: no Exception, and in no module to import."""
_COLOURS = ("red", "green", "blue")
_BYTE = 255
_BRIGHT = 0.98  # share of the points that are darker than the brightest grey
_AGAIN = "Copy or export it again."
_SMALLEST_HEADER = 227
_MOST_RECORDS = 10_000
_LAYERED = 3  # the packing of the newer point formats
_LAYERS = {10: 9, 11: 1, 12: 2, 13: 1}
"""Layers of the items of a point; extra bytes have one each."""
_LARGEST_CHUNK = 1 << 24  # points packed together in a LAZ file, which must be unpacked together
_CHUNK_BYTES = 1 << 28  # of them unpacked: the library reserves them however few points there are


def _read(path: Path, options: Options) -> Job[Imported]:
    laspy = missing.imported("laspy", "LAS and LAZ files need laspy", "laspy[lazrs]")
    left_out: Counter[str] = Counter()
    synthetic = done = 0
    try:
        count = _check_header(path)
        shades = yield from _shades(laspy, path, count)
        with laspy.open(str(path)) as reader:
            known = Units(np.ones(3)) if options.scale else reference_system.units(reader.header, path)
            gathering = Gathering(path, options, scale=known.metres)
            for part in reader.chunk_iterator(_PART):
                kept = _kept(part, left_out)
                synthetic += int(np.count_nonzero(np.asarray(part.synthetic)[kept]))
                points = np.column_stack([np.asarray(axis)[kept] for axis in (part.x, part.y, part.z)])
                gathering.add(points, shades.colours(part, kept))
                done += len(kept)
                yield Progress("Reading points", done, count)
    except BaseException as error:
        if not isinstance(error, (laspy.errors.LaspyException, *_DAMAGED)) and type(error).__name__ != _PANIC:
            raise
        raise SourceError(f"{path} is damaged or cut short: {_text(error)}.", advice=_AGAIN) from error
    if done < count:
        raise SourceError(f"{path} is cut short: {done:,} of its {count:,} points are there.", advice=_AGAIN)
    if 0 < count == sum(left_out.values()):
        raise SourceError(f"{path} holds noise and withheld points alone.", advice="Classify them again.")
    gathering.notes += [f"{number:,} points {what} were left out." for what, number in left_out.items() if number]
    if synthetic:
        gathering.notes.append(f"{synthetic:,} points are marked as synthetic: no pulse of the scanner met them.")
    gathering.notes += [*known.notes, *shades.notes]
    return gathering.finish(wanted=True)


def _kept(part: Any, left_out: Counter[str]) -> np.ndarray:
    """(N,) bool, False on points that are no surface: noise, and those withheld, which count as deleted."""
    noisy = [_LOW_NOISE, *([_HIGH_NOISE] if part.point_format.id >= _NEWER else [])]
    noise, withheld = np.isin(np.asarray(part.classification), noisy), np.asarray(part.withheld) != 0
    left_out["classified as noise"] += int(noise.sum())
    left_out["marked as withheld"] += int((withheld & ~noise).sum())
    return np.asarray(~noise & ~withheld)


@dataclass(frozen=True)
class _Shades:
    """How stored values become bytes: colours of 16 bits, of 8, or intensity as grey.

    shift: bits of a colour to drop, None if there are no colours. white: intensity of the brightest grey.
    """

    shift: int | None
    white: float
    notes: tuple[str, ...]

    def colours(self, part: Any, kept: np.ndarray) -> np.ndarray:
        """(N, 3) uint8 of the points that are kept."""
        if self.shift is None:
            return grey_of(np.asarray(part.intensity)[kept], 0.0, self.white)
        wide = np.column_stack([np.asarray(part[name])[kept] for name in _COLOURS])
        return np.minimum(wide >> self.shift, 255).astype(np.uint8)


def _shades(laspy: Any, path: Path, count: int) -> Job[_Shades]:
    """Judge colours by all points: scans are written strip by strip, and the first may be dark, or without colours.

    Many programs write the fields and leave them empty, or fill them with 8 bits. As soon as a colour needs more, all
    is known.
    """
    intensities = np.zeros(1 << 16, np.int64)
    brightest = done = 0
    wanted = laspy.DecompressionSelection.base().decompress_rgb().decompress_intensity()
    with laspy.open(str(path), decompression_selection=wanted) as reader:
        coloured = set(_COLOURS) <= set(reader.header.point_format.dimension_names)
        for part in reader.chunk_iterator(_PART):
            if coloured:
                brightest = max(brightest, *(int(np.max(part[name], initial=0)) for name in _COLOURS))
            if brightest > _BYTE:
                return _Shades(8, 0.0, ())
            intensities += np.bincount(np.asarray(part.intensity), minlength=len(intensities))
            done += len(part)
            yield Progress("Looking for colors", done, count)
    if brightest:
        return _Shades(0, 0.0, ("Its colors are of 8 bits.",))
    white = float(np.searchsorted(np.cumsum(intensities), _BRIGHT * intensities.sum()))
    told = "the points are shaded by intensity" if white else "nor intensity: the points are white"
    return _Shades(None, white, (f"The file has no colors{':' if white else ','} {told}.",))


def _check_header(path: Path) -> int:
    """How many points the header claims, after checking what laspy would believe and reserve memory for."""
    length = path.stat().st_size
    with inputs.open_regular(path) as file:
        head = file.read(375)
        if len(head) < _SMALLEST_HEADER:
            raise SourceError(f"{path} is cut short in its header.", advice=_AGAIN)
        header_size = int.from_bytes(head[94:96], "little")
        offset, records = (int.from_bytes(head[at : at + 4], "little") for at in (96, 100))
        kind, size = head[104], int.from_bytes(head[105:107], "little")
        count = int.from_bytes(head[107:111], "little")
        minor = head[25]
        if minor >= 4 and len(head) >= 255:
            count = int.from_bytes(head[247:255], "little") or count
        if head[24] != 1 or header_size < _SMALLEST_HEADER or offset < header_size or offset > length or not size:
            raise SourceError(f"{path} has a header that makes no sense (LAS {head[24]}.{minor}).", advice=_AGAIN)
        if records > _MOST_RECORDS or records * 54 > offset - header_size:
            raise SourceError(f"{path} claims {records:,} header records; there is no room for them.", advice=_AGAIN)
        scales = np.frombuffer(head[131:179], "<f8")
        if not np.isfinite(scales).all() or not scales[:3].all():
            raise SourceError(f"{path} has scales or offsets that are not finite or zero.", advice=_AGAIN)
        packed = bool(kind & 0xC0)
        if not packed and count * size > length - offset:
            raise SourceError(
                f"{path} is cut short: it has room for {(length - offset) // size:,} of {count:,} points.",
                advice=_AGAIN,
            )
        if packed:
            _check_packed(file, path, header_size, records, count, offset, size)
        _check_extended(file, head, path, minor, length)
    return count


def _check_packed(file: BinaryIO, path: Path, at: int, records: int, count: int, offset: int, size: int) -> None:
    """Check the size of a LAZ file's chunks: they are unpacked as a whole. Source: LAZ specification 1.4, 3.

    size: bytes of a point.
    """
    room = path.stat().st_size - offset
    file.seek(at)
    for _ in range(records):
        head = file.read(54)
        if len(head) < 54:
            break
        length = int.from_bytes(head[20:22], "little")
        body = file.read(length)
        if head[2:18].rstrip(b"\0") == b"laszip encoded" and len(body) >= 16:
            chunk = int.from_bytes(body[12:16], "little")
            if _LARGEST_CHUNK < chunk < 0xFFFFFFFF or (chunk < 0xFFFFFFFF and chunk * size > _CHUNK_BYTES):
                raise SourceError(f"{path} claims chunks of {chunk:,} points.", advice="Save it again as LAZ.")
            # A point costs a few bits at best: arithmetic coding is no magic.
            if count > room * 4096:
                raise SourceError(f"{path} claims {count:,} points in {room:,} bytes.", advice=_AGAIN)
            end = _check_chunks(file, path, offset, count, chunk)
            _check_chunk_sizes(path, offset, end, body)
            if int.from_bytes(body[:2], "little") == _LAYERED:
                _check_layers(file, path, offset + 8, end, body)
            return
    raise SourceError(f"{path} is packed, but does not say how.", advice=_AGAIN)


def _check_chunks(file: BinaryIO, path: Path, offset: int, count: int, chunk: int) -> int:
    """Check how many chunks the table at a LAZ file's end claims: lazrs ends the process if memory runs out.

    Returns where the table lies.
    """
    length = path.stat().st_size
    file.seek(offset)
    place = int.from_bytes(file.read(8), "little", signed=True)
    if place == -1:  # written without going back: the place is at the end
        file.seek(length - 8)
        place = int.from_bytes(file.read(8), "little", signed=True)
    if not offset + 8 <= place <= length - 8:
        raise SourceError(f"{path} is cut short: its table of chunks is missing.", advice=_AGAIN)
    file.seek(place + 4)
    chunks = int.from_bytes(file.read(4), "little")
    expected = -(-count // chunk) if 0 < chunk <= _LARGEST_CHUNK else None
    if chunks > count or (expected is not None and chunks != expected):
        raise SourceError(f"{path} claims {chunks:,} chunks for {count:,} points.", advice=_AGAIN)
    return place


def _check_chunk_sizes(path: Path, offset: int, end: int, body: bytes) -> None:
    """Check that the chunks are as long together as the points: lazrs reserves memory for each as its table says."""
    try:
        lazrs = importlib.import_module("lazrs")
        with inputs.open_regular(path) as file:
            file.seek(offset)
            table = lazrs.read_chunk_table(file, lazrs.LazVlr(body))
    except ImportError:
        return  # laspy unpacks by another library, or will say that it has none
    except BaseException as error:
        if not isinstance(error, _DAMAGED) and type(error).__name__ != _PANIC:
            raise
        raise SourceError(f"{path} is damaged: its table of chunks cannot be read.", advice=_AGAIN) from error
    if sum(size for _, size in table) != end - offset - 8:
        raise SourceError(f"{path} is damaged: its chunks are not as long as its points.", advice=_AGAIN)


def _check_layers(file: BinaryIO, path: Path, at: int, end: int, body: bytes) -> None:
    """Walk over chunks from `at` to `end` by the sizes of their layers, for which lazrs reserves memory unasked.

    A chunk is its first point as it is, the number of its points, the size of each layer, and the layers.
    Source: LAZ specification 1.4, "layered chunked compression"; item types 10 to 14.
    """
    point = layers = 0
    for item in range(34, 34 + 6 * int.from_bytes(body[32:34], "little"), 6):
        kind, size = (int.from_bytes(body[place : place + 2], "little") for place in (item, item + 2))
        point += size
        layers += _LAYERS.get(kind, size)
    while at < end:
        file.seek(at + point + 4)
        sizes = np.frombuffer(file.read(4 * layers), "<u4")
        at += point + 4 + 4 * layers + int(sizes.sum(dtype=np.int64))
        if len(sizes) < layers or not layers:
            break
    if at != end:
        raise SourceError(f"{path} is damaged: the sizes of its packed parts do not add up.", advice=_AGAIN)


def _check_extended(file: BinaryIO, head: bytes, path: Path, minor: int, length: int) -> None:
    """Walk over the extended records: laspy reserves memory for each as its header says."""
    if minor < 4 or len(head) < 247:
        return
    at, records = int.from_bytes(head[235:243], "little"), int.from_bytes(head[243:247], "little")
    for _ in range(min(records, _MOST_RECORDS)):
        file.seek(min(at, length))
        header = file.read(60)
        at += 60 + int.from_bytes(header[20:28], "little")
        if len(header) < 60 or at > length:
            break
    if records and (records > _MOST_RECORDS or at > length):
        raise SourceError(f"{path} claims {records:,} extended records beyond its end.", advice=_AGAIN)


def _text(error: BaseException) -> str:
    if isinstance(error, LookupError):
        return f"it refers to something unknown ({error})"
    return (str(error) or type(error).__name__).rstrip(".")[:300]


SOURCE = Source("las", "Laser scans (.las, .laz, .copc.laz)", lambda path, start: start.startswith(b"LASF"), _read)

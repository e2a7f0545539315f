"""Airborne and terrestrial scans in LAS, LAZ and COPC files, read by laspy a part at a time.

Source: ASPRS, "LAS Specification 1.4 - R15". Coordinates are in the file's reference system, Z up; colours are 16 bits
by the specification, and 8 by many programs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core.importers.imported import Gathering, Imported, Options, Source, SourceError
from pantheon360_blender.core.progress import Job, Progress

_PART = 1 << 19  # points
_LOW_NOISE, _HIGH_NOISE = 7, 18  # classes; the second one only in the newer point formats
_NEWER = 6
_DAMAGED = (ValueError, RuntimeError, LookupError, EOFError, OverflowError, TypeError)
"""What laspy and lazrs raise on broken files besides laspy's own errors."""
_AGAIN = "Copy or export it again."
_SMALLEST_HEADER = 227
_LARGEST_CHUNK = 1 << 24  # points packed together in a LAZ file, which must be unpacked together


def _read(path: Path, options: Options) -> Job[Imported]:
    laspy = _library()
    count = _check_header(path)
    gathering = Gathering(path, options)
    noise = done = 0
    shades = _Shades()
    try:
        with laspy.open(str(path)) as reader:
            coloured = {"red", "green", "blue"} <= set(reader.header.point_format.dimension_names)
            noisy = [_LOW_NOISE, *([_HIGH_NOISE] if reader.header.point_format.id >= _NEWER else [])]
            for part in reader.chunk_iterator(_PART):
                kept = ~np.isin(np.asarray(part.classification), noisy)
                noise += len(kept) - int(kept.sum())
                points = np.column_stack([np.asarray(axis)[kept] for axis in (part.x, part.y, part.z)])
                gathering.add(points, shades.of(part, coloured, kept))
                done += len(kept)
                yield Progress("Reading points", done, count)
    except (laspy.errors.LaspyException, *_DAMAGED) as error:
        raise SourceError(f"{path} is damaged or cut short: {_text(error)}.", advice=_AGAIN) from error
    if done < count:
        raise SourceError(f"{path} is cut short: {done:,} of its {count:,} points are there.", advice=_AGAIN)
    if noise:
        gathering.notes.append(f"{noise:,} points classified as noise were left out.")
    if not coloured and done:
        gathering.notes.append("The file has no colours: the points are shaded by intensity.")
    return gathering.finish(wanted=True)


class _Shades:
    """Colours as bytes, from 16 bits or, where no value of the first points needs more, from 8."""

    def __init__(self) -> None:
        self._brightest = 0.0

    def of(self, part: Any, coloured: bool, kept: np.ndarray) -> np.ndarray:
        if coloured:
            wide = np.column_stack([np.asarray(part[name])[kept] for name in ("red", "green", "blue")])
            self._brightest = max(self._brightest, float(wide.max(initial=0)))
            return (wide >> 8 if self._brightest > 255 else wide).astype(np.uint8)
        intensity = np.asarray(part.intensity)[kept].astype(np.float32)
        if not self._brightest:
            self._brightest = float(np.percentile(intensity, 98)) if len(intensity) else 0.0
        grey = np.clip(intensity * (255 / max(self._brightest, 1.0)), 0, 255).astype(np.uint8)
        return np.repeat(grey[:, None], 3, axis=1)


def _check_header(path: Path) -> int:
    """How many points the header claims, after checking what laspy would believe and reserve memory for."""
    length = path.stat().st_size
    with open(path, "rb") as file:
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
        if records * 54 > offset - header_size:
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
            _check_packed(file, path, header_size, records, count, size, length - offset)
        _check_extended(head, path, minor, length)
    return count


def _check_packed(file: Any, path: Path, at: int, records: int, count: int, size: int, room: int) -> None:
    """Check the size of a LAZ file's chunks: they are unpacked as a whole. Source: LAZ specification 1.4, 3."""
    file.seek(at)
    for _ in range(records):
        head = file.read(54)
        if len(head) < 54:
            break
        length = int.from_bytes(head[20:22], "little")
        body = file.read(length)
        if head[2:18].rstrip(b"\0") == b"laszip encoded" and len(body) >= 16:
            chunk = int.from_bytes(body[12:16], "little")
            if _LARGEST_CHUNK < chunk < 0xFFFFFFFF:
                raise SourceError(f"{path} claims chunks of {chunk:,} points.", advice="Save it again as LAZ.")
            # A point costs a few bits at best: arithmetic coding is no magic.
            if count > room * 4096:
                raise SourceError(f"{path} claims {count:,} points in {room:,} bytes.", advice=_AGAIN)
            return
    raise SourceError(f"{path} is packed, but does not say how.", advice=_AGAIN)


def _check_extended(head: bytes, path: Path, minor: int, length: int) -> None:
    if minor >= 4 and len(head) >= 247:
        start, records = int.from_bytes(head[235:243], "little"), int.from_bytes(head[243:247], "little")
        if records and (start > length or records * 60 > length - start):
            raise SourceError(f"{path} claims {records:,} extended records beyond its end.", advice=_AGAIN)


def _library() -> Any:
    try:
        import laspy
    except ImportError as error:
        raise SourceError(
            "LAS and LAZ files need laspy, which is not installed.", advice="Install laspy[lazrs] in the backend."
        ) from error
    return laspy


def _text(error: BaseException) -> str:
    return (str(error) or type(error).__name__).rstrip(".")[:300]


SOURCE = Source("las", "Laser scans (.las, .laz, .copc.laz)", lambda path, start: start.startswith(b"LASF"), _read)

"""What image files say before their pixels: size, XMP packets, tags and colours, found without decoding anything."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .. import budget
from ..budget import PictureBudget
from ..errors import ImageError, MetadataError
from . import exr, icc, xmp
from .exif import TagReader
from .media_files import reading

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP",
}  # fmt: skip

_XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION_MARK = b"http://ns.adobe.com/xmp/extension/\0"
_EXIF_MARK = b"Exif\0\0"
_PROFILE_MARK = b"ICC_PROFILE\0"
_MOST_PACKETS = 4
_MOST_SEGMENTS = 20_000
_MOST_CHUNKS = 1_000_000
_BLOCK = 1 << 20
_LONGEST_EXR_HEADER = 16 << 20
_RADIANCE = (b"#?RADIANCE", b"#?RGBE")
_LONGEST_RADIANCE_HEADER = 1 << 16
_RADIANCE_PRIMARIES = b"PRIMARIES="
_SAME_LIGHT = 2e-3
"""How far a matrix may be from none: primaries are written with three or four digits."""

_PRIMARIES = {1: icc.REC709, 9: icc.REC2020, 12: icc.P3}
_SRGB_CURVE, _LINEAR_CURVE = 13, 8
"""Numbers of primaries and transfer functions in cICP chunks. Source: ITU-T H.273, tables 2 and 3."""
_PNG_COLOURS = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
_REC709_CHUNK = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)  # as a cHRM chunk has it
_SRGB_GAMMA = 45455  # 1 / 2.2, which programs without colour management write for sRGB

_TIFF_KIND, _TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_COLOURS, _TIFF_XMP, _TIFF_PROFILE = 254, 256, 257, 262, 700, 34675
_TIFF_EXTRA_SAMPLES = 338
_REDUCED, _PREMULTIPLIED = 1, 1
_UNTOLD_COLOURS = {5: "CMYK", 8: "CIE Lab", 9: "ICC Lab", 10: "ITU Lab"}
_TIFF_PIXELS = ((273, 279), (324, 325))
"""Tags of offsets and byte counts, of strips and of tiles."""


@dataclass
class ImageHeader:
    """The parts of an image file that are not pixels.

    size: (width, height) pixels, or None if the kind of file is not known here.
    packets: XMP packets, the main one first.
    tags: the TIFF structure with Exif and GPS tags, or None.
    profile: the ICC profile, empty if there is none. space: the colour space that a PNG names without a profile.
    premultiplied: whether the stored colours are multiplied by alpha.
    light: (3, 3) float64, from the scene light of an OpenEXR or Radiance file to linear Rec. 709, or None.
    part_of: (width, height) of the picture that an OpenEXR file has a part of, and where it lies, (left, top); or None.
    projection: "cube" if an OpenEXR file says so, or None.
    warnings: what was damaged and skipped.
    """

    size: tuple[int, int] | None = None
    packets: list[bytes] = field(default_factory=list)
    tags: BinaryIO | None = None
    profile: bytes = b""
    space: icc.ColourSpace | None = None
    premultiplied: bool = False
    light: np.ndarray | None = None
    part_of: tuple[tuple[int, int], tuple[int, int]] | None = None
    projection: str | None = None
    warnings: list[str] = field(default_factory=list)

    def add_packet(self, packet: bytes) -> None:
        """Keep an XMP packet; files have one, or two by careless programs, and more are left out."""
        if len(self.packets) < _MOST_PACKETS:
            self.packets.append(packet)


def read(file: BinaryIO, length: int, path: Path) -> ImageHeader:
    """Read the header of a JPEG, PNG, TIFF, WebP, OpenEXR or Radiance file; other kinds give an empty one.

    file: seekable, open at its start; of `length` bytes. path: for messages and its suffix.
    Raises ImageError if the file is cut off, damaged, or not what its suffix says; HostileXmlError if a
    compressed packet swells beyond all measure.
    """
    try:
        return _header(file, length, path)
    except struct.error as error:  # a part that is shorter than what belongs into it
        raise _damaged(path) from error


def _header(file: BinaryIO, length: int, path: Path) -> ImageHeader:
    start = file.read(12)
    if start.startswith(b"\xff\xd8"):
        return _Jpeg(file, length, path).header
    if start.startswith(_PNG):
        return _png(file, length, path)
    if start.startswith(_TIFF):
        return _tiff(file, length, path)
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return _webp(file, length, path)
    if start.startswith(exr.MAGIC):
        return _exr(file, length, path)
    if start.startswith(_RADIANCE):
        return _radiance(file)
    named = _SUFFIXES.get(path.suffix.lower())
    if named:
        raise ImageError(f"{path} is not a {named} file, or its start is damaged.", advice="Copy or export it again.")
    return ImageHeader()


def check_whole(path: Path, most: PictureBudget = budget.PANORAMA) -> None:
    """Raise ImageError if a JPEG, PNG, TIFF or WebP file is cut off or damaged, FileError if it cannot be read.

    most: sizes that it, or an OpenEXR file, may have: libraries reserve memory for what a header says.
    Blender shows what a JPEG or TIFF lacks as grey or black without an error; damaged files of other kinds it refuses.
    """
    with suppress(MetadataError), reading(path) as (file, length):  # a sound picture may have unsound metadata
        if file.read(4) == exr.MAGIC:
            file.seek(0)
            exr.check_declared(file.read(min(length, _LONGEST_EXR_HEADER)), str(path), most)
            return
        file.seek(0)
        size = read(file, length, path).size
        if size is not None:
            most.check(*size, str(path))


class _Jpeg:
    """The segments of a JPEG file up to its scan. Source: ITU-T T.81 annex B; XMP part 3, 1.1.3; Exif 2.32, 4.5.4."""

    def __init__(self, file: BinaryIO, length: int, path: Path) -> None:
        self._file, self._length, self._path = file, length, path
        self._extensions: dict[bytes, dict[int, bytes]] = {}
        self._extended_lengths: dict[bytes, int] = {}
        self._extended_bytes = 0
        self._profile: dict[int, bytes] = {}
        self._profile_parts = 0
        self.header = ImageHeader()
        self._segments()
        self._check_end()
        self._join_extensions()
        self._join_profile()
        if self.header.size is None:
            raise ImageError(f"{path} has no picture in it.", advice="Copy or export it again.")

    def _segments(self) -> None:
        self._file.seek(2)
        for _ in range(_MOST_SEGMENTS):
            mark = self._file.read(2)
            if len(mark) < 2:
                raise _cut_off(self._path)
            if mark[0] != 0xFF:
                raise _damaged(self._path)
            if mark[1] == 0xFF:  # fill byte
                self._file.seek(-1, io.SEEK_CUR)
                continue
            if mark[1] == 0xDA:
                return
            if mark[1] in (0x01, *range(0xD0, 0xD8)):  # these stand alone
                continue
            if mark[1] == 0xD9:
                raise _cut_off(self._path)
            self._segment(mark[1])
        raise _damaged(self._path)

    def _segment(self, mark: int) -> None:
        size = self._file.read(2)
        count = int.from_bytes(size, "big") - 2
        if len(size) < 2 or self._file.tell() + count > self._length:
            raise _cut_off(self._path)
        if count < 0:
            raise _damaged(self._path)
        if mark == 0xE1:
            self._application_1(self._file.read(count))
            return
        if mark == 0xE2:
            self._application_2(self._file.read(count))
            return
        end = self._file.tell() + count
        if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC) and count >= 6:
            _, height, width, components = struct.unpack(">BHHB", self._file.read(6))
            self.header.size = _checked_size(width, height, self._path)
            if components == 4:
                self.header.warnings.append(_untold("CMYK"))
        self._file.seek(end)

    def _application_1(self, data: bytes) -> None:
        if data.startswith(_XMP_MARK):
            self.header.add_packet(data[len(_XMP_MARK) :])
        elif data.startswith(_EXTENSION_MARK):
            self._extension(data[len(_EXTENSION_MARK) :])
        elif data.startswith(_EXIF_MARK) and self.header.tags is None:
            self.header.tags = io.BytesIO(data[len(_EXIF_MARK) :])

    def _application_2(self, data: bytes) -> None:
        """Source: ICC.1:2022, annex B.4: a profile in numbered parts."""
        if data.startswith(_PROFILE_MARK) and len(data) > len(_PROFILE_MARK) + 2:
            number, self._profile_parts = data[len(_PROFILE_MARK)], data[len(_PROFILE_MARK) + 1]
            self._profile[number] = data[len(_PROFILE_MARK) + 2 :]

    def _join_profile(self) -> None:
        if sorted(self._profile) == list(range(1, self._profile_parts + 1)):
            self.header.profile = b"".join(self._profile[number] for number in sorted(self._profile))
        elif self._profile:
            self.header.warnings.append("The color profile is incomplete and was ignored.")

    def _extension(self, data: bytes) -> None:
        if len(data) < 40:
            return
        guid, (length, offset), content = data[:32].upper(), struct.unpack_from(">II", data, 32), data[40:]
        self._extended_bytes += len(content)
        if self._extended_bytes <= xmp.LARGEST_PACKET:
            self._extended_lengths[guid] = length
            self._extensions.setdefault(guid, {})[offset] = content

    def _join_extensions(self) -> None:
        wanted = b""
        for packet in self.header.packets[:1]:
            try:
                note = xmp.properties(packet, xmp.NOTE)
            except xmp.HostileXmlError:
                raise
            except MetadataError:
                return  # the reader of the packet itself will say so
            wanted = note.get("HasExtendedXMP", "").upper().encode("ascii", "replace")
        if not wanted:
            return
        parts = self._extensions.get(wanted, {})
        joined, whole = bytearray(), self._extended_bytes <= xmp.LARGEST_PACKET
        for offset in sorted(parts):
            whole = whole and offset == len(joined)
            joined += parts[offset]
        whole = whole and len(joined) == self._extended_lengths.get(wanted)
        digest = hashlib.md5(joined, usedforsecurity=False).hexdigest().upper().encode()
        if whole and digest == wanted:
            self.header.packets.append(bytes(joined))
        else:
            self.header.warnings.append("The extended XMP is incomplete or damaged and was ignored.")

    def _check_end(self) -> None:
        """Scan data never holds an end-of-image mark, so that a file without one after its scan has lost its end."""
        last = b""
        while block := self._file.read(_BLOCK):
            if b"\xff\xd9" in last + block:
                return
            last = block[-1:]
        raise _cut_off(self._path)


def _png(file: BinaryIO, length: int, path: Path) -> ImageHeader:
    """Source: PNG specification, third edition, 5 and 11; XMP part 3, 1.1.5."""
    header = ImageHeader()
    colours: dict[bytes, bytes] = {}
    position = len(_PNG)
    for _ in range(_MOST_CHUNKS):
        file.seek(position)
        start = file.read(8)
        if len(start) < 8:
            raise _cut_off(path)
        size, kind = int.from_bytes(start[:4], "big"), start[4:]
        position += 12 + size
        if position > length:
            raise _cut_off(path)
        if header.size is None and (kind != b"IHDR" or size != 13):
            raise _damaged(path)
        if kind == b"IEND":
            _png_colours(colours, header)
            return header
        if kind in (b"IHDR", b"iTXt", b"eXIf", *_PNG_COLOURS) and size <= xmp.LARGEST_PACKET:
            data, checksum = file.read(size), file.read(4)
            if zlib.crc32(kind + data) != int.from_bytes(checksum, "big"):
                if kind == b"IHDR":
                    raise _damaged(path)
                header.warnings.append(f"A damaged {kind.decode()} chunk was ignored.")
            elif kind in _PNG_COLOURS:
                colours.setdefault(kind, data)
            else:
                _png_chunk(kind, data, header, path)
    raise _damaged(path)


def _png_chunk(kind: bytes, data: bytes, header: ImageHeader, path: Path) -> None:
    if kind == b"IHDR":
        width, height = struct.unpack_from(">II", data)
        header.size = _checked_size(width, height, path)
    elif kind == b"eXIf":
        header.tags = io.BytesIO(data.removeprefix(_EXIF_MARK))
    elif data.startswith(b"XML:com.adobe.xmp\0") and not header.packets:
        # keyword, compression flag, method, language, translated keyword, text
        text = data[20:].split(b"\0", 2)[-1]
        try:
            header.add_packet(_inflate(text) if data[18:19] == b"\1" else text)
        except zlib.error:
            header.warnings.append("The compressed XMP is damaged and was ignored.")


def _png_colours(chunks: dict[bytes, bytes], header: ImageHeader) -> None:
    """What colours a PNG's values mean, by the chunk that counts most. Source: PNG, third edition, 4.3 and 11.3.2."""
    try:
        if b"cICP" in chunks:
            header.space = _of_code_points(chunks[b"cICP"], header.warnings)
        elif b"iCCP" in chunks:
            header.profile = _inflate(chunks[b"iCCP"].partition(b"\0")[2][1:])
        elif b"sRGB" not in chunks and b"gAMA" in chunks:
            (gamma,) = struct.unpack(">I", chunks[b"gAMA"])
            if gamma and gamma != _SRGB_GAMMA:
                places = struct.unpack(">8I", chunks.get(b"cHRM", _REC709_CHUNK))
                white, red, green, blue = ((x / 1e5, y / 1e5) for x, y in zip(places[::2], places[1::2], strict=True))
                name = f"of gamma {gamma / 1e5:g}"
                header.space = icc.of_primaries(name, (red, green, blue), 1e5 / gamma, white)
    except (struct.error, zlib.error, MetadataError) as error:
        header.warnings.append(f"What it says of its colors is damaged and was ignored ({error}).")


def _of_code_points(chunk: bytes, warnings: list[str]) -> icc.ColourSpace | None:
    primaries, curve = struct.unpack_from("2B", chunk)
    if primaries in _PRIMARIES and curve in (_SRGB_CURVE, _LINEAR_CURVE):
        name = f"of primaries {primaries}"
        return icc.of_primaries(name, _PRIMARIES[primaries], 1.0 if curve == _LINEAR_CURVE else None)
    warnings.append(
        f"Its colors are of primaries {primaries} and curve {curve} (cICP), which are not converted: export it as sRGB."
    )
    return None


def _inflate(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    text = stream.decompress(data, xmp.LARGEST_PACKET)
    if stream.unconsumed_tail:
        raise xmp.HostileXmlError("The compressed metadata swells beyond all measure.", advice=xmp.ADVICE)
    return text


def _tiff(file: BinaryIO, length: int, path: Path) -> ImageHeader:
    """Source: TIFF revision 6.0, sections 3, 8 and 15; XMP part 3, 1.1.4."""
    try:
        reader = TagReader(file)
        width, height = (reader.integer(reader.first, tag) for tag in (_TIFF_WIDTH, _TIFF_HEIGHT))
        if width is None or height is None:
            raise _damaged(path)
        header = ImageHeader(size=_checked_size(width, height, path), tags=file)
        if (reader.integer(reader.first, _TIFF_KIND) or 0) & _REDUCED:
            raise ImageError(f"{path} shows a small preview of its picture first.", advice="Export it as a plain TIFF.")
        header.premultiplied = reader.integer(reader.first, _TIFF_EXTRA_SAMPLES) == _PREMULTIPLIED
        if untold := _UNTOLD_COLOURS.get(reader.integer(reader.first, _TIFF_COLOURS) or 0):
            header.warnings.append(_untold(untold))
        for offsets, counts in _TIFF_PIXELS:
            pairs = zip(reader.numbers(reader.first, offsets), reader.numbers(reader.first, counts), strict=False)
            if max((offset + count for offset, count in pairs), default=0) > length:
                raise _cut_off(path)
    except MetadataError as error:
        raise ImageError(f"{path} is cut off or damaged: {error.text}", advice="Copy or export it again.") from error
    try:
        if _TIFF_PROFILE in reader.first:
            header.profile = reader.raw(reader.first[_TIFF_PROFILE])
        if _TIFF_XMP in reader.first:
            header.packets.append(reader.raw(reader.first[_TIFF_XMP]))
    except MetadataError as error:
        header.warnings.append(f"The XMP or the color profile was ignored: {error.text}")
    return header


def _webp(file: BinaryIO, length: int, path: Path) -> ImageHeader:
    """Source: WebP container specification; RFC 6386, 9.1 (VP8); WebP lossless bitstream specification, 3."""
    header = ImageHeader()
    file.seek(4)
    end = 8 + int.from_bytes(file.read(4), "little")
    if end > length:
        raise _cut_off(path)
    position = 12
    for _ in range(_MOST_CHUNKS):
        if position + 8 > end:
            break
        file.seek(position)
        kind, size = struct.unpack("<4sI", file.read(8))
        position += 8 + size + size % 2
        if position > end + 1:
            raise _cut_off(path)
        if header.size is None:
            header.size = _webp_size(kind, file.read(min(size, 10)), path)
        elif kind in (b"EXIF", b"XMP ", b"ICCP") and size <= xmp.LARGEST_PACKET:
            data = file.read(size)
            if kind == b"EXIF":
                header.tags = io.BytesIO(data.removeprefix(_EXIF_MARK))
            elif kind == b"ICCP":
                header.profile = data
            else:
                header.add_packet(data)
    if header.size is None:
        raise _cut_off(path)
    return header


def _webp_size(kind: bytes, data: bytes, path: Path) -> tuple[int, int]:
    if kind == b"VP8X" and len(data) == 10:
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a" and len(data) == 10:
        width, height = struct.unpack_from("<HH", data, 6)
        return _checked_size(width & 0x3FFF, height & 0x3FFF, path)
    if kind == b"VP8L" and data[:1] == b"\x2f" and len(data) >= 5:
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise _damaged(path)


def _exr(file: BinaryIO, length: int, path: Path) -> ImageHeader:
    """Source: "OpenEXR File Layout" and "Standard Attributes"."""
    file.seek(0)
    data = file.read(min(length, _LONGEST_EXR_HEADER))
    exr.check_declared(data, str(path), budget.PANORAMA)
    found = exr.stated(data, str(path))
    header = ImageHeader(size=found.size, projection="cube" if found.cube else None)
    if found.is_part:
        header.part_of = found.full_size, found.offset
    if found.chromaticities is not None:
        _light(found.chromaticities, header)
    return header


def _radiance(file: BinaryIO) -> ImageHeader:
    """Source: G. Ward, "Radiance File Formats", picture files."""
    header = ImageHeader()
    file.seek(0)
    lines = file.read(_LONGEST_RADIANCE_HEADER).partition(b"\n\n")[0].split(b"\n")
    if b"FORMAT=32-bit_rle_xyze" in map(bytes.strip, lines):
        header.warnings.append("Its colors are of CIE XYZ, which are not converted: export it as RGB.")
    stated = [line.partition(b"=")[2] for line in lines if line.startswith(_RADIANCE_PRIMARIES)]
    if stated:
        try:
            numbers = [float(each) for each in stated[-1].split()]
            _light(tuple(zip(numbers[:8:2], numbers[1:8:2], strict=True)), header)
        except ValueError:
            header.warnings.append("What it says of its primaries is damaged and was ignored.")
    return header


def _light(chromaticities: tuple[tuple[float, float], ...], header: ImageHeader) -> None:
    """Note how light of some primaries, red, green, blue and white, becomes that of Rec. 709."""
    try:
        red, green, blue, white = chromaticities
        matrix = icc.of_primaries("its light", (red, green, blue), 1.0, white).srgb_from_space
    except MetadataError as error:
        header.warnings.append(f"{error.text} They were ignored.")
        return
    if np.abs(matrix - np.eye(3)).max() > _SAME_LIGHT:
        header.light = matrix


def _checked_size(width: int, height: int, path: Path) -> tuple[int, int]:
    if width < 1 or height < 1:
        raise ImageError(f"{path} is {width} x {height} pixels.", advice="Copy or export it again.")
    return width, height


def _untold(colours: str) -> str:
    return f"Its colors are {colours}, which only roughly become those on a screen: export it as sRGB."


def _cut_off(path: Path) -> ImageError:
    return ImageError(f"{path} is cut off: its end is missing.", advice="Copy or export it again.")


def _damaged(path: Path) -> ImageError:
    return ImageError(f"{path} is damaged: its header makes no sense.", advice="Copy or export it again.")

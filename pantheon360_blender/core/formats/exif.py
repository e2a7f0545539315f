"""Tags of TIFF files and of the Exif blocks in JPEG and PNG: position, direction, and anything asked for by number."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import MetadataError
from ..geography import Position

GPS_DIRECTORY = 0x8825
_EXIF_DIRECTORY, _INTEROPERABILITY_DIRECTORY = 0x8769, 0xA005
_ORIENTATION, _COLOUR_SPACE, _INTEROPERABILITY_INDEX = 0x0112, 0xA001, 1
_ADOBE_RGB = 2
UPRIGHT = 1
"""The orientation of a picture whose first pixel is its top left one."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_TEXT, _RATIONAL, _UNDEFINED, _SIGNED_RATIONAL = 2, 5, 7, 10
_MOST_TAGS = 4096
_LARGEST_VALUE = 4 << 20
_LARGEST_RAW_VALUE = 32 << 20

_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = 1, 2, 3, 4, 5, 6
_DIRECTION_REF, _DIRECTION = 16, 17
_BELOW_SEA_LEVEL, _BELOW_ELLIPSOID = 1, 3

Value = bytes | tuple[float, ...]
"""Text and undefined types as bytes, numbers as a tuple; a rational with a zero denominator as NaN."""


@dataclass(frozen=True)
class Field:
    """One entry of a directory: its type, the number of values, and the byte where they lie."""

    kind: int
    count: int
    offset: int

    @property
    def size(self) -> int:
        """Bytes of all the values; 0 if the type is unknown."""
        return _SIZES.get(self.kind, 0) * self.count


class TagReader:
    """Random access to the tags of a TIFF structure, classic or BigTIFF, in either byte order.

    file: a seekable binary file whose first byte is the structure's first byte.
    Raises MetadataError if the header is no TIFF header or a tag lies outside the file.
    Source: TIFF revision 6.0, section 2; the BigTIFF design.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._length = file.seek(0, 2)
        order = {b"II": "<", b"MM": ">"}.get(self._bytes(0, 2))
        if order is None:
            raise MetadataError("The tags do not begin with a byte order.")
        self._order = order
        version = self._number("H", 2)
        if version == 42:
            self._count_letter, self._offset_letter, first = "H", "I", 4
        elif version == 43 and self._number("H", 4) == 8:
            self._count_letter, self._offset_letter, first = "Q", "Q", 8
        else:
            raise MetadataError("The tags do not begin with a TIFF version.")
        self.first = self.directory(self._number(self._offset_letter, first))

    def directory(self, offset: int) -> dict[int, Field]:
        """Fields by tag of the directory at byte `offset`."""
        count = self._number(self._count_letter, offset)
        if count > _MOST_TAGS:
            raise MetadataError(f"A tag directory claims {count} tags.")
        inline = struct.calcsize(self._offset_letter)
        entry = 4 + 2 * inline
        start = offset + struct.calcsize(self._count_letter)
        block = self._bytes(start, count * entry)
        fields: dict[int, Field] = {}
        for at in range(0, count * entry, entry):
            tag, kind, values = struct.unpack_from(f"{self._order}HH{self._offset_letter}", block, at)
            field = Field(kind, values, start + at + 4 + inline)
            if field.size > inline:
                field = Field(
                    kind, values, struct.unpack_from(self._order + self._offset_letter, block, at + 4 + inline)[0]
                )
            fields.setdefault(tag, field)
        return fields

    def value(self, field: Field) -> Value:
        """Values of a field. Raises MetadataError if its type is unknown, or it is larger than 4 MiB."""
        if not field.size or field.size > _LARGEST_VALUE:
            raise MetadataError(f"A tag of type {field.kind} with {field.count} values cannot be read.")
        data = self._bytes(field.offset, field.size)
        if field.kind in (_TEXT, _UNDEFINED):
            return data
        if field.kind in (_RATIONAL, _SIGNED_RATIONAL):
            letter = "I" if field.kind == _RATIONAL else "i"
            parts = struct.unpack(f"{self._order}{2 * field.count}{letter}", data)
            return tuple(_ratio(*pair) for pair in zip(parts[::2], parts[1::2], strict=True))
        return struct.unpack(f"{self._order}{field.count}{_LETTERS[field.kind]}", data)

    def numbers(self, directory: dict[int, Field], tag: int) -> tuple[float, ...]:
        """Numbers of a tag; empty if the tag is missing or not numeric."""
        value = self.value(directory[tag]) if tag in directory else ()
        return value if isinstance(value, tuple) else ()

    def integer(self, directory: dict[int, Field], tag: int) -> int | None:
        """The first number of a tag if it is a whole one, else None."""
        number = next(iter(self.numbers(directory, tag)), None)
        return number if isinstance(number, int) else None

    def text(self, directory: dict[int, Field], tag: int) -> str:
        """Text of a tag; empty if the tag is missing or not text."""
        value = self.value(directory[tag]) if tag in directory else b""
        return value.split(b"\0")[0].decode("ascii", "replace").strip() if isinstance(value, bytes) else ""

    def raw(self, field: Field) -> bytes:
        """A field's values as they lie in the file. Raises MetadataError if they are larger than 32 MiB."""
        if field.size > _LARGEST_RAW_VALUE:
            raise MetadataError(f"A tag takes {field.size} bytes.")
        return self._bytes(field.offset, field.size)

    def _number(self, letter: str, offset: int) -> int:
        number: int = struct.unpack(self._order + letter, self._bytes(offset, struct.calcsize(letter)))[0]
        return number

    def _bytes(self, offset: int, size: int) -> bytes:
        if offset + size > self._length:
            raise MetadataError("The tags point outside the file.")
        self._file.seek(offset)
        return self._file.read(size)


@dataclass(frozen=True)
class Gps:
    """What the GPS tags say.

    position: the place, or None.
    heading: degrees clockwise from north of the direction the picture looks in, or None.
    warnings: what could not be used and why.
    """

    position: Position | None = None
    heading: float | None = None
    warnings: tuple[str, ...] = ()


def gps(reader: TagReader) -> Gps:
    """Position and direction of the picture from its GPS directory.

    Raises MetadataError if the directory cannot be read.
    Source: Exif 2.32 (CIPA DC-008), 4.6.6; a direction to magnetic north is kept with a warning, for the declination
    is not known.
    """
    pointer = reader.integer(reader.first, GPS_DIRECTORY)
    if pointer is None:
        return Gps()
    tags = reader.directory(pointer)
    warnings: list[str] = []
    position = _position(reader, tags, warnings)
    direction = reader.numbers(tags, _DIRECTION)
    heading = direction[0] % 360.0 if direction and 0.0 <= direction[0] <= 360.0 else None
    if heading is not None and reader.text(tags, _DIRECTION_REF) == "M":
        warnings.append("The compass direction is to magnetic north; it is taken as true north.")
    return Gps(position, heading, tuple(warnings))


def _position(reader: TagReader, tags: dict[int, Field], warnings: list[str]) -> Position | None:
    if _LATITUDE not in tags and _LONGITUDE not in tags:
        return None
    latitude = signed_degrees(reader.numbers(tags, _LATITUDE), reader.text(tags, _LATITUDE_REF), "NS", warnings)
    longitude = signed_degrees(reader.numbers(tags, _LONGITUDE), reader.text(tags, _LONGITUDE_REF), "EW", warnings)
    altitude = next(iter(reader.numbers(tags, _ALTITUDE)), float("nan"))
    return place(latitude, longitude, signed_altitude(altitude, _altitude_reference(reader, tags)), warnings)


def _altitude_reference(reader: TagReader, tags: dict[int, Field]) -> int:
    """A byte by the standard; some programs write it as undefined data, or as a digit."""
    value = reader.value(tags[_ALTITUDE_REF]) if _ALTITUDE_REF in tags else b""
    first = next(iter(value), 0) if isinstance(value, bytes) else reader.integer(tags, _ALTITUDE_REF) or 0
    return first - ord("0") if chr(first & 0x7F).isdigit() else first


def signed_altitude(altitude: float | None, reference: int) -> float | None:
    """Metres, below zero if the reference says so, or the number itself, which the standard wants unsigned."""
    if altitude is None or altitude != altitude:
        return None
    below = reference in (_BELOW_SEA_LEVEL, _BELOW_ELLIPSOID)
    return -abs(altitude) if below else altitude


def orientation(reader: TagReader) -> int | None:
    """How the pixels are to be turned to stand upright, 1 to 8; None if the tags do not say.

    Source: TIFF revision 6.0, section 8, "Orientation". Raises MetadataError if the tag cannot be read.
    """
    stated = reader.integer(reader.first, _ORIENTATION)
    return stated if stated is not None and 1 <= stated <= 8 else None


def is_adobe_rgb(reader: TagReader) -> bool:
    """Whether a camera marked the picture as Adobe RGB, which it does without a profile.

    Sources: Exif 2.32, 4.6.5, ColorSpace; DCF 2.0, the interoperability index R03. Raises MetadataError.
    """
    pointer = reader.integer(reader.first, _EXIF_DIRECTORY)
    if pointer is None:
        return False
    tags = reader.directory(pointer)
    if reader.integer(tags, _COLOUR_SPACE) == _ADOBE_RGB:
        return True
    further = reader.integer(tags, _INTEROPERABILITY_DIRECTORY)
    return further is not None and reader.text(reader.directory(further), _INTEROPERABILITY_INDEX) == "R03"


def place(
    latitude: float | None, longitude: float | None, altitude: float | None, warnings: list[str]
) -> Position | None:
    """A position, or None with a warning if it is incomplete, impossible or what cameras write without a fix."""
    if latitude is None or longitude is None:
        warnings.append("The GPS position is incomplete and was ignored.")
        return None
    if latitude == 0 and longitude == 0:
        warnings.append("The GPS position is 0, 0, which cameras write while they have no fix; it was ignored.")
        return None
    try:
        return Position(latitude, longitude, altitude)
    except MetadataError as error:
        warnings.append(f"The GPS position was ignored: {error.text}")
        return None


def signed_degrees(parts: tuple[float, ...], reference: str, signs: str, warnings: list[str]) -> float | None:
    """Signed degrees from degrees, minutes and seconds beside their hemisphere; None if something is missing.

    The standard wants numbers without a sign. A sign that programs write nevertheless says the same as S and W, and
    more than N and E, which they then write for every place.
    """
    side = reference[:1].upper()
    if not parts or len(parts) > 3 or not side or side not in signs:
        return None
    size: float = sum(abs(part) / 60**power for power, part in enumerate(parts) if power == 0 or part == part)
    if size != size:
        return None
    negative = any(part < 0 for part in parts)
    if negative and side == signs[0]:
        name = "latitude" if signs == "NS" else "longitude"
        warnings.append(f"The GPS {name} is negative beside {side}; it was taken as {signs[1]}.")
    return -size if negative or side == signs[1] else size


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else float("nan")

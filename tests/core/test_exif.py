"""GPS tags as programs write them, whatever the standard says of signs, types and zeros; by hand, byte for byte."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest

from pantheon360_blender.core.formats import exif

BYTE, ASCII, RATIONAL, UNDEFINED, SIGNED_RATIONAL = 1, 2, 5, 7, 10
SYDNEY = -33.856667


def tiff(tags: dict[int, tuple[int, Any]], pointer: int = exif.GPS_DIRECTORY) -> exif.TagReader:
    """A TIFF structure with one directory behind a pointer. tags: number -> type and values, rationals as pairs."""
    body = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HHHII", 1, pointer, 4, 1, 26) + bytes(4)
    start, table, values = len(body), b"", b""
    for tag, (kind, given) in sorted(tags.items()):
        if kind in (RATIONAL, SIGNED_RATIONAL):
            data = b"".join(struct.pack("<2i" if kind == SIGNED_RATIONAL else "<2I", *pair) for pair in given)
            count = len(given)
        else:
            data = given if isinstance(given, bytes) else bytes(given)
            count = len(data)
        place = (
            struct.pack("<I", start + 2 + 12 * len(tags) + 4 + len(values)) if len(data) > 4 else data.ljust(4, b"\0")
        )
        values += data if len(data) > 4 else b""
        table += struct.pack("<HHI", tag, kind, count) + place
    return exif.TagReader(io.BytesIO(body + struct.pack("<H", len(tags)) + table + bytes(4) + values))


def gps(latitude: Any, reference: bytes, **others: tuple[int, Any]) -> exif.Gps:
    tags = {1: (ASCII, reference), 2: latitude, 3: (ASCII, b"E\0"), 4: (RATIONAL, [(15121, 100)])}
    named = {"altitude_reference": 5, "altitude": 6, "direction_reference": 16, "direction": 17}
    return exif.gps(tiff(tags | {named[name]: value for name, value in others.items()}))


@pytest.mark.parametrize(
    ("latitude", "reference"),
    [
        ((RATIONAL, [(33, 1), (51, 1), (24, 1)]), b"S\0"),
        ((RATIONAL, [(33, 1), (514, 10), (0, 0)]), b"S\0"),
        ((RATIONAL, [(33856667, 1000000)]), b"S\0"),
        ((SIGNED_RATIONAL, [(-33856667, 1000000)]), b"S\0"),
        ((SIGNED_RATIONAL, [(-33, 1), (-51, 1), (-24, 1)]), b"S\0"),
        ((SIGNED_RATIONAL, [(-33, 1), (51, 1), (24, 1)]), b"S\0"),
        ((SIGNED_RATIONAL, [(33856667, -1000000)]), b"South\0"),
        ((SIGNED_RATIONAL, [(-33856667, 1000000)]), b"s\0"),
    ],
)
def test_south_is_south_whether_a_sign_says_so_too_or_not(latitude: Any, reference: bytes) -> None:
    found = gps(latitude, reference)
    assert found.position is not None and found.warnings == ()
    assert found.position.latitude == pytest.approx(SYDNEY, abs=1e-6)
    assert found.position.longitude == pytest.approx(151.21)


def test_a_sign_beside_north_is_believed_and_told() -> None:
    found = gps((SIGNED_RATIONAL, [(-33856667, 1000000)]), b"N\0")
    assert found.position is not None and found.position.latitude == pytest.approx(SYDNEY, abs=1e-6)
    assert any("negative beside N" in warning for warning in found.warnings)


@pytest.mark.parametrize("latitude", [(RATIONAL, [(33, 0)]), (RATIONAL, [(0, 0), (0, 0), (0, 0)]), (ASCII, b"33.85\0")])
def test_degrees_that_are_no_number_are_told(latitude: Any) -> None:
    found = gps(latitude, b"S\0")
    assert found.position is None and any("incomplete" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("reference", "altitude", "metres"),
    [
        ((BYTE, [0]), (RATIONAL, [(25, 2)]), 12.5),
        ((BYTE, [1]), (RATIONAL, [(25, 2)]), -12.5),
        ((BYTE, [2]), (RATIONAL, [(25, 2)]), 12.5),
        ((BYTE, [3]), (RATIONAL, [(25, 2)]), -12.5),
        ((UNDEFINED, b"\1"), (RATIONAL, [(25, 2)]), -12.5),
        ((ASCII, b"1\0"), (RATIONAL, [(25, 2)]), -12.5),
        ((ASCII, b"0\0"), (RATIONAL, [(25, 2)]), 12.5),
        ((BYTE, [1]), (SIGNED_RATIONAL, [(-25, 2)]), -12.5),
        ((BYTE, [0]), (SIGNED_RATIONAL, [(-25, 2)]), -12.5),
        ((BYTE, [0]), (RATIONAL, [(25, 0)]), None),
    ],
)
def test_below_the_sea_is_below_it(reference: Any, altitude: Any, metres: float | None) -> None:
    found = gps((RATIONAL, [(10, 1)]), b"N\0", altitude_reference=reference, altitude=altitude)
    assert found.position is not None and found.position.altitude == metres


@pytest.mark.parametrize("direction", [(RATIONAL, [(90, 0)]), (RATIONAL, [(400, 1)]), (ASCII, b"90\0")])
def test_a_direction_that_is_none_is_left_out(direction: Any) -> None:
    assert gps((RATIONAL, [(10, 1)]), b"N\0", direction=direction).heading is None

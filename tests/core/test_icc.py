"""Colour profiles: what is converted agrees with Little CMS, what is not is named, and damage is told."""

from __future__ import annotations

import contextlib
import io
import struct

import numpy as np
import pytest

from pantheon360_blender.core.errors import MetadataError
from pantheon360_blender.core.formats import icc

Image = pytest.importorskip("PIL.Image")
ImageCms = pytest.importorskip("PIL.ImageCms")

P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
PROPHOTO = ((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249))
"""XYZ of red, green and blue, as profiles have them, under D50."""


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def curve(*values: int) -> bytes:
    return b"curv" + bytes(4) + struct.pack(f">I{len(values)}H", len(values), *values)


def parametric(kind: int, *values: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + fixed(*values)


def description(name: str, version: int = 2) -> bytes:
    if version == 4:
        text = name.encode("utf-16-be")
        return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    return b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + bytes(80)


def profile(tags: dict[bytes, bytes], space: bytes = b"RGB ", connection: bytes = b"XYZ ", version: int = 2) -> bytes:
    body, table = b"", b""
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = bytearray(128)
    struct.pack_into(
        ">I4sI4s4s4s", head, 0, 132 + len(table) + len(body), b"", version << 24, b"mntr", space, connection
    )
    head[36:40] = b"acsp"
    head[68:80] = fixed(0.9642, 1.0, 0.8249)
    return bytes(head) + struct.pack(">I", len(tags)) + table + body


def matrix_profile(primaries: tuple[tuple[float, ...], ...], *curves: bytes, version: int = 2) -> bytes:
    tags = {b"desc": description("a screen", version), b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249)}
    tags |= {
        name: b"XYZ " + bytes(4) + fixed(*each)
        for name, each in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
    }
    return profile(tags | dict(zip((b"rTRC", b"gTRC", b"bTRC"), curves * 3, strict=False)), version=version)


def by_little_cms(data: bytes, image: np.ndarray) -> np.ndarray:
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(data)), ImageCms.createProfile("sRGB")
    mode = "RGB" if image.ndim == 3 else "L"
    return np.asarray(
        ImageCms.profileToProfile(Image.fromarray(image, mode), source, target, renderingIntent=1, outputMode="RGB")
    )


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "data",
    [
        matrix_profile(P3, parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045), version=4),
        matrix_profile(P3, parametric(0, 2.2)),
        matrix_profile(P3, parametric(1, 2.2, 1.1, -0.1)),
        matrix_profile(P3, parametric(4, 2.2, 0.9, 0.1, 0.5, 0.1, 0.01, 0.02)),
        matrix_profile(PROPHOTO, curve(round(1.8 * 256))),
        matrix_profile(P3, curve()),
        matrix_profile(P3, curve(*(round(65535 * (step / 99) ** 2.2) for step in range(100)))),
        matrix_profile(P3, curve(round(1.8 * 256)), curve(round(2.2 * 256)), curve()),
    ],
    ids=["Display P3", "gamma", "shifted", "of seven numbers", "ProPhoto", "linear", "a table", "three curves"],
)
def test_colours_are_those_of_little_cms(data: bytes, colours: np.ndarray) -> None:
    space = icc.parse(data)
    assert space.name == "a screen"
    assert not space.is_srgb()
    difference = np.abs(space.to_srgb(colours).astype(int) - by_little_cms(data, colours))
    assert difference.max() <= 2 and difference.mean() < 0.1


def test_sixteen_bits_are_converted_as_finely(colours: np.ndarray) -> None:
    space = icc.parse(matrix_profile(P3, parametric(0, 2.2)))
    np.testing.assert_array_equal(space.to_srgb(colours.astype(np.uint16) * 257), space.to_srgb(colours))


def test_gray_has_a_curve_alone() -> None:
    steps = np.arange(256, dtype=np.uint8)[None]
    data = profile({b"desc": description("dots"), b"kTRC": curve(round(1.8 * 256))}, b"GRAY")
    shown = icc.parse(data).to_srgb(np.repeat(steps[..., None], 3, axis=2))
    assert np.abs(shown.astype(int) - by_little_cms(data, steps)).max() <= 1


def test_srgb_is_known_by_what_it_does_not_by_its_name() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert icc.parse(own).is_srgb()
    table = np.rint(65535 * np.interp(np.linspace(0, 1, 1024), *_srgb_table())).astype(int).tolist()
    srgb = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
    assert icc.parse(matrix_profile(srgb, curve(*table))).is_srgb()
    assert icc.of_primaries("sRGB", icc.REC709).is_srgb()
    assert not icc.of_primaries("sRGB", icc.REC709, 1.8).is_srgb()


def _srgb_table() -> tuple[np.ndarray, np.ndarray]:
    encoded = np.linspace(0, 1, 4096)
    return encoded, np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize(
    "data",
    [
        profile({b"desc": description("SWOP"), b"A2B0": b"mft2"}, b"CMYK", b"Lab "),
        profile({b"desc": description("SWOP", 4), b"A2B0": b"mft2"}, b"RGB ", b"Lab ", 4),
        profile({b"desc": description("SWOP"), b"A2B0": b"mft2"}),
    ],
)
def test_tables_of_colours_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(icc.UnsupportedProfileError, match='"SWOP"'):
        icc.parse(data)


def test_damage_is_told_and_nothing_else() -> None:
    data = matrix_profile(P3, parametric(4, 2.2, 0.9, 0.1, 0.5, 0.1, 0.01, 0.02))
    random = np.random.default_rng(3)
    for length in range(0, len(data), 7):
        with pytest.raises(MetadataError):
            icc.parse(data[:length])
    for _ in range(300):
        broken = bytearray(data)
        for place in random.integers(0, len(data), 3):
            broken[place] = random.integers(256)
        with contextlib.suppress(MetadataError):
            assert icc.parse(bytes(broken)).to_srgb(np.zeros((1, 1, 3), np.uint8)).shape == (1, 1, 3)


@pytest.mark.parametrize("primaries", [((0.6, 0.3),) * 3, ((0.0, 0.0),) * 3, ((0.6, 0.0), (0.3, 0.6), (0.1, 0.1))])
def test_primaries_that_span_nothing_are_refused(primaries: icc.Primaries) -> None:
    with pytest.raises(MetadataError):
        icc.of_primaries("nothing", primaries)

"""Pictures are shown as viewers show them: upright, sRGB, with the colours that alpha left them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.errors import ImageError
from pantheon360_blender.core.formats import appearance, icc, png
from pantheon360_blender.core.importers.imported import png_picture

Image = pytest.importorskip("PIL.Image", reason="needs Pillow to make pictures")
ImageOps = pytest.importorskip("PIL.ImageOps")
ImageCms = pytest.importorskip("PIL.ImageCms")

SUFFIXES = ("jpg", "png", "tif", "webp")
ORIENTATION, EXIF, COLOUR_SPACE, INTEROPERABILITY, EXTRA_SAMPLES = 0x112, 0x8769, 0xA001, 0xA005, 338


def picture(width: int = 8, height: int = 4, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 256, (height, width, channels), dtype=np.uint8)


def saved(path: Path, array: np.ndarray, exif: dict[int, Any] | None = None, **options: Any) -> Path:
    if exif:
        tags = Image.Exif()
        for tag, value in exif.items():
            tags[tag] = value
        options |= {"exif": tags}
    Image.fromarray(array).save(path, **options)
    return path


def with_chunks(path: Path, array: np.ndarray, **chunks: bytes) -> Path:
    """A PNG whose sRGB chunk is replaced by others."""
    data = png.encode(array)
    kinds = b"".join(
        struct.pack(">I", len(body)) + name.encode() + body + struct.pack(">I", zlib.crc32(name.encode() + body))
        for name, body in chunks.items()
    )
    at = data.index(b"sRGB") - 4
    path.write_bytes(data[:at] + kinds + data[at + 13 :])
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_viewers_turn_it(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = saved(tmp_path / f"a.{suffix}", picture(), {ORIENTATION: orientation})
    look = appearance.read(path)
    upright = ImageOps.exif_transpose(Image.open(saved(tmp_path / "a.png", picture(), {ORIENTATION: orientation})))
    np.testing.assert_array_equal(look.shown(picture()), np.asarray(upright))
    assert look.size((8, 4)) == upright.size
    assert look.changes_pixels == (orientation != 1)


def test_a_damaged_part_of_the_tags_leaves_the_orientation(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", picture(), {ORIENTATION: 3, EXIF: {COLOUR_SPACE: 1}})
    data = path.read_bytes()
    pointer = (
        data.index(struct.pack("<HHI", EXIF, 4, 1)) if b"II*" in data else data.index(struct.pack(">HHI", EXIF, 4, 1))
    )
    path.write_bytes(data[: pointer + 8] + b"\xff" * 4 + data[pointer + 12 :])
    assert appearance.read(path).orientation == 3


@pytest.mark.parametrize("stated", [0, 9, 77])
def test_an_orientation_that_there_is_not_is_none(tmp_path: Path, stated: int) -> None:
    assert not appearance.read(saved(tmp_path / "a.jpg", picture(), {ORIENTATION: stated})).changes_pixels


def test_xmp_tells_the_orientation_where_exif_does_not(tmp_path: Path) -> None:
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="3"/></rdf:RDF></x:xmpmeta>'
    )
    assert appearance.read(saved(tmp_path / "a.jpg", picture(), xmp=packet)).orientation == 3
    both = saved(tmp_path / "b.jpg", picture(), {ORIENTATION: 1}, xmp=packet)
    assert appearance.read(both).orientation == 1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_profile_is_found_in_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    data = icc_profile()
    look = appearance.read(saved(tmp_path / f"a.{suffix}", picture(), icc_profile=data))
    assert look.space is not None and look.space.name == "narrow"
    np.testing.assert_array_equal(look.shown(picture()), icc.parse(data).to_srgb(picture()))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert not appearance.read(saved(tmp_path / f"b.{suffix}", picture(), icc_profile=srgb)).changes_pixels


def icc_profile(size: int = 0) -> bytes:
    """sRGB's primaries with a curve of 1.8, made longer by a tag that says nothing."""
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 7) + b"narrow\0", b"pad ": bytes(size)}
    for name, values in (
        (b"r", (0.4361, 0.2225, 0.0139)),
        (b"g", (0.3851, 0.7169, 0.0971)),
        (b"b", (0.1431, 0.0606, 0.7141)),
    ):
        tags[name + b"XYZ"] = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))
        tags[name + b"TRC"] = b"curv" + bytes(4) + struct.pack(">IH", 1, round(1.8 * 256)) + bytes(2)
    body, table = b"", b""
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = bytearray(128)
    struct.pack_into(">I4xI4s4s4s", head, 0, 132 + len(table) + len(body), 2 << 24, b"mntr", b"RGB ", b"XYZ ")
    head[36:40] = b"acsp"
    return bytes(head) + struct.pack(">I", len(tags)) + table + body


def test_a_profile_in_several_segments_is_joined_and_one_that_lacks_some_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", picture(), icc_profile=icc_profile(100_000))
    assert appearance.read(path).space is not None
    data = path.read_bytes()
    second = data.index(b"ICC_PROFILE\0\2")
    path.write_bytes(data[: second - 4] + data[second - 2 + int.from_bytes(data[second - 2 : second], "big") :])
    with open(path, "rb") as file:
        header = appearance.image_headers.read(file, path.stat().st_size, path)
    assert any("incomplete" in warning for warning in header.warnings)
    assert appearance.of(header).space is None


def test_a_profile_that_is_not_converted_is_named(tmp_path: Path) -> None:
    data = icc_profile().replace(b"RGB XYZ ", b"CMYKLab ")
    look = appearance.read(saved(tmp_path / "a.jpg", picture(), icc_profile=data))
    assert not look.changes_pixels
    assert any('"narrow"' in warning and "CMYK" in warning for warning in look.warnings)


@pytest.mark.parametrize("tags", [{COLOUR_SPACE: 2}, {COLOUR_SPACE: 65535, INTEROPERABILITY: {1: "R03"}}])
def test_adobe_rgb_is_told_by_exif_alone(tmp_path: Path, tags: dict[int, Any]) -> None:
    look = appearance.read(saved(tmp_path / "a.jpg", picture(), {EXIF: tags}))
    assert look.space is not None and look.space.name.startswith("Adobe RGB")
    # A gray stays one; green is greener than sRGB can show, so that its red and blue are clipped.
    shown = look.shown(np.uint8([[[128, 128, 128], [0, 255, 0], [150, 120, 90]]]))
    np.testing.assert_allclose(shown[0, 0], 255 * (1.055 * (128 / 255) ** (2.2 / 2.4) - 0.055), atol=1)
    assert shown[0, 1].tolist() == [0, 255, 0]
    assert shown[0, 2, 0] > 150 and shown[0, 2, 2] < 90


def test_an_srgb_interoperability_changes_nothing(tmp_path: Path) -> None:
    tags = {COLOUR_SPACE: 1, INTEROPERABILITY: {1: "R98"}}
    assert not appearance.read(saved(tmp_path / "a.jpg", picture(), {EXIF: tags})).changes_pixels


def test_chunks_of_a_png_tell_its_colours(tmp_path: Path) -> None:
    gamma = {"gAMA": struct.pack(">I", 100_000)}
    linear = appearance.read(with_chunks(tmp_path / "a.png", picture(), **gamma))
    half = linear.shown(np.full((1, 1, 3), 55, np.uint8))  # 21.6 % of light is the middle of sRGB
    assert abs(int(half[0, 0, 0]) - 128) <= 1
    assert not appearance.read(with_chunks(tmp_path / "b.png", picture(), gAMA=struct.pack(">I", 45455))).changes_pixels
    assert not appearance.read(with_chunks(tmp_path / "c.png", picture(), sRGB=b"\0", **gamma)).changes_pixels
    display_p3 = appearance.read(with_chunks(tmp_path / "d.png", picture(), cICP=bytes([12, 13, 0, 1])))
    assert display_p3.shown(np.uint8([[[85, 129, 204]]]))[0, 0] == pytest.approx([70, 130, 210], abs=2)
    broken = appearance.read(with_chunks(tmp_path / "e.png", picture(), cICP=bytes([12])))
    assert not broken.changes_pixels


def test_high_dynamic_range_in_a_png_is_told(tmp_path: Path) -> None:
    path = with_chunks(tmp_path / "a.png", picture(), cICP=bytes([9, 16, 0, 1]))
    with open(path, "rb") as file:
        header = appearance.image_headers.read(file, path.stat().st_size, path)
    assert header.space is None and any("9 and curve 16" in warning for warning in header.warnings)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_pictures_of_every_depth_and_layout_are_colours_of_bytes(tmp_path: Path, channels: int, kind: type) -> None:
    stored = picture(channels=channels)
    colours = np.repeat(stored[..., :1], 3, axis=2) if channels < 3 else stored[..., :3]
    deep = stored.astype(kind) * kind(1 if kind == np.uint8 else 257)
    png.write(tmp_path / "a.png", deep[..., 0] if channels == 1 else deep)
    np.testing.assert_array_equal(png_picture(tmp_path / "a.png"), colours)


def test_colours_multiplied_by_alpha_are_divided_again() -> None:
    look = appearance.Appearance(premultiplied=True)
    stored = np.uint8([[[100, 60, 110, 128], [0, 0, 0, 0], [10, 20, 30, 255]]])
    np.testing.assert_allclose(look.shown(stored)[0], [[199, 120, 219], [0, 0, 0], [10, 20, 30]], atol=1)


def test_a_tiff_says_that_its_alpha_was_multiplied(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", picture(channels=4))
    data = path.read_bytes()
    tag = data.index(struct.pack("<HHI", EXTRA_SAMPLES, 3, 1)) + 8
    for value, multiplied in ((0, False), (1, True), (2, False)):
        path.write_bytes(data[:tag] + struct.pack("<H", value) + data[tag + 2 :])
        assert appearance.read(path).premultiplied == multiplied


def test_where_a_picture_shows_something_alpha_tells() -> None:
    stored = picture(channels=4)
    stored[..., 3] = 255
    look = appearance.Appearance(orientation=3)
    assert look.opaque(stored) is None
    stored[0, :, 3] = 100
    opaque = look.opaque(stored)
    assert opaque is not None and not opaque[-1].any() and opaque[:-1].all()
    stored[..., 3] = 0
    assert look.opaque(stored) is None, "an alpha that hides everything means nothing"


def test_previews_in_front_of_a_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="preview"):
        appearance.read(saved(tmp_path / "a.tif", picture(), tiffinfo={254: 1}))


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_is_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(picture()).convert("CMYK").save(path)
    with open(path, "rb") as file:
        header = appearance.image_headers.read(file, path.stat().st_size, path)
    assert any("CMYK" in warning for warning in header.warnings)

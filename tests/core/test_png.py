"""PNG in both directions against Pillow, every filter and colour type, and files that lie."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pantheon360_blender.core.errors import FileError, ImageError
from pantheon360_blender.core.formats import png

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.sampled_from([size, (*size, 2), (*size, 3), (*size, 4)])
)
IMAGES = st.sampled_from([np.uint8, np.uint16]).flatmap(lambda dtype: arrays(dtype, SHAPES))


def photograph(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Something smooth with grain, on which encoders choose all kinds of filters; (height, width, channels) uint8."""
    rows, columns = np.indices((height, width))
    waves = [100 + 60 * np.sin(rows / (7 + c)) + 60 * np.cos(columns / (11 - c) + rows / 30) for c in range(channels)]
    grain = np.random.default_rng(seed).normal(0, 3, (height, width, channels))
    return np.clip(np.stack(waves, axis=-1) + grain, 0, 255).astype(np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def file_of(
    size: tuple[int, int], depth: int, colour: int, rows: bytes, *others: bytes, interlace: int = 0, extra: bytes = b""
) -> bytes:
    """A PNG file put together by hand."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlace)
    body = chunk(b"IDAT", zlib.compress(rows) + extra)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(others) + body + chunk(b"IEND", b"")


def filtered(image: np.ndarray, kinds: list[int]) -> bytes:
    """Rows of (H, W, C) uint8 behind their filters, byte by byte as the specification words it (section 9)."""
    height, step = len(image), image.shape[2]
    rows = image.reshape(height, -1).astype(int).tolist()
    out = bytearray()
    for y, kind in enumerate(kinds):
        out.append(kind)
        for x, value in enumerate(rows[y]):
            a = rows[y][x - step] if x >= step else 0
            b = rows[y - 1][x] if y else 0
            c = rows[y - 1][x - step] if y and x >= step else 0
            p = a + b - c
            paeth = min((a, b, c), key=lambda each: (abs(p - each), (a, b, c).index(each)))
            out.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
    return bytes(out)


# Round trips


@given(IMAGES)
def test_what_is_encoded_is_decoded(image: np.ndarray) -> None:
    decoded = png.decode(png.encode(image))
    assert decoded.dtype == image.dtype
    np.testing.assert_array_equal(decoded, image)


@given(IMAGES.filter(lambda image: image.dtype == np.uint8))
def test_pillow_reads_what_is_written(image: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png.encode(image)))), image)


def test_pillow_reads_sixteen_bits_of_grey() -> None:
    image = np.random.default_rng(0).integers(0, 1 << 16, (20, 30), dtype=np.uint16)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png.encode(image)))), image)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_pillow_writes_is_read(channels: int, seed: int) -> None:
    image = photograph(40, 70, channels, seed).squeeze()
    if seed:
        image = np.random.default_rng(seed).integers(0, 256, image.shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    np.testing.assert_array_equal(png.decode(file.getvalue()), image)


def test_a_tall_image_of_pillow_is_read() -> None:
    image = photograph(2500, 6, 3)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    np.testing.assert_array_equal(png.decode(file.getvalue()), image)


@settings(max_examples=60)
@given(st.data())
def test_every_filter_is_undone(data: st.DataObject) -> None:
    height, width, channels = (data.draw(st.integers(1, 7)) for _ in range(3))
    colour = {1: 0, 2: 4, 3: 2, 4: 6}.get(channels)
    if colour is None:
        return
    image = data.draw(arrays(np.uint8, (height, width, channels)))
    kinds = data.draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    rows = filtered(image, kinds)
    decoded = png.decode(file_of((width, height), 8, colour, rows))
    np.testing.assert_array_equal(decoded.reshape(image.shape), image)


def test_filters_reach_across_the_bands_they_are_undone_in() -> None:
    image = np.random.default_rng(0).integers(0, 256, (2100, 3, 1), dtype=np.uint8)
    kinds = [index % 5 for index in range(2100)]
    np.testing.assert_array_equal(png.decode(file_of((3, 2100), 8, 0, filtered(image, kinds))), image[..., 0])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_mode_of_pillow_is_read(mode: str) -> None:
    source = Image.fromarray(photograph(24, 37, 3))
    if mode == "I;16":
        image = Image.fromarray(np.arange(24 * 37, dtype=np.uint16).reshape(24, 37) * 70)
    else:
        image = source.convert(mode)
    file = io.BytesIO()
    image.save(file, "png")
    wanted = np.asarray(image.convert("RGB") if mode == "P" else image.convert("L") if mode == "1" else image)
    np.testing.assert_array_equal(png.decode(file.getvalue()), wanted)


@pytest.mark.parametrize("colours", [2, 4, 16, 200])
def test_palettes_of_every_depth_become_colours(colours: int) -> None:
    image = Image.fromarray(photograph(24, 37, 3)).quantize(colours)
    file = io.BytesIO()
    image.save(file, "png", bits=max(1, int(np.ceil(np.log2(colours)))))
    np.testing.assert_array_equal(png.decode(file.getvalue()), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_greys_of_few_bits_are_stretched(depth: int) -> None:
    values = np.arange(1 << depth, dtype=np.uint8)
    bits = "".join(f"{value:0{depth}b}" for value in values).ljust(-(-len(values) * depth // 8) * 8, "1")
    row = bytes([0]) + int(bits, 2).to_bytes(len(bits) // 8, "big")
    decoded = png.decode(file_of((len(values), 1), depth, 0, row))
    np.testing.assert_array_equal(decoded, [np.rint(values * 255.0 / values.max()).astype(np.uint8)])


def test_transparency_of_palettes_and_colours_becomes_alpha() -> None:
    palette = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60, 70, 80, 90]))
    indexed = file_of((3, 1), 8, 3, b"\0\0\1\2", palette, chunk(b"tRNS", bytes([5, 77])))
    np.testing.assert_array_equal(png.decode(indexed), [[[10, 20, 30, 5], [40, 50, 60, 77], [70, 80, 90, 255]]])
    keyed = file_of((2, 1), 8, 2, bytes([0, 1, 2, 3, 4, 5, 6]), chunk(b"tRNS", bytes([0, 4, 0, 5, 0, 6])))
    np.testing.assert_array_equal(png.decode(keyed), [[[1, 2, 3, 255], [4, 5, 6, 0]]])
    grey = file_of((2, 1), 1, 0, bytes([0, 0b01000000]), chunk(b"tRNS", bytes([0, 1])))
    np.testing.assert_array_equal(png.decode(grey), [[[0, 255], [255, 0]]])


# Files


def test_a_file_round_trip(tmp_path: Path) -> None:
    path, image = tmp_path / "Ünïcode 空 dir" / "000001.png", photograph(16, 32, 4)
    png.write(path, image)
    np.testing.assert_array_equal(png.read(path), image)
    with Image.open(path) as opened:
        assert "srgb" in opened.info
    assert [each.name for each in path.parent.iterdir()] == ["000001.png"]


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((0, 2, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_arrays_that_are_no_images_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match="PNG"):
        png.encode(image)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nothing\.png"):
        png.read(tmp_path / "nothing.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FileError, match="not writable"):
        png.write(tmp_path / "x.png", np.zeros((2, 2), np.uint8))


# Damage and lies


def test_every_truncation_is_noticed() -> None:
    data = png.encode(photograph(6, 9, 3))
    for length in range(len(data)):
        with pytest.raises(ImageError):
            png.decode(data[:length])


def test_every_flipped_bit_of_a_critical_chunk_is_noticed() -> None:
    data = png.encode(photograph(6, 9, 3))
    unchecked = range(33, 46)  # the sRGB chunk is ancillary: damage there harms no pixel
    for at in set(range(len(data))) - set(unchecked):
        spoilt = bytearray(data)
        spoilt[at] ^= 1 << at % 8
        with pytest.raises(ImageError):
            png.decode(bytes(spoilt))


@settings(max_examples=200)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_an_image_or_an_image_error(data: bytes, signed: bool) -> None:
    whole = b"\x89PNG\r\n\x1a\n" + data if signed else data
    with pytest.raises(ImageError):
        png.decode(whole)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xd8\xff\xe0 a JPEG", "not a PNG"),
        (b"", "not a PNG"),
        (file_of((2, 1), 8, 0, b"\0\1\2", interlace=1), "interlaced"),
        (file_of((0, 1), 8, 0, b"\0"), "0 x 1"),
        (file_of((2, 1), 3, 0, b"\0\1"), "specification"),
        (file_of((2, 1), 8, 5, b"\0\1"), "specification"),
        (file_of((2, 1), 8, 0, b"\7\1\2"), "filter"),
        (file_of((2, 2), 8, 0, b"\0\1\2"), "missing"),
        (file_of((2, 1), 8, 3, b"\0\0\1"), "palette"),
        (file_of((2, 1), 8, 3, b"\0\0\1", chunk(b"PLTE", b"abc")), "palette"),
        (file_of((2, 1), 8, 0, b"\0\1\2", chunk(b"ABCD", b"")), "not known"),
        (file_of((1 << 14, 1 << 14), 8, 2, b"\0" * 99), "missing"),
        (file_of((1 << 30, 1 << 30), 8, 2, b"\0" * 99), "at most 32768 x 16384"),
        (file_of(((1 << 31) - 1, (1 << 31) - 1), 16, 6, b"\0" * 99), "at most 32768 x 16384"),
    ],
)
def test_lies_are_told_in_words(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        png.decode(data)


@pytest.mark.slow  # hundreds of megabytes
def test_a_bomb_is_not_unpacked() -> None:
    """300 MB of zeros in 300 kB behind a header that speaks of four pixels."""
    bomb = file_of((2, 2), 8, 0, bytes(300_000_000))
    tracemalloc.start()
    decoded = png.decode(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not decoded.any()
    assert peak < 20e6

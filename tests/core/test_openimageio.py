"""OpenEXR of every compression through OpenImageIO, as it comes with Blender or stands in the backend's environment."""

from __future__ import annotations

import contextlib
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core.errors import ImageError
from pantheon360_blender.core.formats import exr, openimageio

with contextlib.suppress(ImportError):
    import bpy

    bpy.utils.expose_bundled_modules()
oiio = pytest.importorskip("OpenImageIO", reason="comes with upstream's builds of Blender")

LOSSLESS = ("none", "rle", "zips", "zip", "piz")
LOSSY = ("pxr24", "b44", "b44a", "dwaa", "dwab")
KINDS = {"float16": "half", "float32": "float", "uint32": "uint"}
DEPTH = 1 + np.add.outer(np.arange(37), np.arange(64)).astype(np.float32) / 10


def write(path: Path, parts: list[dict[str, np.ndarray]], compression: str, tile: int = 0) -> bytes:
    """An OpenEXR file by OpenImageIO, its parts named "part0", "part1", ...; the bytes of it."""
    headers = []
    for number, channels in enumerate(parts):
        height, width = next(iter(channels.values())).shape
        kinds = [oiio.TypeDesc(KINDS[values.dtype.name]) for values in channels.values()]
        header = oiio.ImageSpec(width, height, len(channels), kinds[0])
        header.channelnames, header.channelformats = list(channels), kinds
        header.attribute("compression", compression)
        header.attribute("oiio:subimagename", f"part{number}")
        header.tile_width = header.tile_height = tile
        headers.append(header)
    file = oiio.ImageOutput.create(str(path))
    assert file.open(str(path), headers if len(parts) > 1 else headers[0]), file.geterror()
    for number, channels in enumerate(parts):
        if number:
            assert file.open(str(path), headers[number], "AppendSubimage"), file.geterror()
        assert file.write_image(np.stack(list(channels.values()), axis=-1)), file.geterror()
    assert file.close()
    return path.read_bytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("compression", LOSSLESS + LOSSY)
def test_every_compression_is_read(tmp_path: Path, compression: str, dtype: type) -> None:
    channels = {"Z": DEPTH.astype(dtype), "Other.V": np.flip(DEPTH).astype(dtype)}
    read = exr.decode(write(tmp_path / "a.exr", [channels], compression))
    assert read.keys() == channels.keys()
    for label, values in channels.items():
        assert read[label].dtype == np.float32 and read[label].flags.c_contiguous
        tolerance = 0.0 if compression in LOSSLESS else 2e-3
        np.testing.assert_allclose(read[label], values.astype(np.float32), rtol=tolerance)


@pytest.mark.parametrize("compression", ["none", "rle", "zips", "zip"])
def test_our_own_reader_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str) -> None:
    random = np.random.default_rng(0)
    channels = {"A": random.random((37, 64), np.float32), "Z": DEPTH, "half": DEPTH.astype(np.float16)}
    data = write(tmp_path / "a.exr", [channels], compression)
    theirs = exr.decode(data)
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    assert openimageio.find() is None
    ours = exr.decode(data)
    assert ours.keys() == theirs.keys() == channels.keys()
    for label, values in channels.items():
        np.testing.assert_array_equal(ours[label], values.astype(np.float32))
        np.testing.assert_array_equal(theirs[label], ours[label])


def test_channels_come_in_groups_that_take_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openimageio, "_TOGETHER", 2 * DEPTH.size)
    channels = {f"c{index}": (DEPTH + index).astype(np.float32 if index < 5 else np.float16) for index in range(8)}
    read = exr.decode(write(tmp_path / "a.exr", [channels], "zip"))
    assert read.keys() == channels.keys()
    for label, values in channels.items():
        np.testing.assert_array_equal(read[label], values.astype(np.float32))


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    numbers = np.arange(8 * 16, dtype=np.uint32).reshape(8, 16)
    np.testing.assert_array_equal(exr.decode(write(tmp_path / "a.exr", [{"id": numbers}], "piz"))["id"], numbers)


def test_tiles_are_read(tmp_path: Path) -> None:
    np.testing.assert_array_equal(exr.decode(write(tmp_path / "a.exr", [{"Z": DEPTH}], "zip", tile=16))["Z"], DEPTH)


def test_parts_keep_their_channels_apart(tmp_path: Path) -> None:
    read = exr.decode(write(tmp_path / "a.exr", [{"Z": DEPTH}, {"part1.Z": 2 * DEPTH}, {"Z": 3 * DEPTH}], "zip"))
    assert read.keys() == {"part0.Z", "part1.Z", "part2.Z"}
    for number in range(3):
        np.testing.assert_array_equal(read[f"part{number}.Z"], (number + 1) * DEPTH)


@pytest.mark.parametrize("compression", LOSSLESS + LOSSY)
def test_a_file_cut_short_is_refused_by_name(tmp_path: Path, compression: str) -> None:
    data = write(tmp_path / "a.exr", [{"Z": DEPTH}], compression)
    for length in (4, 8, 100, len(data) // 2, len(data) - 5, len(data) - 1):
        with pytest.raises(ImageError, match="the depth is"):
            exr.decode(data[:length], "the depth")


def with_attribute(data: bytes, name: bytes, value: bytes) -> bytes:
    start = data.index(name) + len(name) + 4  # behind the length of the value
    return data[:start] + value + data[start + len(value) :]


def test_sizes_that_the_bytes_cannot_hold_are_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    """A hostile picture of 20000 x 20000 pixels, and a hostile tile, in a file of some hundred bytes."""
    pytest.importorskip("resource", reason="Windows tells memory otherwise")
    from tests.process_memory import grows_less_than

    plain = write(tmp_path / "a.exr", [{"Z": DEPTH[:8, :16]}], "zip")
    wide = with_attribute(plain, b"dataWindow\0box2i\0", struct.pack("<4i", 0, 0, 19_999, 19_999))
    tiled = write(tmp_path / "b.exr", [{"Z": DEPTH[:16, :16]}], "zip", tile=16)
    tall = with_attribute(tiled, b"tiles\0tiledesc\0", struct.pack("<2I", 16, 1 << 26))
    for data in (wide, tall):
        with grows_less_than(200 << 20), pytest.raises(ImageError):
            exr.decode(data)


def test_flat_pictures_that_pack_best_are_not_taken_for_hostile(tmp_path: Path) -> None:
    flat = dict.fromkeys("RGB", np.full((1024, 2048), 0.5, np.float16))
    data = write(tmp_path / "a.exr", [flat], "dwab")
    assert 3 * flat["R"].size > 1040 * len(data)
    np.testing.assert_allclose(exr.decode(data)["R"], 0.5, rtol=1e-2)


@given(seed=st.integers(0, 10_000), compression=st.sampled_from(LOSSLESS + LOSSY))
def test_damage_ends_in_our_error_or_in_pixels(tmp_path_factory: Any, seed: int, compression: str) -> None:
    data = bytearray(write(tmp_path_factory.mktemp("exr") / "a.exr", [{"Z": DEPTH}], compression))
    random = np.random.default_rng(seed)
    for place in random.integers(4, random.choice([400, len(data)]), random.choice([1, 4, 20])):
        data[place] = random.integers(256)
    with contextlib.suppress(ImageError):
        for values in exr.decode(bytes(data)).values():
            assert values.ndim == 2 and values.dtype == np.float32


def test_a_channel_whose_name_is_no_text_is_damage(tmp_path: Path) -> None:
    data = write(tmp_path / "a.exr", [{"Zed": DEPTH}], "zip")
    with pytest.raises(ImageError, match="the depth is damaged"):
        exr.decode(data.replace(b"Zed\0", b"Z\xff\xfe\0"), "the depth")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.exr"])
def test_the_first_rows_come_alone(tmp_path: Path, name: str) -> None:
    picture = np.add.outer(np.arange(64), np.arange(128)).astype(np.uint8)[..., None].repeat(3, axis=2)
    file = oiio.ImageOutput.create(str(tmp_path / name))
    assert file.open(str(tmp_path / name), oiio.ImageSpec(128, 64, 3, "half" if name == "a.exr" else "uint8"))
    assert file.write_image(picture) and file.close()
    rows = openimageio.first_rows(oiio, tmp_path / name, 3)
    assert rows is not None and rows.shape == (3, 128, 3) and rows.dtype == np.uint8
    np.testing.assert_allclose(rows.astype(int), picture[:3], atol=6)


def test_the_first_rows_of_other_files_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert openimageio.first_rows(oiio, tmp_path / "a.png", 3) is None
    write(tmp_path / "one.exr", [{"Z": DEPTH}], "zip")
    write(tmp_path / "tiled.exr", [dict.fromkeys("RGB", DEPTH)], "zip", tile=16)
    for name in ("one.exr", "tiled.exr"):
        assert openimageio.first_rows(oiio, tmp_path / name, 3) is None

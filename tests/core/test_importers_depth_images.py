"""Depth images: the same room as millimetres, inverse depth, cube depth and OpenEXR, against the room itself.

OpenEXR files are packed here by hand after the format's description, and read without OpenImageIO.
"""

from __future__ import annotations

import contextlib
import itertools
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core.errors import ImageError, PantheonError
from pantheon360_blender.core.formats import exr, png
from pantheon360_blender.core.importers import Imported, SourceError, open_source
from pantheon360_blender.core.panorama import cameras, depth_image, equirectangular
from pantheon360_blender.core.progress import run_to_end

WIDTH = 128


@pytest.fixture(autouse=True, scope="module")
def without_openimageio() -> Iterator[None]:
    """Python's answer to importing a module that stands as None is an ImportError."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "OpenImageIO", None)
        yield


HALF = np.array([2.0, 3.0, 1.5])
"""Half the size of the room in the camera's axes; the camera stands in its middle."""


def room() -> np.ndarray:
    """(H, W) float32 range to the walls of the box, by the slab method."""
    rays = equirectangular.directions(WIDTH).astype(np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray((HALF / np.abs(rays)).min(axis=2), np.float32)


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (WIDTH // 2, WIDTH, 3), dtype=np.uint8)


def pack_exr(
    channels: dict[str, np.ndarray], compression: int = 3, kind: str = "<f2", first_row: int = 0, flags: int = 0
) -> bytes:
    height, width = next(iter(channels.values())).shape
    number = {"<u4": 0, "<f2": 1, "<f4": 2}[kind]
    names = sorted(channels)
    listed = b"".join(name.encode() + b"\0" + struct.pack("<iIii", number, 0, 1, 1) for name in names) + b"\0"
    window = struct.pack("<4i", 0, first_row, width - 1, first_row + height - 1)
    attributes = [
        ("channels", "chlist", listed), ("compression", "compression", bytes([compression])),
        ("dataWindow", "box2i", window), ("displayWindow", "box2i", window), ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)), ("screenWindowCenter", "v2f", bytes(8)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    ]  # fmt: skip
    head = b"\x76\x2f\x31\x01" + struct.pack("<I", 2 | flags)
    for name, of, value in attributes:
        head += name.encode() + b"\0" + of.encode() + b"\0" + struct.pack("<i", len(value)) + value
    head += b"\0"
    blocks = []
    lines = 16 if compression == 3 else 1
    for first in range(0, height, lines):
        raw = b"".join(
            channels[name][row].astype(kind).tobytes()
            for row in range(first, min(first + lines, height))
            for name in names
        )
        packed = raw if compression == 0 else zlib.compress(predicted(raw))
        packed = packed if len(packed) < len(raw) else raw
        blocks.append(struct.pack("<ii", first_row + first, len(packed)) + packed)
    at = len(head) + 8 * len(blocks)
    table = b""
    for block in blocks:
        table += struct.pack("<Q", at)
        at += len(block)
    return head + table + b"".join(blocks)


def predicted(raw: bytes) -> bytes:
    halves = raw[0::2] + raw[1::2]
    return bytes([halves[0], *((b - a + 128) % 256 for a, b in itertools.pairwise(halves))])


def check(imported: Imported, tolerance: float) -> None:
    """All points on the walls, in the colours of their pixels, in a world where the camera stands 2 m up."""
    assert imported.cloud is not None and len(imported.cloud) > 0.95 * WIDTH * WIDTH / 2
    local = (imported.cloud.points - (0, 0, 2))[:, [0, 2, 1]] * (1, 1, -1)  # looking along +Y: right, up, back
    assert np.abs((np.abs(local) / HALF).max(axis=1) - 1).max() < tolerance
    pixels = equirectangular.directions_to_pixels(local, WIDTH)
    u, v = np.floor(pixels).astype(int).T
    np.testing.assert_array_equal(imported.cloud.colours, picture()[v, u])
    assert imported.cloud.footprint is not None and imported.cloud.source is not None
    distance = np.linalg.norm(local, axis=1)
    head_on = distance * 2 * np.pi / WIDTH  # a slanted wall's pixels cover more
    assert (imported.cloud.footprint > 0.98 * head_on).all() and (imported.cloud.footprint < 4.1 * head_on).all()
    assert (imported.cloud.source == 0).all() and len(imported.captures) == 1


@pytest.mark.parametrize("kind", ["millimetres", "scaled", "inverse", "cube", "horizontal", "exr half", "exr float"])
def test_a_room_comes_back_from_every_kind_of_depth(tmp_path: Path, kind: str) -> None:
    rays = equirectangular.directions(WIDTH)
    ranges = room()
    png.write(tmp_path / "room.png", picture())
    place, options, tolerance = tmp_path / "room_depth.png", {}, 1e-3
    if kind == "millimetres":
        png.write(place, np.rint(ranges * 1000).astype(np.uint16))
    elif kind == "scaled":
        png.write(place, np.rint(ranges * 256).astype(np.uint16))
        options, tolerance = {"depth_scale": 1 / 256}, 5e-3
    elif kind == "inverse":
        png.write(place, np.rint(40_000 / ranges).astype(np.uint16))
        options = {"depth_scale": 1 / 40_000, "depth_inverse": True}
    elif kind == "cube":
        png.write(place, np.rint(ranges * np.abs(rays).max(axis=2) * 1000).astype(np.uint16))
        options, tolerance = {"depth_measure": "cube"}, 2e-3
    elif kind == "horizontal":
        flat = np.rint(ranges * np.hypot(rays[..., 0], rays[..., 2]) * 10_000)
        png.write(place, flat.astype(np.uint16))
        options, tolerance = {"depth_measure": "horizontal", "depth_scale": 1e-4}, 5e-3
    else:
        place = tmp_path / "room_depth.exr"
        place.write_bytes(pack_exr({"Z": ranges}, kind="<f2" if kind == "exr half" else "<f4"))
    imported = run_to_end(open_source(place, **options))
    check(imported, tolerance)
    assert imported.captures[0].image == tmp_path / "room.png"


def test_a_pose_places_the_points(tmp_path: Path) -> None:
    png.write(tmp_path / "d.png", np.full((8, 16), 2000, np.uint16))
    pose = cameras.pose_matrix(cameras.rotation_from_heading(90.0, 10.0), np.array([5.0, 6.0, 7.0]))
    imported = run_to_end(open_source(tmp_path / "d.png", pose=pose))
    assert imported.cloud is not None
    np.testing.assert_allclose(np.linalg.norm(imported.cloud.points - (5, 6, 7), axis=1), 2.0, rtol=1e-6)
    rays = equirectangular.directions(16).reshape(-1, 3) @ pose[:3, :3].T
    np.testing.assert_allclose(imported.cloud.points, rays * 2 + (5, 6, 7), atol=1e-5)
    np.testing.assert_allclose(imported.captures[0].pose, pose)
    assert any("white" in note for note in imported.notes)


def test_a_picture_of_another_size_is_resized(tmp_path: Path) -> None:
    png.write(tmp_path / "d.png", np.full((8, 16), 2000, np.uint16))
    png.write(tmp_path / "pano.png", np.full((32, 64, 3), (10, 200, 30), np.uint8))
    imported = run_to_end(open_source(tmp_path / "d.png", image=tmp_path / "pano.png"))
    assert imported.cloud is not None
    np.testing.assert_array_equal(np.unique(imported.cloud.colours, axis=0), [[10, 200, 30]])


def test_nothing_is_where_the_image_says_nothing() -> None:
    values = np.full((4, 8), 1000, np.uint16)
    values[0, 0], values[1, 1] = 0, 65535
    ranges = depth_image.to_range(values)
    assert np.isinf(ranges[0, 0]) and np.isinf(ranges[1, 1]) and np.isfinite(ranges).sum() == 30
    floats = np.full((4, 8), 3.0, np.float32)
    floats[0, :5] = [np.nan, np.inf, -1.0, 0.0, 1e10]
    assert np.isinf(depth_image.to_range(floats)[0, :5]).all()
    assert np.isinf(depth_image.to_range(floats, inverse=True)[0, :4]).all()


def test_points_between_a_foreground_and_what_is_behind_it_are_left_out(tmp_path: Path) -> None:
    values = np.full((32, 64), 9000, np.uint16)
    values[10:20, 20:30] = 2000
    values[10:20, 30] = 5000  # a blended pixel
    png.write(tmp_path / "d.png", values)
    imported = run_to_end(open_source(tmp_path / "d.png"))
    assert imported.cloud is not None
    distance = np.linalg.norm(imported.cloud.points - (0, 0, 2), axis=1)
    assert (np.minimum(np.abs(distance - 9), np.abs(distance - 2)) < 1e-4).all()
    assert (np.abs(distance - 2) < 1e-4).sum() > 50 and (np.abs(distance - 9) < 1e-4).sum() > 1800


@pytest.mark.parametrize("compression", [0, 2, 3])
@pytest.mark.parametrize("kind", ["<u4", "<f2", "<f4"])
def test_openexr_packed_by_hand_is_read(compression: int, kind: str) -> None:
    random = np.random.default_rng(1)
    given_channels = {name: random.integers(0, 2000, (37, 21)).astype(np.float32) for name in ("Z", "A", "Depth.V")}
    channels = exr.decode(pack_exr(given_channels, compression, kind, first_row=-5))
    assert channels.keys() == given_channels.keys()
    for name, values in given_channels.items():
        np.testing.assert_array_equal(channels[name], values)


@given(cut=st.floats(0, 0.999), seed=st.integers(0, 1000), packed=st.sampled_from([0, 3]))
def test_broken_openexr_is_refused_in_bounded_memory(cut: float, seed: int, packed: int) -> None:
    data = pack_exr({"Z": np.ones((20, 40), np.float32)}, packed)
    with pytest.raises(ImageError):
        exr.decode(data[: int(len(data) * cut)])
    broken = bytearray(data)
    random = np.random.default_rng(seed)
    for place in random.integers(4, len(data), 4):
        broken[place] = random.integers(256)
    tracemalloc.start()
    with contextlib.suppress(ImageError):
        exr.decode(bytes(broken))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1040 * len(data)


@pytest.mark.parametrize("flags", [0x200, 0x800, 0x1000])
def test_kinds_of_openexr_that_are_not_read_say_so(flags: int) -> None:
    with pytest.raises(exr.UnsupportedExrError, match="ZIP"):
        exr.decode(pack_exr({"Z": np.ones((4, 8), np.float32)}, flags=flags))
    with pytest.raises(exr.UnsupportedExrError, match="PIZ"):
        exr.decode(pack_exr({"Z": np.ones((4, 8), np.float32)}, compression=4))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["Z"], "Z"),
        (["ViewLayer.Depth.Z", "ViewLayer.Normal.X", "ViewLayer.Normal.Y", "ViewLayer.Normal.Z"], "ViewLayer.Depth.Z"),
        (["ViewLayer.Depth.V", "ViewLayer.Combined.R"], "ViewLayer.Depth.V"),
        (["Y"], "Y"),
        (["whatever"], "whatever"),
        (["R", "G", "B"], "R"),
        (["Normal.X", "Normal.Y", "Normal.Z"], None),
        (["A", "B"], None),
    ],
)
def test_the_channel_that_holds_depth_is_found(names: list[str], found: str | None) -> None:
    channels = {name: np.ones((2, 4), np.float32) for name in names}
    if found is None:
        with pytest.raises(ImageError):
            depth_image.depth_channel(channels, "a.exr")
    else:
        assert depth_image.depth_channel(channels, "a.exr") is channels[found]


def test_colours_are_no_depth(tmp_path: Path) -> None:
    channels = {name: np.full((2, 4), value, np.float32) for value, name in enumerate("RGB")}
    with pytest.raises(ImageError):
        depth_image.depth_channel(channels, "a.exr")
    png.write(tmp_path / "panorama.png", picture())
    with pytest.raises(ImageError, match="colours"):
        run_to_end(open_source(tmp_path / "panorama.png"))


def test_grey_saved_as_colour_is_depth(tmp_path: Path) -> None:
    png.write(tmp_path / "d.png", np.full((8, 16, 3), 2000, np.uint16))
    imported = run_to_end(open_source(tmp_path / "d.png"))
    assert imported.cloud is not None and len(imported.cloud) == 128


def test_eight_bits_need_a_scale(tmp_path: Path) -> None:
    png.write(tmp_path / "d.png", np.full((8, 16), 50, np.uint8))
    with pytest.raises(SourceError, match="8 bits"):
        run_to_end(open_source(tmp_path / "d.png"))
    imported = run_to_end(open_source(tmp_path / "d.png", depth_scale=0.1))
    assert imported.cloud is not None
    np.testing.assert_allclose(np.linalg.norm(imported.cloud.points - (0, 0, 2), axis=1), 5.0, rtol=1e-5)


@pytest.mark.parametrize("values", [np.zeros((8, 16)), np.full((8, 12), 9), np.full((8, 16), 65535)])
def test_images_that_hold_no_panorama_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    png.write(tmp_path / "d.png", values.astype(np.uint16))
    with pytest.raises(PantheonError, match=r"d\.png"):
        run_to_end(open_source(tmp_path / "d.png"))


def test_cut_pngs_are_refused(tmp_path: Path) -> None:
    png.write(tmp_path / "d.png", np.full((8, 16), 2000, np.uint16))
    data = (tmp_path / "d.png").read_bytes()
    for length in range(8, len(data), 5):
        (tmp_path / "d.png").write_bytes(data[:length])
        with pytest.raises(PantheonError):
            run_to_end(open_source(tmp_path / "d.png"))

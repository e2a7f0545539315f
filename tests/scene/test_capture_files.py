"""Photographs become what their files say: upright, sRGB, masked where nothing was taken, of the last bytes written."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

House = Callable[[str], ModuleType]
Read = Callable[[Path], tuple[Any, list[str]]]

ROOT = Path(__file__).resolve().parents[2]
SKY, GROUND = (60, 120, 220), (90, 70, 40)
EXTRA_SAMPLES = 338
WIDE = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
"""XYZ of Display P3's red, green and blue under D50."""


def panorama(width: int = 64) -> np.ndarray:
    """Sky above ground, the left quarter of both redder: no turn leaves it as it is."""
    picture = np.empty((width // 2, width, 3), np.uint8)
    picture[: width // 4], picture[width // 4 :] = SKY, GROUND
    picture[:, : width // 4, 0] = 200
    return picture


def turned(picture: np.ndarray, orientation: int) -> Image.Image:
    """The picture as a camera stores it with this orientation: what viewers do to it gives it back."""
    stored = Image.fromarray(picture)
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    stored.getexif()[0x112] = inverse
    return ImageOps.exif_transpose(stored)


def profile(name: bytes = b"Display P3", gamma: float = 2.2, space: bytes = b"RGB ") -> bytes:
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + bytes(80)}
    for letter, values in zip((b"r", b"g", b"b"), WIDE, strict=True):
        tags[letter + b"XYZ"] = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))
        tags[letter + b"TRC"] = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    body, table = b"", b""
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = bytearray(128)
    struct.pack_into(">I4xI4s4s4s", head, 0, 132 + len(table) + len(body), 2 << 24, b"mntr", space, b"XYZ ")
    head[36:40] = b"acsp"
    return bytes(head) + struct.pack(">I", len(tags)) + table + body


def in_wide(colours: np.ndarray) -> np.ndarray:
    """sRGB colours as the profile's space stores them. Independent of the product: the two matrices of CSS Color 4."""
    light = np.where(colours <= 10.31475, colours / 255 / 12.92, ((colours / 255 + 0.055) / 1.055) ** 2.4)
    wide_from_srgb = np.array(
        [[0.8224620, 0.1775380, 0.0], [0.0331942, 0.9668058, 0.0], [0.0170827, 0.0723974, 0.9105199]]
    )
    return np.rint(255 * np.clip(light @ wide_from_srgb.T, 0, 1) ** (256 / round(2.2 * 256))).astype(np.uint8)


@pytest.fixture
def read(house: House, blend: Any) -> Read:
    """Import one photograph; the capture, and the warnings."""

    def run(path: Path) -> tuple[Any, list[str]]:
        warnings: list[str] = []
        job = house("scene.captures.capture_objects").import_files(blend, [path], warnings.append)
        (made,) = house("scene.app.jobs").run_blocking(job)
        return made, [text for text in warnings if "placed 2 m apart" not in text]

    return run


def pixels(house: House, capture: Any) -> np.ndarray:
    return np.asarray(house("scene.captures.capture_objects").load(capture).image)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_upright(house: House, read: Read, tmp_path: Path, suffix: str, orientation: int) -> None:
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[0x112] = orientation
    stored = turned(panorama(), orientation)
    options: dict[str, Any] = {"webp": {"lossless": True}, "jpg": {"quality": 97, "subsampling": 0}}.get(suffix, {})
    stored.save(path, exif=exif, **options)
    capture, warnings = read(path)
    np.testing.assert_allclose(pixels(house, capture), panorama(), atol=12 if suffix == "jpg" else 0)
    assert warnings == []
    assert (capture.pantheon360.image.packed_file is None) == (orientation == 1), "a plain file stays linked"


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_colours_are_those_of_the_profile(house: House, read: Read, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    options: dict[str, Any] = {"webp": {"lossless": True}, "jpg": {"quality": 98, "subsampling": 0}}.get(suffix, {})
    Image.fromarray(in_wide(panorama())).save(path, icc_profile=profile(), **options)
    capture, warnings = read(path)
    inside = np.s_[2:-2, 2:14]  # of a half: JPEG rings at its edges
    np.testing.assert_allclose(pixels(house, capture)[inside][:12], panorama()[inside][:12], atol=2)
    assert warnings == []


def test_a_profile_that_is_not_converted_is_named(read: Read, tmp_path: Path) -> None:
    Image.fromarray(panorama()).convert("CMYK").save(tmp_path / "a.jpg", icc_profile=profile(b"SWOP", space=b"CMYK"))
    _, warnings = read(tmp_path / "a.jpg")
    assert any('"SWOP"' in text for text in warnings) and any("CMYK" in text for text in warnings)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_depth_and_layout_keeps_its_colours(
    house: House, read: Read, tmp_path: Path, deep: bool, channels: int
) -> None:
    colours = panorama() if channels > 2 else np.repeat(panorama()[..., 1:2], 3, axis=2)
    stored = colours[..., :1] if channels < 3 else colours
    if channels in (2, 4):
        alpha = np.full((*stored.shape[:2], 1), 255, np.uint8)
        alpha[24:] = 200
        stored = np.concatenate([stored, alpha], axis=2)
    stored = stored[..., 0] if channels == 1 else stored
    house("core.formats.png").write(tmp_path / "a.png", stored.astype(np.uint16) * 257 if deep else stored)
    capture, _ = read(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels(house, capture), colours)
    assert capture.pantheon360.mask is None


@pytest.mark.parametrize("deep", [False, True])
def test_what_is_transparent_is_masked(house: House, read: Read, tmp_path: Path, deep: bool) -> None:
    stored = np.dstack([panorama(), np.full((32, 64), 255, np.uint8)])
    stored[28:, :, 3] = 0
    house("core.formats.png").write(tmp_path / "a.png", stored.astype(np.uint16) * 257 if deep else stored)
    capture, _ = read(tmp_path / "a.png")
    loaded = house("scene.captures.capture_objects").load(capture)
    np.testing.assert_array_equal(loaded.valid, stored[..., 3] > 0)
    np.testing.assert_array_equal(loaded.image[:28], panorama()[:28])


def test_an_alpha_that_hides_everything_hides_nothing(house: House, read: Read, tmp_path: Path) -> None:
    house("core.formats.png").write(tmp_path / "a.png", np.dstack([panorama(), np.zeros((32, 64), np.uint8)]))
    capture, _ = read(tmp_path / "a.png")
    assert capture.pantheon360.mask is None
    np.testing.assert_array_equal(pixels(house, capture), panorama())


def test_colours_multiplied_by_alpha_are_divided_again(house: House, read: Read, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.dstack([panorama() // 4 * 3, np.full((32, 64), 191, np.uint8)])).save(path)
    data = path.read_bytes()
    tag = data.index(struct.pack("<HHI", EXTRA_SAMPLES, 3, 1)) + 8
    path.write_bytes(data[:tag] + struct.pack("<H", 1) + data[tag + 2 :])
    capture, _ = read(path)
    np.testing.assert_allclose(pixels(house, capture), panorama(), atol=5)


def partial(path: Path, picture: np.ndarray, top: int, heading: float = 0.0) -> Path:
    """A band of a 64 x 32 panorama."""
    names = {
        "FullPanoWidthPixels": 64, "FullPanoHeightPixels": 32, "CroppedAreaImageWidthPixels": 64,
        "CroppedAreaImageHeightPixels": len(picture), "CroppedAreaLeftPixels": 0, "CroppedAreaTopPixels": top,
        "PoseHeadingDegrees": heading,
    }  # fmt: skip
    values = " ".join(f'GPano:{name}="{value}"' for name, value in names.items())
    chunks = PngInfo()
    chunks.add_itxt(
        "XML:com.adobe.xmp",
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" {values}/></rdf:RDF></x:xmpmeta>',
    )
    Image.fromarray(picture).save(path, pnginfo=chunks)
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_file_exported_again_has_its_new_pixels(house: House, read: Read, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    for shade in (40, 200, 40):
        Image.new("RGB", (64, 32), (shade,) * 3).save(path)
        capture, _ = read(path)
        assert abs(int(pixels(house, capture).mean()) - shade) <= 1


def test_a_partial_panorama_exported_again_has_its_new_crop_and_pixels(
    house: House, read: Read, tmp_path: Path
) -> None:
    band = panorama()[4:20]
    for top, picture in ((4, band), (9, band), (9, 255 - band), (4, band)):
        capture, _ = read(partial(tmp_path / "a.png", picture, top))
        loaded = house("scene.captures.capture_objects").load(capture)
        np.testing.assert_array_equal(loaded.image[top : top + 16], picture)
        rows = np.flatnonzero(loaded.valid.all(axis=1))
        assert (rows[0], rows[-1]) == (top, top + 15)


def test_what_was_whole_may_come_again_turned_or_in_part(house: House, read: Read, tmp_path: Path) -> None:
    path, exif = tmp_path / "a.png", Image.Exif()
    exif[0x112] = 3
    Image.fromarray(panorama()).save(path)
    first, _ = read(path)
    turned(panorama(), 3).save(path, exif=exif)
    second, _ = read(path)
    np.testing.assert_array_equal(pixels(house, second), panorama())
    third, _ = read(partial(path, panorama()[4:20], 4))
    np.testing.assert_array_equal(pixels(house, third)[4:20], panorama()[4:20])
    np.testing.assert_array_equal(pixels(house, second), panorama())
    assert len({obj.pantheon360.image for obj in (first, second, third)}) == 3


def test_the_same_bytes_are_shared_wherever_they_lie(read: Read, tmp_path: Path) -> None:
    one = partial(tmp_path / "a.png", panorama()[4:20], 4)
    (tmp_path / "b.png").write_bytes(one.read_bytes())
    first, second = read(one)[0].pantheon360, read(tmp_path / "b.png")[0].pantheon360
    assert first.image == second.image and first.mask == second.mask


def test_what_an_artist_painted_or_packed_is_left_to_him(house: House, read: Read, tmp_path: Path) -> None:
    Image.new("RGB", (64, 32), (40, 40, 40)).save(tmp_path / "a.png")
    first, _ = read(tmp_path / "a.png")
    first.pantheon360.image.pack()
    Image.new("RGB", (64, 32), (200, 200, 200)).save(tmp_path / "a.png")
    second, _ = read(tmp_path / "a.png")
    assert pixels(house, first).mean() == 40 and pixels(house, second).mean() == 200


DECODE = """
import sys
from pathlib import Path
import numpy as np
from backend.importers.decoders import picture
for path in sys.argv[2:]:
    np.save(Path(sys.argv[1]) / (Path(path).name + ".npy"), picture(Path(path)))
"""


def test_blender_and_the_backend_decode_the_same_pixels(house: House, blend: Any, tmp_path: Path) -> None:
    python = ROOT / ".environments" / "backend" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        pytest.skip("needs the backend's environment")
    random = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x112] = 3
    for suffix in ("jpg", "png", "tif", "webp"):
        Image.fromarray(random).save(tmp_path / f"a.{suffix}", exif=exif, icc_profile=profile())
        Image.fromarray(random).convert("LA").convert("L").save(tmp_path / f"gray.{suffix}")
    for mode in ("CMYK", "P"):
        Image.fromarray(random).convert(mode).save(tmp_path / f"{mode}.tif")
    house("core.formats.png").write(tmp_path / "deep.png", random.astype(np.uint16) * 257)
    files = [path for path in sorted(tmp_path.iterdir()) if path.is_file()]
    done = subprocess.run(
        [str(python), "-B", "-c", DECODE, str(tmp_path), *map(str, files)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-1000:]
    for path in files:
        decoded = house("scene.sources.import_files").decoded(path)
        # Two builds of the JPEG library may round a value otherwise, which the profile then stretches.
        limit = 3 if path.suffix == ".jpg" else 0
        difference = np.abs(decoded.astype(int) - np.load(tmp_path / f"{path.name}.npy"))
        assert difference.max() <= limit, path.name


def scene_light(picture: np.ndarray, chromaticities: tuple[float, ...] | None = None, more: bytes = b"") -> bytes:
    """An OpenEXR of (16, 32, 3) float light."""
    from tests.core.test_scene_light import primaries
    from tests.fuzz.pictures import openexr

    channels = {name: np.ascontiguousarray(picture[..., at], "<f4") for at, name in enumerate("RGB")}
    return openexr(channels, more=more + (primaries(chromaticities) if chromaticities else b""))


@pytest.mark.parametrize("space", ["Rec. 2020", "ACES"])
def test_scene_light_of_other_primaries_has_the_same_colours(
    house: House, read: Read, tmp_path: Path, space: str
) -> None:
    """Blender itself knows some primaries, and takes the others for Rec. 709."""
    from tests.core import test_scene_light as core

    values, to_rec709 = {"Rec. 2020": (core.REC2020, core.FROM_REC2020), "ACES": (core.ACES, core.FROM_ACES)}[space]
    picture = np.random.default_rng(0).uniform(0.05, 0.9, (16, 32, 3))
    picture[8:] = (0.8, 0.1, 0.05)
    wide = picture @ np.linalg.inv(np.array(to_rec709)).T
    (tmp_path / "plain.exr").write_bytes(scene_light(picture))
    (tmp_path / "wide.exr").write_bytes(scene_light(wide, values))
    plain, other = (pixels(house, read(tmp_path / f"{name}.exr")[0]).astype(int) for name in ("plain", "wide"))
    assert np.abs(plain - other).max() <= 2


def test_a_data_window_is_placed_in_its_picture(house: House, read: Read, tmp_path: Path) -> None:
    """Compositors save what is not empty, which may be twice as wide as high by chance."""
    from tests.core.test_scene_light import attribute

    data = scene_light(np.full((16, 32, 3), 0.5))
    window = attribute("displayWindow", "box2i", struct.pack("<4i", -4, -8, 59, 23))
    own = data.index(b"displayWindow\0")
    (tmp_path / "part.exr").write_bytes(data[:own] + window + data[own + len(window) :])
    made, _ = read(tmp_path / "part.exr")
    assert tuple(made.pantheon360.image.size) == (64, 32)
    valid = house("scene.captures.capture_objects").load(made).valid
    expected = np.zeros((32, 64), bool)
    expected[8:24, 4:36] = True
    assert (valid == expected).all()


def test_a_cube_map_is_refused(house: House, read: Read, tmp_path: Path) -> None:
    from tests.core.test_scene_light import attribute

    cube = attribute("envmap", "envmap", b"\x01")
    (tmp_path / "cube.exr").write_bytes(scene_light(np.full((16, 32, 3), 0.5), more=cube))
    with pytest.raises(house("core.errors").PantheonError, match="cube panorama"):
        read(tmp_path / "cube.exr")


def test_two_fisheyes_are_told(read: Read, tmp_path: Path) -> None:
    from tests.core.test_fisheyes import panorama as rendered
    from tests.core.test_fisheyes import two_fisheyes

    for width in (256, 1024):
        size = (width, width // 2)
        Image.fromarray(two_fisheyes()).resize(size).save(tmp_path / f"lenses{width}.jpg", quality=90)
        Image.fromarray(rendered()).resize(size).save(tmp_path / f"sphere{width}.jpg", quality=90)
        (told,) = read(tmp_path / f"lenses{width}.jpg")[1]
        assert "two fisheyes" in told and "Stitch" in told and f"lenses{width}.jpg" in told
        assert read(tmp_path / f"sphere{width}.jpg")[1] == []

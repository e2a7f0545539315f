"""What headers of OpenEXR and Radiance files say of light, place and projection is followed or told."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from pantheon360_blender.core.errors import ImageError
from pantheon360_blender.core.formats import appearance, exr, image_headers, panorama_metadata
from tests.fuzz.pictures import openexr

REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
REC2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)
ACES = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, 0.32168, 0.33767)
FROM_REC2020 = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
"""ITU-R BT.2407-0, 2.2."""
FROM_ACES = [[2.5217, -1.1341, -0.3876], [-0.2765, 1.3727, -0.0963], [-0.0154, -0.1529, 1.1683]]
"""By Bradford from ACES's white to D65, as OpenColorIO's ACES configuration has it."""


def attribute(name: str, kind: str, value: bytes) -> bytes:
    return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value


def light(*more: bytes) -> bytes:
    """An OpenEXR of 32 x 16 with further attributes."""
    grey = np.full((16, 32), 0.5, np.float32)
    return openexr({"R": grey, "G": grey, "B": grey}, more=b"".join(more))


def primaries(values: tuple[float, ...]) -> bytes:
    return attribute("chromaticities", "chromaticities", struct.pack("<8f", *values))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("values", "matrix"), [(REC2020, FROM_REC2020), (ACES, FROM_ACES)])
def test_primaries_of_openexr_are_those_of_its_light(tmp_path: Path, values: tuple[float, ...], matrix: object) -> None:
    path = written(tmp_path / "a.exr", light(primaries(values)))
    assert exr.decode(path.read_bytes())["R"][0, 0] == 0.5, "it is a sound file"
    found = panorama_metadata.read(path).appearance
    assert found.changes_pixels and found.light is not None
    np.testing.assert_allclose(found.light, matrix, atol=2e-3)
    np.testing.assert_allclose(found.light.sum(axis=1), 1, atol=1e-3, err_msg="white is not white")


def test_light_that_is_rec709_already_stays(tmp_path: Path) -> None:
    for name, more in (("a.exr", [primaries(REC709)]), ("b.exr", [])):
        found = appearance.read(written(tmp_path / name, light(*more)))
        assert found.light is None and not found.changes_pixels


def test_primaries_that_make_no_sense_are_told(tmp_path: Path) -> None:
    for number, values in enumerate([(0.0,) * 8, (np.nan,) * 8, (0.3, 0.3) * 4, (1e30,) * 8]):
        path = written(tmp_path / f"{number}.exr", light(primaries(values)))
        found = panorama_metadata.read(path)
        assert found.appearance.light is None and any("primaries" in text.lower() for text in found.warnings), values


def test_a_radiance_files_primaries_are_those_of_its_light(tmp_path: Path) -> None:
    head = (
        b"#?RADIANCE\nPRIMARIES= " + " ".join(map(str, REC2020)).encode() + b"\nFORMAT=32-bit_rle_rgbe\n\n-Y 16 +X 32\n"
    )
    found = appearance.read(written(tmp_path / "a.hdr", head))
    assert found.light is not None
    np.testing.assert_allclose(found.light, FROM_REC2020, atol=2e-3)
    assert appearance.read(written(tmp_path / "b.hdr", head.replace(b"PRIMARIES", b"OTHERS"))).light is None
    for damage in (b"0.3 x", b"0.3 0.3 0.3", b"", b"nan " * 8):
        path = written(tmp_path / "c.hdr", b"#?RGBE\nPRIMARIES=" + damage + b"\n\n")
        found_warnings = panorama_metadata.read(path).warnings
        assert any("primaries" in text for text in found_warnings), damage
    path = written(tmp_path / "d.hdr", head.replace(b"rgbe", b"xyze"))
    assert any("XYZ" in text for text in panorama_metadata.read(path).warnings)


def test_a_data_window_is_a_crop(tmp_path: Path) -> None:
    """Renderers and compositors leave out what is empty; another window says where the rest lies."""
    display = attribute("displayWindow", "box2i", struct.pack("<4i", -4, -8, 59, 23))
    whole = light()
    own = whole.index(b"displayWindow\0")
    length = len(attribute("displayWindow", "box2i", bytes(16)))
    path = written(tmp_path / "a.exr", whole[:own] + display + whole[own + length :])
    found = panorama_metadata.read(path)
    assert found.size == (32, 16) and found.full_placement() == ((64, 32), (4, 8))
    with pytest.raises(ImageError, match="part of its picture"):
        exr.decode(path.read_bytes())
    assert panorama_metadata.read(written(tmp_path / "b.exr", whole)).full_placement() is None


def test_a_cube_is_no_panorama(tmp_path: Path) -> None:
    path = written(tmp_path / "a.exr", light(attribute("envmap", "envmap", b"\x01")))
    assert panorama_metadata.read(path).projection == "cube"
    path = written(tmp_path / "b.exr", light(attribute("envmap", "envmap", b"\x00")))
    assert panorama_metadata.read(path).projection is None


def test_what_is_larger_than_any_panorama_is_refused_by_its_header(tmp_path: Path) -> None:
    huge = attribute("dataWindow", "box2i", struct.pack("<4i", 0, 0, 99_999, 99_999))
    data = light()
    own = data.index(b"dataWindow\0")
    path = written(tmp_path / "a.exr", data[:own] + huge + data[own + len(huge) :])
    with pytest.raises(ImageError, match="is 100000 x 100000"), open(path, "rb") as file:
        image_headers.read(file, path.stat().st_size, path)

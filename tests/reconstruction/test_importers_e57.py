"""E57 files written by pye57: scans with poses and colours, pictures with poses, and broken ones."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pye57 = pytest.importorskip("pye57", reason="needs the backend's environment")

from pye57 import libe57  # noqa: E402

from backend.importers import SourceError, open_source  # noqa: E402
from backend.importers import e57 as e57_importer  # noqa: E402
from pantheon360_blender.core.errors import PantheonError  # noqa: E402
from pantheon360_blender.core.formats import panorama_metadata, png  # noqa: E402
from pantheon360_blender.core.output_folder import OutputFolder  # noqa: E402
from pantheon360_blender.core.panorama import cameras  # noqa: E402
from pantheon360_blender.core.progress import run_to_end  # noqa: E402
from tests.fuzz.mutations import with_checksums  # noqa: E402

COUNT = 2000
TURN = np.array([np.cos(0.3), 0, 0, np.sin(0.3)])
"""A turn by 0.6 about Z, w x y z."""
PLACE = np.array([3.0, -2.0, 1.5])


def scan(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    points = random.uniform(-10, 10, (COUNT, 3)).astype(np.float32)
    colours = random.integers(0, 256, (COUNT, 3)).astype(np.uint8)
    columns = {f"cartesian{axis}": points[:, index] for index, axis in enumerate("XYZ")}
    return columns | {f"color{name}": colours[:, index] for index, name in enumerate(("Red", "Green", "Blue"))}


def write(
    path: Path,
    *scans: dict[str, np.ndarray],
    place: np.ndarray = PLACE,
    picture: np.ndarray | None = None,
    flat: bool = False,
    data: bytes | None = None,
    share: tuple[float, float] = (1.0, 1.0),
    mask: np.ndarray | None = None,
) -> Path:
    """data: of the picture, by default a PNG. share: of the sphere's angles that it shows, across and down."""
    file = pye57.E57(str(path), "w")
    for each in scans:
        file.write_scan_raw(each, rotation=TURN, translation=place, name="a scan")
    if picture is not None:
        data = data or png.encode(picture)
        add_picture(file.image_file, file.root["images2D"], data, flat, picture.shape, share, mask)
    file.close()
    return path


def write_fields(path: Path, limits: dict[str, float] | None = None, **fields: tuple[np.ndarray, int | None]) -> Path:
    """A scan of fields that pye57 does not write by itself. fields: values and the largest of an integer, or None."""
    file = pye57.E57(str(path), "w")
    image, scan, prototype = file.image_file, *(libe57.StructureNode(file.image_file) for _ in range(2))
    scan.set("guid", libe57.StringNode(image, "{1}"))
    buffers, columns = libe57.VectorSourceDestBuffer(), []
    for name, (values, largest) in fields.items():
        node = libe57.FloatNode(image) if largest is None else libe57.IntegerNode(image, 0, 0, largest)
        prototype.set(name, node)
        columns.append(np.ascontiguousarray(values, np.float64))  # kept: the library holds no reference
        buffers.append(libe57.SourceDestBuffer(image, name, columns[-1], COUNT, True, True))
    if limits is not None:
        stated = libe57.StructureNode(image)
        for name, value in limits.items():
            stated.set(name, libe57.FloatNode(image, value))
        scan.set("colorLimits", stated)
    vector = libe57.CompressedVectorNode(image, prototype, libe57.VectorNode(image, True))
    scan.set("points", vector)
    file.data3d.append(scan)
    writer = vector.writer(buffers)
    writer.write(COUNT)
    writer.close()
    file.close()
    return path


def cartesian() -> dict[str, tuple[np.ndarray, int | None]]:
    return {f"cartesian{axis}": (np.linspace(0, 5, COUNT), None) for axis in "XYZ"}


def limits(low: float, high: float) -> dict[str, float]:
    ends = {"Minimum": low, "Maximum": high}
    return {f"color{name}{end}": value for name in ("Red", "Green", "Blue") for end, value in ends.items()}


def add_picture(
    file: Any,
    images: Any,
    data: bytes,
    flat: bool,
    shape: tuple[int, ...],
    share: tuple[float, float],
    mask: np.ndarray | None,
) -> None:
    def numbers(**values: float) -> Any:
        node = libe57.StructureNode(file)
        for name, value in values.items():
            node.set(name, libe57.FloatNode(file, value))
        return node

    image = libe57.StructureNode(file)
    image.set("guid", libe57.StringNode(file, "{1}"))
    image.set("name", libe57.StringNode(file, "panorama 1"))
    pose = libe57.StructureNode(file)
    pose.set("rotation", numbers(w=TURN[0], x=TURN[1], y=TURN[2], z=TURN[3]))
    pose.set("translation", numbers(x=PLACE[0], y=PLACE[1], z=PLACE[2]))
    image.set("pose", pose)
    sphere = libe57.StructureNode(file)
    blobs = {"pngImage" if data[:4] == b"\x89PNG" else "jpegImage": data}
    if mask is not None:
        blobs["imageMask"] = png.encode(mask)
    nodes = {name: libe57.BlobNode(file, len(each)) for name, each in blobs.items()}
    for name, node in nodes.items():
        sphere.set(name, node)
    sphere.set("imageWidth", libe57.IntegerNode(file, shape[1]))
    sphere.set("imageHeight", libe57.IntegerNode(file, shape[0]))
    width, height = (0.002, 0.002) if flat else (2 * np.pi * share[0] / shape[1], np.pi * share[1] / shape[0])
    sphere.set("pixelWidth", libe57.FloatNode(file, width))
    sphere.set("pixelHeight", libe57.FloatNode(file, height))
    if flat:
        sphere.set("focalLength", libe57.FloatNode(file, 0.016))
    image.set("pinholeRepresentation" if flat else "sphericalRepresentation", sphere)
    images.append(image)
    for name, node in nodes.items():
        node.write(np.frombuffer(blobs[name], np.uint8).copy(), 0, len(blobs[name]))


def in_the_world(columns: dict[str, np.ndarray], place: np.ndarray = PLACE) -> np.ndarray:
    local = np.column_stack([columns[f"cartesian{axis}"] for axis in "XYZ"]).astype(np.float64)
    return np.asarray(local @ cameras.matrix_from_quaternion(TURN).T + place)


def test_scans_come_in_by_their_poses_with_their_colours(tmp_path: Path) -> None:
    imported = run_to_end(open_source(write(tmp_path / "a.e57", scan(0), scan(1))))
    assert imported.cloud is not None
    np.testing.assert_allclose(
        imported.cloud.points, np.vstack([in_the_world(scan(seed)) for seed in (0, 1)]), atol=1e-5
    )
    for index, name in enumerate(("Red", "Green", "Blue")):
        expected = np.concatenate([scan(seed)[f"color{name}"] for seed in (0, 1)])
        np.testing.assert_array_equal(imported.cloud.colours[:, index], expected)


def test_a_far_scan_keeps_its_millimetres(tmp_path: Path) -> None:
    far = np.array([500_000.0, 5_400_000.0, 100.0])
    imported = run_to_end(open_source(write(tmp_path / "a.e57", scan(), place=far)))
    assert imported.cloud is not None and np.abs(imported.cloud.points).max() < 200
    np.testing.assert_allclose(imported.cloud.points + imported.offset, in_the_world(scan(), far), atol=2e-5)


def test_invalid_points_are_left_out(tmp_path: Path) -> None:
    columns = scan()
    invalid = np.zeros(COUNT, np.int8)
    invalid[::4] = 1
    imported = run_to_end(open_source(write(tmp_path / "a.e57", columns | {"cartesianInvalidState": invalid})))
    assert imported.cloud is not None
    np.testing.assert_allclose(imported.cloud.points, in_the_world(columns)[invalid == 0], atol=1e-5)


def test_intensity_stands_in_for_missing_colours(tmp_path: Path) -> None:
    columns = {name: values for name, values in scan().items() if "cartesian" in name}
    columns["intensity"] = np.linspace(0.2, 0.7, COUNT).astype(np.float32)
    imported = run_to_end(open_source(write(tmp_path / "a.e57", columns)))
    assert imported.cloud is not None
    np.testing.assert_allclose(imported.cloud.colours[:, 0], np.linspace(0, 255, COUNT), atol=1)


@pytest.mark.parametrize(
    ("scale", "largest", "stated"),
    [
        (1, 255, None),
        (1, 255, limits(0, 255)),
        (257, 65535, None),
        (257, 65535, limits(0, 65535)),
        (257, 65535, limits(0, 255)),
        (1, 65535, None),
        (1, 65535, limits(0, 65535)),
        (1, 65535, limits(0, 255)),
        (4, 1023, limits(0, 1020)),
        (1 / 255, None, None),
        (1 / 255, None, limits(0, 1)),
        (1, None, None),
        (257, None, None),
        (1, 255, limits(7, 7)),
    ],
)
def test_colours_of_every_scale_are_those_of_bytes(
    tmp_path: Path, scale: float, largest: int | None, stated: dict[str, float] | None
) -> None:
    shades = {f"color{name}": np.linspace(0, 255, COUNT).round() for name in ("Red", "Green", "Blue")}
    fields = {name: (values * scale, largest) for name, values in shades.items()}
    imported = run_to_end(open_source(write_fields(tmp_path / "a.e57", stated, **cartesian(), **fields)))
    assert imported.cloud is not None
    np.testing.assert_allclose(imported.cloud.colours[:, 0], shades["colorRed"], atol=1)


def test_points_whose_color_is_invalid_have_their_intensity(tmp_path: Path) -> None:
    invalid = np.arange(COUNT) % 3 == 0
    fields = {f"color{name}": (np.full(COUNT, 90), 255) for name in ("Red", "Green", "Blue")}
    fields |= {"isColorInvalid": (invalid, 1)}
    imported = run_to_end(open_source(write_fields(tmp_path / "a.e57", **cartesian(), **fields)))
    assert imported.cloud is not None
    np.testing.assert_array_equal(imported.cloud.colours[:, 0], np.where(invalid, 255, 90))
    assert any("no valid color" in note for note in imported.notes)
    fields |= {"intensity": (np.linspace(0, 1, COUNT), None)}
    shaded = run_to_end(open_source(write_fields(tmp_path / "a.e57", **cartesian(), **fields))).cloud
    assert shaded is not None
    assert (np.diff(shaded.colours[invalid, 0].astype(int)) >= 0).all() and (shaded.colours[~invalid] == 90).all()


@pytest.mark.parametrize(
    "values", [np.linspace(0, 1, COUNT), np.linspace(0, 4095, COUNT), np.linspace(-2048, 2047, COUNT)]
)
def test_intensity_without_limits_is_judged_by_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: np.ndarray
) -> None:
    monkeypatch.setattr(e57_importer, "_PART", 300)
    imported = run_to_end(open_source(write_fields(tmp_path / "a.e57", **cartesian(), intensity=(values, None))))
    assert imported.cloud is not None
    grey = imported.cloud.colours[:, 0].astype(int)
    assert grey[0] < 10 and grey[-1] > 245 and (np.diff(grey) >= 0).all()
    assert any("shaded by intensity" in note for note in imported.notes)


def test_a_scan_without_any_shade_is_white_and_it_is_told(tmp_path: Path) -> None:
    imported = run_to_end(open_source(write_fields(tmp_path / "a.e57", **cartesian())))
    assert imported.cloud is not None and (imported.cloud.colours == 255).all()
    assert any("white" in note for note in imported.notes)


def test_spherical_coordinates_become_places_and_invalid_ones_are_left_out(tmp_path: Path) -> None:
    azimuth, elevation = np.linspace(-3, 3, COUNT), np.linspace(-1.5, 1.5, COUNT)
    invalid = np.arange(COUNT) % 4
    fields: dict[str, tuple[np.ndarray, int | None]] = {
        "sphericalRange": (np.full(COUNT, 2.0), None),
        "sphericalAzimuth": (azimuth, None),
        "sphericalElevation": (elevation, None),
        "sphericalInvalidState": (np.minimum(invalid, 2), 2),
    }
    imported = run_to_end(open_source(write_fields(tmp_path / "a.e57", **fields)))
    assert imported.cloud is not None
    expected = 2 * np.column_stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    np.testing.assert_allclose(imported.cloud.points, expected[invalid == 0], atol=1e-5)


def test_panoramas_become_captures(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    file = write(tmp_path / "a.e57", scan(), picture=picture)
    assert any("inside the file" in note for note in run_to_end(open_source(file)).notes)
    imported = run_to_end(open_source(file, pictures=OutputFolder(tmp_path)))
    (capture,) = imported.captures
    assert capture.name == "panorama 1" and capture.panoramic and capture.image is not None
    np.testing.assert_array_equal(png.read(capture.image), picture)
    np.testing.assert_allclose(capture.pose[:3, 3], PLACE)
    # The middle of the picture lies along the turned +X, its top is up, its right side is where +X turns clockwise.
    ahead = np.array([np.cos(0.6), np.sin(0.6), 0])
    np.testing.assert_allclose(-capture.pose[:3, 2], ahead, atol=1e-12)
    np.testing.assert_allclose(capture.pose[:3, 1], (0, 0, 1), atol=1e-12)
    np.testing.assert_allclose(capture.pose[:3, 0], (ahead[1], -ahead[0], 0), atol=1e-12)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "JPEG without JFIF"])
@pytest.mark.parametrize(
    ("shape", "share", "placement"),
    [
        ((8, 16), (1.0, 1.0), None),
        ((8, 16), (1.002, 0.999), None),
        ((8, 16), (0.5, 0.5), ((32, 16), (8, 4))),
        ((8, 32), (1.0, 0.5), ((32, 16), (0, 4))),
        ((16, 8), (0.25, 1.0), ((32, 16), (12, 0))),
    ],
)
def test_a_part_of_a_sphere_is_placed_by_its_angles(
    tmp_path: Path, kind: str, shape: tuple[int, int], share: tuple[float, float], placement: object
) -> None:
    """Also one that is twice as wide as high, as the whole sphere is."""
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    data = png.encode(picture)
    if kind != "PNG":
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG")
        data = stream.getvalue()
        if kind != "JPEG":
            data = data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]
    file = write(tmp_path / "a.e57", scan(), picture=picture, data=data, share=share)
    imported = run_to_end(open_source(file, pictures=OutputFolder(tmp_path)))
    (capture,) = imported.captures
    assert capture.image is not None
    found = panorama_metadata.read(capture.image)
    assert found.full_placement() == placement and not found.warnings
    assert any("degrees" in note for note in imported.notes) == (placement is not None)
    np.testing.assert_array_equal(np.asarray(Image.open(capture.image)), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("share", [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0), (1e-300, 1e-300)])
def test_angles_that_no_picture_has_are_told(tmp_path: Path, share: tuple[float, float]) -> None:
    picture = np.zeros((8, 16, 3), np.uint8)
    file = write(tmp_path / "a.e57", scan(), picture=picture, share=share)
    imported = run_to_end(open_source(file, pictures=OutputFolder(tmp_path)))
    assert imported.captures[0].image is not None and any("angles" in note for note in imported.notes)


def test_a_mask_of_a_picture_comes_with_it(tmp_path: Path) -> None:
    picture, mask = np.zeros((8, 16, 3), np.uint8), np.full((8, 16), 255, np.uint8)
    mask[6:] = 0
    file = write(tmp_path / "a.e57", scan(), picture=picture, mask=mask)
    (capture,) = run_to_end(open_source(file, pictures=OutputFolder(tmp_path))).captures
    assert capture.mask is not None
    np.testing.assert_array_equal(png.read(capture.mask), mask)
    file = write(tmp_path / "b.e57", scan(), picture=picture, mask=mask, share=(0.5, 0.5))
    imported = run_to_end(open_source(file, pictures=OutputFolder(tmp_path)))
    assert imported.captures[0].mask is None and any("mask" in note for note in imported.notes)


def test_perspective_pictures_tell_their_field_of_view(tmp_path: Path) -> None:
    """16 pixels of 2 mm, 16 mm behind the lens."""
    picture = np.zeros((8, 16, 3), np.uint8)
    (capture,) = run_to_end(open_source(write(tmp_path / "a.e57", scan(), picture=picture, flat=True))).captures
    assert not capture.panoramic
    assert capture.field_of_view == pytest.approx(np.pi / 2)
    ahead = -cameras.matrix_from_quaternion(TURN)[:, 2]
    np.testing.assert_allclose(-capture.pose[:3, 2], ahead, atol=1e-12)


def test_large_scans_are_thinned_to_the_limit(tmp_path: Path) -> None:
    imported = run_to_end(open_source(write(tmp_path / "a.e57", scan(0), scan(1)), limit=300))
    assert imported.cloud is not None and len(imported.cloud) <= 300
    assert any("4,000 points were thinned" in note for note in imported.notes)


def test_a_file_without_scans_and_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no points"):
        run_to_end(open_source(write(tmp_path / "a.e57")))


def test_cut_and_damaged_files_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.e57", scan())
    data = file.read_bytes()
    random = np.random.default_rng(0)
    for length in np.linspace(1, len(data) - 1, 30).astype(int):
        file.write_bytes(data[:length])
        with pytest.raises(PantheonError, match=r"a\.e57"):
            run_to_end(open_source(file))
    for _ in range(30):
        broken = bytearray(data)
        broken[random.integers(len(data))] ^= 1 + random.integers(255)
        file.write_bytes(broken)
        with pytest.raises(PantheonError, match=r"a\.e57"):
            run_to_end(open_source(file))


def test_xml_entities_are_refused_before_any_parser_sees_them(tmp_path: Path) -> None:
    file = write(tmp_path / "a.e57", scan())
    data = file.read_bytes()
    prolog = re.search(rb"<\?xml[^>]*>\s*<e57Root", data)
    assert prolog is not None
    trap = b'<!DOCTYPE e57Root [<!ENTITY a "aaaaaaaa">]><'
    file.write_bytes(data[: prolog.start()] + trap + data[prolog.start() + len(trap) :])
    with pytest.raises(SourceError, match="entities"):
        run_to_end(open_source(file))


def with_xml(file: Path, before: bytes, after: bytes) -> Path:
    """The file with another text in its XML part, and with right checksums; what is behind the XML is lost."""
    data = file.read_bytes()
    plain = b"".join(data[at : at + 1020] for at in range(0, len(data), 1024))
    start, end = plain.index(b"<?xml"), plain.index(b"</e57Root>") + len(b"</e57Root>")
    assert before in plain[start:end]
    xml = plain[start:end].replace(before, after, 1)
    whole = (plain[:start] + xml).ljust(-(-(start + len(xml)) // 1020) * 1020)
    head = struct.pack("<Q", len(whole) // 1020 * 1024) + plain[24:32] + struct.pack("<Q", len(xml))
    whole = whole[:16] + head + whole[40:]
    file.write_bytes(with_checksums(whole))
    return file


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (b"</e57Root>", b'<a type="Structure">' * 100 + b"</a>" * 100 + b"</e57Root>", "deep"),
        (b"</e57Root>", b"".join(b'<n%d type="Integer"/>' % n for n in range(2000)) + b"</e57Root>", "many"),
        (b"UTF-8", b"UTF-9", "encoding"),
        (b"<pose", b"<posed", "XML"),
        (
            b'<images2D type="Vector"',
            b'<images2D type="Vector"><a type="String"/></images2D><b type="Vector"',
            "damaged",
        ),
    ],
)
def test_xml_that_is_out_of_proportion_or_of_other_types_is_refused(
    tmp_path: Path, before: bytes, after: bytes, says: str
) -> None:
    file = with_xml(write(tmp_path / "a.e57", scan(), picture=np.zeros((8, 16, 3), np.uint8)), before, after)
    with pytest.raises(SourceError, match=says):
        run_to_end(open_source(file))


def test_xml_that_is_changed_without_harm_is_read(tmp_path: Path) -> None:
    file = with_xml(write(tmp_path / "a.e57", scan()), b"a scan", b"b scan")
    assert run_to_end(open_source(file)).cloud is not None


@pytest.mark.parametrize("place", [24, 32, 40])
def test_headers_that_lie_are_refused(tmp_path: Path, place: int) -> None:
    file = write(tmp_path / "a.e57", scan())
    data = bytearray(file.read_bytes())
    data[place : place + 8] = (1 << 62).to_bytes(8, "little")
    file.write_bytes(data)
    with pytest.raises(SourceError, match="makes no sense"):
        run_to_end(open_source(file))

"""Photographs tell their projection, crop, orientation and place; damaged and hostile ones tell it plainly."""

from __future__ import annotations

import hashlib
import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core.errors import FileError, ImageError, MetadataError, PantheonError
from pantheon360_blender.core.formats import image_headers, panorama_metadata
from pantheon360_blender.core.formats.panorama_metadata import PanoramaMetadata

Image = pytest.importorskip("PIL.Image", reason="needs Pillow to make pictures")
PngImagePlugin = pytest.importorskip("PIL.PngImagePlugin")

GPANO = "http://ns.google.com/photos/1.0/panorama/"
FULL = {
    "ProjectionType": "equirectangular",
    "FullPanoWidthPixels": "64",
    "FullPanoHeightPixels": "32",
    "CroppedAreaImageWidthPixels": "64",
    "CroppedAreaImageHeightPixels": "32",
    "CroppedAreaLeftPixels": "0",
    "CroppedAreaTopPixels": "0",
}
SUFFIXES = ("jpg", "png", "tif", "webp")

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")


def as_attributes(properties: dict[str, str], prefix: str = "GPano", inside: str = "") -> bytes:
    values = " ".join(f'{prefix}:{name}="{value}"' for name, value in properties.items())
    return packet(f'<rdf:Description rdf:about="" xmlns:{prefix}="{GPANO}" {values}>{inside}</rdf:Description>')


def as_elements(properties: dict[str, str]) -> bytes:
    values = "\n".join(f"<p:{name}> {value}\n</p:{name}>" for name, value in properties.items())
    return packet(f'<rdf:Description rdf:about="" xmlns:p="{GPANO}">{values}</rdf:Description>')


def packet(description: str) -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{description}</rdf:RDF></x:xmpmeta>'
        + " " * 200
        + '<?xpacket end="w"?>'
    ).encode()


def picture(path: Path, size: tuple[int, int] = (64, 32), xmp: bytes | None = None, **options: Any) -> Path:
    """A small picture with an XMP packet put in by Pillow, in the format of the path's suffix."""
    image = Image.effect_noise(size, 60).convert("RGB")
    if path.suffix == ".png" and xmp is not None:
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=options.pop("compressed", False))
        options["pnginfo"] = text
    elif path.suffix == ".tif" and xmp is not None:
        options["tiffinfo"] = {700: xmp}
    elif xmp is not None:
        options["xmp"] = xmp
    image.save(path, **options)
    return path


def with_segments(path: Path, *segments: bytes) -> Path:
    """Put APP1 segments behind the start of a JPEG."""
    data = path.read_bytes()
    inside = b"".join(b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment for segment in segments)
    path.write_bytes(data[:2] + inside + data[2:])
    return path


def exiftool(path: Path, *tags: str) -> Path:
    subprocess.run(
        ["exiftool", "-q", "-overwrite_original", *tags, str(path)], check=True, capture_output=True, timeout=300
    )
    return path


def told(metadata: PanoramaMetadata, text: str) -> bool:
    return any(text in warning for warning in metadata.warnings)


@needs_exiftool
@pytest.mark.slow  # each starts another program
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_exiftool_writes_is_read(tmp_path: Path, suffix: str) -> None:
    path = exiftool(
        picture(tmp_path / f"Ünïcode 空.{suffix}", (48, 20)),
        "-XMP-GPano:ProjectionType=equirectangular",
        "-XMP-GPano:FullPanoWidthPixels=64",
        "-XMP-GPano:FullPanoHeightPixels=32",
        "-XMP-GPano:CroppedAreaImageWidthPixels=48",
        "-XMP-GPano:CroppedAreaImageHeightPixels=20",
        "-XMP-GPano:CroppedAreaLeftPixels=8",
        "-XMP-GPano:CroppedAreaTopPixels=6",
        "-XMP-GPano:PoseHeadingDegrees=271.25",
        "-XMP-GPano:PosePitchDegrees=-3.5",
        "-XMP-GPano:PoseRollDegrees=1.25",
        "-GPSLatitude=33.856784",
        "-GPSLatitudeRef=S",
        "-GPSLongitude=151.215297",
        "-GPSLongitudeRef=E",
        "-GPSAltitude=12.5",
        "-GPSAltitudeRef=Below Sea Level",
        "-GPSImgDirection=90",
        "-GPSImgDirectionRef=T",
    )
    metadata = panorama_metadata.read(path)
    assert metadata.size == (48, 20)
    assert metadata.projection == "equirectangular"
    assert (metadata.full_size, metadata.cropped_size, metadata.cropped_offset) == ((64, 32), (48, 20), (8, 6))
    assert (metadata.heading, metadata.pitch, metadata.roll) == (271.25, -3.5, 1.25)
    assert metadata.position is not None
    assert metadata.position.latitude == pytest.approx(-33.856784, abs=1e-7)
    assert metadata.position.longitude == pytest.approx(151.215297, abs=1e-7)
    assert metadata.position.altitude == -12.5
    assert metadata.full_placement() == ((64, 32), (8, 6))
    assert metadata.warnings == ()


@needs_exiftool
@pytest.mark.slow  # each starts another program
@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_both_byte_orders_are_read(tmp_path: Path, suffix: str, order: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        path.write_bytes(small_tiff(order))
    else:
        picture(path)
    exiftool(path, f"-ExifByteOrder={order}", "-GPSLatitude=49.0068896198", "-GPSLatitudeRef=N")
    exiftool(path, "-GPSLongitude=1.9191854418", "-GPSLongitudeRef=W", "-GPSImgDirection=349.0582058")
    assert order.encode() in path.read_bytes()[:40]
    metadata = panorama_metadata.read(path)
    assert metadata.position is not None
    assert metadata.position.latitude == pytest.approx(49.0068896198, abs=1e-8)
    assert metadata.position.longitude == pytest.approx(-1.9191854418, abs=1e-8)
    assert metadata.position.altitude is None
    assert metadata.heading == pytest.approx(349.0582058, abs=1e-6)


def small_tiff(order: str) -> bytes:
    """A 4 x 2 grey TIFF in a byte order that Pillow does not write."""
    sign = "<" if order == "II" else ">"
    tags = [(256, 4), (257, 2), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 2), (279, 8)]
    entries = b"".join(struct.pack(f"{sign}HHII", tag, 4, 1, value) for tag, value in tags)
    header = order.encode() + struct.pack(f"{sign}HI", 42, 16) + bytes(range(8))
    return header + struct.pack(f"{sign}H", len(tags)) + entries + bytes(4)


@needs_exiftool
@pytest.mark.slow  # each starts another program
def test_position_in_xmp_counts_where_there_is_no_exif(tmp_path: Path) -> None:
    path = exiftool(
        picture(tmp_path / "a.png"),
        "-XMP-exif:GPSLatitude=-33.856784",
        "-XMP-exif:GPSLongitude=151.215297",
        "-XMP-exif:GPSAltitude=12.5",
        "-XMP-exif:GPSAltitudeRef=0",
        "-XMP-exif:GPSImgDirection=12.5",
    )
    metadata = panorama_metadata.read(path)
    assert metadata.position is not None
    assert metadata.position.latitude == pytest.approx(-33.856784, abs=1e-6)
    assert metadata.position.longitude == pytest.approx(151.215297, abs=1e-6)
    assert (metadata.position.altitude, metadata.heading) == (12.5, 12.5)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("form", [as_attributes, as_elements])
def test_attributes_and_elements_mean_the_same(
    tmp_path: Path, suffix: str, form: Callable[[dict[str, str]], bytes]
) -> None:
    metadata = panorama_metadata.read(
        picture(tmp_path / f"a.{suffix}", xmp=form({**FULL, "PoseHeadingDegrees": "-90.5"}))
    )
    assert metadata.projection == "equirectangular"
    assert metadata.heading == 269.5
    assert metadata.full_placement() == ((64, 32), (0, 0))
    assert metadata.warnings == ()


def test_compressed_xmp_in_png_is_read(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", xmp=as_attributes(FULL), compressed=True)
    assert b"equirectangular" not in path.read_bytes()
    assert panorama_metadata.read(path).projection == "equirectangular"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-16", "utf-32-be"])
def test_every_encoding_of_xmp_is_read(tmp_path: Path, encoding: str) -> None:
    text = as_elements(FULL).decode().partition("?>")[2]
    path = picture(tmp_path / "a.jpg", xmp=text.encode(encoding))
    assert panorama_metadata.read(path).full_size == (64, 32)


def test_a_file_that_says_nothing(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        metadata = panorama_metadata.read(picture(tmp_path / f"a.{suffix}"))
        assert metadata == PanoramaMetadata(size=(64, 32))
        assert metadata.full_placement() is None


def test_kinds_of_files_not_known_here_are_no_error(tmp_path: Path) -> None:
    path = tmp_path / "sky.hdr"
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 32 +X 64\n")
    assert panorama_metadata.read(path) == PanoramaMetadata()


@given(st.data())
def test_a_crop_keeps_its_place_through_a_resize(data: st.DataObject) -> None:
    """A pixel's direction is the same in the crop as taken, and in the picture that another program made smaller."""
    width = data.draw(st.integers(200, 4000)) * 2
    size = data.draw(st.integers(100, width)), data.draw(st.integers(100, width // 2))
    offset = data.draw(st.integers(0, width - size[0])), data.draw(st.integers(0, width // 2 - size[1]))
    scale = data.draw(st.sampled_from([1.0, 0.5, 0.73, 2.0]))
    resized = round(size[0] * scale), round(size[1] * scale)
    metadata = PanoramaMetadata(size=resized, full_size=(width, width // 2), cropped_size=size, cropped_offset=offset)
    placement = metadata.full_placement()
    assert placement is not None
    full, (left, top) = placement
    assert full[0] == 2 * full[1]
    assert 0 <= left <= full[0] - resized[0] and 0 <= top <= full[1] - resized[1]
    if scale == 1.0:
        assert placement == ((width, width // 2), offset)
    corners = [
        (offset, (left, top)),
        ((offset[0] + size[0], offset[1] + size[1]), (left + resized[0], top + resized[1])),
    ]
    # Sides rounded to whole pixels leave the scale that uncertain.
    pixels = 2.5 + full[0] / (resized[0] + resized[1])
    for before, after in corners:
        assert after[0] / full[0] == pytest.approx(before[0] / width, abs=pixels / full[0])
        assert after[1] / full[1] == pytest.approx(before[1] / (width // 2), abs=pixels / full[1])


def test_a_resize_is_told(tmp_path: Path) -> None:
    metadata = panorama_metadata.read(picture(tmp_path / "a.jpg", (32, 16), xmp=as_attributes(FULL)))
    assert metadata.full_placement() == ((32, 16), (0, 0))
    assert told(metadata, "it was resized")


@pytest.mark.parametrize(
    ("changes", "placement", "warning"),
    [
        ({"CroppedAreaLeftPixels": "1"}, None, "does not fit"),
        ({"FullPanoWidthPixels": "32"}, None, "does not fit"),
        ({"CroppedAreaImageHeightPixels": "16"}, None, "another shape"),
        ({"FullPanoWidthPixels": "many"}, None, "missing or impossible"),
        ({"FullPanoWidthPixels": "-64"}, None, "missing or impossible"),
        ({"FullPanoWidthPixels": "1e400"}, None, "missing or impossible"),
        ({"FullPanoWidthPixels": "NaN"}, None, "missing or impossible"),
        ({"FullPanoWidthPixels": "900000", "FullPanoHeightPixels": "450000"}, None, "cannot hold"),
        ({"FullPanoWidthPixels": "64.0", "FullPanoHeightPixels": " 32 "}, ((64, 32), (0, 0)), ""),
        ({"FullPanoHeightPixels": "40"}, ((64, 32), (0, 0)), "not 2:1"),
        ({"ProjectionType": "cylindrical"}, ((64, 32), (0, 0)), "cylindrical, not equirectangular"),
        ({"PosePitchDegrees": "120"}, ((64, 32), (0, 0)), "PosePitchDegrees"),
        ({"PoseHeadingDegrees": "north"}, ((64, 32), (0, 0)), "PoseHeadingDegrees"),
        ({"PoseHeadingDegrees": "9" * 5000}, ((64, 32), (0, 0)), "PoseHeadingDegrees"),
    ],
)
def test_contradictions_are_told(tmp_path: Path, changes: dict[str, str], placement: object, warning: str) -> None:
    metadata = panorama_metadata.read(picture(tmp_path / "a.jpg", xmp=as_attributes({**FULL, **changes})))
    assert metadata.full_placement() == placement
    assert told(metadata, warning) if warning else metadata.warnings == ()
    assert metadata.heading is None and metadata.pitch is None


def test_a_crop_of_unknown_place_is_taken_from_the_middle(tmp_path: Path) -> None:
    known = {name: FULL[name] for name in ("ProjectionType", "FullPanoWidthPixels", "FullPanoHeightPixels")}
    metadata = panorama_metadata.read(picture(tmp_path / "a.jpg", (64, 20), xmp=as_attributes(known)))
    assert metadata.full_placement() == ((64, 32), (0, 6))
    assert told(metadata, "in the middle")


@needs_exiftool
@pytest.mark.slow  # each starts another program
@pytest.mark.parametrize(
    ("pose", "compass", "heading"),
    [
        ({}, "349.06", 349.06),
        ({"PoseHeadingDegrees": "12"}, "349.06", 12.0),
        ({"PoseHeadingDegrees": "0.0", "PosePitchDegrees": "0.0", "PoseRollDegrees": "0.0"}, "349.06", 349.06),
        ({"PoseHeadingDegrees": "0.0", "PosePitchDegrees": "2.0"}, "349.06", 0.0),
        ({"PoseHeadingDegrees": "0.0"}, None, 0.0),
        ({}, None, None),
    ],
)
def test_the_compass_is_the_heading_where_gpano_has_none(
    tmp_path: Path, pose: dict[str, str], compass: str | None, heading: float | None
) -> None:
    path = picture(tmp_path / "a.jpg", xmp=as_attributes({**FULL, **pose}))
    if compass:
        exiftool(path, f"-GPSImgDirection={compass}", "-GPSImgDirectionRef=T")
    assert panorama_metadata.read(path).heading == (None if heading is None else pytest.approx(heading))


@needs_exiftool
@pytest.mark.slow  # each starts another program
@pytest.mark.parametrize(
    ("tags", "warning"),
    [
        (["-GPSLatitude=0", "-GPSLatitudeRef=N", "-GPSLongitude=0", "-GPSLongitudeRef=E"], "no fix"),
        (["-GPSLatitude=10", "-GPSLatitudeRef=N"], "incomplete"),
        (["-GPSLatitude=10", "-GPSLongitude=10", "-GPSLatitudeRef=N"], "incomplete"),
        (["-GPSImgDirection=20", "-GPSImgDirectionRef=M"], "magnetic"),
    ],
)
def test_useless_gps_is_told(tmp_path: Path, tags: list[str], warning: str) -> None:
    metadata = panorama_metadata.read(exiftool(picture(tmp_path / "a.jpg"), *tags))
    assert metadata.position is None
    assert told(metadata, warning)


def extended(content: bytes, part: int = 700) -> list[bytes]:
    """Segments of a main packet that refers to an extended one, and of the extended one, out of order."""
    guid = hashlib.md5(content).hexdigest().upper()
    note = f'<n:HasExtendedXMP xmlns:n="http://ns.adobe.com/xmp/note/">{guid}</n:HasExtendedXMP>'
    main = b"http://ns.adobe.com/xap/1.0/\0" + as_attributes({"ProjectionType": "equirectangular"}, inside=note)
    segments = [
        b"http://ns.adobe.com/xmp/extension/\0"
        + guid.encode()
        + struct.pack(">II", len(content), start)
        + content[start : start + part]
        for start in range(0, len(content), part)
    ]
    random.Random(1).shuffle(segments)
    return [main, *segments]


EXTENSION = as_elements({"FullPanoWidthPixels": "64", "FullPanoHeightPixels": "32", "Padding": "x" * 3000})


def test_extended_xmp_is_joined(tmp_path: Path) -> None:
    metadata = panorama_metadata.read(with_segments(picture(tmp_path / "a.jpg"), *extended(EXTENSION)))
    assert (metadata.projection, metadata.full_size, metadata.warnings) == ("equirectangular", (64, 32), ())


@pytest.mark.parametrize("damage", ["missing", "flipped", "twice"])
def test_damaged_extended_xmp_is_told_and_left_out(tmp_path: Path, damage: str) -> None:
    main, *segments = extended(EXTENSION)
    if damage == "missing":
        segments.pop()
    elif damage == "flipped":
        segments[0] = segments[0][:-20] + b"?" + segments[0][-19:]
    else:
        segments[1] = segments[1][:71] + segments[0][71:]
    metadata = panorama_metadata.read(with_segments(picture(tmp_path / "a.jpg"), main, *segments))
    assert (metadata.projection, metadata.full_size) == ("equirectangular", None)
    assert told(metadata, "extended XMP")


@needs_exiftool
@pytest.mark.slow  # each starts another program
def test_exiftools_extended_xmp_is_joined(tmp_path: Path) -> None:
    """exiftool puts what does not fit into extended XMP; which of the tags that is, is its own choice."""
    big = tmp_path / "sound.bin"
    big.write_bytes(random.Random(0).randbytes(150_000))
    path = picture(tmp_path / "a.jpg")
    exiftool(path, f"-XMP-GAudio:AudioData<={big}", *(f"-XMP-GPano:{name}={value}" for name, value in FULL.items()))
    assert b"http://ns.adobe.com/xmp/extension/" in path.read_bytes()
    metadata = panorama_metadata.read(path)
    assert (metadata.full_placement(), metadata.warnings) == (((64, 32), (0, 0)), ())


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "hostile",
    [
        BOMB.encode() + as_attributes(FULL),
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        b"<a>" * 5000 + b"</a>" * 5000,
        b"<a>" + b"<b/>" * 600_000 + b"</a>",
        b"<a " + b" ".join(b'b%d=""' % number for number in range(600_000)) + b"/>",
    ],
    ids=["entities", "external", "deep", "elements", "attributes"],
)
def test_hostile_xml_is_refused(tmp_path: Path, hostile: bytes, suffix: str) -> None:
    if suffix == "jpg" and len(hostile) > 65000:  # more than a segment holds
        path = with_segments(picture(tmp_path / "a.jpg"), *extended(hostile, 65000))
    else:
        path = picture(tmp_path / f"a.{suffix}", xmp=hostile)
    with pytest.raises(MetadataError, match=f"a.{suffix}") as raised:
        panorama_metadata.read(path)
    assert raised.value.code == "hostile-metadata"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32-le"])
def test_another_encoding_hides_no_document_type(tmp_path: Path, encoding: str) -> None:
    path = picture(tmp_path / "a.jpg", xmp=(BOMB + "<x>&b;</x>").encode(encoding))
    with pytest.raises(MetadataError, match="document type"):
        panorama_metadata.read(path)


def test_a_packet_that_swells_is_refused(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    data = path.read_bytes()
    text = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(100 << 20), 1)
    chunk = struct.pack(">I", len(text)) + b"iTXt" + text + struct.pack(">I", zlib.crc32(b"iTXt" + text))
    path.write_bytes(data[:33] + chunk + data[33:])
    with pytest.raises(MetadataError, match="swells"):
        panorama_metadata.read(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_metadata_of_a_sound_picture_is_a_warning(tmp_path: Path, suffix: str) -> None:
    metadata = panorama_metadata.read(picture(tmp_path / f"a.{suffix}", xmp=as_attributes(FULL)[:-300]))
    assert metadata.size == (64, 32)
    assert told(metadata, "XMP packet was ignored")


def test_damaged_exif_of_a_sound_picture_is_a_warning(tmp_path: Path) -> None:
    tags = b"Exif\0\0MM\0*" + struct.pack(">IHHHII", 8, 1, 0x8825, 4, 1, 1_000_000)
    for exif in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense", tags + bytes(4)):
        metadata = panorama_metadata.read(with_segments(picture(tmp_path / "a.jpg"), exif))
        assert metadata.size == (64, 32)
        assert told(metadata, "Exif tags were ignored")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_cut_off_picture_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = picture(tmp_path / f"a.{suffix}", xmp=as_attributes(FULL))
    whole = path.read_bytes()
    for length in {1, 5, 12, 40, *range(100, len(whole) - 30, 97), len(whole) - 30}:
        path.write_bytes(whole[:length])
        with pytest.raises(ImageError, match=f"a.{suffix}"):
            panorama_metadata.read(path)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_thumbnail_with_an_end_of_its_own_hides_no_missing_end(tmp_path: Path, suffix: str, share: float) -> None:
    thumbnail = b"Exif\0\0" + b"\xff\xd8 a thumbnail with an end of its own \xff\xd9"
    path = picture(tmp_path / f"a.{suffix}", (400, 200), **({"exif": thumbnail} if suffix == "jpg" else {}))
    image_headers.check_whole(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ImageError, match=f"a.{suffix} is cut off"):
        image_headers.check_whole(path)


def test_hostile_metadata_make_no_picture_incomplete(tmp_path: Path) -> None:
    path = with_segments(picture(tmp_path / "a.jpg"), *extended(BOMB.encode() + as_attributes(FULL)))
    with pytest.raises(MetadataError):
        panorama_metadata.read(path)
    image_headers.check_whole(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ImageError):
        image_headers.check_whole(path)


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jpg"
    empty.touch()
    for path, reason in [(tmp_path / "no.jpg", "does not exist"), (empty, "is empty"), (tmp_path, "is a folder")]:
        with pytest.raises(FileError, match=reason):
            panorama_metadata.read(path)
    words = tmp_path / "words.jpg"
    words.write_text("A photograph, surely.")
    with pytest.raises(ImageError, match="is not a JPEG"):
        panorama_metadata.read(words)


@pytest.mark.parametrize(("name", "tool"), [("a.INSP", "Insta360"), ("a.insv", "Insta360"), ("GS01.360", "GoPro")])
def test_raw_camera_recordings_tell_how_to_export(tmp_path: Path, name: str, tool: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(MetadataError, match=f"Export it .* {tool}") as raised:
        panorama_metadata.read(path)
    assert raised.value.code == "camera-original"


def test_a_renamed_raw_recording_is_told(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + bytes(64) + b"8db42d694ccc418790edff439fe026bf")
    assert told(panorama_metadata.read(path), "two fisheyes")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_damage_escapes_as_anything_but_our_errors(tmp_path: Path, suffix: str) -> None:
    path = picture(tmp_path / f"a.{suffix}", (16, 8), xmp=as_attributes({**FULL, "PoseHeadingDegrees": "3"}))
    if shutil.which("exiftool"):
        exiftool(path, "-GPSLatitude=10", "-GPSLatitudeRef=N", "-GPSLongitude=10", "-GPSLongitudeRef=E")
    whole = path.read_bytes()
    chance = random.Random(suffix)
    read = 0
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 3, 20))):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        path.write_bytes(data)
        try:
            panorama_metadata.read(path).full_placement()
            read += 1
        except PantheonError as error:
            assert str(path) in str(error)
    assert read  # else nothing behind the first check was tried


def test_a_second_header_of_a_png_that_is_too_short_is_damage(tmp_path: Path) -> None:
    """Under a right checksum, so that nothing but its length tells."""
    path = picture(tmp_path / "a.png")
    data = path.read_bytes()
    path.write_bytes(data[:33] + struct.pack(">I4sI", 0, b"IHDR", zlib.crc32(b"IHDR")) + data[33:])
    for read in (panorama_metadata.read, image_headers.check_whole):
        with pytest.raises(ImageError, match="damaged"):
            read(path)

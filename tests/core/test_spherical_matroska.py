"""Matroska and WebM videos: their tags are read, mended and written, and nothing else in them moves."""

from __future__ import annotations

import functools
import json
import math
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pantheon360_blender.core.errors import MetadataError
from pantheon360_blender.core.formats import spherical_video
from pantheon360_blender.core.formats.video import ebml
from pantheon360_blender.core.formats.video.ebml import Element

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None, reason="ffmpeg and ffprobe are not installed"
)
PICTURES = ["-f", "lavfi", "-i", "testsrc2=size=128x64:rate=10:duration=1"]
CODECS = {".mkv": ["-c:v", "mpeg4"], ".webm": ["-c:v", "libvpx-vp9", "-cpu-used", "8"]}
SEGMENT, SEEK_HEAD, TRACKS, CLUSTER = 0x18538067, 0x114D9B74, 0x1654AE6B, 0x1F43B675
TRACK, VIDEO, PROJECTION = 0xAE, 0xE0, 0x7670


def element(ident: int, *content: bytes) -> bytes:
    return Element(ident, b"".join(content)).to_bytes()


def projection(*, kind: int = 1, wide: bool = True, **angles: float) -> bytes:
    """As Blender and FFmpeg write it; angles: yaw, pitch, roll in degrees."""
    idents = {"yaw": 0x7673, "pitch": 0x7674, "roll": 0x7675}
    turned = [element(idents[name], struct.pack(">d" if wide else ">f", angle)) for name, angle in angles.items()]
    return element(PROJECTION, element(0x7671, bytes([kind])), element(0x7672, bytes(20)), *turned)


def matroska(path: Path, *of_video: bytes, room: int = 0, before: int = 0) -> Path:
    """A file with a video track and one cluster. room, before: bytes of void elements behind and before the tracks."""
    video = element(VIDEO, element(0xB0, b"\x80"), element(0xBA, b"\x40"), *of_video)
    track = element(TRACK, element(0xD7, b"\1"), element(0x83, b"\1"), video)
    void_before, void_behind = (ebml.to_bytes(ebml.void(size)) for size in (before, room))
    info = element(0x1549A966, element(0x2AD7B1, b"\x0f\x42\x40"))
    seek = element(0x4DBB, element(0x53AB, TRACKS.to_bytes(4, "big")), element(0x53AC, b"\0\0"))
    place = len(element(SEEK_HEAD, seek)) + before + len(info)
    seek = element(0x4DBB, element(0x53AB, TRACKS.to_bytes(4, "big")), element(0x53AC, place.to_bytes(2, "big")))
    parts = [
        element(SEEK_HEAD, seek),
        void_before,
        info,
        element(TRACKS, track),
        void_behind,
        element(CLUSTER, b"\xec\x80"),
    ]
    header = element(ebml.HEADER, element(0x4282, b"matroska"))
    path.write_bytes(header + element(SEGMENT, *parts))
    return path


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """An artist's own export, by its suffix."""
    folder = tmp_path_factory.mktemp("exports")

    @functools.cache
    def make(suffix: str) -> bytes:
        path = folder / f"a{suffix}"
        command = ["ffmpeg", "-v", "error", *PICTURES, *CODECS[suffix], str(path)]
        if subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=300).returncode:
            pytest.skip(f"this ffmpeg cannot write {suffix}")
        return path.read_bytes()

    return make


def probed(path: Path, *what: str) -> dict:
    command = ["ffprobe", "-v", "error", *what, "-of", "json", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=300).stdout)


def below(path: Path, ident: int = SEGMENT) -> list[ebml.Span]:
    """What the segment holds, by ids and places."""
    with path.open("rb") as file:
        length = file.seek(0, 2)
        segment = next(span for span in ebml.spans(file, 0, length) if span.ident == ident)
        return list(ebml.spans(file, segment.data, segment.end))


def masters(data: bytes) -> Iterator[Element]:
    """Every master element of a file's beginning that is sealed by a checksum."""
    for child in Element(0, data).children():
        if child.ident in (SEGMENT, SEEK_HEAD, TRACKS, 0x1549A966, 0x1254C367, 0x1C53BB6B):
            yield child
            yield from masters(child.content)


@needs_ffmpeg
@pytest.mark.parametrize("suffix", list(CODECS))
def test_an_export_is_tagged_in_the_room_that_its_writer_left(
    suffix: str, export: Callable[[str], bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(export(suffix))
    before, places = probed(path, "-show_packets"), below(path)
    assert spherical_video.check(path).text == "not tagged as 360°"
    spherical_video.tag(path, stereo="top-bottom")
    tagged = path.read_bytes()
    assert len(tagged) == len(export(suffix)) and probed(path, "-show_packets") == before
    assert [span for span in below(path) if span.ident == CLUSTER] == [span for span in places if span.ident == CLUSTER]
    sides = {each["side_data_type"]: each for each in probed(path, "-show_streams")["streams"][0]["side_data_list"]}
    sphere = sides["Spherical Mapping"]
    assert (sphere["projection"], sphere["yaw"], sphere["pitch"], sphere["roll"]) == ("equirectangular", 0, 0, 0)
    assert sides["Stereo 3D"]["type"] == "top and bottom"
    found = spherical_video.read(path)
    assert found is not None and (found.stereo, found.v1, found.v2, found.warnings) == ("top-bottom", False, True, ())
    spherical_video.tag(path, stereo="top-bottom")
    assert path.read_bytes() == tagged, "nothing is tagged twice"
    spherical_video.tag(path)
    assert spherical_video.check(path).text == "tagged as 360° (equirectangular, mono, version 2)"


@needs_ffmpeg
@pytest.mark.parametrize("suffix", list(CODECS))
def test_tables_of_contents_and_checksums_stay_true(
    suffix: str, export: Callable[[str], bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(export(suffix))
    spherical_video.tag(path)
    data, spans = path.read_bytes(), below(path)
    places = {span.start - spans[0].start: span.ident for span in spans}
    with path.open("rb") as file:
        seeks = ebml.read(file, spans[0], 1 << 20).children()
    for seek in (each for each in seeks if each.ident == 0x4DBB):
        assert places[seek.integer(0x53AC)] == seek.integer(0x53AB)
    for master in masters(data):
        first = master.children()[0]
        if first.ident == ebml.CRC_32:
            after = master.content[len(first.to_bytes()) :]
            assert first.content == struct.pack("<I", zlib.crc32(after))


@pytest.mark.skipif(shutil.which("mkvinfo") is None, reason="mkvtoolnix is not installed")
@needs_ffmpeg
def test_mkvinfo_reads_what_was_tagged(export: Callable[[str], bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(export(".mkv"))
    spherical_video.tag(path)
    told = subprocess.run(["mkvinfo", "-v", str(path)], capture_output=True, text=True, check=True, timeout=300).stdout
    assert "Projection type: 1 (equirectangular)" in told and "rror" not in told


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize(
    "angles",
    [
        {"pitch": 16208.0, "roll": 16208.0},
        {"yaw": 0.5, "pitch": -26624.9, "roll": 0.5},
        {"yaw": math.nan},
        {"roll": math.inf},
    ],
)
def test_angles_that_cannot_be_are_named_and_mended_in_their_place(
    angles: dict[str, float], wide: bool, tmp_path: Path
) -> None:
    """What Blender 5.2 and 5.3 wrote of a level camera."""
    path = matroska(tmp_path / "a.mkv", projection(wide=wide, **angles))
    size, broken = path.stat().st_size, spherical_video.check(path)
    worst = max(angles, key=lambda name: abs(angles[name]) if math.isfinite(angles[name]) else math.inf)
    assert broken.is_broken and f"{worst} " in broken.text and "Tag it again" in broken.text
    spherical_video.tag(path)
    assert path.stat().st_size == size
    assert spherical_video.check(path).text == "tagged as 360° (equirectangular, mono, version 2)"


def test_a_pose_that_can_be_is_read(tmp_path: Path) -> None:
    path = matroska(tmp_path / "a.mkv", projection(yaw=30.0, pitch=-10.0, roll=5.0))
    found = spherical_video.read(path)
    assert "version 2, turned by heading 330.00°, pitch -10.00°, roll 5.00°)" in spherical_video.check(path).text
    assert found is not None and (found.heading, found.pitch, found.roll, found.warnings) == (330.0, -10.0, 5.0, ())


def test_what_says_that_it_is_flat_is_no_sphere(tmp_path: Path) -> None:
    assert spherical_video.read(matroska(tmp_path / "a.mkv", projection(kind=0))) is None
    cubes = spherical_video.read(matroska(tmp_path / "b.mkv", projection(kind=2)))
    assert cubes is not None and cubes.projection == "cubemap"


@pytest.mark.parametrize("before", [0, 30, 31, 32, 33, 34, 35, 36, 37, 200])
@pytest.mark.parametrize("room", [0, 30, 31, 32, 33, 34, 35, 36, 37, 200])
def test_it_fits_or_it_is_refused(room: int, before: int, tmp_path: Path) -> None:
    path = matroska(tmp_path / "a.mkv", room=room, before=before)
    old = path.read_bytes()
    if room < 30 and before < 30:
        with pytest.raises(MetadataError, match="no room"):
            spherical_video.tag(path)
        assert path.read_bytes() == old
        return
    try:
        spherical_video.tag(path)
    except MetadataError:
        assert max(room, before) < 37 and path.read_bytes() == old
        return
    assert path.stat().st_size == len(old) and path.read_bytes()[-5:] == old[-5:]
    assert spherical_video.check(path).text == "tagged as 360° (equirectangular, mono, version 2)"
    places = {span.ident: span.start for span in below(path)}
    with path.open("rb") as file:
        seek_head = ebml.read(file, below(path)[0], 1 << 10)
    assert seek_head.integer(0x4DBB, 0x53AC) == places[TRACKS] - places[SEEK_HEAD]


def test_every_size_is_filled() -> None:
    sphere = Element(PROJECTION, bytes(40))
    for size in range(43, 400):
        filled = ebml.filling(sphere, size)
        assert filled is not None and len(filled) == size
        assert Element(0, filled).children()[0].content == sphere.content
    assert ebml.filling(sphere, 42) is None


@pytest.mark.parametrize("kept", [4, 20, 60, 90])
def test_a_file_that_is_cut_off_is_an_error(kept: int, tmp_path: Path) -> None:
    path = matroska(tmp_path / "a.mkv", projection())
    path.write_bytes(path.read_bytes()[:kept])
    for verb in (spherical_video.read, spherical_video.tag):
        with pytest.raises(MetadataError, match="cut off or damaged"):
            verb(path)


def test_two_lenses_and_a_square_are_no_panorama(tmp_path: Path) -> None:
    path = matroska(tmp_path / "a.mkv", room=200)
    path.write_bytes(path.read_bytes().replace(element(0xBA, b"\x40"), element(0xBA, b"\x80")))
    with pytest.raises(MetadataError, match="twice as wide as high"):
        spherical_video.tag(path)

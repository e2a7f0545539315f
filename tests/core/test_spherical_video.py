"""Videos tagged as 360° are known as such by other programs, and are otherwise untouched."""

from __future__ import annotations

import errno
import functools
import json
import os
import random
import shutil
import struct
import subprocess
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core.errors import FileError, MetadataError, PantheonError
from pantheon360_blender.core.formats import mp4, spherical_video
from pantheon360_blender.core.formats.mp4 import Box, Span
from pantheon360_blender.core.formats.spherical_video import SphericalMetadata

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None, reason="ffmpeg and ffprobe are not installed"
)
needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")

PICTURES = ["-f", "lavfi", "-i", "testsrc2=size=128x64:rate=10:duration=1"]
SQUARE = ["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10:duration=1"]
SOUND = ["-f", "lavfi", "-i", "sine=duration=1"]
KEY = "00112233445566778899aabbccddeeff"
FAST = ["-movflags", "+faststart"]
VIDEOS = {
    "end.mp4": [*PICTURES, "-c:v", "libx264"],
    "front.mp4": [*PICTURES, *SOUND, "-c:v", "libx264", *FAST],
    "sound first.mp4": [*SOUND, *PICTURES, "-map", "0", "-map", "1", "-c:v", "libx264", *FAST],
    "mpeg4.mp4": [*PICTURES, "-c:v", "mpeg4", *FAST],
    "hvc1.mp4": [*PICTURES, "-c:v", "libx265", "-x265-params", "log-level=none", "-tag:v", "hvc1", *FAST],
    "hev1.mp4": [*PICTURES, "-c:v", "libx265", "-x265-params", "log-level=none", "-tag:v", "hev1"],
    "vp9.mp4": [*PICTURES, "-c:v", "libvpx-vp9", "-cpu-used", "8", *FAST],
    "av1.mp4": [*PICTURES, "-c:v", "libaom-av1", "-cpu-used", "8", *FAST],
    "prores.mov": [*PICTURES, *SOUND, "-c:v", "prores", *FAST],
    "encrypted.mp4": [*PICTURES, "-c:v", "libx264", *FAST, "-encryption_scheme", "cenc-aes-ctr",
                      "-encryption_key", KEY, "-encryption_kid", KEY],
    "fragmented.mp4": [*PICTURES, "-c:v", "libx264", "-movflags", "frag_keyframe+empty_moov"],
    "sound.mp4": [*SOUND],
    "other.avi": [*PICTURES, "-c:v", "mpeg4"],
    "lenses.mp4": [*SQUARE, *SQUARE, "-map", "0", "-map", "1", "-c:v", "mpeg4"],
    "square.mp4": [*SQUARE, "-c:v", "mpeg4"],
}  # fmt: skip
UNTAGGABLE = ("fragmented.mp4", "sound.mp4", "other.avi", "lenses.mp4", "square.mp4")
TAGGABLE = [name for name in VIDEOS if name not in UNTAGGABLE]


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A video of VIDEOS, made once; its test is skipped where this ffmpeg lacks the encoder."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    folder = tmp_path_factory.mktemp("videos")

    @functools.cache
    def make(name: str) -> Path:
        made = subprocess.run(
            ["ffmpeg", "-v", "error", "-y", *VIDEOS[name], str(folder / name)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        if "Unknown encoder" in made.stderr:
            pytest.skip(f"ffmpeg cannot make {name}: {made.stderr.strip()}")
        assert made.returncode == 0, made.stderr
        return folder / name

    return make


@pytest.fixture
def tagged(video: Callable[[str], Path], tmp_path: Path) -> Path:
    return spherical_video.tag(video("front.mp4"), tmp_path / "tagged.mp4")


def ffprobe(path: Path) -> list[dict[str, Any]]:
    command = ["ffprobe", "-v", "error", *key_of(path), "-show_streams", "-of", "json", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert found.stderr == ""
    streams: list[dict[str, Any]] = json.loads(found.stdout)["streams"]
    return streams


def key_of(path: Path) -> list[str]:
    return ["-decryption_key", KEY] if "encrypted" in path.name else []


def side_data(path: Path) -> dict[str, dict[str, Any]]:
    return {data["side_data_type"]: data for data in ffprobe(path)[0].get("side_data_list", [])}


def exiftool(path: Path) -> dict[str, Any]:
    found = subprocess.run(["exiftool", "-j", "-G1", str(path)], capture_output=True, check=True, timeout=300)
    tags: dict[str, Any] = json.loads(found.stdout)[0]
    return tags


def content(path: Path) -> str:
    """Checksums of every decoded frame with its time, and of the sound as it lies in the file."""
    command = ["ffmpeg", "-v", "error", *key_of(path), "-i", str(path), "-map", "0:v", "-f", "framemd5", "-"]
    command += ["-map", "0:a?", "-c", "copy", "-f", "framemd5", "-"] if len(ffprobe(path)) > 1 else []
    found = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, timeout=300)
    assert found.stderr == ""
    # Sorted, for ffmpeg mixes the two lists at will.
    return "".join(sorted(line for line in found.stdout.splitlines(True) if not line.startswith("#")))


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert data.count(old) == 1 and len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    return path


@pytest.mark.slow  # several programs look at each of many videos
@needs_ffmpeg
@pytest.mark.parametrize("name", TAGGABLE)
def test_other_programs_see_a_sphere_and_the_same_pictures(
    video: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    source = video(name)
    target = spherical_video.tag(source, tmp_path / f"Ünïcode 空 {name}")
    assert ffprobe(target)[0]["codec_type"] == "video"
    assert side_data(target)["Spherical Mapping"]["projection"] == "equirectangular"
    assert side_data(target)["Stereo 3D"]["type"] == "2D"
    assert content(target) == content(source)
    assert spherical_video.read(source) is None
    assert spherical_video.read(target) == SphericalMetadata(v1=True, v2=True, software="Pantheon360 for Blender")
    again = spherical_video.tag(target, tmp_path / f"twice.{name}")
    assert again.read_bytes() == target.read_bytes()


@needs_ffmpeg
@needs_exiftool
@pytest.mark.parametrize(
    ("stereo", "v1", "v2", "probed"),
    [
        ("mono", "mono", "Monoscopic", "2D"),
        ("top-bottom", "top-bottom", "Stereoscopic Top-Bottom", "top and bottom"),
        ("left-right", "left-right", "Stereoscopic Left-Right", "side by side"),
    ],
)
def test_every_stereo_layout_is_known_to_other_programs(
    video: Callable[[str], Path], tmp_path: Path, stereo: str, v1: str, v2: str, probed: str
) -> None:
    path = spherical_video.tag(video("end.mp4"), tmp_path / "a.mp4", stereo=stereo, software='Ω & <"x">')
    tags = exiftool(path)
    assert str(tags["XMP-GSpherical:Spherical"]).lower() == str(tags["XMP-GSpherical:Stitched"]).lower() == "true"
    assert tags["XMP-GSpherical:ProjectionType"] == "equirectangular"
    assert tags["XMP-GSpherical:StitchingSoftware"] == tags["Track1:MetadataSource"] == 'Ω & <"x">'
    assert tags["XMP-GSpherical:StereoMode"] == v1
    assert tags["Track1:Stereoscopic3D"] == v2
    assert {tags[f"Track1:ProjectionBounds{side}"] for side in ("Top", "Bottom", "Left", "Right")} == {0}
    assert not any("Warning" in name for name in tags)
    assert side_data(path)["Stereo 3D"]["type"] == probed
    metadata = spherical_video.read(path)
    assert metadata is not None and (metadata.stereo, metadata.software) == (stereo, 'Ω & <"x">')


def test_fisheyes_are_not_called_a_panorama(video: Callable[[str], Path], tmp_path: Path) -> None:
    for stereo in ("mono", "top-bottom"):
        with pytest.raises(MetadataError, match="a track for each lens"):
            spherical_video.tag(video("lenses.mp4"), tmp_path / "a.mp4", stereo=stereo)
    with pytest.raises(MetadataError, match="64 x 64"):
        spherical_video.tag(video("square.mp4"), tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()
    spherical_video.tag(video("square.mp4"), tmp_path / "a.mp4", stereo="top-bottom")
    assert spherical_video.read(tmp_path / "a.mp4") is not None


def test_tags_are_replaced_not_heaped(video: Callable[[str], Path], tmp_path: Path) -> None:
    once = spherical_video.tag(video("front.mp4"), tmp_path / "once.mp4")
    other = spherical_video.tag(once, tmp_path / "other.mp4", stereo="left-right", software="A longer name " * 20)
    assert spherical_video.tag(other, tmp_path / "back.mp4").read_bytes() == once.read_bytes()


def test_a_video_is_tagged_in_place(video: Callable[[str], Path], tmp_path: Path) -> None:
    path, link = tmp_path / "a.mp4", tmp_path / "link.mp4"
    shutil.copy(video("front.mp4"), path)
    link.symlink_to(path)
    assert spherical_video.tag(link) == link
    assert link.is_symlink()
    assert spherical_video.read(path) is not None
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.mp4", "link.mp4"}
    before = path.stat()
    spherical_video.tag(path)  # nothing to change: gigabytes are not written again
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_av_decodes_what_was_tagged(tagged: Path, video: Callable[[str], Path]) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed")
    frames = []
    for path in (tagged, video("front.mp4")):
        with av.open(str(path)) as container:
            frames.append([frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(video=0)])
    assert len(frames[0]) == 10
    assert frames[0] == frames[1]


@needs_exiftool
def test_version_1_of_another_writer_is_read(video: Callable[[str], Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(video("front.mp4"), tmp_path / "a.mp4"))
    values = {
        "Spherical": "true",
        "Stitched": "true",
        "StitchingSoftware": "another",
        "ProjectionType": "equirectangular",
        "StereoMode": "top-bottom",
        "InitialViewHeadingDegrees": "90",
        "FullPanoWidthPixels": "200",
        "FullPanoHeightPixels": "100",
        "CroppedAreaImageWidthPixels": "100",
        "CroppedAreaImageHeightPixels": "50",
        "CroppedAreaLeftPixels": "20",
        "CroppedAreaTopPixels": "40",
    }
    tags = [f"-XMP-GSpherical:{name}={value}" for name, value in values.items()]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *tags, str(path)], check=True, timeout=300)
    metadata = spherical_video.read(path)
    assert metadata is not None
    assert metadata.bounds == pytest.approx((0.1, 0.4, 0.4, 0.1))
    assert replace(metadata, bounds=(0, 0, 0, 0)) == SphericalMetadata(
        stereo="top-bottom", v1=True, heading=90, software="another"
    )
    spherical_video.tag(path)
    assert exiftool(path)["XMP-GSpherical:StereoMode"] == "mono"
    assert path.read_bytes().count(b"SphericalVideo xmlns") <= 1


@needs_ffmpeg
def test_version_2_of_another_writer_is_read(tagged: Path, tmp_path: Path) -> None:
    path = tmp_path / "ffmpeg.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(tagged), "-c", "copy", "-strict", "unofficial", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=300)
    metadata = spherical_video.read(path)
    assert metadata is not None
    assert (metadata.v1, metadata.v2, metadata.projection, metadata.stereo) == (
        False,
        True,
        "equirectangular",
        "mono",
    )


@needs_ffmpeg
def test_pose_and_bounds_are_read_as_ffprobe_reads_them(tagged: Path) -> None:
    pose = struct.pack(">3i", int(-90.5 * 65536), int(10.25 * 65536), int(-3.5 * 65536))
    replaced(tagged, b"prhd" + bytes(16), b"prhd" + bytes(4) + pose)
    bounds = struct.pack(">4I", 1 << 30, 0, 1 << 31, 1 << 29)  # top, bottom, left, right
    replaced(tagged, b"equi" + bytes(20), b"equi" + bytes(4) + bounds)
    metadata = spherical_video.read(tagged)
    assert metadata is not None
    assert (metadata.heading, metadata.pitch, metadata.roll) == (90.5, 10.25, -3.5)
    assert metadata.bounds == (0.5, 0.25, 0.125, 0.0)
    probed = side_data(tagged)["Spherical Mapping"]
    assert probed["projection"] == "tiled equirectangular"
    assert (probed["yaw"], probed["pitch"], probed["roll"]) == (-90, 10, -3)


@pytest.mark.parametrize(("kind", "name"), [(b"cbmp", "cubemap"), (b"mshp", "mesh"), (b"abcd", "abcd")])
def test_other_projections_are_named(tagged: Path, kind: bytes, name: str) -> None:
    metadata = spherical_video.read(replaced(tagged, b"equi" + bytes(20), kind + bytes(20)))
    assert metadata is not None and metadata.projection == name
    assert "Version 1 says equirectangular mono" in metadata.warnings[0]


def test_hostile_xml_is_refused_and_damaged_xml_is_told(tagged: Path) -> None:
    whole = tagged.read_bytes()
    replaced(tagged, b'<?xml version="1.0"?>', b"<!DOCTYPE x>         ")
    with pytest.raises(MetadataError, match=r"tagged\.mp4.*document type"):
        spherical_video.read(tagged)
    tagged.write_bytes(whole)
    metadata = spherical_video.read(replaced(tagged, b"</rdf:SphericalVideo>", b"</rdf:SphericalVideos"))
    assert metadata is not None
    assert (metadata.v1, metadata.v2) == (False, True)
    assert "version 1 were ignored" in metadata.warnings[0]


@needs_ffmpeg
@pytest.mark.parametrize("large", [False, True], ids=["to the end of the file", "64-bit size"])
def test_unusual_box_sizes(video: Callable[[str], Path], tmp_path: Path, large: bool) -> None:
    source = video("front.mp4")
    data = source.read_bytes()
    at = data.rindex(b"mdat") - 4
    path = tmp_path / "a.mp4"
    if large:  # takes the place of the box of 8 spare bytes before it
        assert data[at - 8 : at] == struct.pack(">I4s", 8, b"free")
        path.write_bytes(data[: at - 8] + struct.pack(">I4sQ", 1, b"mdat", len(data) - at + 8) + data[at + 8 :])
    else:
        path.write_bytes(data[:at] + struct.pack(">I4s", 0, b"mdat") + data[at + 8 :])
    target = spherical_video.tag(path, tmp_path / "b.mp4")
    assert side_data(target)["Spherical Mapping"]["projection"] == "equirectangular"
    assert content(target) == content(source)


def test_what_a_camera_appended_is_kept(video: Callable[[str], Path], tmp_path: Path) -> None:
    trailer = b"\0\0\1\0" + bytes(40) + b"the camera's own"
    path = tmp_path / "a.mp4"
    path.write_bytes(video("front.mp4").read_bytes() + trailer)
    assert spherical_video.tag(path).read_bytes().endswith(trailer)
    assert spherical_video.read(path) is not None


@given(
    st.lists(st.lists(st.integers(2000, 2**32 - 1), max_size=5), max_size=4),
    st.integers(-1500, 3000),
    st.booleans(),
)
def test_chunk_offsets_follow_the_data(tables: list[list[int]], growth: int, auxiliary: bool) -> None:
    """Whatever the header's growth and its tables: an offset names the same byte of the data as before."""
    boxes = [Box(b"stco", struct.pack(f">II{len(table)}I", 0, len(table), *table)) for table in tables]
    if auxiliary:
        boxes = [Box(b"saio", b"\0\0\0\1cenc\0\0\0\0" + box.content[4:]) for box in boxes]
    tracks = [Box(b"trak", children=[_nested(box, b"stbl", b"minf", b"mdia")]) for box in boxes]
    movie = Box(b"moov", children=[*tracks, Box(b"free", bytes(1500))])
    old = Span(b"moov", 1000, 8, 1000 + movie.size())
    if growth:
        movie.children[-1].content = bytes(1500 + growth)
    mp4.shift_chunks(movie, old, Path("a.mp4"))
    moved = movie.size() - (old.end - old.start)
    for table, box in zip(tables, boxes, strict=True):
        wide = box.kind == b"co64" or (box.kind == b"saio" and box.content[0] == 1)
        start = 16 if auxiliary else 8
        values = struct.unpack(f">{len(table)}{'Q' if wide else 'I'}", box.content[start:])
        assert list(values) == [value + moved if value >= old.end else value for value in table]
        assert wide == any(value >= 1 << 32 for value in values)
    assert len(movie.to_bytes()) == movie.size()


def _nested(box: Box, *kinds: bytes) -> Box:
    for kind in kinds:
        box = Box(kind, children=[box])
    return box


def test_angles_that_cannot_be_are_named_and_mended(tagged: Path) -> None:
    sound = tagged.read_bytes()
    replaced(tagged, b"prhd" + bytes(16), b"prhd" + bytes(4) + struct.pack(">3i", 0, 16208 << 16, 0))
    found = spherical_video.check(tagged)
    assert found.is_broken and "pitch 16208°" in found.text and found.tags is not None and found.tags.pitch == 0
    spherical_video.tag(tagged)
    assert tagged.read_bytes() == sound and not spherical_video.check(tagged).is_broken


def test_what_the_tags_are_is_told(video: Callable[[str], Path], tmp_path: Path) -> None:
    untagged, both = video("end.mp4"), spherical_video.tag(video("end.mp4"), tmp_path / "a.mp4")
    assert spherical_video.check(untagged).text == "not tagged as 360°"
    assert spherical_video.check(both).text == "tagged as 360° (equirectangular, mono, versions 1 and 2)"
    replaced(both, b"sv3d", b"sv3x")
    assert spherical_video.check(both).text == "tagged as 360° (equirectangular, mono, version 1)"
    replaced(both, b"sv3x", b"sv3d")
    replaced(both, b"<GSpherical:StereoMode>mono", b"<GSpherical:StereoMode>left")
    assert "but broken. Version 1 says" in spherical_video.check(both).text


@pytest.mark.parametrize(
    ("name", "reason"),
    [("fragmented.mp4", "fragmented.*ffmpeg"), ("sound.mp4", "no video"), ("other.avi", "not an MP4")],
)
def test_what_cannot_be_tagged_is_told(video: Callable[[str], Path], tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(MetadataError, match=reason) as raised:
        spherical_video.tag(video(name), tmp_path / "a.mp4")
    assert str(video(name)) in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_opened_is_told(video: Callable[[str], Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    for path, reason in [(tmp_path / "no.mp4", "does not exist"), (empty, "is empty"), (tmp_path, "is a folder")]:
        for verb in (spherical_video.tag, spherical_video.read):
            with pytest.raises(FileError, match=reason):
                verb(path)
    for name, tool in [("VID.insv", "Insta360"), ("GS01.360", "GoPro")]:
        with pytest.raises(MetadataError, match=f"Export it .* {tool}"):
            spherical_video.tag(Path(shutil.copy(video("front.mp4"), tmp_path / name)))
    with pytest.raises(MetadataError, match="no stereo layout"):
        spherical_video.tag(video("front.mp4"), stereo="up-down")


@pytest.mark.parametrize("name", ["end.mp4", "front.mp4"])
def test_a_cut_off_video_is_an_error_and_is_left_alone(video: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    whole = video(name).read_bytes()
    path = tmp_path / "cut.mp4"
    for length in range(9, len(whole) - 8, 997):
        path.write_bytes(whole[:length])
        with pytest.raises(MetadataError, match=r"cut\.mp4"):
            spherical_video.tag(path)
        assert path.read_bytes() == whole[:length]


def test_a_full_disk_leaves_the_old_video(
    video: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(video("front.mp4"), tmp_path / "a.mp4"))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="the disk is full"):
        spherical_video.tag(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


def test_cancelling_leaves_the_old_video(video: Callable[[str], Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(video("front.mp4"), tmp_path / "a.mp4"))
    before = path.read_bytes()
    job = spherical_video.tagging(path)
    next(job)
    job.close()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


def test_a_large_video_does_not_fill_the_memory(video: Callable[[str], Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(video("front.mp4"), tmp_path / "a.mp4"))
    with open(path, "r+b") as file:
        file.seek(0, 2)
        file.write(struct.pack(">I4s", 64 << 20, b"free"))
        file.truncate(file.tell() + (64 << 20) - 8)
    tracemalloc.start()
    try:
        spherical_video.tag(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.slow  # many damaged copies of many videos
@pytest.mark.parametrize("name", ["end.mp4", "sound first.mp4"])
def test_no_damage_escapes_as_anything_but_our_errors(video: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    path = spherical_video.tag(video(name), tmp_path / "a.mp4")
    whole = path.read_bytes()
    start = whole.index(b"moov") - 4
    end = start + struct.unpack_from(">I", whole, start)[0]
    chance = random.Random(name)
    read = 0
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 3, 20))):
            at = chance.randrange(start, end) if chance.random() < 0.9 else chance.randrange(len(data))
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        path.write_bytes(data)
        for verb in (spherical_video.read, spherical_video.tag):
            try:
                verb(path)
                read += 1
            except PantheonError as error:
                assert str(path) in str(error)
    assert read  # else nothing behind the first check was tried


@needs_ffmpeg
def test_offsets_into_the_header_itself_follow(video: Callable[[str], Path], tmp_path: Path) -> None:
    """ffmpeg keeps what decryption needs in the movie header, and names its place by an offset in the file."""
    path = tmp_path / "encrypted.mp4"
    data = video("encrypted.mp4").read_bytes()
    path.write_bytes(data)
    for place in (path, spherical_video.tag(path, tmp_path / "tagged encrypted.mp4")):
        data = place.read_bytes()
        (offset,) = struct.unpack_from(">I", data, data.index(b"saio") + 12)
        assert offset == data.index(b"senc") + 12

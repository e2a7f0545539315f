"""A camera's raw recording is refused by what is in it, under whatever name, and finished pictures are not."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pantheon360_blender.core.errors import MetadataError
from pantheon360_blender.core.formats import camera_originals, panorama_metadata

Image = pytest.importorskip("PIL.Image", reason="needs Pillow to make pictures")
COLOURS, FURTHER, DNG_VERSION, CFA, LINEAR = 262, 330, 50706, 32803, 34892


def tiff(path: Path, *directories: dict[int, tuple[int, int]]) -> Path:
    """A TIFF whose first directory refers to the others. directories: tag -> type and value."""
    offsets = [8]
    for each in directories:
        offsets.append(offsets[-1] + 2 + 12 * (len(each) + (len(offsets) == 1 and len(directories) > 1)) + 4)
    data = b"II*\0" + struct.pack("<I", 8)
    for index, each in enumerate(directories):
        tags = dict(each)
        if index == 0 and len(directories) > 1:
            tags[FURTHER] = (4, offsets[1])
        data += struct.pack("<H", len(tags))
        data += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in sorted(tags.items()))
        data += bytes(4)
    path.write_bytes(data + bytes(64))
    return path


SIZE = {256: (4, 320), 257: (4, 160)}


@pytest.mark.parametrize("name", ["a.DNG", "a.tif", "a.jpg"])
@pytest.mark.parametrize(
    "directories",
    [
        (SIZE | {COLOURS: (3, 2), DNG_VERSION: (4, 0x00000401)},),
        (SIZE | {COLOURS: (3, 2)}, SIZE | {COLOURS: (3, CFA)}),
        (SIZE | {COLOURS: (3, LINEAR)},),
    ],
    ids=["a version of DNG", "sensor values behind a preview", "linear sensor values"],
)
def test_raw_photographs_are_known_by_their_tags(
    tmp_path: Path, name: str, directories: tuple[dict[int, tuple[int, int]], ...]
) -> None:
    path = tiff(tmp_path / name, *directories)
    for read in (camera_originals.refuse, panorama_metadata.read):
        with pytest.raises(MetadataError, match=r"raw photograph.*export it as a 360°") as refusal:
            read(path)
        assert refusal.value.code == "camera-original"


@pytest.mark.parametrize(
    "start",
    [
        b"FUJIFILMCCD-RAW 0201",
        b"IIRO\x08\0\0\0",
        b"IIU\0\x18\0\0\0",
        b"II*\0\x10\0\0\0CR\x02\0",
        b"\0\0\0\x18ftypcrx \0\0\0\1",
    ],
)
def test_raw_photographs_are_known_by_their_first_bytes(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(start + bytes(100))
    with pytest.raises(MetadataError, match="raw photograph"):
        camera_originals.refuse(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["a.insp", "a.INSV", "a.360", "a.OSV"])
def test_names_of_cameras_tell_before_the_file_is_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(MetadataError, match="as the camera stores it"):
        camera_originals.refuse(tmp_path / name)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp"])
def test_finished_pictures_pass(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (64, 32)).save(tmp_path / f"a.{suffix}")
    camera_originals.refuse(tmp_path / f"a.{suffix}")


def test_a_track_for_each_lens_is_refused() -> None:
    camera_originals.refuse_lenses(Path("a.mp4"), [(3840, 1920)])
    camera_originals.refuse_lenses(Path("a.mp4"), [(3840, 1920), (640, 320)])  # and a small one to look through
    with pytest.raises(MetadataError, match="a track for each lens"):
        camera_originals.refuse_lenses(Path("a.mp4"), [(2880, 2880), (2880, 2880)])

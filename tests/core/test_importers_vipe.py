"""ViPE folders written after its own io module: poses, radial depth, masks, video, and broken ones."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.formats import png
from pantheon360_blender.core.importers import Decoders, SourceError, open_source
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.progress import run_to_end

WIDTH, FRAMES = 64, 3
RADIUS = 4.0


def half_float_exr(depth: np.ndarray) -> bytes:
    """An uncompressed OpenEXR file of one channel Z."""
    height, width = depth.shape
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    listed = b"Z\0" + struct.pack("<iIii", 1, 0, 1, 1) + b"\0"
    head = b"\x76\x2f\x31\x01" + struct.pack("<I", 2)
    for name, of, value in (
        ("channels", "chlist", listed),
        ("compression", "compression", b"\0"),
        ("dataWindow", "box2i", window),
    ):
        head += name.encode() + b"\0" + of.encode() + b"\0" + struct.pack("<i", len(value)) + value
    head += b"\0"
    first = len(head) + 8 * height
    table = b"".join(struct.pack("<Q", first + row * (8 + 2 * width)) for row in range(height))
    rows = (struct.pack("<ii", row, 2 * width) + depth[row].astype("<f2").tobytes() for row in range(height))
    return head + table + b"".join(rows)


def archive(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)


def frame(index: int) -> np.ndarray:
    return np.full((WIDTH // 2, WIDTH, 3), 50 * index + 20, np.uint8)


def video(path: Path) -> Iterator[np.ndarray]:
    assert path.suffix == ".mp4"
    return iter([frame(index) for index in range(FRAMES)])


def write(root: Path, name: str = "clip") -> np.ndarray:
    """Three frames that walk along OpenCV's +Z, each in the middle of a sphere; (3, 4, 4) camera-to-world, OpenCV."""
    poses = np.tile(np.eye(4, dtype=np.float32), (FRAMES, 1, 1))
    poses[:, 2, 3] = [0.0, 1.0, 2.0]
    (root / "pose").mkdir(parents=True, exist_ok=True)
    np.savez(root / "pose" / f"{name}.npz", data=poses, inds=np.arange(FRAMES))
    depth = np.full((WIDTH // 2, WIDTH), RADIUS)
    archive(root / "depth" / f"{name}.zip", {f"{i:05d}.exr": half_float_exr(depth) for i in range(FRAMES)})
    (root / "rgb").mkdir(exist_ok=True)
    (root / "rgb" / f"{name}.mp4").write_bytes(b"stands for a video")
    return poses


def test_a_clip_becomes_points_in_their_colours_round_its_poses(tmp_path: Path) -> None:
    write(tmp_path)
    imported = run_to_end(open_source(tmp_path, decoders=Decoders(video=video)))
    assert imported.cloud is not None and imported.cloud.source is not None
    assert len(imported.cloud) == FRAMES * WIDTH * WIDTH // 2
    for index, capture in enumerate(imported.captures):
        np.testing.assert_allclose(capture.pose[:3, 3], (0, index, 0))  # OpenCV's +Z became +Y, level
        np.testing.assert_allclose(capture.pose[:3, 1], (0, 0, 1))
        mine = imported.cloud.source == index
        distance = np.linalg.norm(imported.cloud.points[mine] - capture.pose[:3, 3], axis=1)
        np.testing.assert_allclose(distance, RADIUS, rtol=1e-3)
        assert (imported.cloud.colours[mine] == 50 * index + 20).all()
    assert any("-Y points up" in note for note in imported.notes)


def test_masked_pixels_are_left_out_where_they_are(tmp_path: Path) -> None:
    write(tmp_path)
    mask = np.zeros((WIDTH // 2, WIDTH), np.uint8)
    mask[10:14, 40:48] = 3  # below the right half's middle: to the right of +Y, about level
    archive(tmp_path / "mask/clip.zip", {"00001.png": png.encode(mask)})
    imported = run_to_end(open_source(tmp_path / "pose/clip.npz"))
    assert imported.cloud is not None and imported.cloud.source is not None
    assert FRAMES * WIDTH * WIDTH // 2 - 80 < len(imported.cloud) <= FRAMES * WIDTH * WIDTH // 2 - 32
    ours = imported.cloud.points[imported.cloud.source == 1] - (0, 1, 0)
    pixels = equirectangular.directions_to_pixels(ours[:, [0, 2, 1]] * (1, 1, -1), WIDTH)
    u, v = np.floor(pixels).astype(int).T
    assert not mask[v, u].any()
    assert any("32 pixels" in note for note in imported.notes)
    assert any("no colors" in note for note in imported.notes)


def test_frames_can_be_skipped_and_pictures_taken_out(tmp_path: Path) -> None:
    write(tmp_path)
    imported = run_to_end(
        open_source(tmp_path, every=2, pictures=OutputFolder(tmp_path), decoders=Decoders(video=video))
    )
    assert [capture.name for capture in imported.captures] == ["clip_00000", "clip_00002"]
    for capture, index in zip(imported.captures, (0, 2), strict=True):
        assert capture.image is not None
        np.testing.assert_array_equal(png.read(capture.image), frame(index))


def test_the_slam_map_is_read_from_npz_and_never_unpickled(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "vipe").mkdir()
    trap = tmp_path / "sprung"
    (tmp_path / "vipe/clip_slam_map.pt").write_bytes(f"cos\nmkdir\n(V{trap}\ntR.".encode())
    imported = run_to_end(open_source(tmp_path))
    assert not trap.exists()
    assert any("clip_slam_map.pt was not read" in note and "numpy.savez" in note for note in imported.notes)
    assert "clip_slam_map.npz" in " ".join(imported.notes)
    points = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    np.savez(
        tmp_path / "vipe/clip_slam_map.npz", dense_disp_xyz=points, dense_disp_rgb=np.array([[0, 0.5, 1], [1, 1, 1.0]])
    )
    (tmp_path / "depth/clip.zip").unlink()
    imported = run_to_end(open_source(tmp_path))
    assert imported.cloud is not None
    np.testing.assert_allclose(imported.cloud.points, [[1, 3, -2], [4, 6, -5]])
    np.testing.assert_array_equal(imported.cloud.colours, [[0, 128, 255], [255, 255, 255]])
    assert not any("was not read" in note for note in imported.notes)


def test_perspective_clips_give_poses_alone(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "intrinsics").mkdir()
    (tmp_path / "intrinsics/clip_camera.txt").write_text("0: PINHOLE\n1: PINHOLE\n")
    imported = run_to_end(open_source(tmp_path))
    assert imported.cloud is None and [capture.panoramic for capture in imported.captures] == [False] * 3


def test_several_clips_ask_for_one(tmp_path: Path) -> None:
    write(tmp_path, "first")
    write(tmp_path, "second")
    with pytest.raises(SourceError, match="first, second"):
        run_to_end(open_source(tmp_path))
    assert len(run_to_end(open_source(tmp_path / "pose/second.npz")).captures) == FRAMES


@pytest.mark.parametrize(
    "arrays",
    [
        {"data": np.zeros((3, 4, 4), np.float32)},
        {"data": np.zeros((3, 4, 3)), "inds": np.arange(3)},
        {"data": np.zeros((0, 4, 4)), "inds": np.arange(0)},
        {"data": np.tile(np.eye(4), (3, 1, 1)), "inds": np.arange(2)},
        {"data": np.full((3, 4, 4), np.nan), "inds": np.arange(3)},
        {"data": np.zeros((3, 4, 4)), "inds": np.arange(3)},
        {"data": np.array([{}], object), "inds": np.arange(1)},
    ],
)
def test_poses_that_are_none_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    write(tmp_path)
    np.savez(tmp_path / "pose/clip.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(PantheonError):
        run_to_end(open_source(tmp_path))


@pytest.mark.parametrize("file", ["pose/clip.npz", "depth/clip.zip", "mask/clip.zip", "vipe/clip_slam_map.npz"])
def test_cut_and_damaged_archives_are_refused_or_read(tmp_path: Path, file: str) -> None:
    write(tmp_path)
    archive(tmp_path / "mask/clip.zip", {"00001.png": png.encode(np.zeros((WIDTH // 2, WIDTH), np.uint8))})
    (tmp_path / "vipe").mkdir()
    points = np.zeros((8, 3), np.float32)
    np.savez(tmp_path / "vipe/clip_slam_map.npz", dense_disp_xyz=points, dense_disp_rgb=points)
    data = (tmp_path / file).read_bytes()
    random = np.random.default_rng(0)
    for _ in range(12):
        (tmp_path / file).write_bytes(data[: random.integers(1, len(data))])
        with pytest.raises(PantheonError):
            run_to_end(open_source(tmp_path))
        broken = bytearray(data)
        for place in random.integers(0, len(data), 4):
            broken[place] = random.integers(256)
        (tmp_path / file).write_bytes(broken)
        try:
            run_to_end(open_source(tmp_path))
        except PantheonError as error:
            assert str(tmp_path) in str(error)


def test_members_that_swell_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("00000.exr", bytes(1 << 20))
    data = bytearray(buffer.getvalue())
    at = data.rfind(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 0xF0000000)  # the size it claims to have unpacked
    (tmp_path / "depth/clip.zip").write_bytes(data)
    with pytest.raises(PantheonError, match=r"bytes large|cannot be read"):
        run_to_end(open_source(tmp_path))


def test_masks_and_depth_of_different_sizes_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    archive(tmp_path / "mask/clip.zip", {"00000.png": png.encode(np.ones((4, 8), np.uint8))})
    with pytest.raises(PantheonError, match="pixels"):
        run_to_end(open_source(tmp_path))

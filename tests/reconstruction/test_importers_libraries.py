"""Models by pycolmap, OpenEXR by OpenImageIO, pictures and videos by encoders of their own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("pycolmap") is None:
    pytest.skip("needs the backend's environment", allow_module_level=True)

import cv2
import OpenImageIO
import plyfile

from backend.importers import open_source
from backend.importers.decoders import DECODERS
from pantheon360_blender.core import budget
from pantheon360_blender.core.errors import ImageError, PantheonError
from pantheon360_blender.core.importers import MissingLibraryError, camera_paths, import_folder
from pantheon360_blender.core.importers.camera_paths import CameraPath
from pantheon360_blender.core.panorama.cameras import pose_matrix, rotation_from_heading
from pantheon360_blender.core.progress import run_to_end

WIDTH = 128
ROOT = Path(__file__).resolve().parents[2]

# In a process of its own: pycolmap and Pillow do not bear each other.
MODEL = """
import json, sys
import numpy as np
import pycolmap

options = pycolmap.SyntheticDatasetOptions()
options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 2, 1, 4, 200
options.camera_model_id = getattr(pycolmap.CameraModelId, sys.argv[2])
options.camera_params = json.loads(sys.argv[3])
model = pycolmap.synthesize_dataset(options)
for point in model.points3D.values():
    point.color = np.random.default_rng(int(1e6 * abs(point.xyz[0]))).integers(0, 256, 3).astype(np.uint8)
(model.write_binary if sys.argv[4] == "bin" else model.write_text)(sys.argv[1])
images = {image.name: image for image in model.images.values()}
print(json.dumps({
    "points": [[*p.xyz.tolist(), *p.color.tolist()] for _, p in sorted(model.points3D.items())],
    "centres": {name: image.projection_center().tolist() for name, image in images.items()},
    "ahead": {name: image.viewing_direction().tolist() for name, image in images.items()},
}))
"""


@pytest.mark.parametrize("kind", ["bin", "txt"])
@pytest.mark.parametrize(
    ("model", "parameters"),
    [("EQUIRECTANGULAR", [1024.0, 768.0]), ("SIMPLE_RADIAL", [1280.0, 512.0, 384.0, 0.05])],
)
def test_what_pycolmap_writes_is_read(tmp_path: Path, kind: str, model: str, parameters: list[float]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MODEL, str(tmp_path), model, json.dumps(parameters), kind],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    truth = json.loads(done.stdout.splitlines()[-1])
    imported = run_to_end(open_source(tmp_path, up="z"))
    assert imported.cloud is not None and len(imported.captures) == len(truth["centres"]) == 8
    expected = np.array(truth["points"])
    ours = np.column_stack([imported.cloud.points, imported.cloud.colours])
    order, theirs = np.lexsort(ours[:, :3].T), np.lexsort(expected[:, :3].T.astype(np.float32))
    np.testing.assert_allclose(ours[order], expected[theirs], atol=1e-5)
    for capture, name in zip(imported.captures, sorted(truth["centres"]), strict=True):
        np.testing.assert_allclose(capture.pose[:3, 3], truth["centres"][name], atol=1e-9)
        np.testing.assert_allclose(-capture.pose[:3, 2], truth["ahead"][name], atol=1e-9)
        assert capture.panoramic == (model == "EQUIRECTANGULAR")


READ = """
import json, sys
import pycolmap

model = pycolmap.Reconstruction(sys.argv[1])
images = sorted(model.images.values(), key=lambda image: image.name)
print(json.dumps({
    "names": [image.name for image in images],
    "centres": [image.projection_center().tolist() for image in images],
    "ahead": [image.viewing_direction().tolist() for image in images],
    "model": [camera.model.name for camera in model.cameras.values()],
}))
"""


def test_pycolmap_reads_a_camera_path_that_is_written(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    turned = random.uniform((-180, -80, -180), (180, 80, 180), (5, 3))
    poses = np.array([pose_matrix(rotation_from_heading(*each), random.normal(0, 5, 3)) for each in turned])
    camera_paths.write(tmp_path, "colmap", CameraPath(np.arange(5) + 99, poses, 24.0))
    done = subprocess.run([sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["model"] == ["EQUIRECTANGULAR"] and told["names"][0] == "frame_000099.png" and len(told["names"]) == 5
    np.testing.assert_allclose(told["centres"], poses[:, :3, 3], atol=1e-9)
    np.testing.assert_allclose(told["ahead"], -poses[:, :3, 2], atol=1e-9)


def write_exr(path: Path, depth: np.ndarray, compression: str) -> None:
    header = OpenImageIO.ImageSpec(depth.shape[1], depth.shape[0], 1, "half" if depth.dtype == np.float16 else "float")
    header.channelnames = ["Z"]
    header.attribute("compression", compression)
    file = OpenImageIO.ImageOutput.create(str(path))
    assert file.open(str(path), header) and file.write_image(depth[..., None]) and file.close(), file.geterror()


@pytest.mark.parametrize("compression", ["zip", "piz", "pxr24", "dwaa"])
def test_the_backend_reads_openexr_by_the_library_that_blender_has(tmp_path: Path, compression: str) -> None:
    depth = np.add.outer(np.arange(32), np.arange(64)).astype(np.float32) / 10 + 1
    write_exr(tmp_path / "a.exr", depth, compression)
    data = (tmp_path / "a.exr").read_bytes()
    np.testing.assert_allclose(DECODERS.exr(data, "a.exr", budget.DEPTH)["Z"], depth, rtol=1e-3)
    imported = run_to_end(open_source(tmp_path / "a.exr"))
    assert imported.cloud is not None
    for length in (100, len(data) // 2, len(data) - 5):
        (tmp_path / "a.exr").write_bytes(data[:length])
        with pytest.raises(PantheonError):
            run_to_end(open_source(tmp_path / "a.exr"))


def test_a_backend_without_the_library_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_exr(tmp_path / "a.exr", np.full((32, 64), 3.0, np.float32), "piz")
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    with pytest.raises(MissingLibraryError, match=r"packed by PIZ.*OpenImageIO") as raised:
        run_to_end(open_source(tmp_path / "a.exr"))
    assert "pip install" in raised.value.advice and "openimageio" in raised.value.advice


def test_a_jpeg_colours_a_depth_image(tmp_path: Path) -> None:
    write_exr(tmp_path / "room_depth.exr", np.full((32, 64), 3.0, np.float32), "zip")
    cv2.imwrite(str(tmp_path / "room.jpg"), np.full((32, 64, 3), (30, 200, 10), np.uint8))
    imported = run_to_end(open_source(tmp_path / "room_depth.exr"))
    assert imported.cloud is not None and imported.captures[0].image == tmp_path / "room.jpg"
    assert np.abs(imported.cloud.colours.astype(int) - (10, 200, 30)).max() <= 4
    (tmp_path / "room.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    with pytest.raises(ImageError, match=r"room\.jpg"):
        run_to_end(open_source(tmp_path / "room_depth.exr"))


def test_a_vipe_clip_with_a_real_video_and_half_float_depth(tmp_path: Path) -> None:
    for folder in ("pose", "depth", "rgb"):
        (tmp_path / folder).mkdir()
    poses = np.tile(np.eye(4, dtype=np.float32), (3, 1, 1))
    poses[:, 0, 3] = [0, 1, 2]
    np.savez(tmp_path / "pose/clip.npz", data=poses, inds=np.arange(3))
    with zipfile.ZipFile(tmp_path / "depth/clip.zip", "w") as archive:
        for index in range(3):
            write_exr(tmp_path / "frame.exr", np.full((64, WIDTH), 2.5, np.float16), "zip")
            archive.write(tmp_path / "frame.exr", f"{index:05d}.exr")
    video = cv2.VideoWriter(str(tmp_path / "rgb/clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 7, (WIDTH, 64))
    for index in range(3):
        video.write(np.full((64, WIDTH, 3), 60 + 60 * index, np.uint8))
    video.release()
    imported = run_to_end(open_source(tmp_path))
    assert imported.cloud is not None and imported.cloud.source is not None
    for index in range(3):
        mine = imported.cloud.source == index
        assert np.abs(imported.cloud.colours[mine].astype(int) - (60 + 60 * index)).max() < 8
        distance = np.linalg.norm(imported.cloud.points[mine] - (index, 0, 0), axis=1)
        np.testing.assert_allclose(distance, 2.5, rtol=1e-3)
    (tmp_path / "rgb/clip.mp4").write_bytes(b"no video")
    with pytest.raises(ImageError, match=r"clip\.mp4"):
        run_to_end(open_source(tmp_path))


def test_what_plyfile_writes_in_big_endian_doubles_is_read(tmp_path: Path) -> None:
    rows = np.zeros(50, [("x", "f8"), ("y", "f8"), ("z", "f8"), ("red", "u1"), ("green", "u1"), ("blue", "u1")])
    random = np.random.default_rng(0)
    for name, base in (("x", 5e5), ("y", 5.4e6), ("z", 300)):
        rows[name] = random.uniform(0, 10, 50) + base
    rows["red"] = np.arange(50)
    plyfile.PlyData([plyfile.PlyElement.describe(rows, "vertex")], byte_order=">").write(tmp_path / "a.ply")
    imported = run_to_end(open_source(tmp_path / "a.ply"))
    assert imported.cloud is not None
    moved = imported.cloud.points + imported.offset
    np.testing.assert_allclose(moved, np.column_stack([rows[axis] for axis in "xyz"]), atol=1e-5)
    np.testing.assert_array_equal(imported.cloud.colours[:, 0], np.arange(50))


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_line_leaves_what_blender_reads(tmp_path: Path, as_json: bool) -> None:
    rows = np.zeros(10, [("x", "f8"), ("y", "f8"), ("z", "f8")])
    rows["x"] = np.arange(10) + 5e5
    plyfile.PlyData([plyfile.PlyElement.describe(rows, "vertex")]).write(tmp_path / "a.ply")
    command = [sys.executable, "-B", "-m", "backend.importers", *(["--json"] if as_json else []), "--scale", "2"]
    done = subprocess.run(
        [*command, str(tmp_path / "a.ply"), str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    imported = import_folder.read(tmp_path / "out")
    assert imported.cloud is not None
    np.testing.assert_allclose(imported.cloud.points[:, 0] + imported.offset[0], 2 * rows["x"])
    assert "far from the origin" in done.stdout + done.stderr
    failed = subprocess.run([*command, str(tmp_path), str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True)
    assert failed.returncode == 1 and "no known kind" in failed.stdout + failed.stderr

"""Files of other programs become the 3D cache and captures; what the artist had stays, and everything is explained."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import plyfile
import pytest

House = Callable[[str], ModuleType]
ROOT = Path(__file__).resolve().parents[2]
COUNT = 500

LASER_SCAN = """
import sys
import laspy
import numpy as np

random = np.random.default_rng(5)
header = laspy.LasHeader(point_format=7, version="1.4")
header.offsets, header.scales = [500000.0, 5400000.0, 300.0], [0.001, 0.001, 0.001]
las = laspy.LasData(header)
points = random.uniform(-5, 5, (int(sys.argv[2]), 3)) + (float(sys.argv[3]) + 500000.0, 5400000.0, 300.0)
las.x, las.y, las.z = points.T
las.red, las.green, las.blue = (random.integers(0, 256, (len(points), 3)) * 257).T
las.write(sys.argv[1])
"""

SCAN_WITH_PICTURE = """
import sys
import numpy as np
import pye57
from pathlib import Path
from pye57 import libe57

path, picture = sys.argv[1:]
file = pye57.E57(path, "w")
points = np.random.default_rng(6).uniform(-3, 3, (200, 3))
columns = {f"cartesian{axis}": points[:, index] for index, axis in enumerate("XYZ")}
shades = {f"color{name}": np.full(200, 90, np.uint8) for name in ("Red", "Green", "Blue")}
file.write_scan_raw(columns | shades, rotation=np.array([1.0, 0, 0, 0]), translation=np.zeros(3), name="scan")
image, data = file.image_file, np.fromfile(picture, np.uint8)

def numbers(**values):
    node = libe57.StructureNode(image)
    for name, value in values.items():
        node.set(name, libe57.FloatNode(image, value))
    return node

node, view, pose = (libe57.StructureNode(image) for _ in range(3))
node.set("guid", libe57.StringNode(image, "{1}"))
node.set("name", libe57.StringNode(image, "station"))
pose.set("rotation", numbers(w=1.0, x=0.0, y=0.0, z=0.0))
pose.set("translation", numbers(x=1.0, y=2.0, z=1.5))
node.set("pose", pose)
blob = libe57.BlobNode(image, len(data))
view.set("pngImage", blob)
node.set("sphericalRepresentation", view)
file.root["images2D"].append(node)
blob.write(data, 0, len(data))
file.close()
"""


VIPE_CLIP = """
import sys, zipfile
from pathlib import Path
import cv2
import numpy as np
import OpenImageIO

root = Path(sys.argv[1])
for folder in ("pose", "depth", "rgb"):
    (root / folder).mkdir(parents=True)
poses = np.tile(np.eye(4, dtype=np.float32), (3, 1, 1))
poses[:, 2, 3] = 0, 1, 2
np.savez(root / "pose" / "clip.npz", data=poses, inds=np.arange(3))
video = cv2.VideoWriter(str(root / "rgb" / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 5, (64, 32))
with zipfile.ZipFile(root / "depth" / "clip.zip", "w") as archive:
    for index in range(3):
        header = OpenImageIO.ImageSpec(64, 32, 1, "half")
        header.channelnames = ["Z"]
        file = OpenImageIO.ImageOutput.create(str(root / "frame.exr"))
        assert file.open(str(root / "frame.exr"), header)
        assert file.write_image(np.full((32, 64, 1), 4, np.float16)) and file.close()
        archive.write(root / "frame.exr", f"{index:05d}.exr")
        video.write(np.full((32, 64, 3), 60 * (index + 1), np.uint8))
video.release()
(root / "frame.exr").unlink()
"""


@pytest.fixture
def bring(house: House, blend: Any) -> Any:
    """Run the job on the fixture's scene."""

    def run(*paths: Path, **options: Any) -> Any:
        return house("scene.app.jobs").run_blocking(
            house("scene.sources.import_files").import_files(blend, paths, **options)
        )

    return run


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch, blend: Any, tmp_path: Path) -> Path:
    """The Python with laspy and pye57, chosen as the backend's."""
    python = ROOT / ".environments" / "backend" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        pytest.skip("needs the backend's environment")
    monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", str(python))
    blend.pantheon360.jobs_folder = str(tmp_path / "jobs")
    return python


def made(python: Path, program: str, *arguments: object) -> None:
    done = subprocess.run([str(python), "-c", program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]


def write_ply(path: Path, count: int = COUNT, spread: float = 3.0) -> np.ndarray:
    """A cloud by plyfile; returns its vertices."""
    random = np.random.default_rng(1)
    kinds = [(name, "f4") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.zeros(count, kinds)
    for name, _ in kinds:
        vertices[name] = random.uniform(-spread, spread, count) if name in "xyz" else random.integers(0, 256, count)
    plyfile.PlyData([plyfile.PlyElement.describe(vertices, "vertex")]).write(str(path))
    return vertices


def write_panorama(house: House, path: Path, seed: int = 0, width: int = 64) -> Path:
    colours = np.random.default_rng(seed).integers(0, 256, (width // 2, width, 3), dtype=np.uint8)
    house("core.formats.png").write(path, colours)
    return path


def write_colmap(folder: Path, names: list[str], model: int = 17) -> None:
    """Cameras on a line, 2 m apart, looking along COLMAP's +Z with Y down, and one point seen by each."""
    folder.mkdir(parents=True, exist_ok=True)
    parameters = (64.0, 32.0) if model == 17 else (50.0, 50.0, 32.0, 16.0)
    camera = struct.pack(f"<IiQQ{len(parameters)}d", 1, model, 64, 32, *parameters)
    (folder / "cameras.bin").write_bytes(struct.pack("<Q", 1) + camera)
    data = struct.pack("<Q", len(names))
    for index, name in enumerate(names):
        data += struct.pack("<I7dI", index + 1, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -2.0 * index, 1)
        data += name.encode() + b"\0" + struct.pack("<Q", 0)
    (folder / "images.bin").write_bytes(data)
    data = struct.pack("<Q", len(names))
    for index in range(len(names)):
        data += struct.pack("<Q3d3Bd", index + 1, index, 0.0, 5.0, 10 * index, 20, 30, 0.1)
        data += struct.pack("<QII", 1, index + 1, 0)
    (folder / "points3D.bin").write_bytes(data)


def points_of(house: House, scene: Any) -> Any:
    return house("scene.cache.cache_objects").evaluated_points(house("scene.app.access").evaluated(scene))


def captures_of(scene: Any) -> list[str]:
    return sorted(obj.name for obj in scene.objects if obj.pantheon360.is_capture)


def test_a_ply_becomes_the_cache(house: House, blend: Any, tmp_path: Path) -> None:
    import bpy

    path = tmp_path / "Ünïcode 空 dir" / "room.ply"
    path.parent.mkdir()
    vertices = write_ply(path)
    assert bpy.ops.pantheon360.import_cache(filepath=str(path)) == {"FINISHED"}
    cloud = points_of(house, blend)
    np.testing.assert_array_equal(cloud.points, np.column_stack([vertices[name] for name in "xyz"]))
    np.testing.assert_array_equal(cloud.colours, np.column_stack([vertices[n] for n in ("red", "green", "blue")]))
    # Points without a size would be drawn black, or not at all.
    bpy.context.view_layer.update()
    obj = house("scene.cache.cache_objects").find(blend)
    _, radii = house("scene.cache.cache_objects").shown_points(obj, bpy.context.evaluated_depsgraph_get())
    assert len(radii) == COUNT and (radii > 0).all()


def test_points_are_replaced_or_merged(house: House, blend: Any, bring: Any, tmp_path: Path) -> None:
    write_ply(tmp_path / "one.ply", 100)
    write_ply(tmp_path / "two.ply", 30)
    assert bring(tmp_path / "one.ply").points == 100
    assert bring(tmp_path / "two.ply", result="MERGE").points == 30
    assert len(points_of(house, blend)) == 130
    bring(tmp_path / "two.ply", result="REPLACE")
    assert len(points_of(house, blend)) == 30
    bring(tmp_path / "one.ply", tmp_path / "two.ply")
    assert len(points_of(house, blend)) == 130
    assert sum(bool(obj.pantheon360.is_cache) for obj in blend.objects) == 1


def test_large_clouds_are_thinned_and_it_is_said(house: House, blend: Any, bring: Any, tmp_path: Path) -> None:
    write_ply(tmp_path / "one.ply", 20_000)
    brought = bring(tmp_path / "one.ply", limit=5000)
    assert 1000 < len(points_of(house, blend)) == brought.points <= 5000
    assert any("20,000 points were thinned" in note for note in brought.notes)
    brought = bring(tmp_path / "one.ply", voxel=1.0)
    assert brought.points == len(np.unique(np.floor(raw(tmp_path / "one.ply")), axis=0))
    write_ply(tmp_path / "two.ply", 4000)
    brought = bring(tmp_path / "one.ply", tmp_path / "two.ply", limit=5000)
    assert brought.points <= 5000


def raw(path: Path) -> np.ndarray:
    vertices = plyfile.PlyData.read(str(path))["vertex"]
    return np.column_stack([vertices[name] for name in "xyz"])


def test_a_colmap_model_brings_captures_with_their_pictures_and_points(
    house: House, blend: Any, bring: Any, tmp_path: Path
) -> None:
    """COLMAP's camera looks along +Z with Y down: in Blender it looks along +Y, and stands 2 m further each time."""
    import bpy

    write_colmap(tmp_path / "sparse" / "0", ["b.png", "a.png"])
    for index, name in enumerate("ab"):
        write_panorama(house, tmp_path / "images" / f"{name}.png", seed=index)
    brought = bring(tmp_path)
    assert captures_of(blend) == brought.captures == ["a", "b"]
    for name, y in (("b", 0.0), ("a", 2.0)):
        obj = bpy.data.objects[name]
        assert Path(obj.pantheon360.source_path).name == f"{name}.png"
        pose = house("scene.captures.capture_objects").pose(obj)
        np.testing.assert_allclose(pose[:3, 3], (0, y, 0), atol=1e-6)
        np.testing.assert_allclose(-pose[:3, 2], (0, 1, 0), atol=1e-6)
        np.testing.assert_allclose(pose[:3, 1], (0, 0, 1), atol=1e-6)
    cloud = points_of(house, blend)
    np.testing.assert_allclose(cloud.points, [[0, 5, 0], [1, 5, 0]], atol=1e-6)
    np.testing.assert_array_equal(cloud.source, [1, 0], "by the captures' order of name")
    assert any("two points you know" in note for note in brought.notes)


def test_captures_that_are_there_are_moved_and_points_keep_their_capture(
    house: House, blend: Any, bring: Any, tmp_path: Path
) -> None:
    """Also where the model's pictures are not beside it: the name tells. Levelling stays as the artist set it."""
    import bpy

    for index, name in enumerate("zb"):
        image = bpy.data.images.load(str(write_panorama(house, tmp_path / "mine" / f"{name}.png", seed=index)))
        house("scene.captures.capture_objects").create(blend, f"my {name}", image, (9.0, 9.0, 9.0))
    bpy.data.objects["my b"].pantheon360.pitch = 0.3
    cloud = house("core.points.point_cloud").PointCloud
    here = cloud(np.ones((2, 3), np.float32), np.zeros((2, 3), np.uint8), source=np.array([0, 1], np.int32))
    house("scene.cache.cache_objects").replace(blend, here)
    write_colmap(tmp_path / "model", ["a.png", "b.png"])
    write_panorama(house, tmp_path / "model" / "images" / "a.png", seed=7)
    brought = bring(tmp_path / "model", result="MERGE")
    assert captures_of(blend) == ["a", "my b", "my z"]
    assert brought.captures == ["a", "my b"]
    bpy.context.view_layer.update()
    np.testing.assert_allclose(
        house("scene.captures.capture_objects").pose(bpy.data.objects["my b"])[:3],
        [[1, 0, 0, 0], [0, 0, -1, 2], [0, 1, 0, 0]],
        atol=1e-6,
    )
    assert tuple(bpy.data.objects["my z"].location) == (9.0, 9.0, 9.0)
    np.testing.assert_array_equal(points_of(house, blend).source, [1, 2, 0, 1])


def test_perspective_pictures_become_cameras(house: House, blend: Any, bring: Any, tmp_path: Path) -> None:
    import bpy

    write_colmap(tmp_path, ["a.jpg", "b.jpg"], model=1)
    brought = bring(tmp_path)
    assert (brought.cameras, captures_of(blend)) == (2, [])
    bpy.context.view_layer.update()
    camera = bpy.data.objects["b"]
    assert (camera.type, tuple(camera.matrix_world.translation)) == ("CAMERA", (0.0, 2.0, 0.0))
    brought = bring(tmp_path, with_captures=False)
    assert (brought.cameras, brought.points) == (0, 2)


def test_cameras_see_as_far_across_as_the_pictures_and_are_moved_when_imported_again(
    house: House, blend: Any, bring: Any, tmp_path: Path
) -> None:
    import bpy

    write_colmap(tmp_path, ["a.jpg", "b.jpg"], model=1)  # 64 pixels wide, a focal length of 50
    bring(tmp_path)
    assert bpy.data.objects["a"].data.angle_x == pytest.approx(2 * np.arctan(32 / 50), abs=1e-5)
    bpy.data.objects["b"].location = (9, 9, 9)
    assert bring(tmp_path).cameras == 2
    assert sorted(obj.name for obj in blend.objects if obj.type == "CAMERA") == ["a", "b"]
    assert tuple(bpy.data.objects["b"].matrix_world.translation) == (0.0, 2.0, 0.0)


def test_nerfstudio_brings_captures_whose_black_mask_is_ignored(
    house: House, blend: Any, bring: Any, tmp_path: Path
) -> None:
    import bpy

    write_panorama(house, tmp_path / "images" / "a.png")
    kept = np.full((32, 64), 255, np.uint8)
    kept[:, :16] = 0
    house("core.formats.png").write(tmp_path / "masks" / "a.png", kept)
    turn = [[0, 0, -1, 3], [-1, 0, 0, 4], [0, 1, 0, 5], [0, 0, 0, 1]]
    frame = {"file_path": "images/a.png", "mask_path": "masks/a.png", "transform_matrix": turn}
    content = {"camera_model": "EQUIRECTANGULAR", "frames": [frame]}
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    assert bring(tmp_path / "transforms.json").captures == ["a"]
    loaded = house("scene.captures.capture_objects").load(bpy.data.objects["a"])
    np.testing.assert_allclose(loaded.pose, turn, atol=1e-6)
    np.testing.assert_array_equal(loaded.valid, kept > 0)
    assert house("scene.cache.cache_objects").find(blend) is None, "there were no points in it"


def write_transforms(folder: Path, *frames: dict[str, Any]) -> Path:
    """Equirectangular frames at (index, 0, 1), heading north, unless they say otherwise."""
    given = []
    for index, frame in enumerate(frames):
        pose = [[1, 0, 0, index], [0, 0, -1, 0], [0, 1, 0, 1], [0, 0, 0, 1]]
        given.append({"transform_matrix": pose, **frame})
    (folder / "transforms.json").write_text(json.dumps({"camera_model": "EQUIRECTANGULAR", "frames": given}))
    return folder / "transforms.json"


@pytest.mark.parametrize("padded", [False, True])
def test_a_picture_exported_again_is_shown_by_its_capture_when_imported_again(
    house: House, blend: Any, bring: Any, tmp_path: Path, padded: bool
) -> None:
    """The capture stays the artist's, with its mask if he gave it one; a copy elsewhere is the same photograph."""
    import bpy
    from PIL import Image

    def export(shade: int, suffix: str) -> None:
        exif = Image.Exif()
        exif[0x112] = 3 if padded else 1  # then it is made anew and packed
        Image.new("RGB", (64, 32), (shade,) * 3).save(tmp_path / f"a.{suffix}", exif=exif)

    export(40, "png")
    file = write_transforms(tmp_path, {"file_path": "a.png"})
    assert bring(file).captures == ["a"]
    bpy.data.objects["a"].name = "mine"
    for shade in (200, 40):
        export(shade, "png")
        assert bring(file).captures == ["mine"] == captures_of(blend)
        assert (house("scene.captures.capture_objects").load(bpy.data.objects["mine"]).image == shade).all()
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    assert bring(write_transforms(tmp_path / "copy", {"file_path": "b.png"})).captures == ["mine"] == captures_of(blend)


def test_two_captures_of_one_name_are_not_taken_for_each_other(
    house: House, blend: Any, bring: Any, tmp_path: Path
) -> None:
    for index, folder in enumerate(("left", "right")):
        write_panorama(house, tmp_path / folder / "1.png", seed=index)
    bring(write_transforms(tmp_path, {"file_path": "left/1.png"}, {"file_path": "right/1.png"}))
    before = {obj.name: tuple(obj.location) for obj in blend.objects if obj.pantheon360.is_capture}
    (tmp_path / "elsewhere").mkdir()
    poses = write_transforms(tmp_path / "elsewhere", {"file_path": "gone/1.png"})
    with pytest.raises(house("core.importers").SourceError, match="Nothing came"):
        bring(poses)
    assert {obj.name: tuple(obj.location) for obj in blend.objects if obj.pantheon360.is_capture} == before


def test_a_picture_stored_upside_down_is_posed_as_it_is_stored(
    house: House, blend: Any, bring: Any, tmp_path: Path
) -> None:
    """Programs solve the pixels that lie in a file; what is seen in a direction stays there when they are turned."""
    import bpy
    from PIL import Image

    stored = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x112] = 3
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    bring(write_transforms(tmp_path, {"file_path": "a.png"}))
    bpy.context.view_layer.update()
    loaded = house("scene.captures.capture_objects").load(bpy.data.objects["a"])
    np.testing.assert_array_equal(loaded.image, stored[::-1, ::-1])
    equirectangular = house("core.panorama.equirectangular")
    directions = equirectangular.directions(64).astype(np.float64)
    told = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # of the file
    pixels = equirectangular.directions_to_pixels(directions @ told.T @ loaded.pose[:3, :3], 64)
    rows, columns = np.clip(pixels[..., 1].astype(int), 0, 31), pixels[..., 0].astype(int) % 64
    assert (loaded.image[rows, columns] == stored).all(axis=2).mean() > 0.9


def test_a_mask_and_transparency_are_ignored_together(house: House, blend: Any, bring: Any, tmp_path: Path) -> None:
    import bpy

    picture = np.full((32, 64, 4), 255, np.uint8)
    picture[:8, :, 3] = 0
    kept = np.full((32, 64), 255, np.uint8)
    kept[:, :16] = 0
    house("core.formats.png").write(tmp_path / "a.png", picture)
    house("core.formats.png").write(tmp_path / "mask.png", kept)
    bring(write_transforms(tmp_path, {"file_path": "a.png", "mask_path": "mask.png"}))
    loaded = house("scene.captures.capture_objects").load(bpy.data.objects["a"])
    np.testing.assert_array_equal(loaded.valid, (kept > 0) & (picture[..., 3] > 0))


def test_an_import_of_nothing_fails_with_the_reason(house: House, blend: Any, bring: Any, tmp_path: Path) -> None:
    file = write_transforms(tmp_path, {"file_path": "gone.png"})
    with pytest.raises(house("core.importers").SourceError, match=r"Nothing came.*gone\.png is missing"):
        bring(file)
    (tmp_path / "gone.png").write_bytes(b"no picture")
    with pytest.raises(house("core.importers").SourceError, match=r"Nothing came.*gone\.png is not a PNG"):
        bring(file)
    assert captures_of(blend) == []


def test_undo_takes_the_import_back(house: House, blend: Any, tmp_path: Path) -> None:
    import bpy

    bpy.context.preferences.edit.use_global_undo = True
    write_colmap(tmp_path, ["a.png"])
    write_panorama(house, tmp_path / "images" / "a.png")
    bpy.ops.ed.undo_push(message="before")
    assert bpy.ops.pantheon360.import_cache(filepath=str(tmp_path)) == {"FINISHED"}
    bpy.ops.ed.undo_push(message="Import 3D Cache")
    assert captures_of(bpy.context.scene) == ["a"]
    bpy.ops.ed.undo()
    assert captures_of(bpy.context.scene) == []
    assert house("scene.cache.cache_objects").find(bpy.context.scene) is None


def test_a_path_from_the_blends_folder_on(
    house: House, blend: Any, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    import bpy

    write_ply(tmp_path / "room.ply", 10)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert bpy.ops.pantheon360.import_cache(filepath="//room.ply") == {"FINISHED"}
    folder = {"directory": "//", "files": [{"name": "room.ply"}]}
    assert bpy.ops.pantheon360.import_cache(result="MERGE", **folder) == {"FINISHED"}
    assert len(points_of(house, bpy.context.scene)) == 20
    assert not recwarn.list, "Blender warns of an operator that does not say that it takes such paths"


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(("first", "second"), [(900.0, 1100.0), (1100.0, 900.0), (0.0, 500_000.0)])
def test_tiles_keep_their_places(
    house: House, blend: Any, bring: Any, tmp_path: Path, first: float, second: float, at_once: bool
) -> None:
    """One may lie just too far from the origin to stay there, the next not. What is far off is of another place."""
    for name, place in (("one", first), ("two", second)):
        vertices = write_ply(tmp_path / f"{name}.ply", 50)
        vertices["x"] += np.float32(place)
        plyfile.PlyData([plyfile.PlyElement.describe(vertices, "vertex")]).write(str(tmp_path / f"{name}.ply"))
    if at_once:
        bring(tmp_path / "one.ply", tmp_path / "two.ply")
    else:
        bring(tmp_path / "one.ply")
        bring(tmp_path / "two.ply", result="MERGE")
    points = points_of(house, blend).points
    apart = second - first if abs(second - first) < 10_000 else 0.0
    np.testing.assert_allclose(points[50:] - points[:50], np.tile([apart, 0, 0], (50, 1)), atol=0.05)
    assert np.abs(points).max() < 1200


def test_poses_alone_leave_the_points_as_they_are(house: House, blend: Any, bring: Any, tmp_path: Path) -> None:
    write_ply(tmp_path / "room.ply", 30)
    bring(tmp_path / "room.ply")
    obj = house("scene.cache.cache_objects").find(blend)
    obj.data.attributes.new("mine", "FLOAT", "POINT")
    write_colmap(tmp_path / "model", ["a.png"])
    (tmp_path / "model" / "points3D.bin").unlink()
    write_panorama(house, tmp_path / "model" / "images" / "a.png")
    brought = bring(tmp_path / "model")
    assert (brought.cache, brought.points, brought.captures) == (None, 0, ["a"])
    assert "mine" in obj.data.attributes and len(obj.data.vertices) == 30


def test_many_files_pass_through_bounded_memory(house: House, blend: Any, bring: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.ply" for index in range(6)]
    for path in paths:
        write_ply(path, 900)
    brought = bring(*paths, limit=1000)
    assert 300 < brought.points <= 1000
    assert any("5,400 points of 6 files were thinned" in note for note in brought.notes)


def test_cancelled_nothing_is_left(house: House, blend: Any, tmp_path: Path) -> None:
    import bpy

    write_colmap(tmp_path, ["a.png", "b.png", "c.png"])
    for name in "abc":
        write_panorama(house, tmp_path / "images" / f"{name}.png")
    job = house("scene.sources.import_files").import_files(blend, [tmp_path])
    for step in job:
        if step.phase == "Reading pictures" and step.step == 2:
            break
    assert bpy.data.images
    job.close()
    assert not bpy.data.images and not captures_of(blend) and house("scene.cache.cache_objects").find(blend) is None


# By the backend


def test_a_laser_scan_comes_through_the_backend(
    house: House, blend: Any, bring: Any, backend: Path, tmp_path: Path
) -> None:
    """Tiles of one survey stay together, whether they come at once or one after the other."""
    for name, east in (("west", 0.0), ("east", 40.0)):
        made(backend, LASER_SCAN, tmp_path / f"{name}.laz", COUNT, east)
    brought = bring(tmp_path / "west.laz", tmp_path / "east.laz")
    cloud = points_of(house, blend)
    assert brought.points == len(cloud) == 2 * COUNT
    middles = [cloud.points[:COUNT].mean(axis=0), cloud.points[COUNT:].mean(axis=0)]
    np.testing.assert_allclose(middles[1] - middles[0], (40, 0, 0), atol=0.01)
    assert np.abs(cloud.points).max() < 400
    offset = np.array(house("scene.cache.cache_objects").find(blend)["pantheon360_offset"])
    np.testing.assert_allclose(middles[0] + offset, (500000, 5400000, 300), atol=1)
    assert any("far from the origin" in note for note in brought.notes)
    made(backend, LASER_SCAN, tmp_path / "further.las", COUNT, 180.0)
    bring(tmp_path / "further.las", result="MERGE")
    np.testing.assert_allclose(
        points_of(house, blend).points[2 * COUNT :].mean(axis=0) - middles[0], (180, 0, 0), atol=0.01
    )
    assert not list((tmp_path / "jobs").iterdir()), "what was handed over is not kept"


def test_a_scan_with_a_picture_becomes_a_capture_that_can_be_saved(
    house: House, blend: Any, bring: Any, backend: Path, tmp_path: Path
) -> None:
    import bpy

    picture = write_panorama(house, tmp_path / "station.png", seed=3)
    made(backend, SCAN_WITH_PICTURE, tmp_path / "scan.e57", picture)
    brought = bring(tmp_path / "scan.e57")
    assert (brought.points, brought.captures) == (200, ["station"])
    obj = bpy.data.objects["station"]
    np.testing.assert_allclose(house("scene.captures.capture_objects").pose(obj)[:3, 3], (1, 2, 1.5), atol=1e-6)
    # E57's spherical pictures look along +X in their centre.
    np.testing.assert_allclose(-house("scene.captures.capture_objects").pose(obj)[:3, 2], (1, 0, 0), atol=1e-6)
    shown = house("scene.captures.capture_objects").load(obj).image
    np.testing.assert_array_equal(shown, house("core.formats.png").read(picture))
    assert Path(obj.pantheon360.source_path).is_relative_to(tmp_path / "jobs")


def test_a_scan_imported_again_moves_its_captures_and_leaves_no_litter(
    house: House, blend: Any, bring: Any, backend: Path, tmp_path: Path
) -> None:
    picture = write_panorama(house, tmp_path / "picture.png")
    made(backend, SCAN_WITH_PICTURE, tmp_path / "scan.e57", picture)
    assert bring(tmp_path / "scan.e57", with_captures=False).captures == []
    assert not list((tmp_path / "jobs").iterdir())
    assert bring(tmp_path / "scan.e57").captures == ["station"]
    kept = sorted((tmp_path / "jobs").rglob("*.png"))
    assert len(kept) == 1
    assert bring(tmp_path / "scan.e57").captures == ["station"]
    assert captures_of(blend) == ["station"]
    assert sorted((tmp_path / "jobs").rglob("*")) == sorted({kept[0].parent.parent, kept[0].parent, *kept})


def test_the_up_axis_reaches_the_backend(house: House, blend: Any, bring: Any, backend: Path, tmp_path: Path) -> None:
    made(backend, LASER_SCAN, tmp_path / "scan.las", 100, 0)
    heights = []
    for up in ("z", "-z"):
        bring(tmp_path / "scan.las", up=up)
        offset = house("scene.cache.cache_objects").find(blend)["pantheon360_offset"]
        heights.append(points_of(house, blend).points[:, 2] + offset[2])
    np.testing.assert_allclose(heights[1], -heights[0], atol=1e-3)


def test_a_vipe_clip_has_the_colours_of_its_video_by_the_backend(
    house: House, blend: Any, bring: Any, backend: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    made(backend, VIPE_CLIP, tmp_path / "clip")
    brought = bring(tmp_path / "clip", every=2)
    assert brought.captures == ["clip_00000", "clip_00002"]
    cloud = points_of(house, blend)
    for index, (y, shade) in enumerate(((0, 60), (2, 180))):
        mine = cloud.source == index
        np.testing.assert_allclose(np.linalg.norm(cloud.points[mine] - (0, y, 0), axis=1), 4, rtol=1e-3)
        np.testing.assert_allclose(cloud.colours[mine], shade, atol=6)
        shown = house("scene.captures.capture_objects").load(bpy.data.objects[brought.captures[index]]).image
        np.testing.assert_allclose(shown, shade, atol=6)
    monkeypatch.delenv("PANTHEON360_BACKEND_PYTHON")
    brought = bring(tmp_path / "clip", with_captures=False)
    assert brought.points == 3 * 32 * 64, "its depth needs nothing but Blender"
    assert any("no colors" in note and "backend" in note for note in brought.notes)


def test_closing_the_job_ends_the_backend(house: House, blend: Any, backend: Path, tmp_path: Path) -> None:
    made(backend, LASER_SCAN, tmp_path / "scan.las", COUNT, 0.0)
    job = house("scene.sources.import_files").import_files(blend, [tmp_path / "scan.las"])
    seen = []
    process = house("core.jobs.child").ChildProcess
    start = process.start
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "start", lambda self: (seen.append(self), start(self))[1])
        while not seen:
            next(job)
        job.close()
    assert len(seen) == 1 and not seen[0].alive
    assert not list((tmp_path / "jobs").iterdir())
    assert house("scene.cache.cache_objects").find(blend) is None


def test_a_python_without_the_library_is_refused_with_the_repair(
    house: House, blend: Any, bring: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("laspy") is not None:
        pytest.skip("this Blender's Python has laspy")
    monkeypatch.delenv("PANTHEON360_BACKEND_PYTHON", raising=False)
    blend.pantheon360.jobs_folder = str(tmp_path / "jobs")
    (tmp_path / "scan.las").write_bytes(b"LASF" + bytes(400))
    with pytest.raises(house("core.importers").MissingLibraryError) as refused:
        bring(tmp_path / "scan.las")
    assert "laspy" in refused.value.text
    assert "Backend Python" in refused.value.advice, "nothing is installed into Blender's own Python"
    monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", str(tmp_path / "nothing"))
    with pytest.raises(house("core.errors").BackendError, match="cannot be started"):
        bring(tmp_path / "scan.las")


def test_points_dropped_on_a_cache_are_added_unless_one_says_otherwise(house: House, blend: Any) -> None:
    from types import SimpleNamespace

    operator = house("operators.import_cache").PANTHEON360_OT_import_cache
    asked = []
    window_manager = SimpleNamespace(invoke_props_dialog=lambda dropped: asked.append(dropped.result) or {"FINISHED"})
    context = SimpleNamespace(scene=blend, window_manager=window_manager)
    dropped = SimpleNamespace(directory="/scans", files=["a.ply"], result="REPLACE")
    points = house("core.points.point_cloud").PointCloud(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8))
    house("scene.cache.cache_objects").replace(blend, points)
    assert operator.invoke(dropped, context, None) == {"FINISHED"}
    assert asked == ["MERGE"]


# Broken


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.ply", None, "does not exist"),
        ("empty.ply", b"", "is empty"),
        ("short.ply", b"ply\nformat binary_little_endian 1.0\nelement vertex 9\nproperty float x\n", "short.ply"),
        ("text.txt", b"hello", "no known kind"),
        ("list.json", b"{}", "no frames"),
        ("photo.jpg", b"\xff\xd8\xff", "is a picture"),
        ("points.npz", b"PK\x03\x04 nothing", "points.npz"),
    ],
)
def test_broken_files_are_explained_and_change_nothing(
    house: House, blend: Any, bring: Any, tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    write_ply(tmp_path / "sound.ply", 10)
    bring(tmp_path / "sound.ply")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(house("core.errors").PantheonError, match=told):
        bring(tmp_path / "sound.ply", tmp_path / name)
    assert len(points_of(house, blend)) == 10


def test_a_broken_scan_is_explained_by_the_backend(bring: Any, house: House, backend: Path, tmp_path: Path) -> None:
    made(backend, LASER_SCAN, tmp_path / "scan.las", COUNT, 0.0)
    (tmp_path / "short.las").write_bytes((tmp_path / "scan.las").read_bytes()[:-3000])
    with pytest.raises(house("core.errors").PantheonError, match="cut short"):
        bring(tmp_path / "short.las")
    assert not list((tmp_path / "jobs").iterdir())


def test_a_picture_that_is_no_panorama_is_told_and_the_rest_comes(
    house: House, blend: Any, bring: Any, tmp_path: Path
) -> None:
    write_colmap(tmp_path, ["a.png", "b.png"])
    write_panorama(house, tmp_path / "images" / "a.png")
    house("core.formats.png").write(tmp_path / "images" / "b.png", np.zeros((40, 60, 3), np.uint8))
    brought = bring(tmp_path)
    assert (brought.captures, brought.points) == (["a"], 2)
    assert any("b.png" in note for note in brought.notes)


def test_a_cache_being_edited_is_left_alone(house: House, blend: Any, bring: Any, tmp_path: Path) -> None:
    import bpy

    write_ply(tmp_path / "one.ply", 10)
    bring(tmp_path / "one.ply")
    bpy.context.view_layer.objects.active = house("scene.cache.cache_objects").find(blend)
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(house("core.errors").CacheError, match="is being edited"):
        bring(tmp_path / "one.ply")
    bpy.ops.object.mode_set(mode="OBJECT")


def test_a_cache_that_is_edited_meanwhile_is_left_alone_with_all_else(
    house: House, blend: Any, bring: Any, tmp_path: Path
) -> None:
    import bpy

    write_ply(tmp_path / "room.ply")
    bring(tmp_path / "room.ply")
    write_colmap(tmp_path / "model", ["a.png"])
    write_panorama(house, tmp_path / "model" / "images" / "a.png")
    job = house("scene.sources.import_files").import_files(blend, [tmp_path / "model"])
    next(job)
    bpy.context.view_layer.objects.active = house("scene.cache.cache_objects").find(blend)
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(house("core.errors").CacheError, match="being edited"):
        house("scene.app.jobs").run_blocking(job)
    bpy.ops.object.mode_set(mode="OBJECT")
    assert captures_of(blend) == [] and not bpy.data.images
    assert len(points_of(house, blend)) == COUNT

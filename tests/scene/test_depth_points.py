"""A depth image of a capture becomes points where a ray-traced room has its walls, whatever the values stand for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

House = Callable[[str], ModuleType]
ROOT = Path(__file__).resolve().parents[2]
WIDTH = 64
HALF = np.array([2.0, 3.0, 1.5])
"""Half the size of the room, in the camera's axes; the capture stands in its middle, 10 m up."""

COMPRESSIONS = ("none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab")


def rays() -> np.ndarray:
    """(H, W, 3) by the definition: longitude to the right, image centre -Z, top +Y."""
    longitude = ((np.arange(WIDTH) + 0.5) / WIDTH - 0.5) * 2 * np.pi
    latitude = (0.5 - (np.arange(WIDTH // 2) + 0.5) / (WIDTH // 2)) * np.pi
    level = np.cos(latitude)[:, None]
    up = np.repeat(np.sin(latitude)[:, None], WIDTH, axis=1)
    return np.stack([level * np.sin(longitude), up, -level * np.cos(longitude)], axis=-1)


def room() -> np.ndarray:
    return np.asarray((HALF / np.abs(rays())).min(axis=2))


@pytest.fixture
def capture(house: House, blend: Any, tmp_path: Path) -> Any:
    import bpy

    colours = np.random.default_rng(0).integers(0, 256, (WIDTH // 2, WIDTH, 3), dtype=np.uint8)
    house("core.formats.png").write(tmp_path / "here.png", colours)
    obj = house("scene.captures.capture_objects").create(
        blend, "here", bpy.data.images.load(str(tmp_path / "here.png")), (0, 0, 10)
    )
    bpy.context.view_layer.update()
    bpy.context.view_layer.objects.active = obj
    return obj


def points_of(house: House, blend: Any) -> Any:
    return house("scene.cache.cache_objects").evaluated_points(house("scene.app.access").evaluated(blend))


def check_room(points: np.ndarray, tolerance: float) -> None:
    """Each point lies on a wall: camera axes (x, y up, -z ahead) are world (x, z - 10, y ahead)."""
    local = points[:, [0, 2, 1]] - (0, 10, 0)
    off = np.abs(np.abs(local) - HALF).min(axis=1)
    assert off.max() < tolerance
    assert len(points) > 0.6 * WIDTH * WIDTH / 2


@pytest.mark.parametrize(
    ("values", "options", "tolerance"),
    [
        (lambda depth: np.rint(depth * 1000), {}, 0.001),
        (lambda depth: np.rint(depth * 5000), {"scale": 0.0002}, 0.0005),
        (lambda depth: np.rint(20000 / depth), {"scale": 1 / 20000, "inverse": True}, 0.001),
        (lambda depth: np.rint(depth * np.abs(rays()).max(axis=2) * 1000), {"measure": "cube"}, 0.002),
    ],
    ids=["millimetres", "stated scale", "inverse", "cube"],
)
def test_sixteen_bits_of_any_meaning(
    house: House, blend: Any, capture: Any, tmp_path: Path, values: Any, options: Any, tolerance: float
) -> None:
    """Written by Pillow."""
    import bpy

    path = tmp_path / "depth.png"
    Image.fromarray(values(room()).astype(np.uint16)).save(path)
    assert bpy.ops.pantheon360.import_depth(filepath=str(path), **options) == {"FINISHED"}
    cloud = points_of(house, blend)
    check_room(cloud.points, tolerance)
    assert (cloud.source == 0).all() and (cloud.footprint > 0).all()
    # The colour of a point is that of the photograph's pixel in its direction.
    seen = house("core.render.splatting").splat(
        cloud.points, cloud.colours, house("scene.captures.capture_objects").pose(capture), WIDTH
    )
    covered = seen.coverage
    assert covered.mean() > 0.6
    np.testing.assert_array_equal(
        seen.colour[covered], house("scene.captures.capture_objects").load(capture).image[covered]
    )


def test_openexr_that_blender_wrote(house: House, blend: Any, capture: Any, tmp_path: Path) -> None:
    import bpy

    image = bpy.data.images.new("depth", WIDTH, WIDTH // 2, float_buffer=True)
    image.colorspace_settings.name = "Non-Color"
    rgba = np.repeat(room()[::-1, :, None], 4, axis=2).astype(np.float32)
    rgba[..., 3] = 1
    image.pixels.foreach_set(rgba.ravel())
    image.file_format = "OPEN_EXR"
    image.save(filepath=str(tmp_path / "depth.exr"))
    assert bpy.ops.pantheon360.import_depth(filepath=str(tmp_path / "depth.exr")) == {"FINISHED"}
    check_room(points_of(house, blend).points, 0.005)


def write_exr(path: Path, depth: np.ndarray, compression: str) -> None:
    import bpy

    bpy.utils.expose_bundled_modules()
    oiio = pytest.importorskip("OpenImageIO", reason="comes with upstream's builds of Blender")
    header = oiio.ImageSpec(depth.shape[1], depth.shape[0], 1, "half")
    header.channelnames = ["Z"]
    header.attribute("compression", compression)
    file = oiio.ImageOutput.create(str(path))
    assert file.open(str(path), header) and file.write_image(depth[..., None].astype(np.float32)) and file.close()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_openexr_of_every_compression_is_read_in_blender(
    house: House, blend: Any, capture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    import bpy

    def refused(*_: Any, **__: Any) -> None:
        pytest.fail("the backend was asked")

    monkeypatch.setattr(house("scene.sources.backend_import"), "read_range", refused)
    write_exr(tmp_path / "depth.exr", room(), compression)
    assert bpy.ops.pantheon360.import_depth(filepath=str(tmp_path / "depth.exr")) == {"FINISHED"}
    check_room(points_of(house, blend).points, 0.02)


def test_without_openimageio_other_kinds_come_through_the_backend(
    house: House, blend: Any, capture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    python = ROOT / ".environments" / "backend" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        pytest.skip("needs the backend's environment")
    write_exr(tmp_path / "depth.exr", 1 / room(), "piz")
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    blend.pantheon360.jobs_folder = str(tmp_path / "jobs")
    monkeypatch.delenv("PANTHEON360_BACKEND_PYTHON", raising=False)
    with pytest.raises(RuntimeError, match=r"(?s)PIZ.*Backend Python"):
        bpy.ops.pantheon360.import_depth(filepath=str(tmp_path / "depth.exr"), inverse=True)
    assert house("scene.cache.cache_objects").find(blend) is None
    monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", str(python))
    assert bpy.ops.pantheon360.import_depth(filepath=str(tmp_path / "depth.exr"), inverse=True) == {"FINISHED"}
    check_room(points_of(house, blend).points, 0.005)
    assert not list((tmp_path / "jobs").iterdir())


def test_trying_another_scale_exchanges_this_captures_points_alone(
    house: House, blend: Any, capture: Any, tmp_path: Path
) -> None:
    import bpy

    house("scene.captures.capture_objects").create(blend, "there", capture.pantheon360.image, (5.0, 0.0, 10.0))
    cloud = house("core.points.point_cloud").PointCloud
    others = cloud(np.full((3, 3), 9, np.float32), np.zeros((3, 3), np.uint8), source=np.array([1, 1, 0], np.int32))
    house("scene.cache.cache_objects").replace(blend, others)
    Image.fromarray(np.rint(room() * 1000).astype(np.uint16)).save(tmp_path / "d.png")
    bpy.ops.pantheon360.import_depth(filepath=str(tmp_path / "d.png"))
    count = len(points_of(house, blend))
    bpy.ops.pantheon360.import_depth(filepath=str(tmp_path / "d.png"), scale=0.002)
    again = points_of(house, blend)
    assert (len(again), int((again.source == 1).sum())) == (count, 2)
    check_room((again.points[again.source == 0] - (0, 0, 10)) / 2 + (0, 0, 10), 0.002)
    bpy.ops.pantheon360.import_depth(filepath=str(tmp_path / "d.png"), result="REPLACE")
    assert len(points_of(house, blend)) == count - 2


def test_points_of_another_capture_stay_though_captures_came_since(
    house: House, blend: Any, capture: Any, tmp_path: Path
) -> None:
    import bpy

    image = capture.pantheon360.image
    house("scene.captures.capture_objects").create(blend, f"{capture.name} two", image, (5.0, 0.0, 10.0))
    cloud = house("core.points.point_cloud").PointCloud
    theirs = cloud(np.full((3, 3), 9, np.float32), np.zeros((3, 3), np.uint8), source=np.ones(3, np.int32))
    house("scene.cache.cache_objects").replace(blend, theirs)
    between = house("scene.captures.capture_objects").create(blend, f"{capture.name} between", image, (0.0, 0.0, 10.0))
    bpy.context.view_layer.objects.active = between
    Image.fromarray(np.rint(room() * 1000).astype(np.uint16)).save(tmp_path / "d.png")
    assert bpy.ops.pantheon360.import_depth(filepath=str(tmp_path / "d.png")) == {"FINISHED"}
    found = points_of(house, blend)
    assert sorted(set(found.source)) == [1, 2] and (found.points[found.source == 2] == 9).all()


def test_what_the_capture_ignores_gives_no_points(house: House, blend: Any, capture: Any, tmp_path: Path) -> None:
    import bpy

    capture.pantheon360.nadir = 0.25
    Image.fromarray(np.rint(room() * 1000).astype(np.uint16)).save(tmp_path / "d.png")
    bpy.ops.pantheon360.import_depth(filepath=str(tmp_path / "d.png"))
    local = points_of(house, blend).points - (0, 0, 10)
    assert (local[:, 2] / np.linalg.norm(local, axis=1)).min() > -np.sin(np.pi / 4)


def test_very_large_depth_is_read_at_fewer_pixels(house: House, blend: Any, capture: Any, tmp_path: Path) -> None:
    Image.fromarray(np.rint(room() * 1000).astype(np.uint16)).save(tmp_path / "d.png")
    job = house("scene.sources.depth_points").import_depth(blend, capture, tmp_path / "d.png", limit=800)
    made = house("scene.app.jobs").run_blocking(job)
    assert 400 < made.points <= 800
    assert any("40 x 20 were read" in note for note in made.notes)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((32, 64), np.uint16), "holds no depth"),
        (np.ones((32, 60), np.uint16), "twice as wide"),
        (np.ones((32, 64), np.uint8), "8 bits"),
        (np.arange(32 * 64 * 3, dtype=np.uint8).reshape(32, 64, 3), "picture in colors"),
    ],
)
def test_what_is_no_depth_is_refused(
    house: House, blend: Any, capture: Any, tmp_path: Path, image: np.ndarray, told: str
) -> None:
    import bpy

    Image.fromarray(image).save(tmp_path / "d.png")
    with pytest.raises(RuntimeError, match=told):
        bpy.ops.pantheon360.import_depth(filepath=str(tmp_path / "d.png"))
    (tmp_path / "d.png").write_bytes((tmp_path / "d.png").read_bytes()[:60])
    with pytest.raises(RuntimeError, match=r"d\.png"):
        bpy.ops.pantheon360.import_depth(filepath=str(tmp_path / "d.png"))
    with pytest.raises(RuntimeError, match=r"none\.png"):
        bpy.ops.pantheon360.import_depth(filepath=str(tmp_path / "none.png"))
    assert house("scene.cache.cache_objects").find(blend) is None


def test_the_button_says_which_capture_it_wants(house: House, blend: Any, capture: Any) -> None:
    import bpy

    assert bpy.ops.pantheon360.import_depth.poll()
    house("scene.captures.capture_objects").create(blend, "there", capture.pantheon360.image)
    bpy.context.view_layer.objects.active = None
    assert not bpy.ops.pantheon360.import_depth.poll()
    bpy.context.view_layer.objects.active = capture
    assert bpy.ops.pantheon360.import_depth.poll()

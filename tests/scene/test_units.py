"""A scene whose unit is not a metre: what is told in metres comes in as long as it is, and leaves so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from . import conftest

House = Callable[[str], ModuleType]
CENTIMETRES = 100.0


@pytest.fixture
def scene(blend: Any, tmp_path: Path) -> Any:
    blend.unit_settings.scale_length = 1 / CENTIMETRES
    blend.pantheon360.jobs_folder = str(tmp_path / "jobs")
    return blend


def photograph(path: Path, latitude: float | None = None) -> Path:
    exif = Image.Exif()
    if latitude is not None:
        exif[0x8825] = {1: "N", 2: (latitude, 0.0, 0.0), 3: "E", 4: (10.0, 0.0, 0.0)}
    Image.new("RGB", (64, 32), (40, 50, 60)).save(path, exif=exif)
    return path


def imported(house: House, scene: Any, *paths: Path) -> list[Any]:
    return house("scene.app.jobs").run_blocking(  # type: ignore[no-any-return]
        house("scene.captures.capture_objects").import_files(scene, paths, lambda _: None)
    )


def test_captures_stand_as_far_apart_as_they_were_taken(house: House, scene: Any, tmp_path: Path) -> None:
    ten_metres = 10 / 111_200
    one, other = imported(
        house, scene, photograph(tmp_path / "a.jpg", 50.0), photograph(tmp_path / "b.jpg", 50.0 + ten_metres)
    )
    assert other.location.y - one.location.y == pytest.approx(10 * CENTIMETRES, rel=2e-3)
    assert one.location.z == other.location.z == pytest.approx(2 * CENTIMETRES)
    assert scene.pantheon360.eye_height == pytest.approx(2 * CENTIMETRES)
    assert scene.pantheon360.near == pytest.approx(0.05 * CENTIMETRES)
    (sphere,) = one.children
    house("scene.app.access").evaluated(scene)
    assert max(sphere.dimensions) == pytest.approx(1.0 * CENTIMETRES, rel=1e-3)


def test_captures_without_a_place_stand_two_metres_apart(house: House, scene: Any, tmp_path: Path) -> None:
    one, other = imported(house, scene, photograph(tmp_path / "a.jpg"), photograph(tmp_path / "b.jpg"))
    assert other.location.y - one.location.y == pytest.approx(2 * CENTIMETRES)


def test_what_an_artist_chose_stays(house: House, scene: Any, tmp_path: Path) -> None:
    scene.pantheon360.eye_height = 160.0
    (one,) = imported(house, scene, photograph(tmp_path / "a.jpg"))
    assert one.location.z == scene.pantheon360.eye_height == 160.0


def test_points_and_poses_of_other_programs_come_in_metres(house: House, scene: Any, tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(-3, 3, (500, 3)).astype(np.float32)
    house("core.formats.ply").write(tmp_path / "a.ply", {axis: points[:, index] for index, axis in enumerate("xyz")})
    house("core.formats.png").write(tmp_path / "a.png", np.zeros((32, 64, 3), np.uint8))
    pose = [[1, 0, 0, 1], [0, 0, -1, 2], [0, 1, 0, 3], [0, 0, 0, 1]]
    frame = {"file_path": "a.png", "transform_matrix": pose}
    content = {"camera_model": "EQUIRECTANGULAR", "frames": [frame], "ply_file_path": "a.ply"}
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    run = house("scene.app.jobs").run_blocking
    run(house("scene.sources.import_files").import_files(scene, [tmp_path / "transforms.json"]))
    cloud = house("scene.cache.cache_objects").evaluated_points(house("scene.app.access").evaluated(scene))
    np.testing.assert_allclose(cloud.points, points * CENTIMETRES, rtol=1e-5)
    spacing = house("core.points.spacing").footprints(points)
    np.testing.assert_allclose(cloud.footprint, spacing * CENTIMETRES, rtol=1e-4)
    (capture,) = house("scene.captures.capture_objects").in_scene(scene)
    np.testing.assert_allclose(capture.matrix_world.translation, (100, 200, 300), rtol=1e-6)


def test_depth_is_of_metres(house: House, scene: Any, tmp_path: Path) -> None:
    (capture,) = imported(house, scene, photograph(tmp_path / "a.jpg"))
    house("core.formats.png").write(tmp_path / "depth.png", np.full((32, 64), 3000, np.uint16))
    job = house("scene.sources.depth_points").import_depth(scene, capture, tmp_path / "depth.png")
    house("scene.app.jobs").run_blocking(job)
    cloud = house("scene.cache.cache_objects").evaluated_points(house("scene.app.access").evaluated(scene))
    ranges = np.linalg.norm(cloud.points - np.array(capture.location), axis=1)
    np.testing.assert_allclose(ranges, 3 * CENTIMETRES, rtol=1e-4)


def test_a_reconstruction_is_of_metres_and_comes_back_in_units(house: House, scene: Any, tmp_path: Path) -> None:
    captures = house("scene.captures.capture_objects")
    for name, y in (("A", 0.0), ("B", 250.0)):
        image = conftest.photograph(house, tmp_path / f"{name}.png", seed=ord(name))
        captures.create(scene, name, image, (0.0, y, 200.0))
    run, reconstruct = house("scene.app.jobs").run_blocking, house("scene.sources.reconstruct")
    folder = run(reconstruct.prepare(scene))
    assert [entry["pose"][1][3] for entry in folder.job.captures] == [0.0, 2.5]
    assert folder.job.settings["camera_height"] == 2.0
    settings = house("core.jobs.reconstruct_settings")
    poses = [np.array(entry["pose"]) for entry in folder.job.captures]
    poses[1][1, 3] = 3.0
    posed = [settings.PosedCapture(name, pose, True, "") for name, pose in zip("AB", poses, strict=True)]
    settings.write_poses(folder.output, posed, {"method": "solve"})
    (folder.path / settings.REPORT_FILE).write_text(json.dumps({"text": "report"}))
    points = np.array([[1, 2, 3]], np.float32)
    cloud = house("core.points.point_cloud").PointCloud(points, np.zeros((1, 3), np.uint8))
    cloud.save(folder.path / settings.CACHE_FILE)
    run(reconstruct.deliver(scene, folder))
    found = house("scene.cache.cache_objects").evaluated_points(house("scene.app.access").evaluated(scene))
    np.testing.assert_allclose(found.points, points * CENTIMETRES)
    assert captures.labelled(scene)["B"].matrix_world.translation.y == pytest.approx(300.0)


def test_a_camera_stands_at_a_capture_within_a_centimetre(house: House) -> None:
    camera_path, away = house("scene.camera.camera_path"), np.eye(4)
    away[0, 3] = 0.5
    assert camera_path.stands_at(away, [np.eye(4)], CENTIMETRES) == 0
    assert camera_path.stands_at(away, [np.eye(4)]) is None


def test_a_scene_without_units_counts_metres(house: House, scene: Any) -> None:
    scene.unit_settings.system = "NONE"
    assert house("scene.app.units").per_metre(scene) == 1.0

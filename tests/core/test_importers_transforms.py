"""transforms.json as nerfstudio and instant-ngp document it, written by hand, and broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.formats import png
from pantheon360_blender.core.importers import SourceError, open_source
from pantheon360_blender.core.panorama import cameras
from pantheon360_blender.core.progress import run_to_end

POSE = cameras.pose_matrix(cameras.rotation_from_heading(30.0), np.array([1.0, 2.0, 3.0]))


def write(folder: Path, **changes: Any) -> Path:
    frames = [
        {"file_path": "images/frame_00001.png", "transform_matrix": POSE.tolist()},
        {"file_path": "./images/frame_00002", "transform_matrix": np.eye(4).tolist(), "camera_model": "OPENCV"},
    ]
    content = {"camera_model": "EQUIRECTANGULAR", "w": 1000, "h": 500, "frames": frames} | changes
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder / "transforms.json"


def ascii_ply(path: Path) -> None:
    path.write_text(
        "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n1 2 3 255 0 7\n-4 5 6 1 2 3\n"
    )


@pytest.mark.parametrize("as_folder", [False, True])
def test_poses_and_points_stay_in_their_world_with_z_up(tmp_path: Path, as_folder: bool) -> None:
    file = write(tmp_path, ply_file_path="sparse_pc.ply")
    ascii_ply(tmp_path / "sparse_pc.ply")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/frame_00001.png").write_bytes(b"1")
    (tmp_path / "images/frame_00002.jpg").write_bytes(b"2")
    imported = run_to_end(open_source(tmp_path if as_folder else file))
    first, second = imported.captures
    np.testing.assert_allclose(first.pose, POSE, atol=1e-12)
    assert (first.name, first.image, first.panoramic) == ("frame_00001", tmp_path / "images/frame_00001.png", True)
    assert (second.image, second.panoramic) == (tmp_path / "images/frame_00002.jpg", False)
    assert imported.cloud is not None
    np.testing.assert_array_equal(imported.cloud.points, [[1, 2, 3], [-4, 5, 6]])
    np.testing.assert_array_equal(imported.cloud.colours, [[255, 0, 7], [1, 2, 3]])
    assert any("meters" in note for note in imported.notes)


@pytest.mark.parametrize(
    ("intrinsics", "angle"),
    [
        ({"fl_x": 500.0}, 1.570796),
        ({"camera_angle_x": 0.9}, 0.9),
        ({"fl_x": 0, "camera_angle_x": 0.9}, 0.9),
        ({"fl_x": float("nan")}, None),
        ({"fl_x": 10**400, "camera_angle_x": "wide"}, None),
        ({"fl_x": 500.0, "w": -3}, None),
        ({}, None),
    ],
)
def test_the_field_of_view_is_told(tmp_path: Path, intrinsics: dict[str, Any], angle: float | None) -> None:
    first, second = run_to_end(open_source(write(tmp_path, **intrinsics))).captures
    assert first.field_of_view is None
    assert second.field_of_view == (None if angle is None else pytest.approx(angle, abs=1e-6))


def test_points_and_poses_are_scaled_and_moved_together(tmp_path: Path) -> None:
    far = POSE.copy()
    far[:3, 3] += 200_000
    file = write(tmp_path, frames=[{"file_path": "a.png", "transform_matrix": far.tolist()}])
    imported = run_to_end(open_source(file, scale=0.5))
    np.testing.assert_allclose(imported.captures[0].pose[:3, 3] + imported.offset, far[:3, 3] / 2)
    assert np.abs(imported.captures[0].pose[:3, 3]).max() < 100
    assert imported.cloud is None


def test_three_rows_and_few_digits_are_a_pose(tmp_path: Path) -> None:
    file = write(tmp_path, frames=[{"file_path": "a.png", "transform_matrix": np.round(POSE[:3], 3).tolist()}])
    np.testing.assert_allclose(run_to_end(open_source(file)).captures[0].pose, POSE, atol=2e-3)


@pytest.mark.parametrize(
    "matrix",
    [None, [], [[1]], "x", [[float("nan")] * 4] * 4, (2 * np.eye(4)).tolist(), np.diag([1, 1, -1, 1]).tolist(),
     [[1, 2], [3]], {"a": 1}, [["x"] * 4] * 4, [[10**400] * 4] * 4, (np.eye(4) > 0).tolist(), [[[[1]]]]],
)  # fmt: skip
def test_poses_that_no_camera_can_have_are_refused(tmp_path: Path, matrix: Any) -> None:
    file = write(tmp_path, frames=[{"file_path": "a.png", "transform_matrix": matrix}])
    with pytest.raises(SourceError, match=r"transforms\.json"):
        run_to_end(open_source(file))


@pytest.mark.parametrize("frames", [None, [], {}, 5, [3], ["a"]])
def test_a_file_without_frames_is_refused(tmp_path: Path, frames: Any) -> None:
    with pytest.raises(SourceError):
        run_to_end(open_source(write(tmp_path, frames=frames)))


@pytest.mark.parametrize("text", ['{"frames": [', "{" + '"a":[' * 100_000, '{"frames"\0}', "{}", '{"a": NaN}'])
def test_broken_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "transforms.json").write_text(text)
    with pytest.raises(PantheonError):
        run_to_end(open_source(tmp_path))


def found_by(folder: Path, name: str) -> Path | None:
    folder.mkdir(parents=True, exist_ok=True)
    file = write(folder, frames=[{"file_path": name, "transform_matrix": POSE.tolist()}])
    return run_to_end(open_source(file)).captures[0].image


@pytest.mark.parametrize(
    "name",
    [
        "../../images/pano 0.jpg",
        "..\\..\\images\\pano 0.jpg",
        "./../../images/pano 0",
        "../../images/pano%200.jpg",
        "/somewhere/else/project/images/pano 0.jpg",
        "C:\\Users\\me\\project\\images\\pano 0.jpg",
        "C:/project/images/pano 0.jpg",
        "//server/share/images/pano 0.jpg",
        "\\\\server\\share\\images\\pano 0.jpg",
        "file:///home/me/images/pano%200.jpg",
        "../images/pano 0.jpg",
    ],
)
def test_pictures_of_the_project_are_found_however_they_are_named(tmp_path: Path, name: str) -> None:
    picture = tmp_path / "project" / "images" / "pano 0.jpg"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"picture")
    assert found_by(tmp_path / "project" / "nerf" / "run", name) == picture


def test_an_absolute_path_into_the_project_is_followed_through_links(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.jpg").write_bytes(b"picture")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "images").symlink_to(tmp_path / "disk")
    named = tmp_path / "project" / "images" / "a.jpg"
    assert found_by(tmp_path / "project", str(named)) == named


def test_the_longest_end_of_a_path_tells_pictures_of_one_name_apart(tmp_path: Path) -> None:
    for camera in ("left", "right"):
        (tmp_path / "images" / camera).mkdir(parents=True)
        (tmp_path / "images" / camera / "1.jpg").write_bytes(camera.encode())
    found = found_by(tmp_path, "/data/images/right/1.jpg")
    assert found is not None and found.read_bytes() == b"right"


def test_names_that_lead_out_of_the_project_are_not_followed_and_it_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "project"
    folder.mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(b"secret")
    ascii_ply(tmp_path / "secret.ply")
    frames = [
        {"file_path": name, "transform_matrix": POSE.tolist()}
        for name in ("../../../secret.png", str(tmp_path / "secret.png"), "a\0b", "x" * 5000, 7)
    ]
    imported = run_to_end(open_source(write(folder, frames=frames, ply_file_path="../../../secret.ply")))
    assert [capture.image for capture in imported.captures] == [None] * 5
    assert imported.cloud is None
    assert any("points were not found" in note and "outside" in note for note in imported.notes)
    assert any("5 of 5 pictures" in note and "lies outside" in note for note in imported.notes)


@pytest.mark.parametrize(
    ("told", "panoramic"),
    [
        ({"camera_model": "EQUIRECTANGULAR"}, True),
        ({"camera_model": "equirectangular"}, True),
        ({"camera_model": "SPHERICAL", "fl_x": 500.0}, True),
        ({"camera_type": "equirectangular"}, True),
        ({"is_equirectangular": True}, True),
        ({"is_equirectangular": False, "fl_x": 500.0}, False),
        ({"camera_model": "OPENCV"}, False),
        ({"camera_model": "OPENCV_FISHEYE"}, False),
        ({"camera_model": "PINHOLE"}, False),
        ({"camera_model": "VR180_L"}, False),
        ({"camera_angle_x": 0.9}, False),
        ({"fl_x": 500.0}, False),
        ({}, True),
        ({"w": 1000, "h": 800}, False),
    ],
)
def test_what_sees_the_whole_sphere_is_told_by_its_camera_else_by_its_shape(
    tmp_path: Path, told: dict[str, Any], panoramic: bool
) -> None:
    frame = {"file_path": "a.png", "transform_matrix": POSE.tolist()}
    content = {"w": 1000, "h": 500, "frames": [frame]} | told
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    (capture,) = run_to_end(open_source(tmp_path)).captures
    assert capture.panoramic == panoramic
    assert capture.field_of_view is None or "fl_x" in told or "camera_angle_x" in told


def test_the_shape_of_the_picture_tells_if_the_file_does_not(tmp_path: Path) -> None:
    for width, panoramic in ((64, True), (48, False)):
        png.write(tmp_path / "a.png", np.zeros((32, width, 3), np.uint8))
        frame = {"file_path": "a.png", "transform_matrix": POSE.tolist()}
        (tmp_path / "transforms.json").write_text(json.dumps({"frames": [frame]}))
        assert run_to_end(open_source(tmp_path)).captures[0].panoramic == panoramic


def test_a_scale_that_was_applied_is_taken_back_and_a_transform_stays(tmp_path: Path) -> None:
    turned = [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]]
    file = write(tmp_path, applied_scale=0.25, applied_transform=turned, ply_file_path="sparse_pc.ply")
    ascii_ply(tmp_path / "sparse_pc.ply")
    imported = run_to_end(open_source(file))
    np.testing.assert_allclose(imported.captures[0].pose[:3, 3], 4 * POSE[:3, 3])
    assert imported.cloud is not None
    np.testing.assert_allclose(imported.cloud.points[0], [4, 8, 12])

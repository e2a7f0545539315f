"""transforms.json as nerfstudio and instant-ngp document it, written by hand, and broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.errors import PantheonError
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
     [[1, 2], [3]], {"a": 1}, [["x"] * 4] * 4, [[10**400] * 4] * 4],
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


def test_names_that_lead_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    ascii_ply(tmp_path / "secret.ply")
    frames = [
        {"file_path": name, "transform_matrix": POSE.tolist()}
        for name in ("../secret.png", str(tmp_path / "secret.png"), "a\0b", "x" * 5000, 7)
    ]
    file = write(tmp_path / "inside", frames=frames, ply_file_path="../secret.ply")
    imported = run_to_end(open_source(file))
    assert [capture.image for capture in imported.captures] == [None] * 5
    assert imported.cloud is None
    assert any("points were not found" in note for note in imported.notes)

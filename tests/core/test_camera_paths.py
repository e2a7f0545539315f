"""Camera paths in files: written and read back, what other programs write, and what is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.importers import camera_paths
from pantheon360_blender.core.importers.camera_paths import CameraPath
from pantheon360_blender.core.panorama.cameras import pose_matrix, rotation_from_heading
from pantheon360_blender.core.progress import run_to_end


def poses(count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    angles = random.uniform((-180, -60, -180), (180, 60, 180), (count, 3))
    places = random.normal(0, 20, (count, 3))
    return np.array([pose_matrix(rotation_from_heading(*a), p) for a, p in zip(angles, places, strict=True)])


def read(path: Path) -> CameraPath:
    return run_to_end(camera_paths.read(path))


@pytest.mark.parametrize("kind", camera_paths.KINDS)
@given(seed=st.integers(0, 1000), count=st.integers(2, 6))
def test_what_is_written_is_read_back(
    kind: str, seed: int, count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("path") / f"path{camera_paths.KINDS[kind]}"
    written = poses(count, seed)
    if kind == "colmap":  # says nothing of up but by its cameras
        written = np.array([pose_matrix(rotation_from_heading(31.0 * i, 5.0), p[:3, 3]) for i, p in enumerate(written)])
    frames = np.arange(count) * 2 + 101
    camera_paths.write(path, kind, CameraPath(frames, written, 30.0))
    found = read(path)
    np.testing.assert_allclose(found.poses, written, atol=1e-6)
    assert found.fps == (30.0 if kind in ("json", "nerfstudio") else None)
    assert found.numbered == (kind in ("json", "csv"))
    assert (found.frames == frames if found.numbered else found.frames == np.arange(count)).all()


def test_a_table_may_give_angles_and_be_in_any_order(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("\ufeffFrame, X, Y, Z, Heading, Pitch, Roll\n12, 1, 2, 3, 90, 0, 0\n10, 0, 0, 1.5, 0, 0, 0\n")
    found = read(table)
    assert found.frames.tolist() == [10, 12]
    np.testing.assert_allclose(found.poses[1], pose_matrix(rotation_from_heading(90), np.array([1, 2, 3])), atol=1e-12)
    np.testing.assert_allclose(found.poses[1][:3, :3] @ (0, 0, -1), (1, 0, 0), atol=1e-12, err_msg="it looks east")


def test_nerfstudios_seconds_tell_its_rate(tmp_path: Path) -> None:
    """As its render scripts have it: `seconds` for all cameras, matrices row by row; see its documentation."""
    rows = [{"camera_to_world": pose.ravel().tolist(), "fov": 50, "aspect": 1} for pose in poses(48)]
    path = tmp_path / "camera_path.json"
    path.write_text(json.dumps({"camera_type": "perspective", "seconds": 4.0, "camera_path": rows, "keyframes": []}))
    found = read(path)
    assert found.fps == 12.0 and len(found.poses) == 48 and not found.numbered
    assert any("units" in note for note in found.notes)


def test_pictures_with_poses_are_a_path_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "transforms.json"
    given_ = poses(3)
    frames = [{"file_path": f"{i}.png", "transform_matrix": pose.tolist()} for i, pose in enumerate(given_)]
    path.write_text(json.dumps({"camera_model": "EQUIRECTANGULAR", "frames": frames}))
    np.testing.assert_allclose(read(path).poses, given_, atol=1e-6)


OWN: dict[str, Any] = {"pantheon360_camera_path": 1, "fps": 24, "frames": [{"frame": 1, "pose": np.eye(4).tolist()}]}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", "{", "no JSON"),
        ("a.json", OWN | {"pantheon360_camera_path": 9}, "version 9"),
        ("a.json", OWN | {"frames": []}, "no frame"),
        ("a.json", OWN | {"frames": 3}, "no list of frames"),
        ("a.json", OWN | {"frames": OWN["frames"] * 2}, "frame 1 twice"),
        ("a.json", OWN | {"frames": [{"frame": 1.5, "pose": np.eye(4).tolist()}]}, "without a whole number"),
        ("a.json", OWN | {"frames": [{"frame": 1, "pose": [[1]]}]}, "pose of frame 1 is damaged"),
        ("a.json", OWN | {"frames": [{"frame": 1 << 40, "pose": np.eye(4).tolist()}]}, "beyond"),
        ("a.json", OWN | {"fps": 0}, "frames a second"),
        ("a.json", {"camera_path": [{"camera_to_world": [1, 2]}]}, "camera 0 has no camera_to_world"),
        ("a.json", {"camera_path": 5}, "no list of cameras"),
        ("a.csv", "frame,x,y,z\n1,0,0,0\n", "lacks columns"),
        ("a.csv", "", "lacks columns"),
        ("a.csv", "frame,x,y,z,qw,qx,qy,qz\n1,0,0,zero,1,0,0,0\n", "line 2: z is 'zero'"),
        ("a.csv", "frame,x,y,z,qw,qx,qy,qz\n1,0,0,0,1,0,0\n", "line 2: qz is None"),
        ("a.csv", "frame,x,y,z,qw,qx,qy,qz\n1,0,0,0,0,0,0,0\n", "line 2"),
        ("a.csv", "frame,x,y,z,qw,qx,qy,qz\n1.5,0,0,0,1,0,0,0\n", "between frames"),
    ],
)
def test_what_is_no_path_is_told(tmp_path: Path, name: str, content: Any, told: str) -> None:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(PantheonError, match=told) as refused:
        read(path)
    assert str(path) in refused.value.text


def test_a_cloud_without_cameras_is_no_path(tmp_path: Path) -> None:
    cloud = tmp_path / "a.ply"
    cloud.write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\n"
        "property float x\nproperty float y\nproperty float z\nend_header\n0 0 0\n"
    )
    with pytest.raises(PantheonError, match="no camera path"):
        read(cloud)

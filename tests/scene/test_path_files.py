"""Camera paths from and for other programs: what was animated comes back, at its time, in the scene's units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def path(house: Any, scene: Any) -> np.ndarray:
    frames = list(range(scene.frame_start, scene.frame_end + 1))
    found = house("scene.app.jobs").run_blocking(house("scene.camera.camera_path").poses(scene, frames))
    return np.asarray(found)


@pytest.fixture
def moving(shot_scene: Any) -> Any:
    """The scene with a camera that goes through both captures and looks about."""
    import bpy

    shot_scene.render.fps = 24
    bpy.ops.pantheon360.path_through_captures(speed=2.0)
    shot_scene.camera.rotation_euler.y = 0.3
    return shot_scene


@pytest.mark.parametrize("kind", ["json", "csv", "nerfstudio", "colmap"])
@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_a_path_that_is_written_comes_back(kind: str, unit: float, moving: Any, house: Any, tmp_path: Path) -> None:
    import bpy

    moving.unit_settings.scale_length = unit
    bpy.context.view_layer.update()
    before, frames = path(house, moving), (moving.frame_start, moving.frame_end)
    file = tmp_path / {"csv": "a.csv", "colmap": "model"}.get(kind, "a.json")
    assert bpy.ops.pantheon360.export_camera_path(filepath=str(file), kind=kind) == {"FINISHED"}
    moving.camera.animation_data_clear()
    moving.camera.location = (9, 9, 9)
    assert bpy.ops.pantheon360.import_camera_path(filepath=str(file)) == {"FINISHED"}
    assert (moving.frame_start, moving.frame_end) == frames
    np.testing.assert_allclose(path(house, moving), before, atol=1e-4)


def test_it_is_in_meters_and_says_its_rate(moving: Any, house: Any, tmp_path: Path) -> None:
    import bpy

    moving.unit_settings.scale_length = 0.01
    file = tmp_path / "a.json"
    bpy.ops.pantheon360.export_camera_path(filepath=str(file))
    told = json.loads(file.read_text())
    assert told["fps"] == 24 and told["units"] == "meters" and told["frames"][0]["frame"] == moving.frame_start
    first = path(house, moving)[0]
    np.testing.assert_allclose(np.array(told["frames"][0]["pose"])[:3, 3], first[:3, 3] * 0.01, atol=1e-6)


def test_another_rate_keeps_its_time_and_what_falls_together_is_told(moving: Any, house: Any, tmp_path: Path) -> None:
    import bpy

    file = tmp_path / "a.json"
    rows = [{"frame": 1 + k, "pose": [[1, 0, 0, k / 60], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]} for k in range(121)]
    file.write_text(json.dumps({"pantheon360_camera_path": 1, "fps": 60, "frames": rows}))
    bpy.ops.pantheon360.import_camera_path(filepath=str(file), scale=2.0)
    assert (moving.frame_start, moving.frame_end) == (1, 49), "two seconds"
    poses = path(house, moving)
    np.testing.assert_allclose(poses[24, :3, 3], (2.0, 0, 0), atol=0.05)
    laid = house("scene.app.jobs").run_blocking(house("scene.camera.path_files").import_path(moving, file))
    assert any("fell on frames of others" in note for note in laid.notes)


def test_a_path_makes_a_camera_where_there_is_none(moving: Any, tmp_path: Path) -> None:
    import bpy

    file = tmp_path / "a.csv"
    file.write_text("frame,x,y,z,heading,pitch,roll\n1,0,0,1.6,0,0,0\n48,0,4,1.6,90,0,0\n")
    bpy.data.objects.remove(moving.camera)
    assert bpy.ops.pantheon360.import_camera_path(filepath=str(file)) == {"FINISHED"}
    assert moving.camera is not None and (moving.frame_start, moving.frame_end) == (1, 48)


def test_what_is_no_path_changes_nothing(moving: Any, house: Any, tmp_path: Path) -> None:
    import bpy

    before = path(house, moving)
    file = tmp_path / "a.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(RuntimeError, match="lacks columns of a camera path"):
        bpy.ops.pantheon360.import_camera_path(filepath=str(file))
    np.testing.assert_array_equal(path(house, moving), before)
    moving.camera = None
    with pytest.raises(RuntimeError, match=r"poll|no camera"):
        bpy.ops.pantheon360.export_camera_path(filepath=str(tmp_path / "b.json"))

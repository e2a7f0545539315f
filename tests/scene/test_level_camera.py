"""Level Camera: the horizon is level, and everything else of the camera stays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def tilted(shot_scene: Any) -> Any:
    """The camera of Blender's default scene, which looks down by 26 degrees."""
    camera = shot_scene.camera
    camera.animation_data_clear()
    camera.location = (1.0, 2.0, 3.0)
    camera.rotation_euler = (math.radians(63.6), 0.0, math.radians(46.7))
    return shot_scene


def pose(house: Any, scene: Any) -> np.ndarray:
    return np.array(house("scene.camera.camera_path").pose(house("scene.app.access").evaluated(scene)))


@pytest.mark.parametrize("mode", ["XYZ", "YXZ", "QUATERNION", "AXIS_ANGLE"])
def test_the_camera_stands_upright_and_keeps_its_heading(house: Any, tilted: Any, mode: str) -> None:
    import bpy

    tilted.camera.rotation_mode = mode
    before = pose(house, tilted)
    assert bpy.ops.pantheon360.level_camera() == {"FINISHED"}
    after = pose(house, tilted)
    np.testing.assert_allclose(after[:3, 1], (0, 0, 1), atol=1e-6)
    np.testing.assert_allclose(after[:3, 3], before[:3, 3], atol=1e-6)
    ahead = -before[:2, 2] / np.linalg.norm(before[:2, 2])
    np.testing.assert_allclose(-after[:2, 2], ahead, atol=1e-5)


def test_every_keyframe_of_the_rotation_is_levelled(house: Any, tilted: Any) -> None:
    import bpy

    camera = tilted.camera
    for frame, heading in ((1, 170), (3, 190), (5, 350)):
        camera.rotation_euler = (math.radians(60 + frame), 0.1, math.radians(heading))
        camera.keyframe_insert("rotation_euler", frame=frame)
    tilted.frame_set(2)
    assert bpy.ops.pantheon360.level_camera() == {"FINISHED"}
    assert tilted.frame_current == 2
    headings = []
    for frame in range(1, 6):
        tilted.frame_set(frame)
        np.testing.assert_allclose(pose(house, tilted)[:3, 1], (0, 0, 1), atol=1e-5)
        headings.append(math.degrees(camera.rotation_euler.z))
    assert np.all(np.diff(headings) > 0) and headings[-1] - headings[0] == pytest.approx(180, abs=12)


def test_a_parent_that_leans_is_made_up_for(house: Any, tilted: Any) -> None:
    import bpy

    parent = tilted.objects["A"]
    parent.rotation_euler = (0.3, 0.2, 0.1)
    tilted.camera.parent = parent
    bpy.context.view_layer.update()
    assert bpy.ops.pantheon360.level_camera() == {"FINISHED"}
    np.testing.assert_allclose(pose(house, tilted)[:3, 1], (0, 0, 1), atol=1e-5)


def test_a_camera_held_tilted_by_a_constraint_is_told(tilted: Any) -> None:
    import bpy

    hold = tilted.camera.constraints.new("TRACK_TO")
    hold.target = tilted.objects["A"]
    tilted.objects["A"].location = (0, 0, -20)
    with pytest.raises(RuntimeError, match="constraints or drivers turn it"):
        bpy.ops.pantheon360.level_camera()


def test_set_path_ends_says_that_the_camera_leans_and_which_button_helps(
    tilted: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    import bpy

    tilted.pantheon360.match_orientation = False
    assert bpy.ops.pantheon360.set_path_ends() == {"FINISHED"}
    assert "tilted by 26°: Level Camera" in "".join(capfd.readouterr())
    assert bpy.ops.pantheon360.level_camera() == {"FINISHED"}
    assert bpy.ops.pantheon360.set_path_ends() == {"FINISHED"}
    assert "tilted" not in "".join(capfd.readouterr())

"""Set Path Ends keyframes the artist's own camera into the captures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def ends(house: Any, shot_scene: Any) -> Any:
    """The scene with a camera that has no keyframes, and captures that are turned."""
    shot_scene.camera.animation_data_clear()
    shot_scene.camera.location = (9, 9, 9)
    a, b = house("scene.captures.capture_objects").in_scene(shot_scene)
    a.rotation_euler.z, b.rotation_euler.z = math.radians(30), math.radians(-170)
    shot_scene.pantheon360.start_capture, shot_scene.pantheon360.end_capture = a, b
    return shot_scene


@pytest.fixture
def poses(house: Any) -> Any:
    return lambda scene: house("scene.app.jobs").run_blocking(house("scene.camera.camera_path").poses(scene, [1, 5]))


def capture_poses(house: Any, scene: Any) -> np.ndarray:
    depsgraph = house("scene.app.access").evaluated(scene)
    return np.array(
        [
            house("scene.captures.capture_objects").pose(obj, depsgraph)
            for obj in house("scene.captures.capture_objects").in_scene(scene)
        ]
    )


def test_the_camera_goes_from_start_to_end(ends: Any, poses: Any, house: Any) -> None:
    import bpy

    before = [obj for obj in bpy.data.objects if obj.type == "CAMERA"]
    assert bpy.ops.pantheon360.set_path_ends() == {"FINISHED"}
    assert [obj for obj in bpy.data.objects if obj.type == "CAMERA"] == before
    found = poses(ends)
    np.testing.assert_allclose(found[:, :3, 3], [(0, 0, 1), (0, 2, 1)], atol=1e-5)
    np.testing.assert_allclose(found[:, :3, :3] @ (0, 0, -1), [(0, 1, 0)] * 2, atol=1e-5)  # orientation kept
    assert ends.frame_current == 1


@pytest.mark.parametrize("mode", ["XYZ", "ZYX", "QUATERNION", "AXIS_ANGLE"])
def test_orientation_is_matched_in_the_cameras_own_mode(ends: Any, poses: Any, house: Any, mode: str) -> None:
    import bpy

    ends.camera.rotation_mode = mode
    ends.pantheon360.match_orientation = True
    assert bpy.ops.pantheon360.set_path_ends() == {"FINISHED"}
    np.testing.assert_allclose(poses(ends), capture_poses(house, ends), atol=1e-5)
    assert ends.camera.rotation_mode == mode


def test_kept_rotation_keyframes_are_untouched(ends: Any, poses: Any) -> None:
    import bpy

    for frame, turn in ((1, 0.2), (5, 0.9)):
        ends.camera.rotation_euler.z = turn
        ends.camera.keyframe_insert("rotation_euler", frame=frame)
    bpy.ops.pantheon360.set_path_ends()
    looking = poses(ends)[:, :3, :3] @ (0, 0, -1)
    np.testing.assert_allclose(np.arctan2(-looking[:, 0], looking[:, 1]), [0.2, 0.9], atol=1e-5)


def test_a_parented_camera_arrives_too(ends: Any, poses: Any, house: Any) -> None:
    import bpy

    dolly = bpy.data.objects.new("Dolly", None)
    ends.collection.objects.link(dolly)
    dolly.location, dolly.scale, dolly.rotation_euler = (3, 4, 5), (2, 2, 2), (0.1, 0.2, 0.3)
    dolly.keyframe_insert("location", frame=1)
    dolly.location = (7, 0, 0)
    dolly.keyframe_insert("location", frame=5)
    ends.camera.parent = dolly
    ends.pantheon360.match_orientation = True
    bpy.ops.pantheon360.set_path_ends()
    np.testing.assert_allclose(poses(ends), capture_poses(house, ends), atol=1e-4)
    assert tuple(ends.camera.scale) == pytest.approx((1, 1, 1))


def test_the_turn_is_the_short_way(ends: Any, house: Any) -> None:
    """From 170 to -170 degrees a camera turns by 20, not by 340."""
    import bpy

    a, b = house("scene.captures.capture_objects").in_scene(ends)
    a.rotation_euler.z, b.rotation_euler.z = math.radians(170), math.radians(-170)
    ends.pantheon360.match_orientation = True
    bpy.ops.pantheon360.set_path_ends()
    path = house("scene.app.jobs").run_blocking(house("scene.camera.camera_path").poses(ends, [1, 2, 3, 4, 5]))
    turned = house("core.panorama.cameras").angular_speeds(path, 1.0).sum()
    assert math.degrees(turned) == pytest.approx(20, abs=0.1)


def test_without_a_camera_one_is_made_that_looks_along_the_way(ends: Any, poses: Any) -> None:
    import bpy

    bpy.data.objects.remove(ends.camera)
    ends.frame_set(3)
    assert bpy.ops.pantheon360.set_path_ends() == {"FINISHED"}
    assert ends.camera is not None and ends.frame_current == 3
    np.testing.assert_allclose(poses(ends)[:, :3, :3] @ (0, 0, -1), [(0, 1, 0)] * 2, atol=1e-5)


def test_with_nothing_chosen_first_and_last_are_taken(ends: Any, poses: Any, house: Any) -> None:
    import bpy

    ends.pantheon360.start_capture = ends.pantheon360.end_capture = None
    assert bpy.ops.pantheon360.set_path_ends() == {"FINISHED"}
    np.testing.assert_allclose(poses(ends)[:, :3, 3], [(0, 0, 1), (0, 2, 1)], atol=1e-5)
    assert [ends.pantheon360.start_capture.name, ends.pantheon360.end_capture.name] == ["A", "B"]


def test_a_capture_that_left_the_scene_is_named(ends: Any, house: Any) -> None:
    a = house("scene.captures.capture_objects").in_scene(ends)[0]
    for collection in a.users_collection:
        collection.objects.unlink(a)
    with pytest.raises(house("core.errors").CaptureError, match="A is not in scene"):
        house("scene.camera.path_ends").set_path_ends(ends)


def test_a_camera_that_constraints_hold_elsewhere_is_said(ends: Any, house: Any) -> None:
    import bpy

    held = bpy.data.objects.new("held", None)
    ends.collection.objects.link(held)
    ends.camera.constraints.new("COPY_LOCATION").target = held
    warnings: list[str] = []
    house("scene.camera.path_ends").set_path_ends(ends, warnings.append)
    assert len(warnings) == 1 and "frame 1 and 5" in warnings[0] and "onstraints" in warnings[0]


def test_a_linked_camera_is_refused(ends: Any, house: Any, tmp_path: Any) -> None:
    import bpy

    library = str(tmp_path / "library.blend")
    bpy.data.libraries.write(library, {ends.camera})
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.objects = ["Camera"]
    (ends.camera,) = wanted.objects
    with pytest.raises(house("core.errors").RenderError, match="linked from another file"):
        house("scene.camera.path_ends").set_path_ends(ends)


@pytest.fixture
def began(ends: Any, house: Any) -> Any:
    """began(): what the first cache does to the scene's camera; returns what is said of it."""
    return lambda: house("scene.camera.path_ends").begin_path(
        ends, house("scene.captures.capture_objects").in_scene(ends)
    )


def test_a_camera_that_does_not_move_is_kept_beside_one_that_does(ends: Any, poses: Any, began: Any) -> None:
    still = ends.camera
    said = began()
    assert ends.camera is not still and tuple(still.location) == (9, 9, 9) and still.animation_data is None
    assert "goes from A to B" in said and f"{still.name} is as it was" in said
    np.testing.assert_allclose(poses(ends)[:, :3, 3], [(0, 0, 1), (0, 2, 1)], atol=1e-5)


@pytest.mark.parametrize("decided", ["moves", "is held", "renders panoramas", "is bound to a marker"])
def test_a_camera_that_was_decided_on_leads(ends: Any, began: Any, decided: str) -> None:
    import bpy

    camera = ends.camera
    if decided == "moves":
        camera.keyframe_insert("location", frame=1)
    elif decided == "is held":
        camera.parent = bpy.data.objects.new("held", None)
    elif decided == "renders panoramas":
        camera.data.type = "PANO"
    else:
        ends.timeline_markers.new("here", frame=1).camera = camera
    assert began() == "" and ends.camera is camera


def test_an_end_that_was_chosen_is_kept(ends: Any, began: Any) -> None:
    a, b = ends.pantheon360.start_capture, ends.pantheon360.end_capture
    ends.pantheon360.start_capture, ends.pantheon360.end_capture = b, a
    assert "goes from B to A" in began()

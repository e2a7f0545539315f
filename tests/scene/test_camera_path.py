"""The camera's path is what Blender would render from, whatever moves the camera."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def poses(house: Any) -> Any:
    path, jobs = house("scene.camera.camera_path"), house("scene.app.jobs")
    return lambda scene, frames: jobs.run_blocking(path.poses(scene, frames))


@pytest.fixture
def camera(blend: Any) -> Any:
    return new_camera(blend)


def new_camera(scene: Any, name: str = "Camera") -> Any:
    import bpy

    made = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    scene.collection.objects.link(made)
    scene.camera = scene.camera or made
    return made


def new_empty(scene: Any, name: str) -> Any:
    import bpy

    made = bpy.data.objects.new(name, None)
    scene.collection.objects.link(made)
    return made


def slide(obj: Any) -> None:
    """Linear keyframes: x metres at frame x."""
    for frame in (0, 20):
        obj.location.x = frame
        obj.keyframe_insert("location", index=0, frame=frame)
    action = obj.animation_data.action
    curves = action.fcurves if hasattr(action, "fcurves") else action.layers[0].strips[0].channelbags[0].fcurves
    for point in curves[0].keyframe_points:
        point.interpolation = "LINEAR"


def test_a_level_camera_looks_along_the_worlds_y(poses: Any, blend: Any, camera: Any) -> None:
    camera.rotation_euler = (math.pi / 2, 0, 0)
    camera.location = (1, 2, 3)
    pose = poses(blend, [1])[0]
    assert pose.dtype == np.float64
    np.testing.assert_allclose(pose[:3, :3] @ (0, 0, -1), (0, 1, 0), atol=1e-6)
    np.testing.assert_allclose(pose[:3, :3] @ (0, 1, 0), (0, 0, 1), atol=1e-6)
    np.testing.assert_allclose(pose[:3, 3], (1, 2, 3))


def test_subframes_lie_between_frames(poses: Any, blend: Any, camera: Any) -> None:
    slide(camera)
    found = poses(blend, [4, 4.25, 4.5, 5, -2.5])
    np.testing.assert_allclose(found[:4, 0, 3], [4, 4.25, 4.5, 5], atol=1e-4)
    assert found[4, 0, 3] == pytest.approx(0)  # extrapolated: constant before the first key


def test_parents_count_and_their_scale_does_not(poses: Any, blend: Any, camera: Any) -> None:
    dolly = new_empty(blend, "Dolly")
    slide(dolly)
    dolly.scale = (2, 2, 2)
    dolly.rotation_euler = (0, 0, math.pi / 2)
    camera.parent = dolly
    camera.location = (0, -1, 0)
    pose = poses(blend, [10])[0]
    np.testing.assert_allclose(pose[:3, 3], (12, 0, 0), atol=1e-5)  # one unit of a parent twice as large
    np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-9)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)


def test_constraints_are_followed(poses: Any, blend: Any, camera: Any) -> None:
    target = new_empty(blend, "Target")
    slide(target)
    constraint = camera.constraints.new("TRACK_TO")
    constraint.target, constraint.track_axis, constraint.up_axis = target, "TRACK_NEGATIVE_Z", "UP_Y"
    camera.location = (5, -5, 0)
    looking = poses(blend, [5, 10])[:, :3, :3] @ (0, 0, -1)
    np.testing.assert_allclose(looking, [(0, 1, 0), (math.sqrt(0.5), math.sqrt(0.5), 0)], atol=1e-5)


def test_drivers_are_followed(poses: Any, blend: Any, camera: Any) -> None:
    driver = camera.driver_add("location", 2).driver
    driver.type = "SUM"
    variable = driver.variables.new()
    variable.type = "SINGLE_PROP"
    variable.targets[0].id_type, variable.targets[0].id = "SCENE", blend
    variable.targets[0].data_path = "frame_current"
    np.testing.assert_allclose(poses(blend, [3, 8])[:, 2, 3], [3, 8])


def test_nla_strips_are_followed(poses: Any, blend: Any, camera: Any) -> None:
    slide(camera)
    action = camera.animation_data.action
    track = camera.animation_data.nla_tracks.new()
    strip = track.strips.new("later", 100, action)
    camera.animation_data.action = None
    assert strip.frame_start == 100
    np.testing.assert_allclose(poses(blend, [100, 110])[:, 0, 3], [0, 10], atol=1e-4)


def test_markers_switch_cameras(poses: Any, blend: Any, camera: Any) -> None:
    second = new_camera(blend, "Second")
    second.location = (0, 0, 7)
    blend.timeline_markers.new("cut to first", frame=1).camera = camera
    blend.timeline_markers.new("cut to second", frame=5).camera = second
    np.testing.assert_allclose(poses(blend, [4, 5, 6, 2])[:, 2, 3], [0, 7, 7, 0])
    assert blend.camera == camera


def test_the_artists_frame_stays(house: Any, blend: Any, camera: Any) -> None:
    slide(camera)
    blend.frame_set(7, subframe=0.5)
    job = house("scene.camera.camera_path").poses(blend, list(range(300)))
    seen = []
    for _ in job:
        seen.append((blend.frame_current, blend.frame_subframe))
        if len(seen) == 2:
            break
    job.close()
    assert set(seen) == {(7, 0.5)}
    assert (blend.frame_current, blend.frame_subframe) == (7, 0.5)
    assert camera.matrix_world.translation.x == pytest.approx(7.5, abs=1e-4)


def test_a_scene_that_no_window_shows_is_read_too(poses: Any, blend: Any) -> None:
    import bpy

    other = bpy.data.scenes.new("Other")
    slide(new_camera(other, "Elsewhere"))
    np.testing.assert_allclose(poses(other, [2, 3])[:, 0, 3], [2, 3], atol=1e-4)


def test_no_camera_is_explained(house: Any, poses: Any, blend: Any) -> None:
    with pytest.raises(house("core.errors").RenderError, match="has no camera") as caught:
        poses(blend, [1])
    assert caught.value.repair == "pantheon360.set_path_ends"


def test_the_scene_may_disappear(house: Any, blend: Any) -> None:
    import bpy

    other = bpy.data.scenes.new("Gone")
    new_camera(other)
    job = house("scene.camera.camera_path").poses(other, [1, 2])
    next(job)
    bpy.data.scenes.remove(other)
    with pytest.raises(house("core.errors").RenderError, match="Gone"):
        next(job)


def test_frame_numbers(house: Any, blend: Any) -> None:
    numbers = house("scene.camera.camera_path").frame_numbers
    blend.frame_start, blend.frame_end = 3, 10
    assert numbers(blend) == list(range(3, 11))
    assert numbers(blend, 3) == [3, 6, 9]


@pytest.mark.parametrize("current", [1, 3, 5])
def test_a_camera_bound_to_a_marker_is_not_left_behind(poses: Any, blend: Any, camera: Any, current: int) -> None:
    """The artist looks through another camera than the timeline's markers have bound, at any current frame."""
    marked = new_camera(blend, "Marked")
    marked.location = (7, 0, 0)
    blend.timeline_markers.new("last", frame=5).camera = marked
    blend.frame_set(current)
    blend.camera = camera
    found = poses(blend, [1, 3, 5])
    assert blend.camera == camera
    assert blend.frame_current == current
    assert found[-1, 0, 3] == 7

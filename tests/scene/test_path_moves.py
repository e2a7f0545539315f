"""Lay Path: keyframes that carry the scene's own camera through captures, round the cursor, along a curve, on foot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from .conftest import fill_cache


def path(house: Any, scene: Any) -> np.ndarray:
    frames = list(range(scene.frame_start, scene.frame_end + 1))
    found = house("scene.app.jobs").run_blocking(house("scene.camera.camera_path").poses(scene, frames))
    return np.asarray(found)


def speeds(poses: np.ndarray, fps: float) -> np.ndarray:
    return np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) * fps


@pytest.fixture
def moving(shot_scene: Any) -> Any:
    """The scene with three captures on a bent way: A, B and C, 2 m from one another."""
    import bpy

    c = bpy.data.objects["B"].copy()
    c.name, c.location = "C", (2, 2, 1)
    shot_scene.collection.objects.link(c)
    shot_scene.render.fps = 24
    return shot_scene


def test_through_all_captures_at_a_steady_pace(moving: Any, house: Any) -> None:
    import bpy

    assert bpy.ops.pantheon360.path_through_captures(speed=2.0, eased=False) == {"FINISHED"}
    assert moving.frame_start == 1
    assert 49 <= moving.frame_end <= 55  # 4 m at 2 m/s, and the curve round the corner
    poses = path(house, moving)
    for place in ((0, 0, 1), (0, 2, 1), (2, 2, 1)):
        assert np.linalg.norm(poses[:, :3, 3] - place, axis=1).min() < 1e-4
    np.testing.assert_allclose(poses[:, 2, 1], 1.0, atol=1e-5)  # level
    way = np.diff(poses[:, :3, 3], axis=0)
    ahead = poses[:-1, :3, :3] @ (0, 0, -1)
    assert (way * ahead).sum(axis=1) / np.linalg.norm(way, axis=1) == pytest.approx(1.0, abs=0.05)
    assert speeds(poses, 24) == pytest.approx(2.0, rel=0.15)


def test_eased_it_begins_and_ends_at_rest(moving: Any, house: Any) -> None:
    import bpy

    bpy.ops.pantheon360.path_through_captures(speed=2.0, eased=True)
    pace = speeds(path(house, moving), 24)
    assert max(pace[0], pace[-1]) < 0.5 * pace.mean()


def test_an_older_path_is_replaced_and_keyframes_are_ordinary(moving: Any, house: Any) -> None:
    import bpy

    moving.camera.location = (9, 9, 9)
    moving.camera.keyframe_insert("location", frame=17)
    bpy.ops.pantheon360.path_through_captures(speed=2.0)
    curves = house("scene.app.versions").fcurves(moving.camera, "location")
    frames = [point.co[0] for point in curves[0].keyframe_points]
    assert 17 not in frames
    assert (frames[0], frames[-1]) == (1, moving.frame_end)


def test_rotation_can_stay(moving: Any, house: Any) -> None:
    import bpy

    before = path(house, moving)[0, :3, :3]
    bpy.ops.pantheon360.path_through_captures(facing="KEEP")
    np.testing.assert_allclose(
        path(house, moving)[:, :3, :3], np.broadcast_to(before, (moving.frame_end, 3, 3)), atol=1e-5
    )


def test_round_the_cursor(moving: Any, house: Any) -> None:
    import bpy

    moving.camera.animation_data_clear()
    moving.camera.location = (3, 0, 1.6)
    moving.cursor.location = (0, 0, 0)
    assert bpy.ops.pantheon360.path_orbit(turns=1.0, speed=3.0) == {"FINISHED"}
    poses = path(house, moving)
    np.testing.assert_allclose(np.linalg.norm(poses[:, :2, 3], axis=1), 3.0, atol=0.03)
    np.testing.assert_allclose(poses[-1, :3, 3], (3, 0, 1.6), atol=1e-4)
    ahead = poses[:, :3, :3] @ (0, 0, -1)
    inward = -poses[:, :3, 3] * (1, 1, 0)
    cosine = (ahead * inward).sum(axis=1) / np.linalg.norm(inward, axis=1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 2
    moving.camera.animation_data_clear()
    moving.camera.location = (0, 0, 5)
    with pytest.raises(RuntimeError, match="above the 3D cursor"):
        bpy.ops.pantheon360.path_orbit()


def test_along_a_curve(moving: Any, house: Any) -> None:
    import bpy

    curve = bpy.data.curves.new("Way", "CURVE")
    curve.dimensions = "3D"
    spline = curve.splines.new("POLY")
    spline.points.add(2)
    for point, place in zip(spline.points, ((0, 0, 0), (4, 0, 0), (4, 4, 0)), strict=True):
        point.co = (*place, 1)
    way = bpy.data.objects.new("Way", curve)
    way.location.z = 1.5
    moving.collection.objects.link(way)
    bpy.context.view_layer.objects.active = way
    assert bpy.ops.pantheon360.path_follow_curve(speed=1.0, eased=False) == {"FINISHED"}
    poses = path(house, moving)
    np.testing.assert_allclose(poses[[0, -1], :3, 3], [(0, 0, 1.5), (4, 4, 1.5)], atol=1e-4)
    assert speeds(poses, 24).sum() / 24 == pytest.approx(8.0, rel=0.02)
    curve.bevel_depth = 0.1
    with pytest.raises(RuntimeError, match="has a surface"):
        bpy.ops.pantheon360.path_follow_curve()


def test_on_foot_the_camera_keeps_its_height_above_the_ground(moving: Any, house: Any) -> None:
    import bpy

    plan = np.stack(np.meshgrid(np.linspace(-4, 4, 81), np.linspace(-4, 4, 81)), -1).reshape(-1, 2)
    slope = np.column_stack([plan, 0.2 * plan[:, 1]]).astype(np.float32)
    fill_cache(house, moving, (slope, np.full(slope.shape, 90, np.uint8)))
    moving.camera.animation_data_clear()
    for frame, y in ((1, -3.0), (97, 3.0)):
        moving.camera.location = (0, y, 3)
        moving.camera.keyframe_insert("location", frame=frame)
    moving.frame_end = 97
    moving.pantheon360.eye_height = 1.6
    assert bpy.ops.pantheon360.path_walk() == {"FINISHED"}
    poses = path(house, moving)
    np.testing.assert_allclose(poses[:, 2, 3], 0.2 * poses[:, 1, 3] + 1.6, atol=0.2)


def test_smoothing_ends_where_the_path_ended(moving: Any, house: Any) -> None:
    import bpy

    random = np.random.default_rng(0)
    moving.frame_end = 97
    for frame in range(1, 98, 4):
        moving.camera.location = (random.normal(0, 0.1), frame / 24, 1.6)
        moving.camera.rotation_euler = (math.pi / 2, 0, random.normal(0, 0.1))
        moving.camera.keyframe_insert("location", frame=frame)
        moving.camera.keyframe_insert("rotation_euler", frame=frame)
    before = path(house, moving)
    assert bpy.ops.pantheon360.path_smooth(seconds=0.5) == {"FINISHED"}
    after = path(house, moving)
    np.testing.assert_allclose(after[[0, -1], :3, 3], before[[0, -1], :3, 3], atol=1e-4)

    def shake(poses: np.ndarray) -> float:
        return float(np.abs(np.diff(poses[10:-10, 0, 3], n=2)).max())

    assert shake(after) < 0.3 * shake(before)

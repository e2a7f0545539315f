"""Levelling, scaling and flooring a place: what belongs to it moves as one, whatever the way it was set askew."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]


def poses(house: House, scene: Any) -> np.ndarray:
    import bpy

    bpy.context.view_layer.update()
    captures = house("scene.captures.capture_objects")
    depsgraph = bpy.context.evaluated_depsgraph_get()
    return np.array([captures.pose(obj, depsgraph) for obj in captures.in_scene(scene)])


def points(house: House) -> np.ndarray:
    import bpy

    bpy.context.view_layer.update()
    return np.asarray(house("scene.cache.cache_objects").evaluated_points(bpy.context.evaluated_depsgraph_get()).points)


def similarity(angle: float, axis: tuple[float, float, float], scale: float, offset: tuple[float, ...]) -> np.ndarray:
    from mathutils import Matrix, Vector

    found = Matrix.Translation(offset) @ Matrix.Rotation(angle, 4, Vector(axis)) @ Matrix.Scale(scale, 4)
    return np.array(found, np.float64)


@pytest.fixture
def place(house: House, shot_scene: Any) -> Any:
    house("scene.sources.proxy").create(shot_scene)
    poses(house, shot_scene)
    return shot_scene


def test_levelling_undoes_a_tilt_about_the_captures(house: House, place: Any) -> None:
    orientation = house("scene.captures.orientation")
    before, cloud = poses(house, place), points(house)
    tilt = similarity(0.3, (1, 0.5, 0), 1.0, (0, 0, 0))
    orientation.move(place, tilt)
    assert np.abs(poses(house, place)[0] - before[0]).max() > 0.1
    assert orientation.level(place) == pytest.approx(0.3, abs=1e-5)
    after = poses(house, place)
    np.testing.assert_allclose(after[:, 2, 1], 1, atol=1e-5)
    middle = before[:, :3, 3].mean(axis=0)
    np.testing.assert_allclose(after[:, :3, 3].mean(axis=0), tilt[:3, :3] @ middle, atol=1e-5)
    lengths = [
        np.linalg.norm(each - middle, axis=1) for each in (cloud, points(house) + middle - tilt[:3, :3] @ middle)
    ]
    np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-4)
    assert orientation.level(place) == pytest.approx(0, abs=1e-5)


def test_scaling_makes_a_distance_true_about_the_first_point(house: House, place: Any) -> None:
    before, cloud = poses(house, place), points(house)
    first, second = before[:, :3, 3]
    factor = house("scene.captures.orientation").scale(place, first, second, 5.0)
    assert factor == pytest.approx(2.5)
    after = poses(house, place)
    np.testing.assert_allclose(after[0], before[0], atol=1e-5)
    assert np.linalg.norm(after[1, :3, 3] - after[0, :3, 3]) == pytest.approx(5, rel=1e-5)
    np.testing.assert_allclose(points(house), first + 2.5 * (cloud - first), atol=1e-4)
    assert all(obj.scale[0] == pytest.approx(1) for obj in house("scene.captures.capture_objects").in_scene(place))
    with pytest.raises(house("core.errors").PoseError):
        house("scene.captures.orientation").scale(place, first, first, 5.0)


def test_the_floor_becomes_the_ground_with_captures_above_it(house: House, place: Any) -> None:
    orientation = house("scene.captures.orientation")
    generator = np.random.default_rng(1)
    floor = np.concatenate([generator.uniform(-3, 3, (40, 2)), np.zeros((40, 1))], axis=1)
    floor[:6, 2] = 0.5  # a step that was selected, too
    heights = poses(house, place)[:, 2, 3]
    for turn in (0.4, 2.8):
        askew = similarity(turn, (1, -0.3, 0.2), 1.0, (3, 1, -7))
        orientation.move(place, askew)
        orientation.floor(place, floor @ askew[:3, :3].T + askew[:3, 3])
        np.testing.assert_allclose(poses(house, place)[:, 2, 3], heights, atol=0.02)


def test_a_plane_needs_three_points_off_a_line(house: House) -> None:
    orientation = house("scene.captures.orientation")
    middle, normal = orientation.plane(np.array([(0, 0, 1), (1, 0, 1), (0, 1, 1)]))
    assert abs(normal[2]) == pytest.approx(1) and middle[2] == pytest.approx(1)
    for bad in (np.zeros((2, 3)), np.zeros((9, 3)), np.outer(np.arange(5), (1, 2, 3))):
        with pytest.raises(house("core.errors").PoseError):
            orientation.plane(bad)


def test_children_follow_once_and_strangers_stay(house: House, place: Any) -> None:
    """The cache is parented to a capture, a capture to an artist's empty; a lamp belongs to nobody."""
    import bpy

    cache = house("scene.cache.cache_objects").find(place)
    first, second = house("scene.captures.capture_objects").in_scene(place)
    stranger, parent = bpy.data.objects.new("stranger", None), bpy.data.objects.new("parent", None)
    for obj in (stranger, parent):
        place.collection.objects.link(obj)
        obj.location = (1, 2, 3)
    parent.scale = (2, 2, 2)
    second.parent, cache.parent = parent, first
    before = poses(house, place)
    cloud = points(house)
    matrix = similarity(0.5, (0, 0, 1), 1.0, (4, 0, 0))
    house("scene.captures.orientation").move(place, matrix)
    np.testing.assert_allclose(poses(house, place), matrix @ before, atol=1e-5)
    np.testing.assert_allclose(points(house), cloud @ matrix[:3, :3].T + matrix[:3, 3], atol=1e-4)
    assert tuple(stranger.location) == tuple(parent.location) == (1, 2, 3)


def test_operators_read_selected_objects_and_vertices(house: House, place: Any) -> None:
    import bpy

    bpy.ops.object.select_all(action="DESELECT")
    with pytest.raises(RuntimeError, match="Select two objects"):
        bpy.ops.pantheon360.scale_captures()
    for obj in house("scene.captures.capture_objects").in_scene(place):
        obj.select_set(True)
    assert bpy.ops.pantheon360.scale_captures(distance=3.0) == {"FINISHED"}
    apart = np.diff(poses(house, place)[:, :3, 3], axis=0)
    assert np.linalg.norm(apart) == pytest.approx(3, rel=1e-5)
    assert bpy.ops.pantheon360.level_captures() == {"FINISHED"}
    with pytest.raises(RuntimeError, match="three or more"):
        bpy.ops.pantheon360.set_floor()
    bpy.ops.mesh.primitive_plane_add(size=4, location=(0, 0, 0.5), rotation=(0.1, 0, 0))
    heights = poses(house, place)[:, 2, 3]
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    assert bpy.ops.pantheon360.set_floor() == {"FINISHED"}
    assert bpy.context.mode == "OBJECT"
    assert (poses(house, place)[:, 2, 3] < heights).all()
    np.testing.assert_allclose(poses(house, place)[:, 2, 1], np.cos(0.1), atol=1e-4)

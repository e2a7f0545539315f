"""Make Walls: from one capture's points to meshes that are projected onto again, whichever way the capture leans."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]
LOW, HIGH = np.array([-1.5, -1.2, 0.0]), np.array([2.5, 3.0, 2.6])
"""Walls, floor and ceiling of the room, metres."""


@pytest.fixture
def room(house: House, blend: Any) -> Any:
    """One capture that leans and is turned, 1.6 m above the floor, and what it sees as the cache's points."""
    from mathutils import Matrix

    cameras, captures = house("core.panorama.cameras"), house("scene.captures.capture_objects")
    pixels = np.random.default_rng(2).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    image = house("scene.captures.images").from_array("photo", pixels)
    capture = captures.create(blend, "photo", image, (0.0, 0.0, 1.6))
    pose = cameras.pose_matrix(cameras.rotation_from_heading(40, -20, 15), np.array([0, 0, 1.6]))
    capture.matrix_world = Matrix(pose.tolist())
    seen_by(house, blend, capture)
    blend.pantheon360.projection_width = 128
    return blend


def seen_by(house: House, scene: Any, capture: Any, scale: float = 1.0) -> None:
    """Fill the cache with what a capture sees of the room, `scale` units a metre."""
    import bpy

    bpy.context.view_layer.update()
    pose = house("scene.captures.capture_objects").pose(capture)
    rays = house("core.panorama.equirectangular").directions(512).reshape(-1, 3).astype(np.float64) @ pose[:3, :3].T
    eye = pose[:3, 3] / scale
    with np.errstate(divide="ignore"):
        reach = np.where(rays > 0, (HIGH - eye) / rays, (LOW - eye) / rays).min(axis=1)
    points = ((eye + rays * reach[:, None]) * scale).astype(np.float32)
    cloud = house("core.points.point_cloud").PointCloud(points, np.full(points.shape, 90, np.uint8))
    house("scene.cache.cache_objects").replace(scene, cloud)


def extent(obj: Any) -> np.ndarray:
    """(2, 3): the lowest and the highest coordinates of an object's vertices in the world."""
    corners = np.array([obj.matrix_world @ vertex.co for vertex in obj.data.vertices])
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def test_one_capture_becomes_floor_walls_and_ceiling(house: House, room: Any) -> None:
    import bpy

    assert bpy.ops.pantheon360.make_walls() == {"FINISHED"}
    made = {obj.name: obj for obj in bpy.data.collections["Proxy"].objects}
    assert set(made) == {"Plan Floor", "Plan Walls", "Plan Ceiling"}
    assert house("scene.sources.projection").geometry_in(room) == sorted(made.values(), key=lambda obj: obj.name)
    np.testing.assert_allclose(extent(made["Plan Walls"]), [LOW, HIGH], atol=0.08)
    np.testing.assert_allclose(extent(made["Plan Floor"])[:, 2], 0.0, atol=0.03)
    np.testing.assert_allclose(extent(made["Plan Ceiling"])[:, 2], 2.6, atol=0.03)
    assert (len(made["Plan Walls"].data.polygons), len(made["Plan Walls"].data.vertices)) == (4, 8)


def test_a_wall_that_is_dragged_is_where_points_are_then(house: House, room: Any) -> None:
    """The edge of a corner moves both walls that meet there; the next projection follows."""
    import bpy

    bpy.ops.pantheon360.make_walls()
    assert bpy.ops.pantheon360.project_captures() == {"FINISHED"}
    cloud = house("scene.cache.cache_objects").evaluated_points(bpy.context.evaluated_depsgraph_get())
    assert len(cloud) == 64 * 128, "no ray of the capture leaves the room"
    inside = np.clip(cloud.points, LOW, HIGH)
    assert np.abs(cloud.points - inside).max() < 0.08

    walls = bpy.data.objects["Plan Walls"]
    for vertex in walls.data.vertices:
        if (walls.matrix_world @ vertex.co).x > 2:
            vertex.co.x -= 1.0
    assert bpy.ops.pantheon360.project_captures() == {"FINISHED"}
    moved = house("scene.cache.cache_objects").evaluated_points(bpy.context.evaluated_depsgraph_get()).points
    standing = (moved[:, 2] > 0.3) & (moved[:, 2] < 2.3)
    assert moved[standing, 0].max() == pytest.approx(1.5, abs=0.08)


def test_made_again_they_take_the_place_of_the_first(room: Any) -> None:
    import bpy

    bpy.ops.pantheon360.make_proxy()
    others = len(bpy.data.collections["Proxy"].objects)
    for _ in range(2):
        assert bpy.ops.pantheon360.make_walls() == {"FINISHED"}
        assert len(bpy.data.collections["Proxy"].objects) == others + 3
    kept = bpy.data.objects["Plan Walls"]
    kept.pantheon360.is_geometry = False
    bpy.ops.pantheon360.make_walls()
    assert len(bpy.data.collections["Proxy"].objects) == others + 4, "what is no projection geometry any more stays"


def test_feet_are_feet(house: House, room: Any) -> None:
    import bpy

    room.unit_settings.system, room.unit_settings.length_unit = "IMPERIAL", "FEET"
    room.unit_settings.scale_length = 0.3048
    capture = house("scene.captures.capture_objects").in_scene(room)[0]
    capture.location *= 1 / 0.3048
    seen_by(house, room, capture, 1 / 0.3048)
    assert bpy.ops.pantheon360.make_walls() == {"FINISHED"}
    found = extent(bpy.data.objects["Plan Walls"]) * 0.3048
    np.testing.assert_allclose(found, [LOW, HIGH], atol=0.08)


def test_the_button_says_what_is_missing(house: House, room: Any) -> None:
    import bpy

    captures = house("scene.captures.capture_objects")
    image = captures.in_scene(room)[0].pantheon360.image
    other = captures.create(room, "other", image, (0.5, 0.5, 1.6))
    bpy.context.view_layer.objects.active = bpy.data.objects["3D Cache"]
    with pytest.raises(RuntimeError, match="Select the capture"):
        bpy.ops.pantheon360.make_walls()
    bpy.context.view_layer.objects.active = other
    assert bpy.ops.pantheon360.make_walls() == {"FINISHED"}

    errors, plans = house("core.errors"), house("scene.sources.plan_proxy")
    run = house("scene.app.jobs").run_blocking
    bpy.data.objects["3D Cache"].hide_viewport = True
    bpy.context.view_layer.update()
    with pytest.raises(errors.CacheError, match="No points") as nothing:
        run(plans.create(room, other))
    assert nothing.value.repair == "pantheon360.build_cache"


def test_a_place_without_ground_is_refused_and_nothing_changes(house: House, room: Any) -> None:
    import bpy

    cache = house("scene.cache.cache_objects")
    cloud = cache.evaluated_points(bpy.context.evaluated_depsgraph_get())
    cache.replace(room, cloud.selected(cloud.points[:, 2] > 1.7))
    with pytest.raises(RuntimeError, match="No level ground"):
        bpy.ops.pantheon360.make_walls()
    assert not house("scene.sources.projection").geometry_in(room)

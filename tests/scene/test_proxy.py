"""The starter proxy surrounds the captures, along the street they were taken in."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]


@pytest.fixture
def street(house: House, blend: Any) -> list[Any]:
    """Three captures, 10 m apart on a line to the north-east, 2 m above the ground."""
    image = house("scene.captures.images").from_array("photo", np.zeros((16, 32, 3), np.uint8))
    step = 10 / 2**0.5
    create = house("scene.captures.capture_objects").create
    return [create(blend, f"photo {i}", image, (step * i, step * i, 2.0)) for i in range(3)]


def test_all_directions_but_the_sky_meet_the_proxy(house: House, blend: Any, street: list[Any]) -> None:
    import bpy

    made = house("scene.sources.proxy").create(blend)
    projection = house("scene.sources.projection")
    triangles = house("scene.app.meshes").world_triangles(made, bpy.context.evaluated_depsgraph_get())
    for capture in street:
        pose = house("scene.captures.capture_objects").pose(capture)
        seen = house("scene.app.jobs").run_blocking(projection.range_map(triangles, pose, 128))
        elevation = 90 - (np.arange(64) + 0.5) * 180 / 64
        hit = np.isfinite(seen.ranges)
        assert hit[elevation < 10].all() and not hit[elevation > 70].any()


def test_walls_run_along_the_captures_at_the_distance_asked_for(house: House, blend: Any, street: list[Any]) -> None:
    made = house("scene.sources.proxy").create(blend, wall_distance=8.0)
    corners = np.concatenate([np.array([obj.matrix_world @ v.co for v in obj.data.vertices]) for obj in made])
    along, across = np.array([1, 1]) / 2**0.5, np.array([1, -1]) / 2**0.5
    np.testing.assert_allclose([(corners[:, :2] @ along).min(), (corners[:, :2] @ along).max()], [-8, 28], atol=1e-4)
    np.testing.assert_allclose([(corners[:, :2] @ across).min(), (corners[:, :2] @ across).max()], [-8, 8], atol=1e-4)
    assert corners[:, 2].min() == pytest.approx(0, abs=1e-5)


def test_faces_look_at_the_captures(house: House, blend: Any, street: list[Any]) -> None:
    middle = np.mean([obj.location for obj in street], axis=0)
    for obj in house("scene.sources.proxy").create(blend):
        normal = np.array(obj.matrix_world.to_3x3() @ obj.data.polygons[0].normal)
        assert normal @ (middle - np.array(obj.location)) > 0


def test_the_button_says_why_it_is_grey_and_makes_ordinary_meshes(house: House, blend: Any) -> None:
    import bpy

    assert not bpy.ops.pantheon360.make_proxy.poll()
    image = house("scene.captures.images").from_array("photo", np.zeros((16, 32, 3), np.uint8))
    house("scene.captures.capture_objects").create(blend, "photo", image, (0, 0, 2))
    assert bpy.ops.pantheon360.make_proxy() == {"FINISHED"}
    made = house("scene.sources.projection").geometry_in(blend)
    assert len(made) == 5 and all(obj.type == "MESH" and obj.hide_render for obj in made)
    with pytest.raises(house("core.errors").CaptureError):
        house("scene.sources.proxy").create(blend, [])

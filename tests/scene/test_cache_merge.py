"""Points added to the cache: those that were there keep what the artist gave them, and the captures they are from."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]


@pytest.fixture
def cloud(house: House) -> Any:
    """Two captures' points of one wall, one capture half as bright as the other."""
    place = np.stack(np.meshgrid(np.arange(20) * 0.1, np.arange(20) * 0.1, [0.0]), axis=-1).reshape(-1, 3)
    shades = np.random.default_rng(3).integers(60, 200, (400, 3))
    return house("core.points.point_cloud").PointCloud(
        np.concatenate([place, place]).astype(np.float32),
        np.concatenate([shades, shades // 2]).astype(np.uint8),
        confidence=np.linspace(0, 1, 800).astype(np.float32),
        source=np.repeat(np.arange(2, dtype=np.int32), 400),
        footprint=np.full(800, 0.1, np.float32),
    )


@pytest.fixture
def two_captures(house: House, blend: Any) -> Any:
    image = house("scene.captures.images").from_array("grey", np.full((8, 16, 3), 120, np.uint8))
    return [house("scene.captures.capture_objects").create(blend, name, image) for name in ("b", "c")]


def stored(house: House, scene: Any) -> Any:
    return house("scene.cache.cache_objects").evaluated_points(house("scene.app.access").evaluated(scene))


def test_what_the_artist_gave_the_points_stays(house: House, blend: Any, cloud: Any, two_captures: Any) -> None:
    obj = house("scene.cache.cache_objects").replace(blend, cloud)
    mine = obj.data.attributes.new("mine", "INT", "POINT")
    mine.data.foreach_set("value", np.arange(1, 801, dtype=np.int32))
    group = obj.vertex_groups.new(name="walls")
    group.add([5], 0.5, "REPLACE")
    obj.location.x = 3.0
    house("scene.app.access").evaluated(blend)
    new = house("core.points.point_cloud").PointCloud(np.full((5, 3), 7, np.float32), np.full((5, 3), 9, np.uint8))
    assert house("scene.cache.cache_merge").merge(blend, new) == obj
    values = np.empty(805, np.int32)
    obj.data.attributes["mine"].data.foreach_get("value", values)
    np.testing.assert_array_equal(values, [*range(1, 801), 0, 0, 0, 0, 0])
    assert [each.weight for each in obj.data.vertices[5].groups] == [0.5]
    found = stored(house, blend)
    np.testing.assert_allclose(found.points[:800], cloud.points + np.float32([3, 0, 0]), atol=1e-6)
    np.testing.assert_allclose(found.points[800:], 7.0, atol=1e-6)
    np.testing.assert_array_equal(found.colours, np.concatenate([cloud.colours, new.colours]))
    np.testing.assert_array_equal(found.confidence, np.append(cloud.confidence, np.ones(5, np.float32)))
    np.testing.assert_array_equal(found.source, np.append(cloud.source, np.full(5, -1)))


def test_matched_colours_are_given_back_after_a_merge(house: House, blend: Any, cloud: Any, two_captures: Any) -> None:
    edit, obj = house("scene.cache.cache_edit"), house("scene.cache.cache_objects").replace(blend, cloud)
    house("scene.app.jobs").run_blocking(edit.match_colours(obj))
    assert np.abs(stored(house, blend).colours.astype(int) - cloud.colours).max() > 10
    new = cloud.selected(slice(0, 50))
    house("scene.cache.cache_merge").merge(blend, new)
    edit.restore_colours(obj)
    np.testing.assert_array_equal(stored(house, blend).colours, np.concatenate([cloud.colours, new.colours]))


def test_sources_mean_the_same_captures_when_others_come_and_go(
    house: House, blend: Any, cloud: Any, two_captures: Any
) -> None:
    import bpy

    house("scene.cache.cache_objects").replace(blend, cloud)
    image = two_captures[0].pantheon360.image
    for name in ("a", "bb"):
        house("scene.captures.capture_objects").create(blend, name, image)
    new = house("core.points.point_cloud").PointCloud(
        np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8), source=np.array([0, 2], np.int32)
    )
    house("scene.cache.cache_merge").merge(blend, new)  # a, b, bb, c: sources 0 and 2 are a and bb
    expected = np.append(np.repeat([1, 3], 400), [0, 2])
    np.testing.assert_array_equal(stored(house, blend).source, expected)
    bpy.data.objects.remove(bpy.data.objects["b"])
    house("scene.cache.cache_merge").renumber(blend, house("scene.cache.cache_objects").find(blend))
    np.testing.assert_array_equal(stored(house, blend).source, np.append(np.repeat([-1, 2], 400), [0, 1]))


def test_into_nothing_or_an_emptied_cache(house: House, blend: Any, cloud: Any) -> None:
    obj = house("scene.cache.cache_merge").merge(blend, cloud)
    assert len(stored(house, blend)) == 800
    obj.data.clear_geometry()
    assert house("scene.cache.cache_merge").merge(blend, cloud) == obj
    np.testing.assert_array_equal(stored(house, blend).colours, cloud.colours)


def test_without_colours_of_its_own_a_cache_takes_points(house: House, blend: Any, cloud: Any) -> None:
    obj = house("scene.cache.cache_objects").replace(blend, cloud)
    obj.data.attributes.remove(obj.data.attributes["colour"])
    house("scene.cache.cache_merge").merge(blend, cloud.selected(slice(0, 10)))
    found = stored(house, blend)
    np.testing.assert_array_equal(found.points, np.concatenate([cloud.points, cloud.points[:10]]))
    np.testing.assert_array_equal(found.colours[800:], cloud.colours[:10])


def test_shape_keys_are_not_stretched_over_other_points(house: House, blend: Any, cloud: Any) -> None:
    obj = house("scene.cache.cache_objects").replace(blend, cloud)
    obj.shape_key_add(name="Basis")
    with pytest.raises(house("core.errors").CacheError, match="shape keys"):
        house("scene.cache.cache_merge").merge(blend, cloud)
    half = cloud.selected(slice(0, 400))
    house("scene.cache.cache_objects").replace(blend, half)
    shown = house("scene.cache.cache_objects").evaluated_points(house("scene.app.access").evaluated(blend))
    np.testing.assert_array_equal(shown.points, half.points)

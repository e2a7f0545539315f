"""The cache object: bytes come back, artists' edits are read, what is replaced keeps what is theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]


@pytest.fixture
def cloud(house: House) -> Any:
    """All 256 bytes in every channel."""
    generator = np.random.default_rng(5)
    colours = np.stack([generator.permutation(np.arange(512) % 256) for _ in range(3)], axis=1).astype(np.uint8)
    return house("core.points.point_cloud").PointCloud(
        generator.normal(size=(512, 3)).astype(np.float32),
        colours,
        confidence=generator.random(512).astype(np.float32),
        source=generator.integers(0, 3, 512).astype(np.int32),
        footprint=generator.random(512).astype(np.float32),
    )


@pytest.fixture
def evaluated(house: House) -> Callable[[], Any]:
    def run() -> Any:
        import bpy

        return house("scene.cache.cache_objects").evaluated_points(bpy.context.evaluated_depsgraph_get())

    return run


def _same(one: Any, other: Any) -> None:
    for name in ("points", "colours", "confidence", "source", "footprint"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_points_come_back_unchanged(house: House, blend: Any, cloud: Any, evaluated: Any) -> None:
    obj = house("scene.cache.cache_objects").replace(blend, cloud)
    assert obj == house("scene.cache.cache_objects").find(blend) == blend.pantheon360.cache
    _same(evaluated(), cloud)


def test_points_come_back_from_the_file(house: House, blend: Any, cloud: Any, evaluated: Any, tmp_path: Path) -> None:
    import bpy

    house("scene.cache.cache_objects").replace(blend, cloud)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "cache.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "cache.blend"))
    _same(evaluated(), cloud)


def test_points_show_as_points_of_their_footprint(house: House, blend: Any, cloud: Any) -> None:
    import bpy

    obj = house("scene.cache.cache_objects").replace(blend, cloud)
    shown, radii = house("scene.cache.cache_objects").shown_points(obj, bpy.context.evaluated_depsgraph_get())
    assert len(shown) == len(cloud)
    np.testing.assert_allclose(radii, cloud.footprint / 2**0.5, rtol=1e-5)


def test_edits_of_the_artist_are_read(house: House, blend: Any, cloud: Any, evaluated: Any) -> None:
    import bmesh

    obj = house("scene.cache.cache_objects").replace(blend, cloud)
    editing = bmesh.new()
    editing.from_mesh(obj.data)
    bmesh.ops.delete(editing, geom=[v for v in editing.verts if v.co.x > 0], context="VERTS")
    editing.to_mesh(obj.data)
    editing.free()
    obj.data.update()
    obj.location, obj.scale = (5, 0, 0), (2, 2, 2)
    kept = cloud.selected(cloud.points[:, 0] <= 0)
    found = evaluated()
    np.testing.assert_array_equal(found.colours, kept.colours)
    np.testing.assert_allclose(found.points, kept.points * 2 + np.array((5, 0, 0)), atol=1e-5)
    np.testing.assert_allclose(found.footprint, kept.footprint * 2, rtol=1e-5)


def test_modifiers_count_and_may_be_removed(house: House, blend: Any, cloud: Any, evaluated: Any) -> None:
    obj = house("scene.cache.cache_objects").replace(blend, cloud)
    lift = obj.modifiers.new("lift", "DISPLACE")
    lift.direction, lift.strength, lift.mid_level = "Z", 1.0, 0.0
    obj.modifiers.move(1, 0)
    np.testing.assert_allclose(evaluated().points, cloud.points + np.array((0, 0, 1)), atol=1e-6)
    obj.modifiers.clear()
    _same(evaluated(), cloud)


def test_hidden_caches_are_left_out_and_instances_count(house: House, blend: Any, cloud: Any, evaluated: Any) -> None:
    import bpy

    obj = house("scene.cache.cache_objects").replace(blend, cloud)
    place = bpy.data.collections.new("place")
    blend.collection.children.link(place)
    blend.collection.objects.unlink(obj)
    place.objects.link(obj)
    instance = bpy.data.objects.new("instance", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", place
    instance.location = (10, 0, 0)
    blend.collection.objects.link(instance)
    found = evaluated()
    assert len(found) == 2 * len(cloud)
    np.testing.assert_allclose(found.points[512:], cloud.points + np.array((10, 0, 0)), atol=1e-5)
    instance.hide_viewport = True
    assert len(evaluated()) == len(cloud)
    obj.hide_viewport = True
    assert len(evaluated()) == 0


def test_replacing_keeps_the_object_and_what_the_artist_added(
    house: House, blend: Any, cloud: Any, evaluated: Any
) -> None:
    import bpy

    cache = house("scene.cache.cache_objects")
    obj = cache.replace(blend, cloud)
    obj.location = (1, 2, 3)
    obj.modifiers.new("mine", "DISPLACE").strength = 0
    bpy.context.view_layer.update()
    half = cloud.selected(slice(0, 100))
    assert cache.replace(blend, half) == obj
    assert [modifier.name for modifier in obj.modifiers] == ["Points", "mine"]
    assert tuple(obj.location) == (1, 2, 3)
    found = evaluated()
    np.testing.assert_allclose(found.points, half.points, atol=1e-5)  # world coordinates wherever the object is
    np.testing.assert_array_equal(found.colours, half.colours)
    assert len(bpy.data.materials) == 1 and len(bpy.data.node_groups) == 1


def test_a_deleted_cache_is_made_anew(house: House, blend: Any, cloud: Any) -> None:
    cache = house("scene.cache.cache_objects")
    old = cache.replace(blend, cloud)
    blend.collection.objects.unlink(old)
    assert cache.find(blend) is None
    assert cache.replace(blend, cloud) != old


def test_a_deleted_cache_is_not_kept_in_the_file(
    house: House, blend: Any, cloud: Any, evaluated: Any, tmp_path: Path
) -> None:
    import bpy

    obj = house("scene.cache.cache_objects").replace(blend, cloud)
    bpy.context.view_layer.update()
    assert blend.pantheon360.cache == obj
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    assert bpy.ops.object.delete() == {"FINISHED"}
    evaluated()
    assert blend.pantheon360.cache is None
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "without.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "without.blend"))
    assert not bpy.data.objects
    assert not any(mesh.users for mesh in bpy.data.meshes), "the next save leaves them out"


def test_undo_brings_a_deleted_cache_back(house: House, blend: Any, cloud: Any, evaluated: Any) -> None:
    import bpy

    obj = house("scene.cache.cache_objects").replace(blend, cloud)
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.object.delete()
    bpy.ops.ed.undo_push(message="Delete")
    assert len(evaluated()) == 0
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    _same(evaluated(), cloud)
    assert scene.pantheon360.cache == house("scene.cache.cache_objects").find(scene) is not None


def test_points_that_are_not_finite_are_left_out(
    house: House, blend: Any, cloud: Any, evaluated: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.points[[3, 7]] = np.nan
    cloud.points[9, 1] = np.inf
    house("scene.cache.cache_objects").replace(blend, cloud)
    _same(evaluated(), cloud.finite())
    assert "3 points" in caplog.text


def test_an_empty_cache_is_empty(house: House, blend: Any, evaluated: Any) -> None:
    assert len(evaluated()) == 0
    house("scene.cache.cache_objects").replace(blend, house("core.points.point_cloud").PointCloud.empty())
    assert len(evaluated()) == 0


@pytest.mark.parametrize("kind", ["BYTE_COLOR", "FLOAT_COLOR"])
def test_colours_of_either_kind_are_read(house: House, blend: Any, cloud: Any, evaluated: Any, kind: str) -> None:
    """Painting in Vertex Paint may leave either."""
    obj = house("scene.cache.cache_objects").replace(blend, cloud)
    mesh = obj.data
    mesh.attributes.remove(mesh.attributes["colour"])
    rgba = np.concatenate([cloud.colours / 255, np.ones((512, 1))], axis=1).astype(np.float32)
    mesh.attributes.new("colour", kind, "POINT").data.foreach_set("color_srgb", rgba.ravel())
    np.testing.assert_array_equal(evaluated().colours, cloud.colours)


def test_cycles_shows_the_bytes(house: House, blend: Any, tmp_path: Path) -> None:
    """A wall of points of one colour, rendered under view transform Standard, has that colour."""
    import bpy

    pytest.importorskip("_cycles", reason="this Blender has no Cycles")
    x, z = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 60)))
    points = np.stack([x, np.full_like(x, 2), z], axis=1).astype(np.float32)
    colour = np.array([204, 128, 51], np.uint8)
    footprint = np.full(len(points), 2 / 59, np.float32)
    made = house("core.points.point_cloud").PointCloud(points, np.tile(colour, (len(points), 1)), footprint=footprint)
    house("scene.cache.cache_objects").replace(blend, made)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.rotation_euler = (np.pi / 2, 0, 0)
    blend.collection.objects.link(camera)
    blend.camera = camera
    render = blend.render
    render.engine = "CYCLES"
    blend.cycles.samples, blend.cycles.use_denoising = 1, False
    render.resolution_x, render.resolution_y, render.resolution_percentage = 32, 18, 100
    render.dither_intensity = 0
    blend.view_settings.view_transform = "Standard"
    render.filepath = str(tmp_path / "wall.png")
    bpy.ops.render.render(write_still=True)
    pixels = house("core.formats.png").read(tmp_path / "wall.png")[..., :3]
    assert np.abs(pixels.astype(int) - colour).max() <= 1


def test_project_again_after_moving_the_mesh(house: House, blend: Any, evaluated: Any) -> None:
    import bpy

    image = house("scene.captures.images").from_array("photo", np.full((32, 64, 3), 90, np.uint8))
    house("scene.captures.capture_objects").create(blend, "photo", image, (0, 0, 2))
    assert not bpy.ops.pantheon360.project_captures.poll()
    blend.pantheon360.projection_width = 64
    bpy.ops.pantheon360.make_proxy()
    assert bpy.ops.pantheon360.project_captures() == {"FINISHED"}
    first = house("scene.cache.cache_objects").find(blend)
    assert evaluated().points[:, 2].min() == pytest.approx(0, abs=1e-4)
    bpy.data.objects["Proxy Ground"].location.z = -1
    assert bpy.ops.pantheon360.project_captures() == {"FINISHED"}
    assert house("scene.cache.cache_objects").find(blend) == first
    assert evaluated().points[:, 2].min() == pytest.approx(-1, abs=1e-4)
    assert (evaluated().colours == 90).all()


def test_a_linked_cache_is_not_written_to(house: House, blend: Any, cloud: Any, tmp_path: Path) -> None:
    import bpy

    library = str(tmp_path / "library.blend")
    bpy.data.libraries.write(library, {house("scene.cache.cache_objects").replace(blend, cloud)})
    bpy.data.objects.remove(blend.pantheon360.cache)
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.objects = ["3D Cache"]
    blend.collection.objects.link(wanted.objects[0])
    with pytest.raises(house("core.errors").CacheError, match="linked from another file"):
        house("scene.cache.cache_objects").replace(blend, cloud)

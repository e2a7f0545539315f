"""A mesh becomes points that lie evenly on it, in the colours its materials show or the captures see."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]

RED, GREEN, BLUE, WHITE = (220, 30, 40), (20, 200, 60), (30, 60, 210), (255, 255, 255)


@pytest.fixture
def sample(house: House, blend: Any) -> Any:
    def run(*objects: Any, **options: Any) -> Any:
        import bpy

        bpy.context.view_layer.update()
        job = house("scene.sources.mesh_points").sample(blend, objects, **options)
        made = house("scene.app.jobs").run_blocking(job)
        return made, house("scene.cache.cache_objects").evaluated_points(house("scene.app.access").evaluated(blend))

    return run


def add_square(scene: Any, half: float = 1.0, name: str = "square") -> Any:
    """A square on the ground whose UV map covers it once, u along x and v along y."""
    import bpy

    mesh = bpy.data.meshes.new(name)
    corners = [(-half, -half, 0), (half, -half, 0), (half, half, 0), (-half, half, 0)]
    mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    layer = mesh.uv_layers.new(name="UVMap")
    layer.uv.foreach_set("vector", [0, 0, 1, 0, 1, 1, 0, 1])
    obj = bpy.data.objects.new(name, mesh)
    scene.collection.objects.link(obj)
    return obj


def quarters() -> np.ndarray:
    """An image, row 0 = top: red, green above; blue, white below."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, :4], image[:4, 4:], image[4:, :4], image[4:, 4:] = RED, GREEN, BLUE, WHITE
    return image


def expected_quarters(points: np.ndarray) -> np.ndarray:
    right, up = points[:, 0] > 0, points[:, 1] > 0
    colours = np.where(right[:, None], np.where(up[:, None], GREEN, WHITE), np.where(up[:, None], RED, BLUE))
    return np.asarray(colours, np.uint8)


def add_material(obj: Any, linear: tuple[float, ...] = (0.8, 0.8, 0.8, 1)) -> Any:
    import bpy

    material = bpy.data.materials.new("paint")
    if material.node_tree is None:  # 5.0 makes it at once
        material.use_nodes = True
    obj.data.materials.append(material)
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = linear
    return shader


def add_texture(house: House, shader: Any) -> None:
    tree = shader.id_data
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = house("scene.captures.images").from_array("quarters", quarters())
    tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])


def test_points_lie_evenly_on_what_modifiers_leave(house: House, blend: Any, sample: Any) -> None:
    """Two squares by an Array modifier, moved and scaled: each tenth of the surface has its tenth of the points."""
    square = add_square(blend)
    square.location, square.scale = (5, 0, 2), (2, 1, 1)
    modifier = square.modifiers.new("Array", "ARRAY")
    modifier.use_relative_offset, modifier.use_constant_offset = False, True
    modifier.constant_offset_displace = (0, 0, 3)
    made, cloud = sample(square, spacing=0.05)
    assert made.points == len(cloud) == round(2 * 8 / 0.05**2)
    assert set(np.round(cloud.points[:, 2], 5).tolist()) == {2.0, 5.0}
    assert cloud.points[:, 0].min() > 3 and cloud.points[:, 0].max() < 7
    low = cloud.points[cloud.points[:, 2] < 3]
    cells = np.histogram2d(low[:, 0], low[:, 1], bins=(20, 10), range=((3, 7), (-1, 1)))[0]
    assert cells.mean() == pytest.approx(16, abs=0.1)
    assert cells.min() >= 11 and cells.max() <= 21, "a random spread would leave some cells with half of the points"
    np.testing.assert_allclose(cloud.footprint, 0.05)


def test_the_picture_of_the_base_colour(house: House, blend: Any, sample: Any) -> None:
    square = add_square(blend)
    add_texture(house, add_material(square))
    _, cloud = sample(square, spacing=0.02)
    np.testing.assert_array_equal(cloud.colours, expected_quarters(cloud.points))


def test_two_materials_on_one_mesh(house: House, blend: Any, sample: Any) -> None:
    import bpy

    square = add_square(blend)
    square.location = (4, 0, 0)
    other = add_square(blend, name="other")
    add_texture(house, add_material(other))
    add_material(square, (1, 0, 0, 1))
    bpy.context.view_layer.objects.active = square
    for obj in (square, other):
        obj.select_set(True)
    bpy.ops.object.join()
    _, cloud = sample(square, spacing=0.05, colours="OWN")
    first = cloud.points[:, 0] > 2
    assert first.mean() == pytest.approx(0.5, abs=0.01)
    np.testing.assert_array_equal(np.unique(cloud.colours[first], axis=0), [[255, 0, 0]])
    np.testing.assert_array_equal(cloud.colours[~first], expected_quarters(cloud.points[~first]))


@pytest.mark.parametrize("kind", ["BYTE_COLOR", "FLOAT_COLOR"])
@pytest.mark.parametrize("domain", ["POINT", "CORNER"])
def test_colour_attributes(house: House, blend: Any, sample: Any, kind: str, domain: str) -> None:
    """As a scanner's or sculptor's PLY has them: no material at all."""
    square = add_square(blend)
    attribute = square.data.color_attributes.new("Col", kind, domain)
    rgba = np.ones((4, 4), np.float32)
    rgba[:, :3] = np.array(RED) / 255
    attribute.data.foreach_set("color_srgb", rgba.ravel())
    _, cloud = sample(square, spacing=0.1)
    np.testing.assert_allclose(cloud.colours, np.tile(RED, (len(cloud), 1)), atol=1)


def test_a_plain_mesh_takes_the_colours_that_captures_see(house: House, blend: Any, sample: Any) -> None:
    """A green panorama above the upper square, a blue one below the lower: each square takes the nearer one."""
    blend.pantheon360.projection_width = 128
    for name, colour, height in (("above", GREEN, 1.0), ("below", BLUE, -3.0)):
        image = house("scene.captures.images").from_array(name, np.full((64, 128, 3), colour, np.uint8))
        house("scene.captures.capture_objects").create(blend, name, image, (0.2, 0.1, height))
    square = add_square(blend)
    lower = add_square(blend, half=0.5, name="lower")
    lower.location = (0, 0, -1)
    add_material(square, (1, 0, 0, 1))
    made, cloud = sample(square, lower, spacing=0.05)
    top = cloud.points[:, 2] > -0.5
    # The lower capture, too, sees the rim of the upper square.
    inside = ~top | (np.abs(cloud.points[:, :2]).max(axis=1) < 0.9)
    cloud, top = cloud.selected(inside), top[inside]
    np.testing.assert_array_equal(np.unique(cloud.colours[top], axis=0), [GREEN])
    np.testing.assert_array_equal(np.unique(cloud.colours[~top], axis=0), [BLUE])
    assert set(cloud.source[top]) == {0} and set(cloud.source[~top]) == {1}
    assert "in the colors of captures" in made.text
    _, cloud = sample(square, spacing=0.05, colours="OWN")
    np.testing.assert_array_equal(np.unique(cloud.colours, axis=0), [[255, 0, 0]])


def test_what_no_capture_sees_keeps_its_own_colour(house: House, blend: Any, sample: Any) -> None:
    """A wall hides half of the ground from the capture."""
    import bpy

    blend.pantheon360.projection_width = 256
    image = house("scene.captures.images").from_array("here", np.full((64, 128, 3), GREEN, np.uint8))
    house("scene.captures.capture_objects").create(blend, "here", image, (-2.0, 0.0, 1.0))
    ground = add_square(blend, half=3.0)
    add_material(ground, (1, 0, 0, 1))
    wall = bpy.data.meshes.new("wall")
    wall.from_pydata([(0, -9, 0), (0, 9, 0), (0, 9, 9), (0, -9, 9)], [], [(0, 1, 2, 3)])
    wall = bpy.data.objects.new("wall", wall)
    blend.collection.objects.link(wall)
    _, cloud = sample(ground, wall, spacing=0.1)
    behind = (cloud.points[:, 0] > 0.5) & (cloud.points[:, 2] < 0.01)
    before = (cloud.points[:, 0] < -0.1) & (cloud.points[:, 2] < 0.01)
    np.testing.assert_array_equal(np.unique(cloud.colours[behind], axis=0), [[255, 0, 0]])
    assert (cloud.colours[before] == GREEN).all(axis=1).mean() > 0.98
    assert set(cloud.source[behind]) == {-1}


def test_a_textured_mesh_can_be_seen_by_captures_instead(house: House, blend: Any, sample: Any) -> None:
    blend.pantheon360.projection_width = 128
    image = house("scene.captures.images").from_array("here", np.full((64, 128, 3), GREEN, np.uint8))
    house("scene.captures.capture_objects").create(blend, "here", image, (0.0, 0.0, 1.0))
    square = add_square(blend)
    add_texture(house, add_material(square))
    _, cloud = sample(square, spacing=0.1)
    np.testing.assert_array_equal(cloud.colours, expected_quarters(cloud.points))
    _, cloud = sample(square, spacing=0.1, colours="CAPTURES")
    np.testing.assert_array_equal(np.unique(cloud.colours, axis=0), [GREEN])


def test_the_spacing_grows_where_there_would_be_too_many(house: House, blend: Any, sample: Any) -> None:
    made, cloud = sample(add_square(blend, half=100.0), spacing=0.001, limit=10_000)
    assert len(cloud) == 10_000
    assert any("2 m apart" in note for note in made.notes)


def test_the_operator_takes_the_selected_meshes_and_merges(house: House, blend: Any) -> None:
    import bpy

    square = add_square(blend)
    bpy.context.view_layer.objects.active = square
    square.select_set(False)
    assert not bpy.ops.pantheon360.sample_mesh.poll()
    square.select_set(True)
    assert bpy.ops.pantheon360.sample_mesh(spacing=0.1) == {"FINISHED"}
    assert bpy.ops.pantheon360.sample_mesh(spacing=0.1) == {"FINISHED"}
    found = house("scene.cache.cache_objects").find(blend)
    assert len(found.data.vertices) == 800
    square.select_set(False)
    found.select_set(True)
    assert not bpy.ops.pantheon360.sample_mesh.poll(), "the cache itself is no source"


def test_a_mesh_without_faces_is_explained(house: House, blend: Any, sample: Any) -> None:
    import bpy

    mesh = bpy.data.meshes.new("empty")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0)], [(0, 1)], [])
    obj = bpy.data.objects.new("empty", mesh)
    blend.collection.objects.link(obj)
    with pytest.raises(house("core.errors").CacheError, match="no faces"):
        sample(obj)
    assert house("scene.cache.cache_objects").find(blend) is None


def test_a_texture_that_is_missing_is_told(house: House, blend: Any, sample: Any, tmp_path: Any) -> None:
    import bpy

    square = add_square(blend)
    shader = add_material(square, (1, 0, 0, 1))
    add_texture(house, shader)
    node = next(node for node in shader.id_data.nodes if node.type == "TEX_IMAGE")
    node.image = bpy.data.images.new("gone", 4, 4)
    node.image.source = "FILE"
    node.image.filepath = str(tmp_path / "gone.png")
    made, cloud = sample(square, spacing=0.1)
    np.testing.assert_array_equal(np.unique(cloud.colours, axis=0), [[255, 0, 0]])
    assert any("gone.png" in note for note in made.notes)

"""Projection: range and colour against an independent ray caster, one photograph a surface, masks filled by others."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]
WIDTH = 128


@pytest.fixture
def project(house: House, blend: Any) -> Callable[[], Any]:
    def run() -> Any:
        import bpy

        job = house("scene.sources.projection").project(blend, bpy.context.evaluated_depsgraph_get())
        return house("scene.app.jobs").run_blocking(job)

    blend.pantheon360.projection_width = WIDTH
    return run


@pytest.fixture
def add_capture(house: House, blend: Any) -> Callable[..., Any]:
    def run(name: str, location: tuple[float, float, float], colour: int | None = None) -> Any:
        if colour is None:
            image = np.random.default_rng(3).integers(0, 256, (WIDTH // 2, WIDTH, 3), dtype=np.uint8)
        else:
            image = np.full((WIDTH // 2, WIDTH, 3), colour, np.uint8)
        return house("scene.captures.capture_objects").create(
            blend, name, house("scene.captures.images").from_array(name, image), location
        )

    return run


def _mesh(scene: Any, name: str, points: Any, faces: Any) -> Any:
    import bpy

    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(np.asarray(points, float).tolist(), [], np.asarray(faces).tolist())
    obj = bpy.data.objects.new(name, mesh)
    scene.collection.objects.link(obj)
    obj.pantheon360.is_geometry = True
    return obj


def _floor(scene: Any, height: float = 0.0, half: float = 20.0) -> Any:
    corners = [(-half, -half, height), (half, -half, height), (half, half, height), (-half, half, height)]
    return _mesh(scene, "floor", corners, [(0, 1, 2, 3)])


def _random_triangles(count: int, seed: int) -> np.ndarray:
    """(count, 3, 3): triangles of all sizes on all sides of the origin, some round it and over its poles."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(count, 1, 3)) * 4
    return centres + generator.normal(size=(count, 3, 3)) * generator.choice([0.2, 1, 6], (count, 1, 1))


def range_map(house: House, triangles: np.ndarray, pose: np.ndarray, width: int) -> Any:
    return house("scene.app.jobs").run_blocking(house("scene.sources.projection").range_map(triangles, pose, width))


@pytest.mark.parametrize("seed", range(4))
def test_ranges_agree_with_blenders_own_ray_caster(house: House, seed: int) -> None:
    from mathutils import Vector
    from mathutils.bvhtree import BVHTree

    cameras = house("core.panorama.cameras")
    triangles = _random_triangles(150, seed)
    pose = cameras.pose_matrix(cameras.rotation_from_heading(50 * seed, 20, -30), np.array([0.3, -0.2, 0.1]))
    seen = range_map(house, triangles, pose, 64)
    tree = BVHTree.FromPolygons(triangles.reshape(-1, 3).tolist(), np.arange(450).reshape(-1, 3).tolist())
    rays = house("core.panorama.equirectangular").directions(64) @ pose[:3, :3].T
    expected = np.full(seen.ranges.shape, np.inf)
    cosine = np.zeros_like(expected)
    for index in np.ndindex(expected.shape):
        _, normal, _, distance = tree.ray_cast(Vector(pose[:3, 3]), Vector(rays[index]))
        if distance is not None:
            expected[index], cosine[index] = distance, abs(normal.dot(Vector(rays[index])))
    # A ray within rounding of an edge may fall to either side; of 2048 hardly one does.
    same = np.isclose(seen.ranges, expected, rtol=1e-3) & np.isclose(seen.cosines, cosine, atol=2e-3)
    assert np.isfinite(expected).mean() > 0.5
    assert (~same).sum() <= 2


def test_many_triangles_are_cast_like_few(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    projection = house("scene.sources.projection")
    triangles = _random_triangles(200, 9)
    pose = np.eye(4)
    few = range_map(house, triangles, pose, 64)
    monkeypatch.setattr(projection, "MOST_TESTED_DIRECTLY", 0)
    many = range_map(house, triangles, pose, 64)
    same = np.isclose(few.ranges, many.ranges, rtol=1e-3) & np.isclose(few.cosines, many.cosines, atol=2e-3)
    assert (~same).sum() <= 2


def test_no_ray_slips_between_triangles(house: House) -> None:
    """A closed box of many triangles is met by every ray, also at its edges and corners."""
    steps = np.linspace(-1, 1, 9)
    faces = []
    for axis in range(3):
        for side in (-1.0, 1.0):
            grid = np.insert(np.stack(np.meshgrid(steps, steps, indexing="ij"), -1), axis, side, axis=-1)
            a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
            faces += [np.stack([a, b, c], 2).reshape(-1, 3, 3), np.stack([a, c, d], 2).reshape(-1, 3, 3)]
    seen = range_map(house, np.concatenate(faces), np.eye(4), 256)
    assert np.isfinite(seen.ranges).all()
    assert seen.ranges.min() >= 0.999 and seen.ranges.max() <= 3**0.5 + 1e-3


def test_points_lie_on_the_geometry_in_the_colour_of_their_pixel(
    house: House, blend: Any, project: Any, add_capture: Any
) -> None:
    capture = add_capture("photo", (1.0, 2.0, 3.0))
    capture.rotation_euler = (1.1, 0.2, 0.7)
    capture.pantheon360.yaw = 0.5
    _floor(blend)
    cloud = project()
    np.testing.assert_allclose(cloud.points[:, 2], 0, atol=1e-4)
    pose = house("scene.captures.capture_objects").pose(capture)
    equirectangular = house("core.panorama.equirectangular")
    pixels = equirectangular.directions_to_pixels((cloud.points - pose[:3, 3]) @ pose[:3, :3], WIDTH)
    centres = np.floor(pixels) + 0.5
    np.testing.assert_allclose(pixels, centres, atol=0.02)
    image = house("scene.captures.images").pixels(capture.pantheon360.image)
    assert np.array_equal(cloud.colours, image[pixels[:, 1].astype(int), pixels[:, 0].astype(int)])
    cosine = 3.0 / np.linalg.norm(cloud.points - pose[:3, 3], axis=1)
    np.testing.assert_allclose(cloud.confidence, cosine, atol=1e-3)
    assert (cloud.source == 0).all()


def test_footprints_close_the_surface_from_the_capture(
    house: House, blend: Any, project: Any, add_capture: Any
) -> None:
    capture = add_capture("photo", (0.0, 0.0, 2.0))
    _floor(blend)
    cloud = project()
    pose = house("scene.captures.capture_objects").pose(capture)
    frame = house("core.render.splatting").splat_footprints(cloud.points, cloud.colours, cloud.footprint, pose, WIDTH)
    below = slice(int(WIDTH * 0.28), None)
    assert frame.coverage[below].all()


def test_modifiers_transforms_and_hidden_meshes_are_met(blend: Any, project: Any, add_capture: Any) -> None:
    add_capture("photo", (0.0, 0.0, 2.0))
    floor = _floor(blend)
    floor.location.z = -1
    floor.modifiers.new("lift", "DISPLACE").strength = 0.25
    floor.modifiers["lift"].mid_level = 0
    floor.hide_set(True)
    np.testing.assert_allclose(project().points[:, 2], -0.75, atol=1e-4)
    assert floor.hide_get()
    floor.hide_set(False)
    floor.hide_viewport = True
    np.testing.assert_allclose(project().points[:, 2], -0.75, atol=1e-4)
    assert floor.hide_viewport


def test_backs_of_faces_are_met(blend: Any, project: Any, add_capture: Any) -> None:
    add_capture("photo", (0.0, 0.0, -2.0))
    _floor(blend)
    assert len(project()) > 1000


def test_one_photograph_a_place(blend: Any, project: Any, add_capture: Any) -> None:
    """Of two captures over one floor each point comes from the nearer one."""
    places = np.array([(-2.0, 0.0, 2.0), (2.0, 0.0, 2.0)])
    for index, place in enumerate(places):
        add_capture(f"photo {index}", tuple(place), 80 + 80 * index)
    _floor(blend)
    cloud = project()
    distance = np.linalg.norm(cloud.points[:, None] - places, axis=2)
    inner = distance.max(axis=1) < 8  # at the floor's rim a pixel of the other capture may look past it
    assert inner.sum() > 1000
    assert np.array_equal(cloud.source[inner], distance.argmin(axis=1)[inner])
    assert np.array_equal(cloud.colours[:, 0], 80 + 80 * cloud.source)
    blend.pantheon360.nearest_capture_only = False
    assert len(project()) > 1.1 * len(cloud)


def test_what_one_capture_masks_another_fills(blend: Any, project: Any, add_capture: Any) -> None:
    masked = add_capture("photo 0", (-2.0, 0.0, 2.0))
    add_capture("photo 1", (2.0, 0.0, 2.0))
    masked.pantheon360.nadir = 0.3
    _floor(blend)
    cloud = project()
    below = np.linalg.norm(cloud.points[:, :2] - (-2.0, 0.0), axis=1) < 1.0
    assert below.sum() > 20 and (cloud.source[below] == 1).all()


def test_what_a_wall_hides_from_the_nearer_capture_the_other_shows(blend: Any, project: Any, add_capture: Any) -> None:
    add_capture("photo 0", (0.0, 0.0, 2.0))
    add_capture("photo 1", (0.0, 9.0, 2.0))
    _floor(blend)
    _mesh(blend, "wall", [(-9, 1, 0), (9, 1, 0), (9, 1, 9), (-9, 1, 9)], [(0, 1, 2, 3)])
    cloud = project()
    behind = (cloud.points[:, 1] > 1.2) & (cloud.points[:, 1] < 4) & (np.abs(cloud.points[:, 0]) < 3)
    assert behind.sum() > 30 and (cloud.source[behind] == 1).all()


def test_what_is_missing_is_said(house: House, blend: Any, project: Any, add_capture: Any) -> None:
    errors = house("core.errors")
    with pytest.raises(errors.CaptureError, match="no capture") as no_capture:
        project()
    assert no_capture.value.repair == "pantheon360.import_captures"
    add_capture("photo", (0.0, 0.0, 2.0))
    with pytest.raises(errors.CacheError, match="no geometry") as no_geometry:
        project()
    assert no_geometry.value.repair == "pantheon360.make_proxy"
    _mesh(blend, "nothing", [(0, 0, 0)], np.empty((0, 3), int))
    with pytest.raises(errors.CacheError, match="No ray"):
        project()


def test_a_capture_inside_the_plane_of_a_face_is_no_trouble(house: House) -> None:
    triangles = np.array([[(-1, -1, 0), (1, -1, 0), (0, 2, 0)], [(-5, 3, -5), (5, 3, -5), (0, 3, 9)]], float)
    seen = range_map(house, triangles, np.eye(4), 64)
    hit = np.isfinite(seen.ranges)
    assert hit.any() and seen.ranges[hit].min() > 2.9


def test_the_cache_belongs_to_the_scene_the_job_began_in(house: House, blend: Any, add_capture: Any) -> None:
    import bpy

    _floor(blend)
    add_capture("a", (0, 0, 1))
    blend.pantheon360.projection_width = WIDTH
    operator = house("operators.project_captures").PANTHEON360_OT_project_captures
    pressed = SimpleNamespace(tell=lambda *_: None)
    cloud = house("scene.app.jobs").run_blocking(operator.job(pressed, bpy.context))
    other = bpy.data.scenes.new("Other")
    with bpy.context.temp_override(scene=other):
        operator.finished(pressed, bpy.context, cloud)
    assert (
        house("scene.cache.cache_objects").find(blend) is not None
        and house("scene.cache.cache_objects").find(other) is None
    )


def test_a_capture_that_goes_while_projecting_is_named(house: House, blend: Any, add_capture: Any) -> None:
    import bpy

    add_capture("photo 0", (0.0, 0.0, 2.0))
    second = add_capture("photo 1", (0.0, 4.0, 2.0))
    _floor(blend)
    job = house("scene.sources.projection").project(blend, bpy.context.evaluated_depsgraph_get())
    next(job)
    bpy.data.objects.remove(second)
    with pytest.raises(house("core.errors").CaptureError, match="photo 1 is no longer there"):
        for _ in job:
            pass


def test_a_capture_that_is_renamed_while_projecting_has_its_points(house: House, blend: Any, add_capture: Any) -> None:
    """The order of captures is that of their names: it is another one afterwards."""
    import bpy

    places = {"photo 0": -12.0, "photo 1": 12.0}
    made = [add_capture(name, (0.0, y, 2.0)) for name, y in places.items()]
    _floor(blend)
    job = house("scene.sources.projection").project(blend, bpy.context.evaluated_depsgraph_get())
    next(job)
    made[1].name = "another"
    cloud = house("scene.app.jobs").run_blocking(job)
    assert [obj.name for obj in house("scene.captures.capture_objects").in_scene(blend)] == ["another", "photo 0"]
    assert np.median(cloud.points[cloud.source == 0, 1]) > 5 > -5 > np.median(cloud.points[cloud.source == 1, 1])

"""The live panorama's shader against the processor's pass: same pixels, ranges and colors, seams and poles included.

It needs a graphics context, which Blender makes without a window from 5.2 on; software OpenGL and Vulkan will do.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]

MOST_DIFFERENT = 0.002
"""Share of pixels that may show another point: places are rounded otherwise, and ties fall otherwise."""


@pytest.fixture(scope="module")
def card() -> None:
    """An active graphics context. Skips without one; with REQUIRE_GPU set, that fails."""
    import bpy
    import gpu

    reason = "this Blender has no graphics context without a window"
    if bpy.app.version >= (5, 2, 0):
        tried = subprocess.run([sys.executable, "-c", "import bpy, gpu; gpu.init()"], capture_output=True, text=True)
        if tried.returncode == 0:  # without drivers it ends the process
            gpu.init()  # type: ignore[attr-defined]
            return
        reason = f"{reason}: {tried.stderr.strip()[-200:]}"
    if os.environ.get("REQUIRE_GPU"):
        pytest.fail(reason)
    pytest.skip(reason)


def pose_at(place: tuple[float, float, float], seed: int | None = None) -> np.ndarray:
    """Camera-to-world: at a place, turned at random."""
    pose = np.eye(4)
    pose[:3, 3] = place
    if seed is not None:
        axes, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
        pose[:3, :3] = axes * np.sign(np.linalg.det(axes))
    return pose


def cloud_of(house: House, points: np.ndarray, footprint: Any, seed: int = 0) -> Any:
    colours = np.random.default_rng(seed).integers(1, 256, (len(points), 3), dtype=np.uint8)
    footprints = np.broadcast_to(np.asarray(footprint, np.float32), (len(points),)).copy()
    return house("core.points.point_cloud").PointCloud(points.astype(np.float32), colours, footprint=footprints)


def shell(count: int, seed: int, near: float = 1.0, far: float = 12.0) -> np.ndarray:
    """Points in all directions, between two ranges."""
    generator = np.random.default_rng(seed)
    directions = generator.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * np.exp(generator.uniform(np.log(near), np.log(far), (count, 1)))


def drawn(house: House, cloud: Any, pose: np.ndarray, width: int, portions: int = 1, **given: Any) -> np.ndarray:
    """What the shader draws, (H, W, 4) float32, first row on top: sRGB, and 1 where a point is."""
    shader, points = house("scene.live.panorama_shader"), house("scene.live.card_points")
    card_points = points.upload(points.pack(cloud))
    layer = shader.Layer(width)
    world = given.get("world", np.eye(4))
    cuts = np.linspace(0, len(cloud), portions + 1).astype(int)
    for first, last in itertools.pairwise(cuts):
        layer.splat(card_points, range(first, last), pose, world, 0.05)
    sky, target = shader.Picture(8, 4, "RGBA16F"), shader.Picture(width, width // 2, "RGBA32F")
    shader.draw_sky(sky, [], pose)
    shader.resolve(target, layer, None, sky, marks=False)
    read = target.framebuffer.read_color(0, 0, width, width // 2, 4, 0, "FLOAT")
    return np.array(read.to_list(), np.float32).reshape(width // 2, width, 4)[::-1]


def compare(house: House, cloud: Any, pose: np.ndarray, width: int, **given: Any) -> float:
    """Share of pixels that differ from the processor's pass, in whether a point is there or in its color."""
    picture = drawn(house, cloud, pose, width, **given)
    world = given.get("world", np.eye(4))
    seen = cloud.transformed(world)
    frame = house("core.render.splatting").splat_footprints(
        seen.points, seen.colours, seen.footprint, pose, width, near=0.05
    )
    covered = picture[..., 3] > 0.5
    colour = np.rint(picture[..., :3] * 255).astype(np.int32)
    same = (covered == frame.coverage) & (~covered | (np.abs(colour - frame.colour).max(axis=2) <= 1))
    return float(1.0 - same.mean())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [256, 1000])
def test_random_scenes_and_poses(house: House, card: None, seed: int, width: int) -> None:
    points = shell(20_000, seed)
    generator = np.random.default_rng(100 + seed)
    cloud = cloud_of(house, points, generator.uniform(0.0, 0.3, len(points)), seed)
    pose = pose_at(tuple(generator.uniform(-0.5, 0.5, 3)), seed)
    assert compare(house, cloud, pose, width) <= MOST_DIFFERENT


def test_points_come_in_portions(house: House, card: None) -> None:
    cloud = cloud_of(house, shell(20_000, 5), 0.1)
    one, many = (drawn(house, cloud, pose_at((0.1, 0.2, 0.0), 3), 512, portions) for portions in (1, 7))
    assert (one != many).any(axis=2).mean() <= MOST_DIFFERENT


def test_a_footprint_crosses_the_seam(house: House, card: None) -> None:
    """A point just left and just right of straight behind covers pixels at both edges, in one band of rows."""
    for x in (-0.01, 0.0, 0.01):
        cloud = cloud_of(house, np.array([[x, 0.0, 3.0]]), 0.2)
        assert compare(house, cloud, np.eye(4), 512) == 0.0
        covered = drawn(house, cloud, np.eye(4), 512)[..., 3] > 0.5
        assert covered[:, 0].any() and covered[:, -1].any()
        assert not covered[:, 100:400].any()


@pytest.mark.parametrize("up", [1.0, -1.0])
def test_a_footprint_covers_the_pole(house: House, card: None, up: float) -> None:
    """Straight above and below, a disc is a cap: whole rows."""
    for offset in (0.0, 0.03, 0.2):
        cloud = cloud_of(house, np.array([[offset, 2.0 * up, 0.01]]), 0.2)
        assert compare(house, cloud, np.eye(4), 512) <= MOST_DIFFERENT
    cap = drawn(house, cloud_of(house, np.array([[0.0, 2.0 * up, 0.0]]), 0.2), np.eye(4), 512)[..., 3] > 0.5
    assert cap[0 if up > 0 else -1].all()


def test_the_nearest_wins(house: House, card: None) -> None:
    ahead = np.array([[0.0, 0.0, -5.0], [0.0, 0.0, -2.0], [0.0, 0.0, -9.0]])
    cloud = cloud_of(house, ahead, 0.05)
    picture = drawn(house, cloud, np.eye(4), 64)
    middle = np.rint(picture[16, 32, :3] * 255)
    assert (middle == cloud.colours[1]).all()


def test_a_surface_shows_its_own_points(house: House, card: None) -> None:
    """Pixels into which a point falls show it, not a neighbor's disc that is a little nearer."""
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 90), np.linspace(-2, 2, 90)), axis=-1).reshape(-1, 2)
    wall = np.column_stack([grid, -3.0 - 0.05 * grid[:, 0]])
    assert compare(house, cloud_of(house, wall, 0.09), np.eye(4), 512) <= MOST_DIFFERENT


def test_an_object_that_was_moved_and_scaled(house: House, card: None) -> None:
    world = np.diag([2.0, 2.0, 2.0, 1.0]) @ pose_at((0.4, -0.3, 0.2), 9)
    cloud = cloud_of(house, shell(10_000, 11), 0.05)
    assert compare(house, cloud, pose_at((0.3, 0.1, -0.2), 4), 512, world=world) <= MOST_DIFFERENT


def test_far_from_the_origin(house: House, card: None) -> None:
    """Map coordinates: single precision has centimeters there, the card's places are counted from their center."""
    origin = np.array([4e5, 5e6, 100.0])
    near = shell(5_000, 13)
    here = drawn(house, cloud_of(house, near, 0.1), pose_at((0.0, 0.0, 0.0), 2), 256)
    world = np.eye(4)
    world[:3, 3] = origin
    there = drawn(house, cloud_of(house, near, 0.1), pose_at(tuple(origin), 2), 256, world=world)
    assert (here != there).any(axis=2).mean() <= MOST_DIFFERENT


def test_captures_stand_behind(house: House, card: None) -> None:
    """Where no point is, a capture shows as if infinitely far away: only rotated."""
    import gpu

    shader, equirectangular = house("scene.live.panorama_shader"), house("core.panorama.equirectangular")
    width = 128
    photograph = np.ones((width // 2, width, 4), np.float32)
    rays = equirectangular.directions(width)
    photograph[..., :3] = 0.5 + 0.5 * rays
    values = np.ascontiguousarray(photograph[::-1]).ravel()
    kinds: Any = gpu.types
    texture = kinds.GPUTexture((width, width // 2), format="RGBA16F", data=kinds.Buffer("FLOAT", values.size, values))
    capture, camera = pose_at((1.0, 0.0, 0.0), 1), pose_at((0.0, 0.0, 0.0), 2)
    sky, target = shader.Picture(width, width // 2, "RGBA16F"), shader.Picture(width, width // 2, "RGBA32F")
    shader.draw_sky(sky, [(texture, capture, 1.0)], camera)
    shader.resolve(target, shader.Layer(width), None, sky, marks=False)
    read = target.framebuffer.read_color(0, 0, width, width // 2, 4, 0, "FLOAT")
    found = np.array(read.to_list(), np.float32).reshape(width // 2, width, 4)[::-1]
    turned = rays @ (capture[:3, :3].T @ camera[:3, :3]).T.astype(np.float32)
    off = np.abs(found[..., :3] - (0.5 + 0.5 * turned))
    assert np.quantile(off, 0.99) < 0.02
    assert found[..., 3].max() == 0.0


def settled(house: House, panorama: Any, depsgraph: Any) -> np.ndarray:
    """The finished picture, (H, W, 4) float32, first row on top."""
    refining, points = house("scene.live.refining"), house("scene.live.scene_points")
    import bpy

    for _ in range(1000):
        panorama.texture(depsgraph)
        points.of(bpy.context.scene).wait()
        if not panorama.refine() and panorama.done:
            break
    panorama.texture(depsgraph)
    while panorama.refine():
        pass
    refining.stop()
    texture = panorama.texture(depsgraph)
    read = np.array(texture.read().to_list(), np.float32).reshape(texture.height, texture.width, 4)
    return read[::-1] / 255.0 if read.max() > 1.0 else read[::-1]


@pytest.fixture
def live(house: House, card: None) -> Any:
    module = house("scene.live.live_panorama")
    yield module
    module.free()


def test_it_follows_the_camera(house: House, live: Any, shot_scene: Any) -> None:
    """At every frame the picture is what the processor draws from there; points are uploaded once."""
    import bpy

    splatting, paths = house("core.render.splatting"), house("scene.camera.camera_path")
    panorama = live.of(shot_scene, 256)
    points = house("scene.live.scene_points").of(shot_scene)
    versions = set()
    for frame in (1, 2, 5):  # at 3 it stands in the middle of the shell, and all points are as near
        shot_scene.frame_set(frame)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        picture = settled(house, panorama, depsgraph)
        cloud = house("scene.cache.cache_objects").evaluated_points(depsgraph)
        expected = splatting.splat_footprints(
            cloud.points, cloud.colours, cloud.footprint, paths.pose(depsgraph), 256, near=shot_scene.pantheon360.near
        )
        covered = picture[..., 3] > 0.5
        assert (covered != expected.coverage).mean() <= MOST_DIFFERENT
        off = np.abs(picture[..., :3] * 255 - expected.colour).max(axis=2) > 1.5
        assert off[covered & expected.coverage].mean() <= MOST_DIFFERENT
        versions.add(points.version)
    assert len(versions) == 1
    assert points.count == len(cloud)


def test_it_shows_the_cache_as_it_is_edited(house: House, live: Any, shot_scene: Any) -> None:
    import bpy

    panorama = live.of(shot_scene, 128)
    before = settled(house, panorama, bpy.context.evaluated_depsgraph_get())
    cache = house("scene.cache.cache_objects").find(shot_scene)
    cache.location.x += 0.5
    moved = settled(house, panorama, bpy.context.evaluated_depsgraph_get())
    assert (before != moved).any()
    cache.location.x -= 0.5
    assert (settled(house, panorama, bpy.context.evaluated_depsgraph_get()) == before).all()
    cache.hide_viewport = True
    hidden = settled(house, panorama, bpy.context.evaluated_depsgraph_get())
    assert hidden[..., 3].max() == 0.0


def test_undo_leaves_the_picture_until_there_is_a_new_one(house: House, live: Any, shot_scene: Any) -> None:
    import bpy

    module = house("scene.live.scene_points")
    panorama = live.of(shot_scene, 128)
    before = settled(house, panorama, bpy.context.evaluated_depsgraph_get())
    module._after_undo()
    assert module.of(shot_scene).placed(bpy.context.evaluated_depsgraph_get())
    assert not module.of(shot_scene).is_ready()
    assert (settled(house, panorama, bpy.context.evaluated_depsgraph_get()) == before).all()
    module._before_loading()
    assert module.of(shot_scene).count == 0


def test_the_processor_does_it_without_a_card(house: House, live: Any, shot_scene: Any, monkeypatch: Any) -> None:
    import bpy

    depsgraph = bpy.context.evaluated_depsgraph_get()
    on_card = settled(house, live.of(shot_scene, 256), depsgraph)
    live.free()
    monkeypatch.setattr(live, "card_can", lambda: False)
    panorama = live.of(shot_scene, 256)
    patience = time.monotonic() + 300
    while time.monotonic() < patience:
        if panorama.texture(depsgraph) is not None and not panorama.refine():
            break
        house("scene.live.scene_points").of(shot_scene).wait()
        panorama.refine()
        time.sleep(0.01)  # a thread draws meanwhile
    house("scene.live.refining").stop()
    read = np.array(panorama.texture(depsgraph).read().to_list(), np.float32)
    by_processor = (read / 255.0 if read.max() > 1.0 else read)[::-1]
    covered = on_card[..., 3] > 0.5
    off = np.abs(by_processor - on_card)[..., :3].max(axis=2) > 2 / 255
    assert off[covered].mean() <= 0.01


def seen_in_view(points: np.ndarray, radii: np.ndarray, view: Any, size: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Index of the nearest point of each pixel (H, W), -1 where none is, and whether that is clear."""
    camera_from_world, clip_from_camera = view
    clip = np.column_stack([points, np.ones(len(points))]) @ (clip_from_camera @ camera_from_world).T
    nearest, second = np.full(size[::-1], np.inf), np.full(size[::-1], np.inf)
    index, edge = np.full(size[::-1], -1), np.zeros(size[::-1], bool)
    columns, rows = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    for number, (x, y, z, w) in enumerate(clip):
        if w <= 0 or abs(z / w) > 1:
            continue
        at = (np.array([x, y]) / w * 0.5 + 0.5) * size
        reach = np.clip(radii[number] * 0.5 * clip_from_camera[1, 1] * size[1] / w, 0.5, 24.0)
        depth = z / w * 0.5 + 0.5 - radii[number] * 0.5 * abs(clip_from_camera[2, 3]) / w**2
        off = np.hypot(columns - at[0], rows - at[1])
        inside = (off <= reach) | ((np.floor(at[0]) == columns - 0.5) & (np.floor(at[1]) == rows - 0.5))
        edge |= np.abs(off - reach) < 1e-3
        second = np.where(inside, np.minimum(second, np.maximum(nearest, depth)), second)
        index = np.where(inside & (depth < nearest), number, index)
        nearest = np.where(inside, np.minimum(nearest, depth), nearest)
    return index, ~edge & (second > nearest + 1e-6) | (index < 0) & ~edge


@pytest.mark.parametrize("portions", [1, 3])
def test_a_view_shows_the_nearest_points(house: House, card: None, portions: int) -> None:
    """Round splats of a perspective view, against one point after the other."""
    view_shader, points = house("scene.live.view_shader"), house("scene.live.card_points")
    size = (120, 80)
    cloud = cloud_of(house, shell(400, 21, near=3.0), 0.5)
    camera = pose_at((0.3, 0.2, 0.1), 8)
    near, far, lens = 0.1, 100.0, 1.5
    clip = np.zeros((4, 4))
    clip[0, 0], clip[1, 1] = lens * size[1] / size[0], lens
    clip[2, 2:], clip[3, 2] = (-(far + near) / (far - near), -2 * far * near / (far - near)), -1.0
    view = np.linalg.inv(camera), clip
    packed = points.pack(cloud)
    layer = view_shader.ViewLayer(*size)
    cuts = np.linspace(0, len(cloud), portions + 1).astype(int)
    for first, last in itertools.pairwise(cuts):
        layer.splat(points.upload(packed), range(first, last), view, np.eye(4))
    places = packed.places[:, :3] + packed.centre
    index, clear = seen_in_view(places, packed.sizes[:, 0], view, size)
    bits = np.array(layer.images["depths"].read().to_list(), np.uint32).reshape(size[::-1])
    colours = np.array(layer.images["colors"].read().to_list(), np.uint32).reshape(size[::-1])
    assert clear.mean() > 0.9
    assert 0.2 < (index >= 0).mean() < 1.0
    assert ((bits != view_shader.NOTHING) == (index >= 0))[clear].all()
    there = clear & (index >= 0)
    assert (colours[there] == packed.places[index[there], 3].astype(np.uint32)).all()

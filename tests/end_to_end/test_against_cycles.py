"""Orientation, projection, depth and colour against Cycles, which shares no code with this project.

Cycles renders a scene of meshes as equirectangular captures at random poses. The captures are imported and projected
onto the meshes; the cache is then seen from a pose it was not made from and compared with what Cycles sees there.

Tolerances, on pixels that both see and that lie away from silhouettes: half of all pixels within 2 of 255 levels and
nine in ten within 10; the median relative difference of depth below 0.3 %. Each is violated by a wrong axis, by a
shift of half a pixel and by depth along the axis in place of range: that is tested as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("bpy", reason="needs Blender as a Python module")

WIDTH = 512
House = Callable[[str], ModuleType]


@dataclass(frozen=True)
class View:
    """What Cycles sees from a pose: colour (H, W, 3) uint8, depth (H, W) float32 range in metres."""

    pose: np.ndarray
    colour: np.ndarray
    depth: np.ndarray


@pytest.fixture(scope="module")
def views(extension: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[View]:
    """Three views of one room at random poses: two to capture from, one to compare with."""
    import bpy

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    folder = tmp_path_factory.mktemp("cycles")
    furnish(bpy.context.scene)
    poses = random_poses(3)
    return [cycles_view(bpy.context.scene, pose, folder / f"view-{index}.png") for index, pose in enumerate(poses)]


def random_poses(count: int) -> list[np.ndarray]:
    """Poses near the middle of the room, rotated at random about all axes (not only levelled ones)."""
    random = np.random.default_rng(20)
    poses = []
    for _ in range(count):
        rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
        pose = np.eye(4)
        pose[:3, :3] = rotation * np.sign(np.linalg.det(rotation))
        pose[:3, 3] = random.uniform(-0.6, 0.6, 3)
        poses.append(pose)
    return poses


def furnish(scene: Any) -> None:
    """A closed room with a sphere and a tilted box in it, all of one emissive pattern fixed in the world."""
    import bpy
    from mathutils import Euler

    material = bpy.data.materials.new("Pattern")
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    position = tree.nodes.new("ShaderNodeNewGeometry")
    scale = tree.nodes.new("ShaderNodeVectorMath")
    scale.operation = "MULTIPLY"
    scale.inputs[1].default_value = (0.9, 1.3, 1.7)
    wave = tree.nodes.new("ShaderNodeVectorMath")
    wave.operation = "SINE"
    grey = tree.nodes.new("ShaderNodeVectorMath")
    grey.operation = "MULTIPLY_ADD"
    grey.inputs[1].default_value = (0.4, 0.4, 0.4)
    grey.inputs[2].default_value = (0.5, 0.5, 0.5)
    emission = tree.nodes.new("ShaderNodeEmission")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(position.outputs["Position"], scale.inputs[0])
    tree.links.new(scale.outputs[0], wave.inputs[0])
    tree.links.new(wave.outputs[0], grey.inputs[0])
    tree.links.new(grey.outputs[0], emission.inputs["Color"])
    tree.links.new(emission.outputs[0], output.inputs["Surface"])

    bpy.ops.mesh.primitive_cube_add(size=1.0)
    room = bpy.context.object
    room.scale = (6.0, 5.0, 4.0)
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.5, location=(1.6, 1.1, -0.7), segments=48, ring_count=24)
    sphere = bpy.context.object
    bpy.ops.mesh.primitive_cube_add(size=0.9, location=(-1.7, -0.9, 0.4))
    box = bpy.context.object
    box.rotation_euler = Euler((0.4, 0.7, 0.2))
    for thing in (room, sphere, box):
        thing.data.materials.append(material)
        thing.pantheon360.is_geometry = True
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    scene.render.dither_intensity = 0.0


def cycles_view(scene: Any, pose: np.ndarray, path: Path) -> View:
    """Render colour (sRGB bytes) and range with Cycles: one sample through each pixel centre, no denoising."""
    import bpy
    from mathutils import Matrix

    camera = bpy.data.objects.new("Oracle", bpy.data.cameras.new("Oracle"))
    scene.collection.objects.link(camera)
    camera.data.type = "PANO"
    camera.data.panorama_type = "EQUIRECTANGULAR"
    camera.data.clip_start = 0.001
    camera.matrix_world = Matrix(pose.tolist())
    scene.camera = camera
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.cycles.use_denoising = False
    scene.cycles.pixel_filter_type = "BOX"
    scene.cycles.filter_width = 0.01
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, WIDTH // 2
    scene.render.resolution_percentage = 100
    bpy.context.view_layer.use_pass_z = True
    exr = path.with_suffix(".exr")
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth = "32"
    scene.render.filepath = str(exr)
    bpy.ops.render.render(write_still=True)
    linear, depth = read_layers(exr)
    return View(pose, to_srgb_bytes(linear), depth)


def read_layers(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Combined (H, W, 3) and Depth (H, W) of a multilayer EXR; from 5.0 on Blender writes each pass as a part."""
    import bpy

    bpy.utils.expose_bundled_modules()
    import OpenImageIO  # pyright: ignore[reportMissingImports] - it comes with Blender

    channels: dict[str, np.ndarray] = {}
    source = OpenImageIO.ImageInput.open(str(path))
    part = 0
    while source.seek_subimage(part, 0):
        pixels = np.asarray(source.read_image(part, 0, 0, source.spec().nchannels, OpenImageIO.FLOAT))
        channels |= {name: pixels[..., index] for index, name in enumerate(source.spec().channelnames)}
        part += 1
    source.close()
    colour = np.stack([channels[f"ViewLayer.Combined.{channel}"] for channel in "RGB"], axis=-1)
    return colour, channels["ViewLayer.Depth.Z"]


def to_srgb_bytes(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1 encoding, written out here so that nothing of the project is its own witness."""
    curve = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.clip(linear, 0, None) ** (1 / 2.4) - 0.055)
    return np.clip(np.rint(curve * 255.0), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def cloud(extension: ModuleType, views: list[View], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The cache projected from the first two views by the operators an artist uses."""
    import bpy
    from mathutils import Matrix
    from PIL import Image

    folder = tmp_path_factory.mktemp("captures")
    files = []
    for index, view in enumerate(views[:2]):
        Image.fromarray(view.colour).save(folder / f"capture-{index}.png")
        files.append({"name": f"capture-{index}.png"})
    bpy.ops.pantheon360.import_captures(directory=str(folder), files=files)
    captures = sorted((o for o in bpy.context.scene.objects if o.pantheon360.is_capture), key=lambda o: o.name)
    for capture, view in zip(captures, views, strict=False):
        capture.pantheon360.yaw = capture.pantheon360.pitch = capture.pantheon360.roll = 0.0
        capture.pantheon360.nadir = 0.0
        capture.matrix_world = Matrix(view.pose.tolist())
    bpy.context.scene.pantheon360.projection_width = WIDTH
    bpy.context.view_layer.update()
    assert bpy.ops.pantheon360.project_captures() == {"FINISHED"}
    import importlib

    cache = importlib.import_module(f"{extension.__name__}.pantheon360_blender.scene.cache.cache_objects")
    return cache.evaluated_points(bpy.context.evaluated_depsgraph_get())


@dataclass(frozen=True)
class Difference:
    """How far a geometry frame is from Cycles' view, on pixels away from silhouettes."""

    colour_median: float
    colour_ninety: float
    depth_median: float
    compared: float

    @property
    def acceptable(self) -> bool:
        return self.colour_median <= 2 and self.colour_ninety <= 10 and self.depth_median < 0.003


def difference(frame: Any, view: View) -> Difference:
    covered = frame.coverage & interior(view.depth)
    colour = np.abs(frame.colour[covered].astype(int) - view.colour[covered]).max(axis=-1)
    depth = np.abs(frame.depth[covered] - view.depth[covered]) / view.depth[covered]
    return Difference(
        float(np.median(colour)), float(np.percentile(colour, 90)), float(np.median(depth)), float(covered.mean())
    )


def interior(depth: np.ndarray) -> np.ndarray:
    """Pixels whose eight neighbours lie at about the same depth: no silhouette runs through them."""
    calm = np.ones(depth.shape, bool)
    for rows in (-1, 0, 1):
        for columns in (-1, 0, 1):
            neighbour = np.roll(depth, (rows, columns), axis=(0, 1))
            calm &= np.abs(neighbour - depth) < 0.1 * depth
    calm[[0, -1]] = False
    return calm


def test_the_cache_from_elsewhere_agrees_with_cycles(house: House, views: list[View], cloud: Any) -> None:
    frame = house("core.render.splatting").splat(cloud.points, cloud.colours, views[2].pose, WIDTH)
    found = difference(frame, views[2])
    assert found.compared > 0.3, found
    assert found.acceptable, found


@pytest.mark.parametrize("index", [0, 1])
def test_the_cache_from_a_captures_own_pose_gives_the_capture(
    house: House, views: list[View], cloud: Any, index: int
) -> None:
    frame = house("core.render.splatting").splat(cloud.points, cloud.colours, views[index].pose, WIDTH)
    found = difference(frame, views[index])
    assert found.compared > 0.5, found
    assert found.acceptable, found


def wrong_axis(pose: np.ndarray) -> np.ndarray:
    return pose @ np.diag([1.0, -1.0, -1.0, 1.0])


def half_a_pixel(pose: np.ndarray) -> np.ndarray:
    """Half a pixel at the resolution compared is 2 pi / W / 2 about the camera's vertical axis."""
    angle = np.pi / WIDTH
    turn = np.eye(4)
    turn[0, 0] = turn[2, 2] = np.cos(angle)
    turn[0, 2], turn[2, 0] = np.sin(angle), -np.sin(angle)
    return pose @ turn


def test_a_wrong_axis_is_noticed(house: House, views: list[View], cloud: Any) -> None:
    frame = house("core.render.splatting").splat(cloud.points, cloud.colours, wrong_axis(views[2].pose), WIDTH)
    assert not difference(frame, views[2]).acceptable


def test_half_a_pixel_is_noticed(house: House, views: list[View], cloud: Any) -> None:
    """A sharp measure of shift: correlate the difference image with the horizontal gradient."""
    splat = house("core.render.splatting").splat
    right = shift_in_pixels(splat(cloud.points, cloud.colours, views[0].pose, WIDTH), views[0])
    wrong = shift_in_pixels(splat(cloud.points, cloud.colours, half_a_pixel(views[0].pose), WIDTH), views[0])
    assert abs(right) < 0.1, right
    assert abs(wrong) > 0.3, wrong


def shift_in_pixels(frame: Any, view: View) -> float:
    """Horizontal shift of a frame against a view: least squares of the difference on the view's gradient."""
    covered = frame.coverage & interior(view.depth)
    reference = view.colour.astype(float)
    gradient = ((np.roll(reference, -1, axis=1) - np.roll(reference, 1, axis=1)) / 2)[covered]
    change = (frame.colour.astype(float) - reference)[covered]
    return float((gradient * change).sum() / (gradient * gradient).sum())


def test_depth_along_the_axis_is_noticed(house: House, views: list[View], cloud: Any) -> None:
    """Depth is range: replaced by the distance along the camera's axis it is far off."""
    frame = house("core.render.splatting").splat(cloud.points, cloud.colours, views[2].pose, WIDTH)
    directions = house("core.panorama.equirectangular").directions(WIDTH)
    along_axis = frame.depth * np.abs(directions[..., 2])
    covered = frame.coverage & interior(views[2].depth)
    relative = np.abs(along_axis[covered] - views[2].depth[covered]) / views[2].depth[covered]
    assert np.median(relative) > 0.003


@pytest.mark.parametrize("stereo", ["parallel", "converging", "merging at the poles"])
def test_each_eyes_panorama_agrees_with_cycles(house: House, tmp_path: Path, stereo: str) -> None:
    """Spherical stereo with eyes half a metre apart: the room as Cycles' middle sees it, moved to what its eyes see.

    Cycles' depth is from the middle for eyes, too, so that colours and their places are compared.
    """
    import bpy

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene, pose = bpy.context.scene, random_poses(1)[0]
    furnish(scene)
    middle = cycles_view(scene, pose, tmp_path / "middle.png")
    directions = house("core.panorama.equirectangular").directions(WIDTH)
    points = ((directions * middle.depth[..., None]).reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)
    settings: Any = scene.camera.data.stereo
    settings.use_spherical_stereo, settings.interocular_distance = True, 0.5
    settings.convergence_mode = "OFFAXIS" if stereo == "converging" else "PARALLEL"
    settings.convergence_distance = 1.5
    settings.use_pole_merge = stereo == "merging at the poles"
    settings.pole_merge_angle_from, settings.pole_merge_angle_to = 0.3, 1.0
    scene.render.use_multiview, scene.render.views_format = True, "STEREO_3D"
    scene.render.image_settings.views_format = "INDIVIDUAL"
    scene.render.filepath = str(tmp_path / "eyes.exr")
    bpy.ops.render.render(write_still=True)

    render, frames = house("scene.render.render_engine"), house("core.render.splatting")
    for suffix, side in (("L", "left"), ("R", "right")):
        linear, _ = read_layers(tmp_path / f"eyes_{suffix}.exr")
        view = View(pose, to_srgb_bytes(linear), middle.depth)
        seen = house("core.render.stereo").seen_by(render.eye_of(settings, side), points, pose)
        frame = frames.splat(seen, middle.colour.reshape(-1, 3), pose, WIDTH)
        calm = interior(np.where(frame.coverage, frame.depth, 0.0))
        colour = np.abs(frame.colour[calm].astype(int) - view.colour[calm]).max(axis=-1)
        assert calm.mean() > 0.2
        assert np.median(colour) <= 2 and np.percentile(colour, 90) <= 10, (side, np.percentile(colour, (50, 90, 99)))
        unmoved = frames.splat(points, middle.colour.reshape(-1, 3), pose, WIDTH)
        assert abs(shift_in_pixels(frame, view)) < 0.1 < abs(shift_in_pixels(unmoved, view))

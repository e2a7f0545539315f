"""The engine renders what the artist's camera will see, and files hold exactly that."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def engine_scene(house: Any, shot_scene: Any) -> Any:
    house("scene.render.render_engine").set_up(shot_scene)
    view = shot_scene.view_settings
    view.view_transform, view.look, view.exposure, view.gamma = "Standard", "None", 0, 1
    shot_scene.render.dither_intensity = 0
    return shot_scene


@pytest.fixture
def expected(house: Any) -> Any:
    """What the passes must hold, from the very arrays the cache and captures were made of."""

    def frames(scene: Any) -> tuple[Any, np.ndarray]:
        pose = house("scene.camera.camera_path").pose(scene.view_layers[0].depsgraph)
        cloud = house("scene.cache.cache_objects").evaluated_points(scene.view_layers[0].depsgraph)
        near, width = scene.pantheon360.near, scene.render.resolution_x
        splatting = house("core.render.splatting")
        geometry = splatting.splat(cloud.points, cloud.colours, pose, width, near=near)
        footprints = splatting.splat_footprints(cloud.points, cloud.colours, cloud.footprint, pose, width, near=near)
        captures = [
            house("scene.captures.capture_objects").load(obj)
            for obj in house("scene.captures.capture_objects").in_scene(scene)
        ]
        return geometry, house("core.render.draft").DraftPainter(captures, width).paint(footprints, pose)

    return frames


def rendered(scene: Any, path: Path) -> Path:
    """Render the current frame as an animation of one: it is written by the same code as a farm's frames."""
    import bpy

    frame = scene.frame_current
    scene.frame_start = scene.frame_end = frame
    scene.render.filepath = str(path.with_suffix("")) + "_"
    scene.render.use_file_extension = True
    bpy.ops.render.render(animation=True)
    return path.with_name(f"{path.stem}_{frame:04d}{path.suffix}")


def test_standard_view_returns_the_very_bytes(house: Any, engine_scene: Any, expected: Any, tmp_path: Path) -> None:
    from PIL import Image

    scene = engine_scene
    house("scene.app.versions").set_output(scene.render.image_settings, "PNG")
    scene.render.image_settings.color_mode = "RGB"
    scene.frame_set(3)
    _, draft = expected(scene)
    picture = np.asarray(Image.open(rendered(scene, tmp_path / "draft.png")))
    assert len(np.unique(picture)) == 256  # every byte is put to the test
    np.testing.assert_array_equal(picture, draft)


def test_surfaces_show_the_captures_own_pixels(house: Any, engine_scene: Any, expected: Any, tmp_path: Path) -> None:
    from PIL import Image

    scene = engine_scene
    scene.pantheon360.own_pixels = True
    house("scene.app.versions").set_output(scene.render.image_settings, "PNG")
    scene.render.image_settings.color_mode = "RGB"
    scene.frame_set(3)
    found = np.asarray(Image.open(rendered(scene, tmp_path / "own.png")))
    depsgraph = scene.view_layers[0].depsgraph
    cloud = house("scene.cache.cache_objects").evaluated_points(depsgraph)
    pose = house("scene.camera.camera_path").pose(depsgraph)
    captures = [
        house("scene.captures.capture_objects").load(obj)
        for obj in house("scene.captures.capture_objects").in_scene(scene)
    ]

    def seen(place: np.ndarray, width: int) -> Any:
        return house("core.render.splatting").splat_footprints(
            cloud.points, cloud.colours, cloud.footprint, place, width, near=scene.pantheon360.near
        )

    width = scene.render.resolution_x
    draft = house("core.render.draft").DraftPainter(
        captures, width, lambda index: seen(captures[index].pose, 1024).depth
    )
    np.testing.assert_array_equal(found, draft.paint(seen(pose, width), pose))
    assert not np.array_equal(found, expected(scene)[1])


def test_an_exr_has_every_pass(house: Any, engine_scene: Any, expected: Any, tmp_path: Path) -> None:
    scene = engine_scene
    house("scene.app.versions").set_output(scene.render.image_settings, "OPEN_EXR_MULTILAYER")
    scene.render.image_settings.color_depth = "32"
    scene.frame_set(2)
    geometry, draft = expected(scene)
    channels = read_exr(rendered(scene, tmp_path / "passes.exr"))
    linear = house("scene.captures.colour").scene_linear

    for pass_name, colour in (("Combined", draft), ("Geometry", geometry.colour)):
        found = np.stack([channels[f"ViewLayer.{pass_name}.{letter}"] for letter in "RGB"], axis=2)
        np.testing.assert_array_equal(found, linear(colour))
    assert channels["ViewLayer.Combined.A"].min() == 1
    np.testing.assert_array_equal(channels["ViewLayer.Geometry.A"] == 1, geometry.coverage)
    np.testing.assert_array_equal(channels["ViewLayer.Coverage.X"] == 1, geometry.coverage)
    np.testing.assert_array_equal(channels["ViewLayer.Depth.Z"], geometry.depth)
    assert np.isinf(channels["ViewLayer.Depth.Z"]).any()
    invented = channels["ViewLayer.Invented.X"]
    assert set(np.unique(invented)) <= {0, 1}
    assert not (invented == 1)[geometry.coverage].any(), "a point's pixel is not invented"
    assert 0.05 < geometry.coverage.mean() < 0.95


def test_confidence_is_the_same_in_a_render_and_in_a_job(house: Any, engine_scene: Any, tmp_path: Path) -> None:
    """Of the nearest point; a job keeps it to a 255th. A cache without confidences counts as sure in both."""
    scene, jobs = engine_scene, house("scene.app.jobs")
    house("scene.app.versions").set_output(scene.render.image_settings, "OPEN_EXR_MULTILAYER")
    scene.render.image_settings.color_depth = "32"
    cache = house("scene.cache.cache_objects")
    pose = house("scene.camera.camera_path").pose(scene.view_layers[0].depsgraph)
    bare = cache.evaluated_points(scene.view_layers[0].depsgraph)
    beyond = np.float32(1.5) * (bare.points - np.float32([0, 1, 1])) + np.float32([0, 1, 1])
    told = np.repeat(np.float32([0.8, 0.1]), len(bare))
    both = house("core.points.point_cloud").PointCloud(
        np.concatenate([bare.points, beyond]), np.tile(bare.colours, (2, 1)), told, footprint=np.tile(bare.footprint, 2)
    )
    seen = house("core.render.splatting").splat(
        both.points, both.colours, pose, scene.render.resolution_x, near=scene.pantheon360.near
    )
    expected = np.where(seen.coverage, told[seen.source], 0)
    assert {0, np.float32(0.1), np.float32(0.8)} == set(np.unique(expected))
    for cloud, wanted in ((both, expected), (bare, None)):
        cache.replace(scene, cloud)
        channels = read_exr(rendered(scene, tmp_path / "confidence.exr"))
        if wanted is None:
            wanted = channels["ViewLayer.Coverage.X"]
        np.testing.assert_array_equal(channels["ViewLayer.Confidence.X"], wanted)
        folder = jobs.run_blocking(house("scene.shot.shot").prepare(scene, [1], painter="draft"))
        for kind in ("geometry", "footprint"):
            frame = folder.read_geometry(kind, 1)
            assert (frame.confidence is None) == (cloud is bare)
            same = frame.coverage if kind == "geometry" else frame.coverage & (channels["ViewLayer.Coverage.X"] == 1)
            same &= np.isclose(frame.depth, channels["ViewLayer.Depth.Z"])
            assert same.sum() > 100
            np.testing.assert_allclose(frame.sureness[same], wanted[same], atol=0.5 / 255 + 1e-6)


def test_the_compositor_has_every_pass(engine_scene: Any) -> None:
    """Its node for the rendered layer has a socket for each, in every Blender."""
    import bpy

    if bpy.app.version >= (5, 0, 0):
        tree = bpy.data.node_groups.new("Compositing", "CompositorNodeTree")
    else:
        engine_scene.use_nodes = True
        tree = engine_scene.node_tree
    node = tree.nodes.new("CompositorNodeRLayers")
    node.scene = engine_scene
    there = {socket.name for socket in node.outputs if socket.enabled}
    assert {"Image", "Geometry", "Depth", "Coverage", "Confidence", "Invented"} <= there


def read_exr(path: Path) -> dict[str, np.ndarray]:
    """Channels of a multilayer EXR, whether its passes lie in one part or in several."""
    import bpy

    bpy.utils.expose_bundled_modules()
    oiio = pytest.importorskip("OpenImageIO", reason="comes with upstream's builds of Blender")
    file = oiio.ImageInput.open(str(path))
    channels: dict[str, np.ndarray] = {}
    while True:
        pixels = file.read_image("float")
        for index, name in enumerate(file.spec().channelnames):
            channels[name] = pixels[..., index]
        if not file.seek_subimage(file.current_subimage() + 1, 0):
            return channels


def test_files_say_where_they_were_rendered_from(house: Any, engine_scene: Any, tmp_path: Path) -> None:
    from PIL import Image

    scene = engine_scene
    house("scene.app.versions").set_output(scene.render.image_settings, "PNG")
    scene.frame_set(5)
    written = Image.open(rendered(scene, tmp_path / "stamped.png")).info
    pose = np.array(json.loads(written["Pantheon360CameraToWorld"]))
    np.testing.assert_allclose(pose[:3, 3], (0, 2, 1), atol=1e-6)
    assert int(written["Pantheon360Points"]) == len(house("scene.cache.cache_objects").find(scene).data.vertices)
    assert written["Pantheon360"] == house("core.version").version()


def test_a_frame_that_is_not_2_to_1_is_refused(engine_scene: Any) -> None:
    import bpy

    engine_scene.render.resolution_y = 40
    with pytest.raises(RuntimeError, match=r"64 x 40; a panorama is twice as wide.*80 x 40"):
        bpy.ops.render.render()


def test_the_resolution_percentage_counts(engine_scene: Any, house: Any, tmp_path: Path) -> None:
    from PIL import Image

    house("scene.app.versions").set_output(engine_scene.render.image_settings, "PNG")
    engine_scene.render.resolution_percentage = 50
    assert Image.open(rendered(engine_scene, tmp_path / "half.png")).size == (32, 16)


@pytest.mark.parametrize(
    ("lacking", "told"),
    [("cache", "no visible points"), ("captures", "has no captures"), ("camera", "(?i)camera")],
)
def test_what_is_missing_is_said(house: Any, engine_scene: Any, lacking: str, told: str) -> None:
    import bpy

    doomed = {
        "cache": [house("scene.cache.cache_objects").find(engine_scene)],
        "captures": house("scene.captures.capture_objects").in_scene(engine_scene),
        "camera": [engine_scene.camera],
    }[lacking]
    for obj in doomed:
        bpy.data.objects.remove(obj)
    with pytest.raises(RuntimeError, match=told):
        bpy.ops.render.render()


def test_a_camera_outside_everything_renders_the_captures(engine_scene: Any, house: Any, tmp_path: Path) -> None:
    from PIL import Image

    house("scene.app.versions").set_output(engine_scene.render.image_settings, "PNG")
    engine_scene.camera.animation_data_clear()
    engine_scene.camera.location = (0, 0, 1e5)
    assert np.asarray(Image.open(rendered(engine_scene, tmp_path / "far.png")))[..., :3].std() > 20


def test_an_edited_capture_is_seen_by_the_next_frame(
    engine_scene: Any, house: Any, expected: Any, tmp_path: Path
) -> None:
    from PIL import Image

    scene = engine_scene
    house("scene.app.versions").set_output(scene.render.image_settings, "PNG")
    scene.render.image_settings.color_mode = "RGB"
    before = np.asarray(Image.open(rendered(scene, tmp_path / "before.png")))
    for obj in house("scene.captures.capture_objects").in_scene(scene):
        image = obj.pantheon360.image
        house("core.formats.png").write(Path(bpy_path(image)), np.full((32, 64, 3), 77, np.uint8))
        image.reload()
    after = np.asarray(Image.open(rendered(scene, tmp_path / "after.png")))
    np.testing.assert_array_equal(after, expected(scene)[1])
    assert (before != after).any()


def test_a_packed_capture_of_the_same_size_is_another_one(engine_scene: Any, house: Any) -> None:
    """Painted on and packed again: the number of its bytes stays."""
    import bpy

    passes, access = house("scene.render.geometry_pass"), house("scene.app.access")

    def scene() -> Any:
        return bpy.data.scenes[name]

    def painted(value: float) -> int:
        image = bpy.data.images["plain"]
        image.pixels.foreach_set(np.full(64 * 32 * 4, value, np.float32))
        image.update()
        assert passes.unread_captures(access.evaluated(scene()))[0] is not seen()
        image.pack()
        return int(image.packed_file.size)

    def seen() -> Any:
        return passes.unread_captures(access.evaluated(scene()))[0]

    name = engine_scene.name
    image = house("scene.captures.images").from_array("plain", np.full((32, 64, 3), 10, np.uint8))
    house("scene.captures.capture_objects").in_scene(engine_scene)[0].pantheon360.image = image
    sizes = [painted(value) for value in (0.2, 0.4)]
    assert len(set(sizes)) == 1 and seen() is seen()
    assert seen().read().image.max() == 102
    before = seen()
    assert painted(0.6) == sizes[0] and seen() is not before
    assert seen().read().image.max() == 153


def bpy_path(image: Any) -> str:
    import bpy

    return bpy.path.abspath(image.filepath)


def test_moving_the_cache_moves_the_picture(engine_scene: Any, house: Any, expected: Any, tmp_path: Path) -> None:
    """Animated caches are read at each frame."""
    from PIL import Image

    scene = engine_scene
    cache = house("scene.cache.cache_objects").find(scene)
    for frame, turn in ((1, 0.0), (5, 1.0)):
        cache.rotation_euler.z = turn
        cache.keyframe_insert("rotation_euler", frame=frame)
    house("scene.app.versions").set_output(scene.render.image_settings, "PNG")
    scene.render.image_settings.color_mode = "RGB"
    for frame in (1, 5):
        scene.frame_set(frame)
        picture = np.asarray(Image.open(rendered(scene, tmp_path / "turned.png")))
        np.testing.assert_array_equal(picture, expected(scene)[1])


def test_panels_are_borrowed_and_given_back(house: Any, blend: Any) -> None:
    import bpy

    def borrowing() -> set[str]:
        return {
            panel.__name__
            for panel in bpy.types.Panel.__subclasses__()
            if "PANTHEON360" in getattr(panel, "COMPAT_ENGINES", ())
        }

    engine = house("scene.render.render_engine")
    assert {"RENDER_PT_format", "RENDER_PT_output", "RENDER_PT_frame_range", "RENDER_PT_stamp"} <= borrowing()
    engine.unregister()
    try:
        assert borrowing() == set()
    finally:
        engine.register()
    assert borrowing()


def test_wide_working_spaces_keep_the_bytes(house: Any, engine_scene: Any, expected: Any, tmp_path: Path) -> None:
    """From 5.0 a file may compute in Rec. 2020 or ACEScg; sRGB bytes still come back within rounding."""
    import bpy
    from PIL import Image

    if not hasattr(bpy.data, "colorspace"):
        pytest.skip("working spaces come with Blender 5.0")
    bpy.ops.wm.set_working_color_space(working_space="Linear Rec.2020", convert_colors=False)
    scene = engine_scene
    house("scene.app.versions").set_output(scene.render.image_settings, "PNG")
    scene.render.image_settings.color_mode = "RGB"
    picture = np.asarray(Image.open(rendered(scene, tmp_path / "wide.png"))).astype(int)
    assert np.abs(picture - expected(scene)[1]).max() <= 1


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
def test_exiftool_reads_the_stamp(house: Any, engine_scene: Any, tmp_path: Path) -> None:
    house("scene.app.versions").set_output(engine_scene.render.image_settings, "PNG")
    path = rendered(engine_scene, tmp_path / "tagged.png")
    told = subprocess.run(["exiftool", "-j", str(path)], capture_output=True, text=True, check=True).stdout
    assert json.loads(told)[0]["ProjectionType"] == "equirectangular"


def test_every_view_layer_shows_its_own_points(house: Any, engine_scene: Any, expected: Any, tmp_path: Path) -> None:
    """Two layers that show different caches: each as it is rendered alone."""
    import bpy

    scene = engine_scene
    halves_in_two_layers(house, scene)
    house("scene.app.versions").set_output(scene.render.image_settings, "OPEN_EXR_MULTILAYER")
    scene.render.image_settings.color_depth = "32"
    both = read_exr(rendered(scene, tmp_path / "both.exr"))
    for layer in scene.view_layers:
        for each in scene.view_layers:
            each.use = each == layer
        alone = read_exr(rendered(scene, tmp_path / f"{layer.name}.exr"))
        names = [name for name in both if name.startswith(f"{layer.name}.")]
        assert len(names) == 12
        for name in names:
            np.testing.assert_array_equal(both[name], alone[name], err_msg=name)
        assert 0 < both[f"{layer.name}.Coverage.X"].mean() < 1
    first, second = (both[f"{layer.name}.Coverage.X"] for layer in scene.view_layers)
    assert (first != second).mean() > 0.05
    bpy.context.window.view_layer = scene.view_layers[0]


def halves_in_two_layers(house: Any, scene: Any) -> None:
    """Leave the points left of the cameras to one view layer and those right of them to another."""
    import bpy

    objects = house("scene.cache.cache_objects")
    cache, everything = objects.find(scene), objects.evaluated_points(scene.view_layers[0].depsgraph)
    for name, kept in (("Left", everything.points[:, 0] < 0), ("Right", everything.points[:, 0] >= 0)):
        half = cache.copy()
        half.name, half.data = name, cache.data.copy()
        objects.fill(half, everything.selected(kept))
        collection = bpy.data.collections.new(name)
        collection.objects.link(half)
        scene.collection.children.link(collection)
    bpy.data.objects.remove(cache)
    scene.view_layers.new("Second")
    scene.view_layers[0].layer_collection.children["Right"].exclude = True
    scene.view_layers[1].layer_collection.children["Left"].exclude = True


@pytest.mark.parametrize("file_format", ["PNG", "OPEN_EXR_MULTILAYER"])
@pytest.mark.parametrize("crop", [False, True])
def test_a_render_region_holds_its_part_of_the_frame(
    house: Any, engine_scene: Any, file_format: str, crop: bool, tmp_path: Path
) -> None:
    scene, suffix = engine_scene, "png" if file_format == "PNG" else "exr"
    house("scene.app.versions").set_output(scene.render.image_settings, file_format)
    whole = pixels_of(rendered(scene, tmp_path / f"whole.{suffix}"))
    render = scene.render
    render.use_border, render.use_crop_to_border = True, crop
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.13, 0.71, 0.27, 0.9
    part = pixels_of(rendered(scene, tmp_path / f"part.{suffix}"))
    region = (slice(32 - 28, 32 - 8), slice(8, 45))  # of 64 x 32 pixels; rows from the top
    if not crop:
        outside = np.ones(part.shape[:2], bool)
        outside[region] = False
        assert not part[outside].any()
        part = part[region]
    np.testing.assert_array_equal(part, whole[region])


def pixels_of(path: Path) -> np.ndarray:
    """What a picture shows, (H, W, 3); of a multilayer EXR, the combined pass."""
    if path.suffix == ".exr":
        channels = read_exr(path)
        return np.stack([channels[f"ViewLayer.Combined.{letter}"] for letter in "RGB"], axis=2)
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))


def test_each_eye_gets_its_own_panorama(house: Any, engine_scene: Any, tmp_path: Path) -> None:
    """Spherical stereo: the cloud as each eye sees it, through the same painter as one eye alone."""
    scene, splatting, stereo = engine_scene, house("core.render.splatting"), house("core.render.stereo")
    in_stereo(scene, "STEREO_3D")
    eyes = scene.camera.data.stereo
    eyes.use_spherical_stereo, eyes.convergence_mode, eyes.interocular_distance = True, "PARALLEL", 0.5
    house("scene.app.versions").set_output(scene.render.image_settings, "OPEN_EXR_MULTILAYER")
    scene.render.image_settings.color_depth = "32"
    rendered(scene, tmp_path / "eyes.exr")
    pose = house("scene.camera.camera_path").pose(scene.view_layers[0].depsgraph)
    cloud = house("scene.cache.cache_objects").evaluated_points(scene.view_layers[0].depsgraph)
    depths = []
    for suffix, offset in (("L", -0.25), ("R", 0.25)):
        seen = stereo.seen_by(stereo.Eye(offset), cloud.points, pose)
        frame = splatting.splat(seen, cloud.colours, pose, 64, near=scene.pantheon360.near)
        channels = read_exr(tmp_path / f"eyes_0001_{suffix}.exr")
        depths.append(next(pixels for name, pixels in channels.items() if "Depth" in name))
        np.testing.assert_array_equal(depths[-1], frame.depth)
    assert (depths[0] != depths[1]).mean() > 0.1


def test_each_camera_of_a_multi_view_scene_renders_its_own_view(house: Any, engine_scene: Any, tmp_path: Path) -> None:
    scene = engine_scene
    house("scene.app.versions").set_output(scene.render.image_settings, "PNG")
    left = scene.camera
    left.name = "Camera_L"
    right = left.copy()
    right.animation_data_clear()
    right.name, right.location = "Camera_R", (0.5, 1.0, 1.2)
    scene.collection.objects.link(right)
    alone = []
    for camera in (left, right):
        scene.camera = camera
        alone.append(pixels_of(rendered(scene, tmp_path / f"{camera.name}.png")))
    in_stereo(scene, "MULTIVIEW")
    scene.camera = left
    rendered(scene, tmp_path / "views.png")
    for suffix, expected_picture in zip("LR", alone, strict=True):
        found = pixels_of(tmp_path / f"views_0001_{suffix}.png")
        np.testing.assert_array_equal(found, expected_picture)
    assert (alone[0] != alone[1]).any()


def in_stereo(scene: Any, views_format: str) -> None:
    scene.render.use_multiview = True
    scene.render.views_format = views_format
    scene.render.image_settings.views_format = "INDIVIDUAL"


def test_set_up_rendering_keeps_the_captures_colours(
    house: Any, shot_scene: Any, expected: Any, tmp_path: Path
) -> None:
    """Blender's default view transform would wash them out; what it was is said."""
    import bpy
    from PIL import Image

    scene, view = shot_scene, shot_scene.view_settings
    view.view_transform, view.look, view.exposure = "AgX", "None", 0.5
    scene.render.dither_intensity = 0
    engine, transform = house("scene.render.render_engine"), house("scene.render.view_transform")
    assert bpy.ops.pantheon360.set_up_rendering.poll()
    told = engine.set_up(scene)
    assert "Standard" in told and "AgX with exposure 0.5" in told
    assert transform.is_plain(scene) and engine.is_set_up(scene) and engine.set_up(scene) == ""
    house("scene.app.versions").set_output(scene.render.image_settings, "PNG")
    _, draft = expected(scene)
    np.testing.assert_array_equal(pixels_of(rendered(scene, tmp_path / "plain.png")), draft)
    assert Image.open(tmp_path / "plain_0001.png").size == (64, 32)


def test_a_view_transform_that_changes_colours_is_told(
    engine_scene: Any, house: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    house("scene.app.versions").set_output(engine_scene.render.image_settings, "PNG")
    rendered(engine_scene, tmp_path / "plain.png")
    assert "view transform" not in "".join(capfd.readouterr())
    engine_scene.view_settings.view_transform = "AgX"
    rendered(engine_scene, tmp_path / "agx.png")
    assert "The view transform AgX changes the captures' colors" in "".join(capfd.readouterr())


def test_rendered_shading_shows_the_panorama_in_the_cameras_frame(
    house: Any, engine_scene: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the camera, a viewport that just holds its frame is filled by what F12 renders at that size."""
    scene, module = engine_scene, house("scene.render.rendered_view")
    drawn: list[tuple[Any, Any, float, float]] = []
    painted: list[np.ndarray] = []
    monkeypatch.setattr(module, "draw_texture_2d", lambda *given: drawn.append(given))
    monkeypatch.setattr(module, "_texture", lambda picture: picture)
    depsgraph = scene.view_layers[0].depsgraph
    draft = house("core.render.draft").DraftPainter
    captures = [
        house("scene.captures.capture_objects").load(obj) for obj in scene.objects if obj.pantheon360.is_capture
    ]

    def paint(cloud: Any, pose: np.ndarray, width: int) -> np.ndarray:
        frame = house("scene.render.geometry_pass").footprint_frame(cloud, pose, width, scene.pantheon360.near)
        painted.append(draft(captures, width).paint(frame, pose))
        return painted[-1]

    view = module.RenderedView()
    view.draw(through_camera(scene, 64, 32), depsgraph, paint)
    picture, corner, width, height = drawn[0]
    np.testing.assert_allclose((*corner, width, height), (0, 0, 64, 32), atol=1e-3)
    np.testing.assert_array_equal(picture, expected(scene)[1])
    view.draw(through_camera(scene, 64, 32), depsgraph, paint)
    assert len(painted) == 1
    view.draw(through_camera(scene, 32, 16), depsgraph, paint)
    assert painted[1].shape == (16, 32, 3)
    scene.frame_set(4)
    view.draw(through_camera(scene, 32, 16), depsgraph, paint)
    assert (painted[2] != painted[1]).any()


def through_camera(scene: Any, width: int, height: int) -> Any:
    """What a viewport's drawing is given, for a region of that size that the camera's frame just fills."""
    from types import SimpleNamespace

    camera = scene.camera
    depsgraph = scene.view_layers[0].depsgraph
    window = camera.calc_matrix_camera(depsgraph, x=width, y=height)
    looking = SimpleNamespace(
        view_perspective="CAMERA", perspective_matrix=window @ camera.matrix_world.normalized().inverted()
    )
    return SimpleNamespace(scene=scene, region=SimpleNamespace(width=width, height=height), region_data=looking)

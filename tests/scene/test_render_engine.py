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
    assert 0.05 < geometry.coverage.mean() < 0.95


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

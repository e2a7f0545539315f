"""A capture's sRGB byte values come back unchanged, whichever way they leave.

The capture has every value in every channel, and no colour twice, so that any conversion, resampling, rounding or
mixing shows. It stands in a closed room of its own geometry: each of its pixels becomes one cache point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("bpy", reason="needs Blender as a Python module")

WIDTH, HEIGHT = 256, 128
House = Callable[[str], ModuleType]


def every_byte() -> np.ndarray:
    """(128, 256, 3) uint8: all 32768 colours differ and each channel has all 256 values."""
    red, green, blue = np.meshgrid(np.arange(256), np.arange(128), [0], indexing="ij")
    colours = np.stack([red, 2 * green + red % 2, (red * 7 + green * 13 + blue) % 256], axis=-1).reshape(-1, 3)
    shuffled = np.random.default_rng(5).permutation(colours)
    return shuffled.reshape(HEIGHT, WIDTH, 3).astype(np.uint8)


def as_numbers(colours: np.ndarray) -> np.ndarray:
    """(..., 3) bytes as one number a colour."""
    return colours.astype(np.int64) @ (65536, 256, 1)


def test_the_picture_puts_every_byte_to_the_test() -> None:
    picture = every_byte()
    assert len(np.unique(as_numbers(picture))) == WIDTH * HEIGHT
    assert all(len(np.unique(picture[..., channel])) == 256 for channel in range(3))


@pytest.fixture(scope="module")
def _room(extension: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved file: the capture in a cube of 6 m, projected; a camera from the capture to another place in 3 frames."""
    import bpy
    from PIL import Image

    folder = tmp_path_factory.mktemp("colours")
    Image.fromarray(every_byte()).save(folder / "bytes.png")
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene = bpy.context.scene
    assert bpy.ops.pantheon360.import_captures(directory=str(folder), files=[{"name": "bytes.png"}]) == {"FINISHED"}
    (capture,) = [obj for obj in scene.objects if obj.pantheon360.is_capture]
    capture.pantheon360.nadir = 0.0
    bpy.ops.mesh.primitive_cube_add(size=6.0, location=capture.location)
    bpy.context.object.pantheon360.is_geometry = True
    scene.pantheon360.width = scene.pantheon360.projection_width = WIDTH
    scene.pantheon360.own_pixels = False  # points keep bytes from wherever they are seen
    scene.frame_start, scene.frame_end = 1, 3
    scene.pantheon360.match_orientation = True
    assert bpy.ops.pantheon360.project_captures() == {"FINISHED"}
    assert bpy.ops.pantheon360.set_path_ends() == {"FINISHED"}
    scene.camera.location.x += 0.7
    scene.camera.keyframe_insert("location", frame=3)
    scene.frame_set(1)
    blend = folder / "room.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    return blend


@pytest.fixture
def room(_room: Path, tmp_path: Path, house: House) -> Iterator[Any]:
    import bpy

    bpy.ops.wm.open_mainfile(filepath=str(_room))
    scene = bpy.context.scene
    scene.pantheon360.jobs_folder = str(tmp_path / "jobs")
    yield scene
    house("scene.app.backend_process").stop_shared()


def only_job(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "jobs").iterdir()
    return folder


def picture_of(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path))


def test_the_cache_holds_the_bytes(room: Any, house: House) -> None:
    import bpy

    cloud = house("scene.cache.cache_objects").evaluated_points(bpy.context.evaluated_depsgraph_get())
    np.testing.assert_array_equal(cloud.colours.reshape(HEIGHT, WIDTH, 3), every_byte())


def test_a_cache_that_was_edited_and_saved_holds_the_bytes(room: Any, house: House, tmp_path: Path) -> None:
    """Edit Mode rebuilds the mesh, the file stores it, a modifier makes it anew."""
    import bpy

    bpy.context.view_layer.objects.active = room.pantheon360.cache
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.transform.translate(value=(0.0, 0.0, 1.0))
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edited.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "edited.blend"))
    cloud = house("scene.cache.cache_objects").evaluated_points(bpy.context.evaluated_depsgraph_get())
    np.testing.assert_array_equal(cloud.colours.reshape(HEIGHT, WIDTH, 3), every_byte())


def test_from_photograph_to_frame_no_byte_changes(room: Any, tmp_path: Path) -> None:
    """Geometry pass, painted frame, and the strip rendered through the sequencer of the results scene."""
    import bpy

    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    job = only_job(tmp_path)
    known = as_numbers(every_byte()).ravel()
    for frame in (1, 2, 3):
        for kind in ("geometry", "footprint"):
            seen = picture_of(job / kind / f"{frame:06d}.png")
            covered = seen[..., 3] == 255
            assert ((seen[..., 3] == 0) | covered).all() and covered.mean() > 0.5
            assert np.isin(as_numbers(seen[covered][:, :3]), known).all(), "a colour that no pixel of the capture has"
            if kind == "footprint":
                painted = picture_of(job / "frames" / f"{frame:06d}.png")
                np.testing.assert_array_equal(painted[covered], seen[covered][:, :3])
    at_the_capture = picture_of(job / "geometry" / "000001.png")
    assert (at_the_capture[..., 3] == 255).all()
    np.testing.assert_array_equal(at_the_capture[..., :3], every_byte())
    (results,) = [scene for scene in bpy.data.scenes if scene.get("pantheon360_results")]
    for frame in (1, 3):
        painted = picture_of(job / "frames" / f"{frame:06d}.png")
        np.testing.assert_array_equal(rendered(results, frame, tmp_path), painted)


def test_at_a_capture_surfaces_show_its_bytes(room: Any, tmp_path: Path) -> None:
    import bpy

    room.pantheon360.own_pixels = True
    room.frame_end = 1
    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    painted = picture_of(only_job(tmp_path) / "frames" / "000001.png")
    assert np.abs(painted.astype(int) - every_byte()).max() <= 1


def rendered(scene: Any, frame: int, folder: Path) -> np.ndarray:
    """A frame of a scene as a person exports it: 8-bit RGB PNG; nothing else of the scene is set."""
    import bpy

    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"
    scene.frame_start = scene.frame_end = frame
    scene.render.filepath = str(folder / "export_")
    bpy.ops.render.render(animation=True, scene=scene.name)
    return picture_of(folder / f"export_{frame:04d}.png")


def set_up_engine(scene: Any, house: House) -> None:
    house("scene.render.render_engine").set_up(scene)
    scene.view_settings.view_transform = "Standard"
    scene.render.dither_intensity = 0.0


def test_the_engines_picture_is_the_painted_frame(room: Any, house: House, tmp_path: Path) -> None:
    """Blender's own render of a frame and the backend's painting of it are the same bytes."""
    import bpy

    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    set_up_engine(room, house)
    for frame in (1, 2, 3):
        painted = picture_of(only_job(tmp_path) / "frames" / f"{frame:06d}.png")
        np.testing.assert_array_equal(rendered(room, frame, tmp_path), painted)


@pytest.mark.parametrize("frame", [1, 2, 3])
def test_the_engines_geometry_pass_is_that_of_the_job(room: Any, house: House, tmp_path: Path, frame: int) -> None:
    """Through Blender's compositor into a PNG, beside what the job folder has of the same frame."""
    import bpy

    assert bpy.ops.pantheon360.render_geometry(use_engine=True) == {"FINISHED"}
    set_up_engine(room, house)
    show_pass(room, "Geometry")
    found = rendered(room, frame, tmp_path)
    job = picture_of(only_job(tmp_path) / "geometry" / f"{frame:06d}.png")
    covered = job[..., 3] == 255
    np.testing.assert_array_equal(found[covered], job[covered][:, :3])
    assert (found[~covered] == 0).all()
    if frame == 1:
        np.testing.assert_array_equal(found, every_byte())


def show_pass(scene: Any, name: str) -> None:
    """Make a pass the scene's picture, in the compositor."""
    import bpy

    if bpy.app.version >= (5, 0, 0):
        tree = bpy.data.node_groups.new("Passes", "CompositorNodeTree")
        if bpy.app.version >= (5, 3, 0):
            scene.compositor_effects.new("Passes").node_group = tree
        else:
            scene.compositing_node_group = tree
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        output = tree.nodes.new("NodeGroupOutput")
    else:
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        output = tree.nodes.new("CompositorNodeComposite")
    layers = tree.nodes.new("CompositorNodeRLayers")
    tree.links.new(layers.outputs[name], output.inputs[0])


def test_the_lossless_video_has_the_bytes(room: Any, house: House, tmp_path: Path) -> None:
    """Exactly, once its 10 bits are rounded to 8: bound 0, in a decoder of ours and in FFmpeg's."""
    import bpy

    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    job = only_job(tmp_path)
    folder = house("core.jobs.job_folder").JobFolder.open(job)
    movie = tmp_path / "lossless.mp4"
    house("scene.app.jobs").run_blocking(
        house("scene.shot.video").encode(folder, movie, house("scene.shot.video").VideoSettings(quality="LOSSLESS"))
    )
    found = decoded(movie)
    wanted = np.stack([picture_of(job / "frames" / f"{frame:06d}.png") for frame in (1, 2, 3)])
    assert len(np.unique(as_numbers(wanted))) > 30000
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(decoded_by_ffmpeg(movie), wanted)
    assert house("core.formats.spherical_video").read(movie).v2


def decoded(movie: Path) -> np.ndarray:
    """(F, H, W, 3) uint8: limited range Y'CbCr 4:4:4 of 10 bits to RGB as ITU-R BT.709 and BT.2100 write it."""
    import av

    pictures = []
    with av.open(str(movie)) as video:
        for frame in video.decode(video=0):
            assert frame.format.name == "yuv444p10le"
            assert (frame.colorspace, frame.color_range) == (1, 1), "tagged BT.709, limited range"
            y, cb, cr = (plane_of(plane, frame) for plane in frame.planes)
            luma, blue, red = (y - 64) / 876, (cb - 512) / 896, (cr - 512) / 896
            r, b = luma + 1.5748 * red, luma + 1.8556 * blue
            g = (luma - 0.2126 * r - 0.0722 * b) / 0.7152
            pictures.append(np.rint(np.clip(np.stack([r, g, b], axis=-1), 0, 1) * 255).astype(np.uint8))
    return np.stack(pictures)


def decoded_by_ffmpeg(movie: Path) -> np.ndarray:
    import av

    with av.open(str(movie)) as video:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])


def plane_of(plane: Any, frame: Any) -> np.ndarray:
    rows = np.frombuffer(bytes(plane), "<u2").reshape(-1, plane.line_size // 2)
    return rows[: frame.height, : frame.width].astype(float)


def test_the_video_strip_shows_the_frames(room: Any, tmp_path: Path) -> None:
    """The strip that Video makes is 4:2:0 and visually lossless, made for players: gradients come back within 8 levels.

    Measured in 4.5, 5.0 and 5.2: at most 6, 0.91 on average. A wrong range or matrix is 10 and more off.
    """
    import bpy

    room.pantheon360.strip_source = "VIDEO"
    assert bpy.ops.pantheon360.render_geometry() == {"FINISHED"}
    job = only_job(tmp_path)
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH]
    soft = np.stack([u * 255 / WIDTH, v * 255 / HEIGHT, 255 - u * 255 / WIDTH], axis=-1).astype(np.uint8)
    from PIL import Image

    (job / "frames").mkdir()
    for frame in (1, 2, 3):
        Image.fromarray(soft).save(job / "frames" / f"{frame:06d}.png")
    assert bpy.ops.pantheon360.resume() == {"FINISHED"}
    (results,) = [scene for scene in bpy.data.scenes if scene.get("pantheon360_results")]
    found = rendered(results, 2, tmp_path).astype(int)
    error = np.abs(found - soft)[:, 2:-2]
    assert error.max() <= 8 and error.mean() < 1, (error.max(), error.mean())

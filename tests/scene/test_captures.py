"""Captures: poses follow the artist, levelling turns what it says, every file becomes an object or a clear error."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests import large_picture
from tests.scene.conftest import photograph

House = Callable[[str], ModuleType]

GPANO = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" {}/></rdf:RDF></x:xmpmeta>'
)


def _photograph(path: Path, size: tuple[int, int] = (64, 32), gps: tuple[float, ...] = (), **gpano: object) -> Path:
    """A JPEG or PNG with GPano attributes and, for JPEG, a GPS place (latitude, longitude[, altitude])."""
    colours = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    options: dict[str, Any] = {}
    if gpano:
        packet = GPANO.format(" ".join(f'GPano:{name}="{value}"' for name, value in gpano.items()))
        chunks = PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", packet)
        options |= {"pnginfo": chunks} if path.suffix == ".png" else {"xmp": packet.encode()}
    if gps:
        exif = Image.Exif()
        place = {1: "N" if gps[0] >= 0 else "S", 2: _dms(gps[0]), 3: "E" if gps[1] >= 0 else "W", 4: _dms(gps[1])}
        if len(gps) > 2:
            place |= {5: b"\0", 6: gps[2]}
        exif[0x8825] = place
        options["exif"] = exif
    Image.fromarray(colours).save(path, **options)
    return path


def _dms(degrees: float) -> tuple[float, float, float]:
    degrees = abs(degrees)
    minutes = (degrees % 1) * 60
    return float(int(degrees)), float(int(minutes)), (minutes % 1) * 60


@pytest.fixture
def imported(house: House, blend: Any) -> Callable[..., tuple[list[Any], list[str]]]:
    """Import files; returns the objects and the warnings."""

    def run(*paths: Path) -> tuple[list[Any], list[str]]:
        warnings: list[str] = []
        job = house("scene.captures.capture_objects").import_files(blend, paths, warnings.append)
        return house("scene.app.jobs").run_blocking(job), warnings

    return run


@pytest.fixture
def capture(house: House, blend: Any) -> Any:
    image = house("scene.captures.images").from_array("photo", np.zeros((16, 32, 3), np.uint8))
    return house("scene.captures.capture_objects").create(blend, "capture", image, (1.0, 2.0, 3.0))


def _looks(pose: np.ndarray) -> np.ndarray:
    return -pose[:3, 2]


def test_a_capture_heads_north_and_stands_upright(house: House, capture: Any) -> None:
    pose = house("scene.captures.capture_objects").pose(capture)
    np.testing.assert_allclose(pose[:3, 3], (1, 2, 3))
    np.testing.assert_allclose(_looks(pose), (0, 1, 0), atol=1e-6)
    np.testing.assert_allclose(pose[:3, 1], (0, 0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("axis", "image_centre", "right"),
    [
        ("yaw", (math.sin(0.3), math.cos(0.3), 0), (math.cos(0.3), -math.sin(0.3), 0)),
        ("pitch", (0, math.cos(0.3), math.sin(0.3)), (1, 0, 0)),
        ("roll", (0, 1, 0), (math.cos(0.3), 0, -math.sin(0.3))),
    ],
)
def test_levelling_turns_what_it_says_and_leaves_the_transform(
    house: House, capture: Any, axis: str, image_centre: tuple[float, ...], right: tuple[float, ...]
) -> None:
    before = capture.matrix_world.copy()
    setattr(capture.pantheon360, axis, 0.3)
    pose = house("scene.captures.capture_objects").pose(capture)
    np.testing.assert_allclose(_looks(pose), image_centre, atol=1e-6)
    np.testing.assert_allclose(pose[:3, 0], right, atol=1e-6)
    assert capture.matrix_world == before


def test_parents_scale_and_animation_are_honoured(house: House, blend: Any, capture: Any) -> None:
    import bpy

    parent = bpy.data.objects.new("parent", None)
    blend.collection.objects.link(parent)
    parent.location, parent.scale = (10, 0, 0), (2, 2, 2)
    capture.parent = parent
    for frame, yaw in ((1, 0.0), (11, 1.0)):
        capture.pantheon360.yaw = yaw
        capture.pantheon360.keyframe_insert("yaw", frame=frame)
    blend.frame_set(11)
    pose = house("scene.captures.capture_objects").pose(capture, bpy.context.evaluated_depsgraph_get())
    np.testing.assert_allclose(pose[:3, 3], (12, 4, 6), atol=1e-5)
    np.testing.assert_allclose(_looks(pose), (math.sin(1), math.cos(1), 0), atol=1e-5)
    np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-6)


def test_the_preview_shows_each_direction_where_the_pose_says(house: House, blend: Any, capture: Any) -> None:
    """Independent oracle: a sphere vertex's direction, in the capture's own frame, is where its UV looks."""
    import bpy

    levelling = {"yaw": 0.4, "pitch": -0.2, "roll": 0.7}
    for name, value in levelling.items():
        setattr(capture.pantheon360, name, value)
    bpy.context.view_layer.update()
    (sphere,) = capture.children
    mesh = sphere.data
    world = np.array(sphere.matrix_world)
    to_camera = np.linalg.inv(house("scene.captures.capture_objects").pose(capture))
    checked = 0
    for loop in list(mesh.loops)[::97]:
        vertex = world @ (*mesh.vertices[loop.vertex_index].co, 1.0)
        x, y, z = (to_camera @ vertex)[:3] / 0.5
        u, v = mesh.uv_layers[0].uv[loop.index].vector
        if abs(y) < 0.99:
            longitude = math.atan2(x, -z)
            assert abs(math.remainder(longitude - (u - 0.5) * 2 * math.pi, 2 * math.pi)) < 1e-4
            checked += 1
        assert abs(math.asin(max(-1, min(1, y))) - (v - 0.5) * math.pi) < 2e-3
    assert checked > 200
    assert sum(face.normal.dot(face.center) < 0 for face in mesh.polygons) > 0.99 * len(mesh.polygons)


def test_the_preview_can_be_switched_off_and_is_in_nobodys_way(house: House, capture: Any) -> None:
    (sphere,) = capture.children
    assert sphere.hide_select and sphere.hide_render and not sphere.visible_shadow and not sphere.hide_viewport
    capture.pantheon360.show_preview = False
    assert sphere.hide_viewport
    capture.pantheon360.show_preview = True
    assert not sphere.hide_viewport and list(capture.children) == [sphere]


def test_a_preview_goes_with_its_capture(house: House, capture: Any) -> None:
    import bpy

    bpy.data.objects.remove(capture)
    house("scene.captures.preview_sphere").sync_previews()
    assert not [obj for obj in bpy.data.objects if "Preview" in obj.name]


def test_a_duplicated_capture_gets_a_preview_of_its_own(house: House, blend: Any, capture: Any) -> None:
    copy = capture.copy()
    blend.collection.objects.link(copy)
    house("scene.captures.preview_sphere").sync_previews()
    house("scene.captures.preview_sphere").sync_previews()
    (sphere,), (first,) = copy.children, capture.children
    assert sphere != first and sphere.name in blend.objects
    assert {driver.driver.variables[0].targets[0].id for driver in sphere.animation_data.drivers} == {copy}


def test_a_deleted_capture_that_is_still_chosen_as_an_end_gets_no_preview(
    house: House, blend: Any, capture: Any
) -> None:
    import bpy

    blend.pantheon360.start_capture = capture
    for collection in capture.users_collection:
        collection.objects.unlink(capture)
    house("scene.captures.preview_sphere").sync_previews()
    house("scene.captures.preview_sphere").sync_previews()
    assert not [obj for obj in bpy.data.objects if "Preview" in obj.name]


def test_mask_and_nadir_make_pixels_invalid(house: House, capture: Any) -> None:
    captures, images = house("scene.captures.capture_objects"), house("scene.captures.images")
    assert captures.load(capture).valid is None
    mask = np.zeros((40, 40), np.uint8)
    mask[:, :20] = 255
    capture.pantheon360.mask = images.from_array("mask", mask)
    capture.pantheon360.nadir = 0.25
    expected = np.zeros((16, 32), bool)
    expected[:12, 16:] = True
    assert np.array_equal(captures.load(capture).valid, expected)


def test_gpano_gives_heading_to_the_object_and_the_rest_to_levelling(
    house: House, imported: Any, tmp_path: Path
) -> None:
    path = _photograph(
        tmp_path / "Ünïcode 空 street.jpg",
        ProjectionType="equirectangular",
        PoseHeadingDegrees=90,
        PosePitchDegrees=10,
        PoseRollDegrees=-5,
    )
    (obj,), warnings = imported(path)
    settings = obj.pantheon360
    np.testing.assert_allclose(obj.rotation_euler, (math.pi / 2, 0, -math.pi / 2), atol=1e-6)
    assert math.degrees(settings.pitch) == pytest.approx(10, abs=1e-4)
    assert math.degrees(settings.roll) == pytest.approx(-5, abs=1e-4)
    expected = house("core.panorama.cameras").rotation_from_heading(90, 10, -5)
    np.testing.assert_allclose(house("scene.captures.capture_objects").pose(obj)[:3, :3], expected, atol=1e-6)
    assert settings.source_path == str(path) and not warnings
    assert obj.location.z == pytest.approx(2.0)


def test_places_become_metres_from_the_first(imported: Any, tmp_path: Path) -> None:
    first = _photograph(tmp_path / "first.jpg", gps=(48.0, 2.0, 100.0))
    # One second of latitude is 30.9 m, of longitude at 48° north 20.7 m.
    second = _photograph(tmp_path / "second.jpg", gps=(48.0 + 1 / 3600, 2.0 + 1 / 3600, 101.0))
    (one, two), warnings = imported(first, second)
    np.testing.assert_allclose(one.location, (0, 0, 2), atol=0.01)
    np.testing.assert_allclose(two.location, (20.7, 30.9, 3.0), atol=0.1)
    assert not warnings


def test_captures_imported_later_go_where_the_first_ones_say(imported: Any, tmp_path: Path) -> None:
    first = _photograph(tmp_path / "first.jpg", gps=(48.0, 2.0))
    (one,), _ = imported(first)
    one.location.x += 100
    (two,), _ = imported(_photograph(tmp_path / "second.jpg", gps=(48.0 + 1 / 3600, 2.0)))
    np.testing.assert_allclose(two.location, (100, 30.9, 2), atol=0.1)


def test_altitudes_that_no_street_has_are_left_out(imported: Any, tmp_path: Path) -> None:
    files = [_photograph(tmp_path / f"{z}.jpg", gps=(48.0 + z / 3600e3, 2.0, 100.0 + z)) for z in (0, 40)]
    (one, two), warnings = imported(*files)
    assert one.location.z == two.location.z == pytest.approx(2.0)
    assert any("altitude" in text for text in warnings)


def test_captures_without_a_place_do_not_lie_on_each_other(imported: Any, tmp_path: Path) -> None:
    (one, two), warnings = imported(_photograph(tmp_path / "a.png"), _photograph(tmp_path / "b.png"))
    assert (one.location - two.location).length > 1
    assert any("a.png, b.png" in text for text in warnings)


def test_a_file_imported_twice_shares_its_image(imported: Any, tmp_path: Path) -> None:
    path = _photograph(tmp_path / "same.jpg")
    (one,), _ = imported(path)
    (two,), _ = imported(path)
    assert one != two and one.pantheon360.image == two.pantheon360.image


def test_a_partial_panorama_is_padded_and_masked(house: House, imported: Any, tmp_path: Path) -> None:
    path = _photograph(
        tmp_path / "part.png",
        (32, 16),
        FullPanoWidthPixels=64,
        FullPanoHeightPixels=32,
        CroppedAreaImageWidthPixels=32,
        CroppedAreaImageHeightPixels=16,
        CroppedAreaLeftPixels=16,
        CroppedAreaTopPixels=4,
    )
    (obj,), _ = imported(path)
    (again,), _ = imported(path)
    loaded = house("scene.captures.capture_objects").load(obj)
    assert loaded.image.shape == (32, 64, 3)
    assert np.array_equal(loaded.image[4:20, 16:48], np.asarray(Image.open(path)))
    expected = np.zeros((32, 64), bool)
    expected[4:20, 16:48] = True
    assert np.array_equal(loaded.valid, expected)
    assert again.pantheon360.image == obj.pantheon360.image


def test_whether_a_photograph_is_whole_is_asked_once(
    house: House, imported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_headers = house("core.formats.image_headers")
    asked: list[Path] = []
    read = image_headers.read
    monkeypatch.setattr(image_headers, "read", lambda *given: (asked.append(given[2]), read(*given))[1])
    imported(_photograph(tmp_path / "a.jpg", (512, 256)))
    house("scene.sources.import_files").decoded(tmp_path / "a.jpg")
    assert asked == [tmp_path / "a.jpg"] * 4  # by each once for what it says, once for how it wants to be shown
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:20000])
    with pytest.raises(house("core.errors").ImageError, match=r"a\.jpg is cut off"):
        house("scene.sources.import_files").decoded(tmp_path / "a.jpg")


def test_files_that_are_no_panorama_are_refused_by_name(house: House, imported: Any, tmp_path: Path) -> None:
    import bpy

    files = {
        "square.png": "twice as wide as high",
        "tiny.png": "too small",
        "one.png": "twice as wide as high",
        "empty.jpg": "empty",
        "words.png": "",
        "cut.jpg": "damaged|cut off",
        "cut.png": "",
        "missing.jpg": "does not exist",
        "clip.insv": "Insta360",
        "clip.mp4": "frames",
    }
    Image.new("RGB", (64, 64)).save(tmp_path / "square.png")
    Image.new("RGB", (4, 2)).save(tmp_path / "tiny.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.png").write_text("not an image")
    for name in ("clip.insv", "clip.mp4"):
        (tmp_path / name).write_bytes(b"moving pictures")
    for name in ("cut.jpg", "cut.png"):
        _photograph(tmp_path / name, (512, 256))
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:20000])
    errors = house("core.errors")
    for name, reason in files.items():
        with pytest.raises(errors.PantheonError, match=rf"(?s){name}.*({reason})"):
            imported(tmp_path / name)
    assert not bpy.data.images and not bpy.data.objects


def test_good_files_are_imported_beside_bad_ones(house: House, imported: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").touch()
    (obj,), warnings = imported(tmp_path / "bad.jpg", _photograph(tmp_path / "good.jpg"))
    assert obj.name == "good" and any("bad.jpg" in text for text in warnings)


def test_cancelling_an_import_leaves_nothing(house: House, blend: Any, tmp_path: Path) -> None:
    import bpy

    job = house("scene.captures.capture_objects").import_files(
        blend, [_photograph(tmp_path / f"{i}.png") for i in range(3)]
    )
    next(job)
    next(job)
    job.close()
    assert not bpy.data.images and not bpy.data.objects


def test_the_operator_imports_and_selects(house: House, blend: Any, tmp_path: Path) -> None:
    import bpy

    for name in ("a.png", "b.png"):
        _photograph(tmp_path / name)
    names = [{"name": "a.png"}, {"name": "b.png"}]
    assert bpy.ops.pantheon360.import_captures(directory=str(tmp_path), files=names) == {"FINISHED"}
    assert [obj.name for obj in house("scene.captures.capture_objects").in_scene(blend)] == ["a", "b"]
    assert {obj.name for obj in bpy.context.selected_objects} == {"a", "b"}
    with pytest.raises(RuntimeError, match=r"nowhere\.jpg"):
        bpy.ops.pantheon360.import_captures(filepath=str(tmp_path / "nowhere.jpg"))


def test_a_folder_stands_for_its_photographs(house: House, blend: Any, tmp_path: Path) -> None:
    """The file browser gives the folder that it shows where no file was chosen."""
    import bpy

    (tmp_path / "photographs").mkdir()
    for name in ("b.PNG", "a.png", ".hidden.png"):
        _photograph(tmp_path / "photographs" / name)
    (tmp_path / "photographs" / "notes.txt").write_text("none of them")
    folder = f"{tmp_path / 'photographs'}/"
    assert bpy.ops.pantheon360.import_captures(filepath=folder, directory=folder) == {"FINISHED"}
    assert [obj.name for obj in house("scene.captures.capture_objects").in_scene(blend)] == ["a", "b"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(RuntimeError, match="empty has no photographs"):
        bpy.ops.pantheon360.import_captures(filepath=str(tmp_path / "empty"))


def test_importing_leaves_edit_mode_and_minds_excluded_collections(house: House, blend: Any, tmp_path: Path) -> None:
    import bpy

    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    for name in ("a.png", "b.png"):
        _photograph(tmp_path / name)
    assert bpy.ops.pantheon360.import_captures(filepath=str(tmp_path / "a.png")) == {"FINISHED"}
    assert [obj.name for obj in bpy.context.selected_objects] == ["a"]
    assert {obj.mode for obj in blend.objects} == {"OBJECT"}
    bpy.context.view_layer.layer_collection.children["Captures"].exclude = True
    assert bpy.ops.pantheon360.import_captures(filepath=str(tmp_path / "b.png")) == {"FINISHED"}
    assert [obj.name for obj in house("scene.captures.capture_objects").in_scene(blend)] == ["a", "b"]


@pytest.mark.parametrize("wanted", [True, False])
def test_photographs_beside_a_saved_file_move_with_it(wanted: bool, imported: Any, tmp_path: Path) -> None:
    import bpy

    preferences = bpy.context.preferences.filepaths
    before, preferences.use_relative_paths = preferences.use_relative_paths, wanted
    path = _photograph(tmp_path / "a.png")
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
        (first,), _ = imported(path)
        (again,), _ = imported(path)
    finally:
        preferences.use_relative_paths = before
    assert first.pantheon360.image == again.pantheon360.image
    assert first.pantheon360.image.filepath == ("//a.png" if wanted else str(path))


@pytest.mark.parametrize("name", ["a.insp", "A.INSV", "a.360"])
def test_a_cameras_raw_recording_is_refused_with_advice(name: str, blend: Any, tmp_path: Path) -> None:
    import bpy

    _photograph(tmp_path / "a.jpg").rename(tmp_path / name)
    with pytest.raises(RuntimeError, match=r"Export it as .* with (Insta360 Studio|GoPro Player)"):
        bpy.ops.pantheon360.import_captures(filepath=str(tmp_path / name))
    assert not bpy.data.images and not blend.objects


def test_a_photograph_of_16000_x_8000_is_read_small(house: House, imported: Any, tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="memory is measured on Unix")
    from tests.process_memory import grows_less_than

    row = np.zeros((16000, 3), np.uint8)
    row[:, 0] = np.arange(16000) // 63
    large_picture.write(tmp_path / "large.png", row, 8000)
    as_floats = 16000 * 8000 * 4 * 4
    with grows_less_than(as_floats):
        (obj,), _ = imported(tmp_path / "large.png")
        loaded = house("scene.captures.capture_objects").load(obj, 1024)
    expected = np.arange(1024) * 16000 / 1024 / 63
    np.testing.assert_allclose(loaded.image[256, 8:-8, 0], expected[8:-8], atol=2)


def test_photographs_stay_in_memory_while_there_is_room(
    house: House, imported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoding takes longer than anything else that is done to one."""
    files = [_photograph(tmp_path / f"{name}.png") for name in "abc"]
    with Image.open(files[0]) as file:
        monkeypatch.setattr(house("scene.captures.images"), "_DECODED", 2 * 4 * file.width * file.height)
    made, _ = imported(*files)
    assert [obj.pantheon360.image.has_data for obj in made] == [True, True, False]
    for obj in made:
        house("scene.captures.capture_objects").load(obj)
    assert [obj.pantheon360.image.has_data for obj in made] == [True, True, False]


def test_photographs_are_held_in_memory_only_while_they_are_read(
    house: House, imported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of them are gigabytes. What was made in memory stays there: it is on no disk."""
    monkeypatch.setattr(house("scene.captures.images"), "_DECODED", 0)
    made, _ = imported(_photograph(tmp_path / "a.png"), _photograph(tmp_path / "b.jpg"))
    load = house("scene.captures.capture_objects").load
    for obj in made:
        image = obj.pantheon360.image
        assert not image.has_data
        first = load(obj).image
        assert not image.has_data and image.pixels[0] >= 0 and image.has_data
        np.testing.assert_array_equal(load(obj).image, first)
        assert image.has_data, "somebody looked at it"
    packed = house("scene.captures.images").from_array("memory", np.full((16, 32, 3), 7, np.uint8))
    obj = house("scene.captures.capture_objects").create(made[0].users_scene[0], "memory", packed)
    assert (load(obj).image == 7).all() and packed.has_data


def test_meshes_of_previews_hide_where_a_shader_shows_the_photographs(house: House, blend: Any, tmp_path: Path) -> None:
    """And come back as each capture wants it: a hidden preview stays hidden."""
    captures, spheres = house("scene.captures.capture_objects"), house("scene.captures.preview_sphere")
    image = photograph(house, tmp_path / "one.png", seed=1)
    shown, hidden = (captures.create(blend, name, image, (0.0, 0.0, 1.0)) for name in ("shown", "hidden"))
    hidden.pantheon360.show_preview = False
    try:
        spheres.draw_elsewhere(True)
        later = captures.create(blend, "later", image, (0.0, 0.0, 1.0))
        assert all(spheres.find(each).hide_viewport for each in (shown, hidden, later))
    finally:
        spheres.draw_elsewhere(False)
    assert [spheres.find(each).hide_viewport for each in (shown, hidden, later)] == [False, True, False]

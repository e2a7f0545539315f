"""Captures go out as a job, poses and points come back; the artist's own work is neither lost nor done twice."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]
ROOT = Path(__file__).resolve().parents[2]
WIDTH = 128


@pytest.fixture
def street(house: House, blend: Any, tmp_path: Path) -> Any:
    """A scene with captures A and B, 2 m apart, of which B is levelled and masked."""
    import bpy

    for index, name in enumerate("AB"):
        path = tmp_path / f"{name}.png"
        colours = np.random.default_rng(index).integers(0, 256, (WIDTH // 2, WIDTH, 3), dtype=np.uint8)
        house("core.formats.png").write(path, colours)
        obj = house("scene.captures.capture_objects").create(
            blend, name, bpy.data.images.load(str(path)), (0.0, 2.0 * index, 1.5)
        )
    obj.pantheon360.nadir = 0.25
    obj.pantheon360.yaw, obj.pantheon360.pitch, obj.pantheon360.roll = 0.4, -0.1, 0.05
    blend.pantheon360.jobs_folder = str(tmp_path / "jobs")
    blend.pantheon360.reconstruction_width = WIDTH
    bpy.context.view_layer.update()
    return blend


def capture(name: str) -> Any:
    import bpy

    return bpy.data.objects[name]


def solved_pose(x: float, y: float) -> np.ndarray:
    """A pose no capture of the scene has: tilted and turned."""
    a, b = 0.3, -0.2
    turn = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, -math.sin(b), -math.cos(b)], [0, math.cos(b), -math.sin(b)]])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn @ tilt, (x, y, 1.8)
    return pose


def answered(house: House, folder: Any, registered: tuple[bool, ...] = (True, True)) -> Any:
    """What the backend leaves in a folder when it has done the job."""
    results = house("core.jobs.reconstruct_settings")
    posed = [
        results.PosedCapture(entry["name"], solved_pose(0.1, 2.5 * index), known, "" if known else "it is too dark.")
        for index, (entry, known) in enumerate(zip(folder.job.captures, registered, strict=True))
    ]
    results.write_poses(folder.output, posed, {"scale_from": "gps", "notes": ["Mind the gap."]})
    points = np.arange(30, dtype=np.float32).reshape(10, 3)
    cloud = house("core.points.point_cloud").PointCloud(
        points,
        np.full((10, 3), 77, np.uint8),
        np.linspace(0.5, 1, 10, dtype=np.float32),
        (np.arange(10) % 2).astype(np.int32),
        np.full(10, 0.02, np.float32),
    )
    cloud.save(folder.path / "cache.npz")
    (folder.path / "report.json").write_text(json.dumps({"text": "10 points.\nScale from GPS."}))
    return cloud


# Out


def test_the_folder_has_all_that_reconstruction_needs(house: House, run: Any, street: Any) -> None:
    folder = house("core.jobs.job_folder").JobFolder.open(run(house("scene.sources.reconstruct").prepare(street)).path)
    folder.verify()
    assert folder.job.kind == "reconstruct"
    settings = house("core.jobs.reconstruct_settings").ReconstructionSettings.from_json(folder.job.settings)
    assert (settings.poses, settings.dense, settings.width, settings.confidence) == ("solve", "sweep", WIDTH, 0.5)
    assert settings.camera_height == street.pantheon360.eye_height
    for written in folder.captures():
        loaded = house("scene.captures.capture_objects").load(capture(written.name))
        np.testing.assert_array_equal(written.image, loaded.image)
        np.testing.assert_allclose(written.pose, loaded.pose, atol=1e-12)
        assert (written.valid is None) == (written.name == "A")
        np.testing.assert_array_equal(written.valid, loaded.valid)


def test_gps_lies_where_the_captures_stand(house: House, street: Any) -> None:
    """100 m east at the equator is 360 x 100 / 40 075 017 degrees; the captures' own offset is kept."""
    for name, east in (("A", 0.0), ("B", 100.0)):
        settings = capture(name).pantheon360
        settings.has_position, settings.latitude, settings.longitude = True, "0.0", repr(360 * east / 40_075_016.686)
        capture(name).location = (7.0 + east, -3.0, 1.5)
        capture(name).matrix_world = capture(name).matrix_basis
    objects = house("scene.captures.capture_objects").in_scene(street)
    priors = house("scene.sources.reconstruct").priors({obj.name: obj for obj in objects})
    np.testing.assert_allclose(priors["A"]["position"], (7.0, -3.0, 1.5), atol=0.02)
    np.testing.assert_allclose(priors["B"]["position"][:2], (107.0, -3.0), atol=0.02)
    assert priors["A"]["heading"] is None


def test_one_capture_stays_where_it_is_and_its_place_is_guessed(house: House, run: Any, street: Any) -> None:
    import bpy

    bpy.data.objects.remove(capture("B"))
    reconstruct = house("scene.sources.reconstruct")
    folder = run(reconstruct.prepare(street))
    assert (folder.job.settings["poses"], folder.job.settings["dense"]) == ("given", "room_layout")
    assert folder.job.settings["camera_height"] == pytest.approx(street.pantheon360.eye_height)
    street.pantheon360.reconstruction_dense = "MONOCULAR"
    assert reconstruct.settings_of(street).dense == "monocular"
    shutil.rmtree(folder.path)


def test_one_capture_that_is_to_be_swept_is_refused_with_what_to_do(house: House, run: Any, street: Any) -> None:
    import bpy

    bpy.data.objects.remove(capture("B"))
    with pytest.raises(house("core.errors").CaptureError, match="too few") as refused:
        run(house("scene.sources.reconstruct").prepare(street, poses="given", dense="sweep"))
    assert "Import another capture" in refused.value.advice
    assert not list((Path(street.pantheon360.jobs_folder)).glob("*"))


def test_a_cancelled_preparation_leaves_no_folder(house: House, street: Any) -> None:
    job = house("scene.sources.reconstruct").prepare(street)
    next(job)
    next(job)
    job.close()
    assert not list(Path(street.pantheon360.jobs_folder).glob("*"))


def test_every_reconstructor_of_the_backend_can_be_chosen(house: House, street: Any) -> None:
    there = {path.stem for path in (ROOT / "backend/reconstruction/reconstructors").glob("[!_]*.py")}
    offered = {name for name, *_ in house("scene.app.plugin_items").reconstructors()}
    assert offered == {"SWEEP", "NONE"} | {name.upper() for name in there} and len(there) >= 6
    numbers = [number for *_, number in house("scene.app.plugin_items").reconstructors()]
    assert len(set(numbers)) == len(numbers)
    for name in offered:
        street.pantheon360.reconstruction_dense = name
        assert street.pantheon360.reconstruction_dense == name


def test_weights_are_named_absolutely_or_by_their_id(house: House, street: Any, tmp_path: Path) -> None:
    import bpy

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "street.blend"))
    settings_of = house("scene.sources.reconstruct").settings_of
    street = bpy.context.scene
    assert settings_of(street).options == {}
    street.pantheon360.reconstruction_weights = "//models/vggt"
    assert settings_of(street).options == {"weights": str(tmp_path / "models" / "vggt")}
    street.pantheon360.reconstruction_weights = "facebook/VGGT-1B"
    assert settings_of(street).options == {"weights": "facebook/VGGT-1B"}


def test_weights_are_fetched_if_the_artist_and_blender_allow_it(
    house: House, street: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconstruct = house("scene.sources.reconstruct")
    for online, asked in ((False, True), (True, False), (True, True)):
        monkeypatch.setattr(reconstruct, "is_online", lambda online=online: online)
        street.pantheon360.reconstruction_download = asked
        assert reconstruct.settings_of(street).options == ({"download": True} if online and asked else {})


def test_a_model_guesses_surfaces_if_it_is_chosen(house: House, street: Any) -> None:
    settings_of = house("scene.sources.reconstruct").settings_of
    assert settings_of(street).guess_by == "planes" and not settings_of(street).learned
    offered = {name for name, *_ in house("scene.app.plugin_items").guessers()}
    assert {"PLANES", "DA360", "DA2", "PANODAC", "MOGE"} <= offered and "ROOM_LAYOUT" not in offered
    street.pantheon360.reconstruction_guesses = "DA360"
    assert settings_of(street).guesser == "da360"
    street.pantheon360.reconstruction_complete = False
    assert not settings_of(street).learned


def test_the_best_way_follows_how_far_apart_captures_stand(house: House, street: Any) -> None:
    import bpy

    ways = house("scene.sources.reconstruct").ways
    capture("A").location, capture("B").location = (0, 0, 1.6), (2, 0, 1.6)
    bpy.context.view_layer.update()
    assert (ways(street)[0].dense, ways(street)[0].guess_by) == ("sweep", "planes")
    capture("B").location = (9, 0, 1.6)
    bpy.context.view_layer.update()
    assert ways(street)[0].dense == "sweep" and ways(street)[0].weights.studio
    assert ways(street, memory_gb=0.1)[0].guess_by == "planes", "no model fits"
    bpy.data.objects.remove(capture("B"))
    assert ways(street)[0].weights.studio and ways(street)[0].dense != "sweep"


# Back


def test_captures_get_their_poses_and_keep_their_levelling(house: House, run: Any, street: Any) -> None:
    folder = run(house("scene.sources.reconstruct").prepare(street))
    answered(house, folder)
    built = run(house("scene.sources.reconstruct").deliver(street, folder))
    depsgraph = house("scene.app.access").evaluated(street)
    for index, name in enumerate("AB"):
        pose = house("scene.captures.capture_objects").pose(capture(name), depsgraph)
        np.testing.assert_allclose(pose, solved_pose(0.1, 2.5 * index), atol=1e-5)
    settings = capture("B").pantheon360
    assert [settings.yaw, settings.pitch, settings.roll] == pytest.approx([0.4, -0.1, 0.05])
    assert built.posed == ["A", "B"] and not built.left and built.notes == ["Mind the gap."]


def test_parents_stay_and_constraints_are_told_of(house: House, run: Any, street: Any) -> None:
    import bpy

    parent = bpy.data.objects.new("Rig", None)
    street.collection.objects.link(parent)
    parent.location = (5.0, 5.0, 0.0)
    capture("A").parent = parent
    capture("B").constraints.new("LIMIT_LOCATION").use_max_z = True
    bpy.context.view_layer.update()
    folder = run(house("scene.sources.reconstruct").prepare(street))
    answered(house, folder)
    built = run(house("scene.sources.reconstruct").deliver(street, folder))
    pose = house("scene.captures.capture_objects").pose(capture("A"), house("scene.app.access").evaluated(street))
    np.testing.assert_allclose(pose, solved_pose(0.1, 0.0), atol=1e-5)
    assert capture("A").parent is parent and tuple(parent.location) == (5.0, 5.0, 0.0)
    assert any("B is held" in note for note in built.notes)


def test_what_was_not_posed_stays_and_is_named(house: House, run: Any, street: Any) -> None:
    folder = run(house("scene.sources.reconstruct").prepare(street))
    answered(house, folder, (True, False))
    before = np.array(capture("B").matrix_world)
    built = run(house("scene.sources.reconstruct").deliver(street, folder))
    assert built.left == {"B": "it is too dark."} and built.posed == ["A"]
    np.testing.assert_array_equal(np.array(capture("B").matrix_world), before)


def test_points_arrive_with_all_they_carry(house: House, run: Any, street: Any) -> None:
    folder = run(house("scene.sources.reconstruct").prepare(street))
    cloud = answered(house, folder)
    run(house("scene.sources.reconstruct").deliver(street, folder))
    cache = house("scene.cache.cache_objects")
    stored = cache.evaluated_points(house("scene.app.access").evaluated(street))
    for name in ("points", "colours", "confidence", "source", "footprint"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(cloud, name))
    assert cache.find(street)["pantheon360_report"] == "10 points.\nScale from GPS."


def test_merging_keeps_what_is_there_and_replacing_does_not(house: House, run: Any, street: Any) -> None:
    build_cache, cache = house("scene.sources.reconstruct"), house("scene.cache.cache_objects")
    folder = run(build_cache.prepare(street))
    answered(house, folder)
    run(build_cache.deliver(street, folder))
    cache.find(street).location.x = 1.0
    house("scene.app.access").evaluated(street)
    street.pantheon360.reconstruction_cache = "MERGE"
    run(build_cache.deliver(street, folder))
    merged = cache.evaluated_points(house("scene.app.access").evaluated(street)).points
    assert len(merged) == 20
    np.testing.assert_allclose(merged[:10] - merged[10:], np.tile((1.0, 0, 0), (10, 1)), atol=1e-5)
    street.pantheon360.reconstruction_cache = "REPLACE"
    run(build_cache.deliver(street, folder))
    assert len(cache.evaluated_points(house("scene.app.access").evaluated(street)).points) == 10


def test_one_undo_takes_back_poses_and_points_and_redo_brings_them_again(house: House, run: Any, street: Any) -> None:
    import bpy

    def state() -> tuple[Any, int]:
        bpy.context.view_layer.update()
        obj = house("scene.cache.cache_objects").find(bpy.context.scene)
        places = np.array([[*capture(name).matrix_world] for name in "AB"])
        return places, len(obj.data.vertices) if obj else 0

    bpy.context.preferences.edit.use_global_undo = True
    before = state()
    folder = run(house("scene.sources.reconstruct").prepare(street))
    bpy.ops.ed.undo_push(message="before")
    answered(house, folder)
    run(house("scene.sources.reconstruct").deliver(street, folder))
    bpy.ops.ed.undo_push(message="Build 3D Cache")  # what the interface pushes when the job is done
    after = state()
    assert np.abs(after[0] - before[0]).max() > 0.1 and after[1] == 10
    bpy.ops.ed.undo()
    np.testing.assert_array_equal(state()[0], before[0])
    assert state()[1] == before[1] == 0
    bpy.ops.ed.redo()
    np.testing.assert_allclose(state()[0], after[0], atol=1e-6)
    assert state()[1] == 10


def test_sources_follow_captures_that_came_meanwhile(house: House, run: Any, street: Any) -> None:
    folder = run(house("scene.sources.reconstruct").prepare(street))
    answered(house, folder)
    house("scene.captures.capture_objects").create(street, "0 earlier", capture("A").pantheon360.image)
    run(house("scene.sources.reconstruct").deliver(street, folder))
    cache = house("scene.cache.cache_objects")
    assert set(cache.evaluated_points(house("scene.app.access").evaluated(street)).source) == {1, 2}


def test_a_cache_in_edit_mode_is_not_touched_nor_are_the_captures(house: House, run: Any, street: Any) -> None:
    import bpy

    folder = run(house("scene.sources.reconstruct").prepare(street))
    answered(house, folder)
    run(house("scene.sources.reconstruct").deliver(street, folder))
    bpy.context.view_layer.objects.active = house("scene.cache.cache_objects").find(street)
    bpy.ops.object.mode_set(mode="EDIT")
    before = np.array(capture("A").matrix_world)
    capture("A").location.z += 1.0
    bpy.context.view_layer.update()
    with pytest.raises(house("core.errors").CacheError):
        run(house("scene.sources.reconstruct").deliver(street, folder))
    assert capture("A").matrix_world.translation.z == pytest.approx(before[2, 3] + 1.0)
    bpy.ops.object.mode_set(mode="OBJECT")


# Once is enough


def finished(house: House, run: Any, scene: Any) -> Any:
    """A reconstruction that was delivered, with the depth its backend left."""
    build_cache = house("scene.sources.reconstruct")
    folder = run(build_cache.prepare(scene))
    answered(house, folder)
    (folder.path / "depth").mkdir()
    for name in "AB":
        (folder.path / "depth" / f"{name}.npz").write_bytes(b"depth")
    (folder.path / "sparse.npz").write_bytes(b"sparse")
    scene[build_cache.PREVIOUS] = str(folder.path)
    run(build_cache.deliver(scene, folder))
    return folder


def taken(folder: Any) -> set[str]:
    names = {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file()}
    return names & {"poses.json", "sparse.npz", "depth/A.npz", "depth/B.npz", "cache.npz", "report.json"}


ALL = {"poses.json", "sparse.npz", "depth/A.npz", "depth/B.npz"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ALL),
        ({"reconstruction_confidence": 0.2}, ALL),
        ({"reconstruction_width": 256}, {"poses.json", "sparse.npz"}),
        ({"reconstruction_poses": "GIVEN"}, {"depth/A.npz", "depth/B.npz"}),
        ({"eye_height": 1.0}, set()),
    ],
)
def test_stages_that_would_come_out_the_same_are_taken_over(
    house: House, run: Any, street: Any, change: dict[str, Any], expected: set[str]
) -> None:
    finished(house, run, street)
    for name, value in change.items():
        setattr(street.pantheon360, name, value)
    assert taken(run(house("scene.sources.reconstruct").prepare(street))) == expected


def test_nothing_is_taken_over_once_a_capture_was_moved_or_masked(house: House, run: Any, street: Any) -> None:
    finished(house, run, street)
    capture("A").location.x += 0.5
    assert taken(run(house("scene.sources.reconstruct").prepare(street))) == set()
    capture("A").location.x -= 0.5
    capture("A").pantheon360.nadir = 0.1
    assert taken(run(house("scene.sources.reconstruct").prepare(street))) == set()


# With the backend


@pytest.mark.skipif(importlib.util.find_spec("numba") is not None, reason="this Python has what is to be missing")
def test_blenders_own_python_says_which_one_to_choose(house: House, street: Any, monkeypatch: Any) -> None:
    import bpy

    monkeypatch.delenv("PANTHEON360_BACKEND_PYTHON", raising=False)
    before = np.array(capture("A").matrix_world)
    with pytest.raises(RuntimeError, match=r"Install the engine's part Reconstruction first: it brings .*pycolmap"):
        bpy.ops.pantheon360.build_cache()
    reason = house("scene.sources.reconstruct").disabled_reason(street)
    assert reason.repair == house("core.repairs").INSTALL_ENGINE
    errors = house("core.errors")
    with pytest.raises(errors.BackendError, match=r"lacks .*pycolmap.* needed for building") as refused:
        house("scene.app.jobs").run_blocking(house("scene.sources.reconstruct").build(street))
    assert "pip install" in refused.value.advice and "PANTHEON360_BACKEND_PYTHON" in refused.value.advice
    assert not Path(street.pantheon360.jobs_folder).exists(), "before a capture is written"
    assert house("scene.cache.cache_objects").find(street) is None
    np.testing.assert_array_equal(np.array(capture("A").matrix_world), before)


@pytest.mark.skipif(importlib.util.find_spec("numba") is not None, reason="this Python has what is to be missing")
def test_the_command_line_says_the_same_and_keeps_the_file(
    house: House, street: Any, monkeypatch: Any, tmp_path: Path, capfd: Any
) -> None:
    import bpy

    monkeypatch.delenv("PANTHEON360_BACKEND_PYTHON", raising=False)
    blend = tmp_path / "street.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    before = blend.read_bytes()
    main = house("cli.command_line").main
    assert main(["reconstruct", str(blend), "--poses", "given", "--json"]) == 1
    error = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert error["code"] == "missing-package" and "numba" in error["text"] and "Backend Python" in error["advice"]
    assert main(["reconstruct", str(blend), "--width", "1000"]) == 1
    assert "multiple of 64" in capfd.readouterr().err
    assert main(["reconstruct", str(blend), "--distance", "A", "B", "far"]) == 1
    assert "'far'" in capfd.readouterr().err
    assert blend.read_bytes() == before


def test_the_environment_variable_goes_before_the_preference(house: House, monkeypatch: Any, tmp_path: Path) -> None:
    preferences = house("scene.app.preferences")
    monkeypatch.delenv("PANTHEON360_BACKEND_PYTHON", raising=False)
    assert preferences.backend_python() is None
    preferences.of_addon().backend_python = str(tmp_path / "chosen")
    try:
        assert preferences.backend_python() == tmp_path / "chosen"
        monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", str(tmp_path / "farm"))
        assert preferences.backend_python() == tmp_path / "farm"
    finally:
        preferences.of_addon().backend_python = ""


def backend_python() -> Path:
    chosen = os.environ.get("PANTHEON360_BACKEND_PYTHON")
    folder = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    return Path(chosen) if chosen else ROOT / ".environments" / "backend" / folder


@pytest.mark.skipif(not backend_python().exists(), reason="the backend's environment is not on this machine")
@pytest.mark.ends
def test_a_textured_room_becomes_points_on_its_walls(
    house: House, street: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    """A box of 4 x 6 x 3 m, drawn by tracing its walls, captures where they stand: most points lie on the box."""
    import bpy

    monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", str(backend_python()))
    for index, name in enumerate("AB"):
        obj = capture(name)
        obj.pantheon360.nadir = obj.pantheon360.yaw = obj.pantheon360.pitch = obj.pantheon360.roll = 0.0
        obj.location = (0.2 * index, 0.8 * index, 0.0)
        bpy.context.view_layer.update()
        pose = house("scene.captures.capture_objects").pose(obj)
        house("core.formats.png").write(tmp_path / f"{name}.png", room(house, pose))
        obj.pantheon360.image.reload()
    street.pantheon360.reconstruction_poses = "GIVEN"
    assert bpy.ops.pantheon360.build_cache() == {"FINISHED"}
    cache = house("scene.cache.cache_objects")
    points = cache.evaluated_points(house("scene.app.access").evaluated(street)).points
    off = np.abs(np.abs(points / HALF).max(axis=1) - 1)
    assert len(points) > 0.2 * WIDTH * WIDTH and np.median(off) < 0.03
    assert "poses as placed" in cache.find(street)["pantheon360_report"].lower()
    shutil.rmtree(tmp_path / "jobs")


@pytest.mark.skipif(not backend_python().exists(), reason="the backend's environment is not on this machine")
def test_one_photograph_becomes_its_room(house: House, street: Any, monkeypatch: Any, tmp_path: Path) -> None:
    """The same box, whose floor, walls and ceiling differ in colour: points lie on it, and it is told as guessed."""
    import bpy

    monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", str(backend_python()))
    bpy.data.objects.remove(capture("B"))
    obj = capture("A")
    obj.pantheon360.nadir = obj.pantheon360.yaw = obj.pantheon360.pitch = obj.pantheon360.roll = 0.0
    obj.location = (0.2, -0.5, street.pantheon360.eye_height - HALF[2])
    bpy.context.view_layer.update()
    pose = house("scene.captures.capture_objects").pose(obj)
    house("core.formats.png").write(tmp_path / "A.png", room(house, pose, painted=True))
    obj.pantheon360.image.reload()
    assert bpy.ops.pantheon360.build_cache() == {"FINISHED"}
    cache = house("scene.cache.cache_objects")
    points = cache.evaluated_points(house("scene.app.access").evaluated(street)).points
    off = np.abs(np.abs(points / HALF).max(axis=1) - 1)
    assert len(points) > 0.3 * WIDTH * WIDTH and np.median(off) < 0.06
    assert "guessed" in cache.find(street)["pantheon360_report"]
    shutil.rmtree(tmp_path / "jobs")


HALF = np.array([2.0, 3.0, 1.5])


def room(house: House, pose: np.ndarray, *, painted: bool = False) -> np.ndarray:
    """The panorama of a box about the origin whose walls carry smooth noise, (WIDTH / 2, WIDTH, 3) uint8.

    painted: whether floor and ceiling are of other colours than the walls.
    """
    rays = house("core.panorama.equirectangular").directions(WIDTH).astype(np.float64) @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        ranges = np.where(rays > 0, (HALF - pose[:3, 3]) / rays, (-HALF - pose[:3, 3]) / rays)
    points = pose[:3, 3] + rays * ranges.min(axis=-1, keepdims=True)
    generator = np.random.default_rng(5)
    waves = generator.normal(size=(3, 40, 3)) * 5.0
    phases = generator.uniform(0, 2 * np.pi, (3, 40))
    colour = [np.sin(points @ waves[k].T + phases[k]).sum(axis=-1) for k in range(3)]
    around = np.full((*rays.shape[:2], 1), 128.0)
    contrast = 14
    if painted:
        level = ranges.argmin(axis=-1) == 2
        around = np.where(
            level[..., None], np.where(rays[..., 2:] > 0, (170, 200, 160), (110, 70, 40)), (150, 140, 190)
        )
        contrast = 2
    return np.asarray(np.clip(around + contrast * np.stack(colour, axis=-1), 0, 255), np.uint8)

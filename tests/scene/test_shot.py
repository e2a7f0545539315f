"""A prepared shot is complete without Blender; what is generated arrives as a strip, and nothing is lost on the way."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scene.conftest import photograph


@pytest.fixture
def prepared(house: Any, run: Any, shot_scene: Any) -> Any:
    return run(house("scene.shot.shot").prepare(shot_scene))


def test_the_folder_has_all_that_painting_needs(house: Any, prepared: Any, shot_scene: Any, run: Any) -> None:
    folder = house("core.jobs.job_folder").JobFolder.open(prepared.path)
    folder.verify()
    job = folder.job
    assert (job.width, job.frames, job.painter, job.seed) == (64, [1, 2, 3, 4, 5], "draft", "0")
    assert job.fps == shot_scene.render.fps / shot_scene.render.fps_base
    assert job.name == "untitled-Scene-Camera"
    assert {"blender", "pantheon360", "numpy"} <= set(job.software)
    poses = run(house("scene.camera.camera_path").poses(shot_scene, job.frames))
    np.testing.assert_array_equal(job.cameras, poses)
    assert [(anchor["frame"], anchor["capture"]) for anchor in job.anchors] == [(1, "A"), (5, "B")]


def test_captures_arrive_byte_for_byte(house: Any, prepared: Any, tmp_path: Path) -> None:
    from PIL import Image

    for capture in prepared.captures():
        original = np.asarray(Image.open(tmp_path / f"{capture.name}.png"))
        np.testing.assert_array_equal(capture.image, original)


def test_geometry_frames_are_the_splats_of_the_cache(house: Any, prepared: Any, shot_scene: Any) -> None:
    splatting = house("core.render.splatting")
    cloud = house("scene.cache.cache_objects").evaluated_points(house("scene.app.access").evaluated(shot_scene))
    for frame in prepared.job.frames:
        expected = splatting.splat(cloud.points, cloud.colours, prepared.job.camera(frame), 64, near=0.05)
        found = prepared.read_geometry("geometry", frame)
        np.testing.assert_array_equal(found.colour, expected.colour)
        np.testing.assert_array_equal(found.depth, expected.depth)
        assert prepared.read_geometry("footprint", frame).coverage.sum() > found.coverage.sum()


@pytest.mark.parametrize("moved_by", ["keyframes", "parent", "driver", "modifier"])
def test_an_animated_cache_is_read_at_each_frame(house: Any, run: Any, shot_scene: Any, moved_by: str) -> None:
    import bpy

    cache = house("scene.cache.cache_objects").find(shot_scene)
    if moved_by == "driver":
        driver = cache.driver_add("location", 2).driver
        driver.expression = "frame"
    elif moved_by == "modifier":
        displace = cache.modifiers.new("Displace", "DISPLACE")
        cache.modifiers.move(1, 0)
        for frame, strength in ((1, 0.0), (5, 3.0)):
            displace.strength = strength
            displace.keyframe_insert("strength", frame=frame)
    else:
        moving = cache
        if moved_by == "parent":
            moving = cache.parent = bpy.data.objects.new("Parent", None)
            shot_scene.collection.objects.link(moving)
        for frame, height in ((1, 0.0), (5, 3.0)):
            moving.location.z = height
            moving.keyframe_insert("location", frame=frame)
    shot_scene.frame_set(2)
    shot_scene.pantheon360.own_pixels = True
    folder = run(house("scene.shot.shot").prepare(shot_scene))
    assert shot_scene.frame_current == 2
    assert not folder.has_ranges, "captures saw one state of it, nobody knows which"
    assert not np.array_equal(folder.read_geometry("geometry", 1).depth, folder.read_geometry("geometry", 5).depth)
    path, splatting = house("scene.camera.camera_path"), house("core.render.splatting")
    for frame in (1, 3, 5):
        cloud = house("scene.cache.cache_objects").evaluated_points(path.go_to(shot_scene, frame))
        expected = splatting.splat(cloud.points, cloud.colours, folder.job.camera(frame), 64, near=0.05)
        np.testing.assert_array_equal(folder.read_geometry("geometry", frame).colour, expected.colour)


def test_frame_step_and_negative_frames(house: Any, run: Any, shot_scene: Any) -> None:
    shot_scene.frame_start, shot_scene.frame_end, shot_scene.pantheon360.frame_step = 0, 5, 2
    assert run(house("scene.shot.shot").prepare(shot_scene)).job.frames == [0, 2, 4]
    assert run(house("scene.shot.shot").prepare(shot_scene, [-3, 1])).job.frames == [-3, 1]


def test_large_captures_are_reduced(house: Any, run: Any, shot_scene: Any, tmp_path: Path) -> None:
    import bpy

    house("core.formats.png").write(tmp_path / "large.png", np.zeros((1500, 3000, 3), np.uint8))
    for obj in house("scene.captures.capture_objects").in_scene(shot_scene):
        obj.pantheon360.image = bpy.data.images.load(str(tmp_path / "large.png"), check_existing=True)
    folder = run(house("scene.shot.shot").prepare(shot_scene, [1]))
    assert {capture.image.shape for capture in folder.captures()} == {(1024, 2048, 3)}


def test_what_captures_see_is_written_where_surfaces_show_their_pixels(
    house: Any, run: Any, shot_scene: Any, tmp_path: Path
) -> None:
    import bpy

    assert not run(house("scene.shot.shot").prepare(shot_scene, [1])).has_ranges
    shot_scene.pantheon360.own_pixels = True
    folder = run(house("scene.shot.shot").prepare(shot_scene, [1]))
    assert folder.has_ranges
    folder.verify()
    cloud = house("scene.cache.cache_objects").evaluated_points(house("scene.app.access").evaluated(shot_scene))
    for entry in folder.job.captures:
        expected = house("core.render.splatting").splat_footprints(
            cloud.points, cloud.colours, cloud.footprint, np.array(entry["pose"]), 1024, near=0.05
        )
        np.testing.assert_array_equal(folder.read_range(entry), expected.depth)
    house("core.formats.png").write(tmp_path / "large.png", np.zeros((1500, 3000, 3), np.uint8))
    for obj in house("scene.captures.capture_objects").in_scene(shot_scene):
        obj.pantheon360.image = bpy.data.images.load(str(tmp_path / "large.png"), check_existing=True)
    shot_scene.pantheon360.width = 1200
    folder = run(house("scene.shot.shot").prepare(shot_scene, [1]))
    assert {capture.image.shape for capture in folder.captures()} == {(1200, 2400, 3)}


def test_two_shots_never_share_a_folder(house: Any, run: Any, shot_scene: Any) -> None:
    one = run(house("scene.shot.shot").prepare(shot_scene, [1]))
    other = run(house("scene.shot.shot").prepare(shot_scene, [1]))
    assert one.path != other.path


def test_jobs_lie_beside_the_saved_file(house: Any, shot_scene: Any, tmp_path: Path) -> None:
    import bpy

    shot_scene.pantheon360.jobs_folder = ""
    root = house("scene.app.paths").jobs_root
    assert root(shot_scene).is_dir()  # unsaved: the extension's own folder for user data
    path = tmp_path / "Ünïcode 空 dir" / "street.blend"
    path.parent.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    scene = bpy.context.scene
    assert root(scene) == path.parent / "pantheon360_jobs"
    scene.pantheon360.jobs_folder = "//elsewhere"
    assert root(scene) == path.parent / "elsewhere"
    assert house("scene.app.paths").shot_name(scene) == "street-Scene-Camera"


@pytest.mark.parametrize(
    ("lacking", "error", "told"),
    [
        ("camera", "RenderError", "no camera"),
        ("captures", "CaptureError", "no captures"),
        ("cache", "CacheError", "no vis"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_written(
    house: Any, run: Any, shot_scene: Any, tmp_path: Path, lacking: str, error: str, told: str
) -> None:
    import bpy

    doomed = {
        "cache": [house("scene.cache.cache_objects").find(shot_scene)],
        "captures": house("scene.captures.capture_objects").in_scene(shot_scene),
        "camera": [shot_scene.camera],
    }[lacking]
    for obj in doomed:
        bpy.data.objects.remove(obj)
    with pytest.raises(getattr(house("core.errors"), error), match=told):
        run(house("scene.shot.shot").prepare(shot_scene))
    assert not (tmp_path / "jobs").exists()


def test_an_empty_cache_is_said(house: Any, run: Any, shot_scene: Any) -> None:
    house("scene.cache.cache_objects").replace(shot_scene, house("core.points.point_cloud").PointCloud.empty())
    with pytest.raises(house("core.errors").CacheError, match="no visible points"):
        run(house("scene.shot.shot").prepare(shot_scene))


def test_a_cancelled_preparation_leaves_nothing(house: Any, shot_scene: Any, tmp_path: Path) -> None:
    shot_scene.frame_set(3)
    job = house("scene.shot.shot").prepare(shot_scene)
    for step in job:
        if step.phase == "Geometry pass" and step.step == 2:
            break
    assert list((tmp_path / "jobs").iterdir())
    job.close()
    assert not list((tmp_path / "jobs").iterdir())
    assert shot_scene.frame_current == 3


def test_a_folder_that_cannot_be_written_is_named(house: Any, run: Any, shot_scene: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(house("core.errors").FileError, match="taken"):
        run(house("scene.shot.shot").prepare(shot_scene, root=tmp_path / "taken" / "jobs"))


def test_a_bad_seed_is_refused(house: Any, run: Any, shot_scene: Any, tmp_path: Path) -> None:
    """Before anything is rendered or written."""
    for seed in ("often", "-1", str(1 << 64), "1" * 30):
        with pytest.raises(house("core.errors").JobError, match="seed"):
            next(house("scene.shot.shot").prepare(shot_scene, seed=seed))
    assert not (tmp_path / "jobs").exists()


def test_a_painter_whose_packages_are_missing_is_refused_before_the_pass(
    house: Any, shot_scene: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    painters, backend = house("scene.shot.painters"), house("scene.app.backend_process")
    monkeypatch.setattr(painters, "packages", lambda painter: {"no_such_module_anywhere": "rare-package"})
    job = house("scene.shot.shot").generate(shot_scene)
    with pytest.raises(house("core.errors").BackendError, match="lacks rare-package, needed for the draft") as refused:
        house("scene.app.jobs").run_blocking(job)
    assert refused.value.code == "missing-package" and "pip install" in refused.value.advice
    assert refused.value.repair == house("core.repairs").INSTALL_ENGINE
    assert not (tmp_path / "jobs").exists()
    backend.stop_shared()


def test_generate_paints_and_delivers(house: Any, shot_scene: Any) -> None:
    import bpy

    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    strip = bpy.data.scenes["Pantheon360 Results"].sequence_editor.strips[0]
    folder = house("core.jobs.job_folder").JobFolder.open(Path(strip["pantheon360_folder"]))
    assert folder.finished_frames() == [1, 2, 3, 4, 5]
    assert house("scene.shot.shot").unfinished(shot_scene) is None
    first = house("core.formats.png").read(folder.frame_file(1))
    covered = folder.read_geometry("footprint", 1)
    np.testing.assert_array_equal(first[covered.coverage], covered.colour[covered.coverage])


def test_a_folder_that_goes_while_it_is_painted_is_named_and_promised_nothing(
    house: Any, run: Any, shot_scene: Any, tmp_path: Path
) -> None:
    """Frames are not kept where the folder was."""
    shot, errors = house("scene.shot.shot"), house("core.errors")
    folder = run(shot.prepare(shot_scene))
    shot.remember(shot_scene, folder)
    job = shot.finish(shot_scene, folder)
    while not folder.finished_frames():
        next(job)
    folder.path.rename(tmp_path / "away")
    with pytest.raises(errors.PantheonError, match="is gone") as caught:
        run(job)
    assert "kept" not in str(caught.value) and not folder.path.exists()
    with pytest.raises(errors.JobError, match="moved or deleted"):
        run(shot.resume(shot_scene))
    (tmp_path / "away").rename(folder.path)
    run(shot.resume(shot_scene))
    assert folder.finished_frames() == folder.job.frames


def test_the_pass_alone_is_painted_by_resume(house: Any, shot_scene: Any) -> None:
    import bpy

    assert bpy.ops.pantheon360.render_geometry(use_engine=True) == {"FINISHED"}
    assert (shot_scene.render.engine, shot_scene.render.resolution_x, shot_scene.render.resolution_y) == (
        "PANTHEON360",
        64,
        32,
    )
    folder = house("core.jobs.job_folder").JobFolder.open(house("scene.shot.shot").unfinished(shot_scene))
    assert folder.finished_frames() == []
    assert bpy.ops.pantheon360.resume() == {"FINISHED"}
    assert folder.finished_frames() == folder.job.frames
    assert not bpy.ops.pantheon360.resume.poll()


def test_a_failed_shot_keeps_its_frames_and_goes_on(house: Any, shot_scene: Any, run: Any) -> None:
    """Painting fails at a missing input; with the input back the rest is painted, what was finished stays."""
    shot = house("scene.shot.shot")
    folder = run(shot.prepare(shot_scene))
    shot.remember(shot_scene, folder)
    kept = folder.path / "hidden"
    shutil.move(folder.footprint_file(3), kept)
    with pytest.raises(house("core.errors").BackendError, match="Resume goes on") as caught:
        run(shot.resume(shot_scene))
    assert "000003.png" in caught.value.text
    folder.write_frame(1, np.full((32, 64, 3), 200, np.uint8))
    shutil.move(kept, folder.footprint_file(3))
    run(shot.resume(shot_scene))
    assert (house("core.formats.png").read(folder.frame_file(1)) == 200).all()
    assert folder.finished_frames() == [1, 2, 3, 4, 5]


def test_of_many_captures_few_are_in_memory_at_a_time(
    house: Any, run: Any, shot_scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither ours nor, of those that nobody had looked at, Blender's."""
    import bpy

    captures = house("scene.captures.capture_objects")
    for index in range(20):
        image = photograph(house, tmp_path / f"{index}.png", seed=index)
        captures.create(shot_scene, f"C{index}", image, (0.0, 0.1 * index, 1.0))
    images = [obj.pantheon360.image for obj in captures.in_scene(shot_scene)]
    for image in images:
        image.buffers_free()
    shown = images[3]
    assert shown.size[0] and [image.has_data for image in images].count(True) == 1
    monkeypatch.setattr(house("scene.captures.images"), "_DECODED", 0)  # of large ones there is no room for more
    load, held, most = captures.load, [], [0, 0]

    def counting(*arguments: Any, **options: Any) -> Any:
        found = load(*arguments, **options)
        held[:] = [each for each in held if each() is not None] + [weakref.ref(found)]
        most[:] = max(most[0], len(held)), max(most[1], sum(image.has_data for image in images))
        return found

    monkeypatch.setattr(captures, "load", counting)
    folder = run(house("scene.shot.shot").prepare(shot_scene, [1]))
    assert len(folder.job.captures) == 22 and most[0] <= 2 and most[1] <= 2
    assert shown.has_data and [image.has_data for image in images].count(True) == 1
    for entry in folder.job.captures:
        there = captures.load(bpy.data.objects[entry["name"]])
        np.testing.assert_array_equal(folder.read_capture(entry).image, there.image)


def test_a_camera_inside_a_wall_is_no_error(house: Any, run: Any, shot_scene: Any) -> None:
    shot_scene.camera.animation_data_clear()
    shot_scene.camera.location = tuple(house("scene.cache.cache_objects").find(shot_scene).data.vertices[0].co)
    folder = run(house("scene.shot.shot").prepare(shot_scene, [1]))
    assert folder.job.anchors == []
    assert folder.read_geometry("geometry", 1).depth.min() >= 0.05

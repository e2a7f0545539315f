"""A take is added to the cache by one click: a later path sees what was painted, and undo takes it away again.

The painter of these tests paints the truth of a room in which a block hides a part from the only capture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy", reason="completing surfaces takes scipy")

from tests import known_room
from tests.scene.conftest import House, add_camera

WIDTH = 128
STANDS = (-1.5, -1.2, 0.1)
"""Where the capture was taken, and where the path begins; the block hides from it what the path's end sees."""


@pytest.fixture
def furnished(house: House, blend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A scene whose cache is what one capture sees of the room; its camera goes past the block in 4 frames."""
    import bpy

    monkeypatch.setattr(house("core.person_folder"), "path", lambda *_: tmp_path / "data")
    pose = house("core.panorama.cameras").pose_matrix(looking_north(house), np.array(STANDS))
    image, distance = known_room.furnished(pose, WIDTH)
    house("core.formats.png").write(tmp_path / "A.png", image)
    house("scene.captures.capture_objects").create(blend, "A", bpy.data.images.load(str(tmp_path / "A.png")), STANDS)
    capture = house("core.panorama.capture").Capture("A", image, pose)
    cloud = house("core.points.equirectangular_depth").cloud_from_depth(capture, distance, source=0)
    house("scene.cache.cache_objects").replace(blend, cloud)
    add_camera(blend, {1: STANDS, 4: (1.5, -1.0, 0.2)})
    blend.frame_start, blend.frame_end = 1, 4
    blend.pantheon360.width = WIDTH
    blend.pantheon360.jobs_folder = str(tmp_path / "jobs")
    yield blend
    house("scene.background.queue").unregister()


def looking_north(house: House) -> np.ndarray:
    return np.asarray(house("core.panorama.cameras").rotation_from_heading(0.0))


def painted(house: House, scene: Any) -> Any:
    """Prepare a shot, paint it with the truth, and deliver it. Returns the take's folder."""
    shot, run = house("scene.shot.shot"), house("scene.app.jobs").run_blocking
    folder = run(shot.prepare(scene))
    for frame in folder.job.frames:
        folder.write_frame(frame, known_room.furnished(folder.job.camera(frame), WIDTH)[0])
    folder.write_state("done", folder.job.frames)
    run(shot.deliver(scene, folder))
    return folder


def cache(house: House, scene: Any) -> Any:
    return house("scene.cache.cache_objects").find(scene)


def points(house: House, scene: Any) -> Any:
    return house("scene.cache.attributes").read(cache(house, scene).data)


def invented(house: House, scene: Any) -> np.ndarray:
    """(N,) bool, which points of the cache say that they are."""
    cloud = points(house, scene)
    return np.asarray(cloud.source == house("core.points.point_cloud").INVENTED)


def test_a_later_path_sees_what_was_painted(house: House, furnished: Any) -> None:
    """The geometry pass of the same path, prepared again as Generate does it, shows the paint where it had holes."""
    import bpy

    take = painted(house, furnished)
    known = points(house, furnished)
    assert bpy.ops.pantheon360.add_take() == {"FINISHED"}
    grown, new = points(house, furnished), invented(house, furnished)
    assert new.sum() > 100 and (grown.confidence[new] == np.float32(0.05)).all()
    for name in ("points", "colours", "confidence", "source", "footprint"):
        before, after = getattr(known, name), getattr(grown, name)
        if before is not None:
            np.testing.assert_array_equal(after[~new], before, err_msg=name)
    later = house("scene.app.jobs").run_blocking(house("scene.shot.shot").prepare(furnished))
    last = take.job.frames[-1]
    before, after = take.read_surfaces(last), later.read_surfaces(last)
    share = house("core.render.coverage").covered_share
    assert share(before.coverage) < 0.9 and share(after.coverage) > 0.96
    filled = after.coverage & ~before.coverage
    image, truth = known_room.furnished(take.job.camera(last), WIDTH)
    error = float(((image[filled].astype(float) - after.colour[filled]) ** 2).mean())
    assert 10 * np.log10(255**2 / error) > 25
    assert np.median(np.abs(after.depth[filled] / truth[filled] - 1)) < 0.08
    bare, grown_bare = take.read_geometry("geometry", last), later.read_geometry("geometry", last)
    np.testing.assert_array_equal(grown_bare.colour[bare.coverage], bare.colour[bare.coverage])


def test_it_is_marked_hidden_removed_and_kept_in_files(house: House, furnished: Any, tmp_path: Path) -> None:
    import bpy

    painted(house, furnished)
    count = len(points(house, furnished))
    assert bpy.ops.pantheon360.add_take() == {"FINISHED"}
    obj, new = cache(house, furnished), int(invented(house, furnished).sum())
    shown = house("scene.cache.cache_objects").evaluated_points
    obj.pantheon360.least_confidence = 0.1
    assert len(shown(house("scene.app.access").evaluated(furnished))) == count
    obj.pantheon360.least_confidence = 0.0
    assert len(shown(house("scene.app.access").evaluated(furnished))) == count + new
    assert bpy.ops.pantheon360.export_cache(filepath=str(tmp_path / "cache.ply")) == {"FINISHED"}
    written = house("core.points.point_cloud").PointCloud.load(tmp_path / "cache.ply")
    assert int((written.source == -2).sum()) == new
    assert bpy.ops.pantheon360.import_cache(filepath=str(tmp_path / "cache.ply")) == {"FINISHED"}
    assert int(invented(house, furnished).sum()) == new
    assert bpy.ops.pantheon360.remove_invented() == {"FINISHED"}
    assert len(points(house, furnished)) == count and not invented(house, furnished).any()


def test_the_queue_does_it_undo_takes_it_back_and_a_second_time_brings_nothing(house: House, furnished: Any) -> None:
    """As from the button: Blender draws while the backend works, and the file changes in one step at the end."""
    import bpy

    take = painted(house, furnished)
    queue, delivery = house("scene.background.queue"), house("scene.background.delivery")
    registry = house("core.jobs.registry")
    count = len(points(house, furnished))
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    folder = house("scene.app.jobs").run_blocking(house("scene.sources.painted_frames").begin(furnished, take))
    assert len(points(house, furnished)) == count
    queue.enqueue(folder.id)
    queue.run_to_end()
    entry = registry.find(folder.id)
    assert (entry.state, entry.kind) == ("delivered", "extend") and delivery.is_here(entry)
    assert "invented points were added" in queue.told(folder.id)[0]
    grown = len(points(house, furnished))
    assert grown > count + 100
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    assert len(points(house, scene)) == count and not delivery.is_here(entry)
    bpy.ops.ed.redo()
    scene = bpy.context.scene
    assert len(points(house, scene)) == grown
    again = house("scene.app.jobs").run_blocking(house("scene.sources.painted_frames").add(scene, take))
    assert again.points < 0.05 * (grown - count)


def test_lengths_are_the_scene_s(house: House, furnished: Any) -> None:
    """In a scene of centimeters the very same points are found a hundred times as far away."""
    import bpy

    add, run = house("scene.sources.painted_frames").add, house("scene.app.jobs").run_blocking
    take = painted(house, furnished)
    run(add(furnished, take))
    metres = points(house, furnished).points[invented(house, furnished)]
    bpy.ops.pantheon360.remove_invented()
    furnished.unit_settings.scale_length = 0.01
    obj = cache(house, furnished)
    obj.scale = (100.0,) * 3
    folder = house("core.jobs.job_folder").PaintFolder.open(take.path)
    cameras = folder.job.cameras.copy()
    cameras[:, :3, 3] *= 100
    import dataclasses

    settings = folder.job.settings | {"near": folder.job.settings["near"] * 100}
    captures = [{**each, "pose": scaled(each["pose"])} for each in folder.job.captures]
    for frame in folder.job.frames:
        for kind in ("geometry", "footprint"):
            seen = folder.read_geometry(kind, frame)
            folder.write_geometry(kind, frame, dataclasses.replace(seen, depth=seen.depth * np.float32(100)))
    job = dataclasses.replace(folder.job, cameras=cameras, settings=settings, captures=captures)
    folder.seal(job)
    for frame in folder.job.frames:
        folder.write_frame(frame, known_room.furnished(take.job.camera(frame), WIDTH)[0])
    run(add(furnished, folder))
    local = points(house, furnished).points[invented(house, furnished)]
    np.testing.assert_allclose(local, metres, atol=1e-3)  # the object itself is a hundred times as large


def scaled(pose: Any) -> Any:
    moved = np.array(pose)
    moved[:3, 3] *= 100
    return moved.tolist()


# What is refused, before any work


def refusal(house: House, scene: Any, take: Any) -> str:
    with pytest.raises(house("core.errors").PantheonError) as refused:
        house("scene.app.jobs").run_blocking(house("scene.sources.painted_frames").add(scene, take))
    assert not [*Path(scene.pantheon360.jobs_folder).glob("*-take-*")], "no folder is left"
    return str(refused.value)


def test_a_cache_that_is_another_one_by_now_is_refused(house: House, furnished: Any) -> None:
    import bpy

    take = painted(house, furnished)
    obj = cache(house, furnished)
    obj.location.z += 1.0
    bpy.context.view_layer.update()
    text = refusal(house, furnished, take)
    assert "is not what this take was painted from" in text and "Generate the video again" in text
    obj.location.z -= 1.0
    obj.hide_viewport = True
    assert "no visible points" in refusal(house, furnished, take)
    bpy.data.objects.remove(obj)
    assert "no 3D cache" in refusal(house, furnished, take)
    assert not bpy.ops.pantheon360.add_take.poll()


def test_a_cache_that_would_hide_the_points_or_cannot_change_is_refused(house: House, furnished: Any) -> None:
    import bpy

    take, obj = painted(house, furnished), cache(house, furnished)
    obj.pantheon360.least_confidence = 0.2
    assert "Least Confidence" in refusal(house, furnished, take)
    assert not bpy.ops.pantheon360.add_take.poll()
    obj.pantheon360.least_confidence = 0.0
    obj.shape_key_add(name="Basis")
    assert "shape keys" in refusal(house, furnished, take)
    obj.shape_key_clear()
    bpy.context.view_layer.objects.active = obj
    bpy.ops.object.mode_set(mode="EDIT")
    assert "being edited" in refusal(house, furnished, take)
    assert not bpy.ops.pantheon360.add_take.poll()
    bpy.ops.object.mode_set(mode="OBJECT")


def test_a_take_without_its_frames_or_geometry_is_refused(house: House, furnished: Any) -> None:
    take = painted(house, furnished)
    kept = take.frame_file(4).read_bytes()
    take.frame_file(4).unlink()
    assert "Frame 4 of the take" in refusal(house, furnished, take)
    take.frame_file(4).write_bytes(kept)
    take.footprint_file(1).unlink()
    assert "is missing" in refusal(house, furnished, take)


def test_points_whose_cache_is_gone_are_kept_until_it_is_back(house: House, furnished: Any) -> None:
    import bpy

    take, run = painted(house, furnished), house("scene.app.jobs").run_blocking
    frames = house("scene.sources.painted_frames")
    folder = run(frames.begin(furnished, take))
    run(frames.compute(folder))
    bpy.data.objects.remove(cache(house, furnished))
    with pytest.raises(house("core.errors").CacheError, match="is gone"):
        run(frames.deliver(furnished, folder))
    assert house("core.jobs.registry").find(folder.id).state == "finished" and folder.invented_file.is_file()


def test_few_frames_are_looked_at_from_the_first_to_the_last(house: House) -> None:
    evenly = house("scene.sources.painted_frames").evenly
    assert evenly([3, 5, 9], 24) == [3, 5, 9]
    assert evenly(range(1, 101), 4) == [1, 34, 67, 100]


def test_the_command_line_does_it_to_a_saved_file(
    house: House, furnished: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import json

    import bpy

    take = painted(house, furnished)
    count = len(points(house, furnished))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    capfd.readouterr()
    main = house("cli.command_line").main
    order = ["extend", str(tmp_path / "a.blend"), str(take.path), "--output", str(tmp_path / "o"), "--json"]
    assert main([*order, "--save-as", str(tmp_path / "b.blend")]) == 0
    done = json.loads(capfd.readouterr().out.splitlines()[-1])
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "b.blend"))
    scene = bpy.context.scene
    assert int(invented(house, scene).sum()) == done["points"] > 100
    assert len(points(house, scene)) == count + done["points"]
    assert len([*(tmp_path / "o").glob("*-take-*")]) == 1
    assert main(["extend", str(tmp_path / "a.blend"), str(tmp_path / "nowhere"), "--json"]) == 1
    assert "not there" in capfd.readouterr().out

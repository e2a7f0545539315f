"""The coverage check on a scene: its figures, what is kept in the file, and whose timeline markers are touched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]


@pytest.fixture
def leaving(shot_scene: Any) -> Any:
    """The camera flies out of the room of points, 4 m round (0, 1, 1), and stands outside from frame 5 on."""
    shot_scene.camera.location = (0.0, 30.0, 1.0)
    shot_scene.camera.keyframe_insert("location", frame=5)
    shot_scene.frame_end = 6
    return shot_scene


def run(house: House, scene: Any) -> Any:
    return house("scene.app.jobs").run_blocking(house("scene.camera.coverage_check").check(scene))


def test_a_path_inside_is_covered_as_the_room_is(house: House, shot_scene: Any) -> None:
    """The room lacks the directions above 30° up, as seen from its middle: a quarter of the sphere."""
    directions = np.random.default_rng(7).normal(size=(600_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = (4 * directions[directions[:, 2] < 0.5] + (0, 1, 1)).astype(np.float32)
    cloud = house("core.points.point_cloud").PointCloud(points, np.zeros((len(points), 3), np.uint8))
    house("scene.cache.cache_objects").replace(shot_scene, cloud)
    found = run(house, shot_scene).path
    assert list(found.frames) == [1, 2, 3, 4, 5]
    assert found.covered[2] == pytest.approx(0.75, abs=0.01)
    assert found.hole[2] == pytest.approx(0.25, abs=0.01)
    assert found.reference >= found.covered.max()
    assert found.nearest[2] == pytest.approx(4.0, abs=0.01) and found.nearest[0] == pytest.approx(3.0, abs=0.01)
    assert found.speed.max() == pytest.approx(24 * 0.6875, rel=0.05)


def test_leaving_is_found_stored_and_marked(house: House, leaving: Any, tmp_path: Path) -> None:
    import bpy

    check = house("scene.camera.coverage_check")
    mine = leaving.timeline_markers.new("mine", frame=2)
    mine.camera = leaving.camera
    assert bpy.ops.pantheon360.check_coverage() == {"FINISHED"}
    stored = check.stored(leaving)
    assert {each.kind for each in stored.warnings} == {"leaves", "touches", "fast"}
    ours = [each for each in leaving.timeline_markers if each.name.startswith("360° ")]
    assert len(ours) == len(stored.warnings) and "mine" in leaving.timeline_markers
    bpy.ops.pantheon360.check_coverage()
    assert len(leaving.timeline_markers) == len(ours) + 1, "replaced, not added"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "checked.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "checked.blend"))
    scene = bpy.context.scene
    again = check.stored(scene)
    np.testing.assert_array_equal(again.path.covered, stored.path.covered)
    assert again.warnings == stored.warnings
    assert bpy.ops.pantheon360.clear_coverage() == {"FINISHED"}
    assert [each.name for each in scene.timeline_markers] == ["mine"] and check.stored(scene) is None
    with pytest.raises(RuntimeError, match="no coverage check"):
        bpy.ops.pantheon360.clear_coverage()


def test_a_calm_check_is_stored_too_and_infinity_survives(house: House, shot_scene: Any) -> None:
    check, coverage = house("scene.camera.coverage_check"), house("core.render.coverage")
    path = run(house, shot_scene).path
    path.nearest[0] = np.inf
    check.store(shot_scene, check.Checked(path, ()))
    found = check.stored(shot_scene)
    assert found.warnings == () and np.isinf(found.path.nearest[0])
    for field in ("frames", "covered", "hole", "clearance", "speed", "shift"):
        np.testing.assert_array_equal(getattr(found.path, field), getattr(path, field))
    assert isinstance(found.path, coverage.PathCoverage)
    for damaged in ({"version": 1}, {"version": 9}, 7, "text"):
        shot_scene[check.KEY] = damaged
        assert check.stored(shot_scene) is None


def test_the_current_frame_stays_and_what_is_missing_is_said(house: House, shot_scene: Any) -> None:
    import bpy

    errors = house("core.errors")
    shot_scene.frame_set(3)
    run(house, shot_scene)
    assert shot_scene.frame_current == 3
    house("scene.cache.cache_objects").find(shot_scene).hide_viewport = True
    bpy.context.view_layer.update()
    with pytest.raises(errors.CacheError, match="No points"):
        run(house, shot_scene)
    shot_scene.camera = None
    with pytest.raises(RuntimeError, match="Add a camera"):
        bpy.ops.pantheon360.check_coverage()


def test_the_picture_of_what_the_camera_sees_is_one_image(house: House, shot_scene: Any) -> None:
    import bpy

    assert bpy.ops.pantheon360.show_coverage() == {"FINISHED"}
    count = len(bpy.data.images)
    first = house("scene.captures.images").pixels(bpy.data.images["Cache Coverage"])
    shot_scene.frame_set(5)
    assert bpy.ops.pantheon360.show_coverage() == {"FINISHED"}
    assert len(bpy.data.images) == count
    second = house("scene.captures.images").pixels(bpy.data.images["Cache Coverage"])
    assert first.shape == (512, 1024, 3) and (first != second).any()
    assert (first[0] == (200, 30, 30)).all(), "nothing overhead: a hole"


def guessed_above(house: House, scene: Any, height: float) -> None:
    """Points above a height become guesses."""
    cache = house("scene.cache.cache_objects")
    cloud = cache.evaluated_points(scene.view_layers[0].depsgraph)
    confidence = np.where(cloud.points[:, 2] > height, 0.1, 0.9).astype(np.float32)
    cache.replace(scene, dataclasses.replace(cloud, confidence=confidence))


def test_guesses_are_told_and_shown(house: House, shot_scene: Any) -> None:
    import bpy

    check = house("scene.camera.coverage_check")
    sure = run(house, shot_scene).path
    assert (sure.guessed == 0).all()
    bpy.ops.pantheon360.show_coverage()
    before = house("scene.captures.images").pixels(bpy.data.images["Cache Coverage"])
    guessed_above(house, shot_scene, 1.0)  # the camera's height: the upper half of what there is
    assert bpy.ops.pantheon360.check_coverage() == {"FINISHED"}
    found = check.stored(shot_scene).path
    np.testing.assert_array_equal(found.covered, sure.covered)
    assert (found.guessed > 0.25 * found.covered).all() and (found.guessed < 0.5 * found.covered).all()
    assert "guessed" in house("ui.coverage_plot").title(shot_scene, check.stored(shot_scene), 3.0)

    bpy.ops.pantheon360.show_coverage()
    after = house("scene.captures.images").pixels(bpy.data.images["Cache Coverage"])
    changed = (before != after).any(axis=2)
    assert not changed[256:].any() and changed[:256].mean() > 0.04, "the camera stands level at that height"
    tinted = (before.astype(int) + check.GUESS) // 2
    np.testing.assert_array_equal(after[changed], tinted[changed])

    shot_scene.pantheon360.reconstruction_confidence = 0.05
    assert check.outdated(shot_scene)
    assert (run(house, shot_scene).path.guessed == 0).all()


def test_the_plot_shows_each_figure_where_its_frame_is(house: House, leaving: Any) -> None:
    plot = house("ui.coverage_plot")
    checked = run(house, leaving)
    shapes = plot.shapes(checked, (100.0, 50.0), 2.0, 3.0)
    for shape in shapes:
        low, high = shape.vertices.min(axis=0), shape.vertices.max(axis=0)
        assert shape.vertices.dtype == np.float32 and np.isfinite(shape.vertices).all()
        assert low[0] >= 99 and high[0] <= 100 + 2 * plot.WIDTH + 5
        assert low[1] >= 50 and high[1] <= 50 + 2 * plot.HEIGHT
    hole = next(shape for shape in shapes if shape.colour == plot.HOLE).vertices
    assert len(hole) == 6
    np.testing.assert_array_equal(np.argsort(hole[:, 1], kind="stable"), np.argsort(checked.path.hole, kind="stable"))
    now = next(shape for shape in shapes if shape.colour == plot.CURRENT).vertices
    assert now[0, 0] == pytest.approx(100 + 2 * plot.WIDTH * 2 / 5)
    assert sum(shape.colour in plot.WARNINGS.values() for shape in shapes) == len(checked.warnings)
    assert "covered" in plot.title(leaving, checked, 3.0)


def grown(scene: Any) -> None:
    scene.frame_end += 1


def key_moved(scene: Any) -> None:
    scene.camera.location.x += 0.1
    scene.camera.keyframe_insert("location", frame=1)


def held_by_a_parent(scene: Any) -> None:
    scene.camera.parent = scene.objects["A"]


def cache_moved(scene: Any) -> None:
    scene.pantheon360.cache.location.z += 0.1


def points_moved(scene: Any) -> None:
    vertices = scene.pantheon360.cache.data.vertices
    for vertex in vertices[: len(vertices) // 2]:
        vertex.co.z += 0.1


def one_point_moved(scene: Any) -> None:
    mesh = scene.pantheon360.cache.data
    mesh.vertices[len(mesh.vertices) // 3 + 1].co.z += 0.1
    mesh.update()
    scene.view_layers[0].update()


@pytest.mark.parametrize("change", [grown, key_moved, held_by_a_parent, cache_moved, points_moved, one_point_moved])
def test_a_check_says_when_it_is_out_of_date(house: House, leaving: Any, change: Any) -> None:
    import bpy

    check = house("scene.camera.coverage_check")
    assert not check.outdated(leaving)
    assert bpy.ops.pantheon360.check_coverage() == {"FINISHED"}
    for frame in (1, 3, 5):
        leaving.frame_set(frame)
        assert not check.outdated(leaving), "looking at other frames changes nothing"
    change(leaving)
    assert check.outdated(leaving)
    assert "OUT OF DATE" in house("ui.coverage_plot").title(leaving, check.stored(leaving), 3.0)
    assert bpy.ops.pantheon360.check_coverage() == {"FINISHED"}
    assert not check.outdated(leaving)


def test_a_check_holds_again_when_the_change_is_undone(house: House, leaving: Any) -> None:
    """One point of thousands is moved: their number, and all the others, stay."""
    import bpy

    check = house("scene.camera.coverage_check")
    assert bpy.ops.pantheon360.check_coverage() == {"FINISHED"}
    bpy.ops.ed.undo_push(message="Check")
    one_point_moved(leaving)
    bpy.ops.ed.undo_push(message="Move a point")
    assert check.outdated(leaving)
    assert bpy.ops.ed.undo() == {"FINISHED"}
    assert not check.outdated(bpy.data.scenes[0])
    assert bpy.ops.ed.redo() == {"FINISHED"}
    assert check.outdated(bpy.data.scenes[0])


def test_in_edit_mode_the_cache_is_as_it_was(house: House, leaving: Any) -> None:
    import bpy

    check = house("scene.camera.coverage_check")
    assert bpy.ops.pantheon360.check_coverage() == {"FINISHED"}
    bpy.context.view_layer.objects.active = leaving.pantheon360.cache
    bpy.ops.object.mode_set(mode="EDIT")
    assert not check.outdated(leaving)
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.transform.translate(value=(0, 0, 1))
    bpy.ops.object.mode_set(mode="OBJECT")
    assert check.outdated(leaving)


def test_figures_are_in_the_scenes_units(house: House, leaving: Any) -> None:
    import bpy

    leaving.unit_settings.system = "IMPERIAL"
    assert bpy.ops.pantheon360.check_coverage(clearance=100.0, largest_shift=0.0) == {"FINISHED"}
    checked = house("scene.camera.coverage_check").stored(leaving)
    told = " ".join(warning.text for warning in checked.warnings)
    told += house("ui.coverage_plot").title(leaving, checked, 3.0)
    assert "ft/s" in told and "'" in told
    assert " m " not in told and "m/s" not in told

"""Captures linked from a library beside local ones of the same name, and local copies of linked ones: all are used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from . import conftest

House = Callable[[str], ModuleType]
WIDTH = 64


@pytest.fixture
def library(house: House, blend: Any, tmp_path: Path) -> Path:
    """A file with a capture A at (0, 2, 1)."""
    import bpy

    image = conftest.photograph(house, tmp_path / "linked.png", seed=2)
    house("scene.captures.capture_objects").create(blend, "A", image, (0.0, 2.0, 1.0))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    return tmp_path / "library.blend"


def link(scene: Any, library: Path) -> Any:
    import bpy

    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.objects = ["A"]
    scene.collection.objects.link(wanted.objects[0])
    return wanted.objects[0]


@pytest.fixture
def scene(house: House, library: Path, tmp_path: Path) -> Any:
    """A local capture A at (0, 0, 1) and the linked A, a cache, and a camera that flies from the one to the other."""
    import bpy

    scene = bpy.context.scene
    image = conftest.photograph(house, tmp_path / "local.png", seed=1)
    house("scene.captures.capture_objects").create(scene, "A", image, (0.0, 0.0, 1.0))
    assert link(scene, library).name == "A"
    conftest.fill_cache(house, scene, conftest.room())
    conftest.add_camera(scene, {1: (0.0, 0.0, 1.0), 3: (0.0, 2.0, 1.0)})
    scene.frame_start, scene.frame_end = 1, 3
    scene.pantheon360.width = WIDTH
    scene.pantheon360.jobs_folder = str(tmp_path / "jobs")
    bpy.context.view_layer.update()
    return scene


def seen(house: House, path: Path) -> np.ndarray:
    return np.asarray(house("core.formats.png").read(path))


def test_labels_tell_them_apart_and_the_local_one_keeps_its_name(house: House, scene: Any, library: Path) -> None:
    import bpy

    captures = house("scene.captures.capture_objects")
    found = captures.labelled(scene)
    assert list(found) == ["A", "A (library)"]
    assert [obj.library is None for obj in found.values()] == [True, False]
    local = found["A (library)"].copy()  # as Make Local does, the linked one staying
    local.name = "A"
    scene.collection.objects.link(local)
    assert len(captures.labelled(scene)) == len(captures.in_scene(scene)) == 3
    assert set(captures.labelled(scene).values()) == set(captures.in_scene(scene))
    bpy.data.objects.remove(local)


def test_a_shot_holds_both(house: House, scene: Any, tmp_path: Path) -> None:
    run = house("scene.app.jobs").run_blocking
    folder = run(house("scene.shot.shot").prepare(scene))
    assert [entry["name"] for entry in folder.job.captures] == ["A", "A (library)"]
    for capture, name in zip(folder.captures(), ("local", "linked"), strict=True):
        np.testing.assert_array_equal(capture.image, seen(house, tmp_path / f"{name}.png"))
    assert {anchor["frame"]: anchor["capture"] for anchor in folder.job.anchors} == {1: "A", 3: "A (library)"}


def test_frames_are_rendered_from_both(house: House, scene: Any, tmp_path: Path) -> None:
    import bpy

    house("scene.render.render_engine").set_up(scene)
    scene.render.filepath = str(tmp_path / "frame.png")
    bpy.ops.render.render(write_still=True)
    assert seen(house, tmp_path / "frame.png").shape[:2] == (WIDTH // 2, WIDTH)
    captures = house("scene.render.geometry_pass").unread_captures(house("scene.app.access").evaluated(scene))
    assert [capture.name for capture in captures] == ["A", "A (library)"]


def test_both_are_projected(house: House, scene: Any) -> None:
    run, access = house("scene.app.jobs").run_blocking, house("scene.app.access")
    house("scene.sources.proxy").create(scene, wall_distance=4.0)
    scene.pantheon360.projection_width = WIDTH
    cloud = run(house("scene.sources.projection").project(scene, access.evaluated(scene)))
    assert set(np.unique(cloud.source)) == {0, 1}


def test_a_reconstruction_knows_which_is_which(house: House, scene: Any, tmp_path: Path) -> None:
    run, reconstruct = house("scene.app.jobs").run_blocking, house("scene.sources.reconstruct")
    folder = run(reconstruct.prepare(scene))
    assert [entry["name"] for entry in folder.job.captures] == ["A", "A (library)"]
    assert set(folder.job.settings["priors"]) == {"A", "A (library)"}
    pose = np.eye(4)
    pose[:3, 3] = 5, 6, 7
    posed = [house("core.jobs.reconstruct_settings").PosedCapture("A", pose, True, "")]
    assert house("scene.captures.placing").place(scene, posed) == []
    captures = house("scene.captures.capture_objects").labelled(scene)
    assert tuple(captures["A"].matrix_world.translation) == (5, 6, 7)
    assert tuple(captures["A (library)"].matrix_world.translation) == (0, 2, 1)


def test_points_stay_with_their_capture_when_others_come_and_go(house: House, scene: Any, library: Path) -> None:
    import bpy

    merge, captures = house("scene.cache.cache_merge"), house("scene.captures.capture_objects")
    cache = house("scene.cache.cache_objects").find(scene)
    cloud = house("core.points.point_cloud").PointCloud
    house("scene.cache.cache_objects").replace(
        scene, cloud(np.ones((2, 3), np.float32), np.zeros((2, 3), np.uint8), source=np.array([0, 1], np.int32))
    )
    bpy.data.objects.remove(captures.labelled(scene)["A"])
    merge.renumber(scene, cache)
    # The linked one is the only A now, and keeps the points of its name.
    assert list(captures.labelled(scene)) == ["A"]

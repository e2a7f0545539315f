"""Undo and redo replace Blender's data under a running job; it goes on, and its result lands where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]


@pytest.fixture
def ready(house: House, shot_scene: Any, tmp_path: Path) -> Any:
    """The small shot with geometry to project onto, a mesh, a depth image and files to import, and two undo steps: the
    artist has moved something that no job looks at.
    """
    import bpy

    bpy.ops.mesh.primitive_cube_add(size=8, location=(0, 1, 1))
    bpy.context.object.name = "Walls"
    bpy.context.object.pantheon360.is_geometry = True
    shot_scene.pantheon360.projection_width = 64
    png = house("core.formats.png")
    png.write(tmp_path / "new.png", np.full((32, 64, 3), 90, np.uint8))
    png.write(tmp_path / "depth.png", np.full((32, 64), 3000, np.uint16))
    cloud = house("core.points.point_cloud").PointCloud(np.eye(3, dtype=np.float32), np.full((3, 3), 9, np.uint8))
    cloud.save(tmp_path / "points.ply")
    other = bpy.data.objects.new("Other", None)
    shot_scene.collection.objects.link(other)
    bpy.ops.ed.undo_push(message="Ready")
    bpy.data.objects["Other"].location.x = 5.0
    bpy.ops.ed.undo_push(message="Move")
    return SimpleNamespace(folder=tmp_path)


def scene() -> Any:
    import bpy

    return bpy.data.scenes["Scene"]


def named(name: str) -> Any:
    import bpy

    return bpy.data.objects[name]


def cache() -> Any:
    return scene().pantheon360.cache


def projection(house: House, _folder: Path) -> Any:
    project = house("scene.sources.projection").project
    cloud = yield from project(scene(), house("scene.app.access").evaluated(scene()))
    house("scene.cache.cache_objects").replace(scene(), cloud)


def built(house: House, _folder: Path) -> Any:
    return house("scene.sources.reconstruct").build(scene(), width=64)


JOBS: dict[str, Callable[[House, Path], Any]] = {
    "generate": lambda house, _: house("scene.shot.shot").generate(scene()),
    "a video": lambda house, _: house("scene.shot.shot").finish(scene(), prepared(house), "VIDEO"),
    "project": projection,
    "build": built,
    "make walls": lambda house, _: house("scene.sources.plan_proxy").create(scene(), named("A")),
    "check coverage": lambda house, _: house("scene.camera.coverage_check").check(scene()),
    "import captures": lambda house, folder: house("scene.captures.capture_objects").import_files(
        scene(), [folder / "new.png"], warn=lambda _: None
    ),
    "import points": lambda house, folder: house("scene.sources.import_files").import_files(
        scene(), [folder / "points.ply"]
    ),
    "sample a mesh": lambda house, _: house("scene.sources.mesh_points").sample(
        scene(), [named("Walls")], spacing=0.5, colours="SEEN"
    ),
    "depth": lambda house, folder: house("scene.sources.depth_points").import_depth(
        scene(), named("A"), folder / "depth.png"
    ),
    "remove floaters": lambda house, _: house("scene.cache.cache_edit").remove_floaters(cache(), 0.3),
    "thin": lambda house, _: house("scene.cache.cache_edit").thin(cache(), 0.4),
}


def prepared(house: House) -> Any:
    return house("scene.app.jobs").run_blocking(house("scene.shot.shot").prepare(scene()))


def run(job: Any, between: Callable[[], None]) -> None:
    """Drive a job to its end, with something done between its steps."""
    try:
        while True:
            next(job)
            between()
    except StopIteration:
        pass


class Undoing:
    """Undo, then redo, then undo again: each time Blender's data are other ones."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        import bpy

        done = bpy.ops.ed.redo() if self.count % 2 else bpy.ops.ed.undo()
        assert done == {"FINISHED"}
        self.count += 1


def state(house: House) -> dict[str, Any]:
    """What jobs change: the cache, captures, strips, the check."""
    import bpy

    points = house("scene.cache.attributes").read(cache().data)
    strips = [
        (strip.name, strip.channel, len(getattr(strip, "elements", "")), strip["pantheon360_seed"])
        for each in bpy.data.scenes
        if each.get("pantheon360_results")
        for strip in each.sequence_editor.strips
    ]
    captures = house("scene.captures.capture_objects").in_scene(scene())
    return {
        "points": (points.points.tobytes(), points.colours.tobytes(), None if points.source is None else len(points)),
        "captures": [(obj.name, *obj.matrix_world.translation, *obj.pantheon360.image.size) for obj in captures],
        "strips": strips,
        "note": scene().get("pantheon360_unfinished"),
        "geometry": [
            (obj.name, len(obj.data.vertices)) for obj in house("scene.sources.projection").geometry_in(scene())
        ],
    }


@pytest.fixture
def _answered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend's part of a reconstruction is done at once."""
    results = house("core.jobs.reconstruct_settings")

    def answer(folder: Any) -> Any:
        if isinstance(folder, house("core.jobs.job_folder").PaintFolder):
            return (yield from run_backend(folder))
        yield house("core.progress").Progress("Reconstructing")
        poses = [np.array(entry["pose"]) for entry in folder.job.captures]
        for pose in poses:
            pose[0, 3] += 0.5
        names = [entry["name"] for entry in folder.job.captures]
        posed = [results.PosedCapture(name, pose, True) for name, pose in zip(names, poses, strict=True)]
        results.write_poses(folder.output, posed, {})
        cloud = house("core.points.point_cloud").PointCloud(np.ones((4, 3), np.float32), np.ones((4, 3), np.uint8))
        cloud.save(folder.path / "cache.npz")
        folder.output.write_json("report.json", {"text": "4 points."})
        yield house("core.progress").Progress("Reconstructing", 1, 1)

    run_backend = house("scene.app.backend_process").run
    monkeypatch.setattr(house("scene.app.backend_process"), "run", answer)
    monkeypatch.setattr(house("scene.app.backend_process"), "require", lambda needed, purpose: None)


@pytest.mark.usefixtures("_answered")
@pytest.mark.parametrize("name", JOBS)
def test_a_job_between_whose_steps_undo_and_redo_happen_ends_as_if_undisturbed(
    name: str, house: House, ready: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    monkeypatch.setattr(house("scene.camera.camera_path"), "BATCH_SECONDS", 0.0)  # a step for each frame
    before = state(house)
    run(JOBS[name](house, ready.folder), lambda: None)
    undisturbed = state(house)
    assert undisturbed != before or name == "check coverage"
    bpy.ops.ed.undo_push(message="Result")
    bpy.ops.ed.undo()
    assert state(house) == before
    undoing = Undoing()
    run(JOBS[name](house, ready.folder), undoing)
    assert undoing.count > 1 and state(house) == undisturbed


def test_what_is_renamed_is_found_again(house: House, ready: Any) -> None:
    import bpy

    reference = house("scene.app.access").SceneReference(scene())
    capture = house("scene.app.access").ObjectReference(named("A"))
    scene().name, named("A").name = "Take 2", "Hall"
    taken = reference.scene
    assert taken.name == "Take 2" and capture.object.name == "Hall"
    bpy.data.scenes.new("Scene")
    bpy.data.objects.new("A", None)
    assert reference.scene == taken and capture.object.name == "Hall", "another one has got the old name"
    bpy.data.objects.remove(named("Hall"))
    assert capture.find() is None
    with pytest.raises(house("core.errors").PantheonError, match="A was deleted while a job"):
        capture.object  # noqa: B018


def test_undo_neither_ends_a_job_nor_loses_what_it_would_go_on_from(house: House, ready: Any) -> None:
    import bpy

    shot, jobs = house("scene.shot.shot"), house("scene.app.jobs")
    session = jobs.Session(bpy.context, shot.generate(scene()), "Generate")
    while shot.unfinished(scene()) is None:
        session.tick()
    folder = shot.unfinished(scene())
    for step in (bpy.ops.ed.undo, bpy.ops.ed.redo, bpy.ops.ed.undo):
        assert step() == {"FINISHED"} and session.active and shot.unfinished(scene()) == folder
        session.tick()
    session.end("Esc was pressed")
    bpy.ops.ed.redo()
    assert shot.unfinished(scene()) == folder and folder.is_dir()
    bpy.ops.ed.undo()
    run(shot.resume(scene()), lambda: None)
    assert shot.unfinished(scene()) is None
    bpy.ops.ed.undo_push(message="Resume")
    bpy.ops.ed.undo()
    bpy.ops.ed.redo()
    assert shot.unfinished(scene()) is None, "a job that was delivered is not begun again by undo"


def test_notes_of_a_file_are_not_put_into_another_one(house: House, ready: Any, tmp_path: Path) -> None:
    import bpy

    shot = house("scene.shot.shot")
    shot.remember(scene(), prepared(house))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.ops.ed.undo_push(message="New")
    bpy.ops.ed.undo_push(message="Newer")
    bpy.ops.ed.undo()
    assert shot.unfinished(scene()) is None
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert shot.unfinished(scene()) is not None


def test_captures_whose_images_undo_took_away_are_read_again(house: House, ready: Any) -> None:
    """Images are data of the file: those that a job has loaded vanish with undo."""
    import bpy

    job = house("scene.captures.capture_objects").import_files(
        scene(), [ready.folder / "new.png"] * 2, warn=lambda _: None
    )
    next(job)
    next(job)
    assert "new.png" in bpy.data.images
    bpy.ops.ed.undo()
    assert "new.png" not in bpy.data.images
    impostor = bpy.data.images.new("new.png", 64, 32)
    run(job, lambda: None)
    made = [obj for obj in house("scene.captures.capture_objects").in_scene(scene()) if obj.name.startswith("new")]
    assert len(made) == 2 and all(obj.pantheon360.image != impostor for obj in made)

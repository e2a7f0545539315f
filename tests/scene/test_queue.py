"""Jobs in the background: they outlive undo, other files and their scenes' names, and each is delivered once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.scene.conftest import House

Prepared = Callable[..., str]


@pytest.fixture(autouse=True)
def _own(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house("core.person_folder"), "path", lambda *_: tmp_path / "data")


@pytest.fixture
def queue(house: House, shot_scene: Any) -> Iterator[ModuleType]:
    module = house("scene.background.queue")
    yield module
    module.unregister()


@pytest.fixture
def registry(house: House) -> ModuleType:
    return house("core.jobs.registry")


@pytest.fixture
def prepared(house: House) -> Prepared:
    """prepared(scene): the id of a job that was begun for the scene and that nobody works on."""

    def prepare(scene: Any, **choices: Any) -> str:
        folder = house("scene.app.jobs").run_blocking(house("scene.shot.shot").prepare(scene, **choices))
        return str(folder.id)

    return prepare


def strips_of(house: House, job_id: str) -> list[Any]:
    """The strips of this file that were made of a job."""
    return list(house("scene.shot.strips").made_of(job_id))


def frames(registry: ModuleType, job_id: str) -> dict[str, bytes]:
    folder = Path(registry.find(job_id).folder) / "frames"
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def until_painting(queue: ModuleType) -> None:
    """Work until the first frame is painted."""
    while not queue.current() or queue.current().ticker.newest.phase != "Painting":
        assert queue.step() is not None


def test_a_prepared_job_waits_for_somebody(queue: ModuleType, registry: Any, prepared: Prepared, blend: Any) -> None:
    entry = registry.find(prepared(blend))
    assert entry.condition == "paused" and Path(entry.folder).is_dir() and entry.kind == "paint"
    assert entry.scene == blend.name and queue.step() is None


def test_jobs_are_done_one_after_the_other_in_their_order(
    house: House, queue: ModuleType, registry: Any, prepared: Prepared, blend: Any
) -> None:
    first, second, third = (prepared(blend) for _ in range(3))
    for each in (first, second, third):
        queue.enqueue(each)
    queue.move(third, -1)
    queue.move(first, -1)
    assert [entry.id for entry in queue.queued()] == [first, third, second]
    done = []
    while queue.step() is not None:
        done += [each for each in (first, second, third) if registry.find(each).state == "delivered"]
    assert list(dict.fromkeys(done)) == [first, third, second]
    assert all(len(strips_of(house, each)) == 1 for each in (first, second, third))
    assert "Show Result" in queue.told(first)[0]


def test_undo_redo_and_another_name_of_the_scene_change_nothing(
    house: House, queue: ModuleType, registry: Any, prepared: Prepared, blend: Any
) -> None:
    import bpy

    bpy.ops.ed.undo_push(message="Before")
    job = prepared(blend)
    blend.name = "Take 2"
    bpy.ops.ed.undo_push(message="Named")
    queue.enqueue(job)
    until_painting(queue)
    for undo in (bpy.ops.ed.undo, bpy.ops.ed.redo, bpy.ops.ed.undo):
        assert undo() == {"FINISHED"} and queue.current() is not None
    bpy.data.scenes[0].name = "Take 3"
    queue.run_to_end()
    assert registry.find(job).state == "delivered" and len(strips_of(house, job)) == 1


def test_a_job_goes_on_while_another_file_is_open_and_is_delivered_in_its_own(
    house: House, queue: ModuleType, registry: Any, prepared: Prepared, blend: Any, tmp_path: Path
) -> None:
    import bpy

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    job = prepared(blend)
    queue.enqueue(job)
    until_painting(queue)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "renamed.blend"))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    queue.run_to_end()
    assert registry.find(job).state == "finished" and not strips_of(house, job)
    assert "when renamed.blend is open" in queue.told(job)[0]
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "renamed.blend"))
    (offer,) = house("scene.background.listing").offers()
    assert offer.entry.id == job and offer.condition == "finished"
    queue.deliver(job)
    queue.run_to_end()
    assert registry.find(job).state == "delivered" and len(strips_of(house, job)) == 1
    assert house("scene.background.listing").offers() == []


def test_a_scene_that_was_deleted_loses_no_job(
    queue: ModuleType, registry: Any, prepared: Prepared, blend: Any
) -> None:
    import bpy

    job = prepared(blend)
    queue.enqueue(job)
    until_painting(queue)
    bpy.data.scenes.new("Another")
    bpy.data.scenes.remove(blend)
    queue.run_to_end()
    assert registry.find(job).state == "finished" and len(frames(registry, job)) == 5


def test_a_paused_job_keeps_its_frames_and_is_gone_on_with(
    queue: ModuleType, registry: Any, prepared: Prepared, blend: Any
) -> None:
    undisturbed, job = prepared(blend), prepared(blend)
    queue.enqueue(undisturbed)
    queue.run_to_end()
    queue.enqueue(job)
    until_painting(queue)
    while not frames(registry, job):
        queue.step()
    queue.pause(job)
    kept = {path: path.stat().st_mtime_ns for path in (Path(registry.find(job).folder) / "frames").glob("*.png")}
    assert registry.find(job).condition == "paused" and kept and queue.step() is None
    queue.enqueue(job)
    queue.run_to_end()
    assert frames(registry, job) == frames(registry, undisturbed)
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items()), "nothing is painted twice"


def test_what_another_blender_has_in_hand_is_left_to_it(
    house: House, queue: ModuleType, registry: Any, prepared: Prepared, blend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepared(blend)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(house("core.temporary"), "owner", lambda: "00000000-7-00000000")
        registry.note(job, state="running")
    with pytest.raises(house("core.errors").JobError, match="Another process works on"):
        queue.enqueue(job)
    assert registry.find(job).condition == "running" and queue.step() is None


def test_how_a_job_ended_stays_for_its_stage_with_its_log(
    house: House, queue: ModuleType, registry: Any, prepared: Prepared, blend: Any
) -> None:
    def told() -> Any:
        return house("scene.background.outcomes").of(blend, "video")

    job = prepared(blend)
    folder = Path(registry.find(job).folder)
    missing, kept = folder / "geometry" / "000003.png", folder / "kept.png"
    missing.rename(kept)
    queue.enqueue(job)
    queue.run_to_end()
    outcome = told()
    assert outcome.label == "Generate 360° Video" and "000003.png is missing" in outcome.error
    assert outcome.log == folder / "log.txt" and "000003.png" in outcome.log.read_text("utf-8")
    kept.rename(missing)
    queue.enqueue(job)
    queue.run_to_end()
    assert registry.find(job).state == "delivered"
    assert told() is None or (not told().error and told().warnings)


def test_a_job_of_another_file_tells_this_one_nothing(
    house: House, queue: ModuleType, registry: Any, prepared: Prepared, blend: Any
) -> None:
    import bpy

    job = prepared(blend)
    (Path(registry.find(job).folder) / "geometry" / "000003.png").unlink()
    queue.enqueue(job)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.scene.name = "Elsewhere"
    queue.run_to_end()
    assert registry.find(job).condition == "failed"
    assert house("scene.background.outcomes").of(bpy.context.scene, "video") is None


def test_a_failure_is_kept_with_its_repair_and_hinders_no_other_job(
    queue: ModuleType, registry: Any, prepared: Prepared, blend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, other = prepared(blend), prepared(blend)
    (Path(registry.find(failing).folder) / "geometry" / "000003.png").unlink()
    for job in (failing, other):
        queue.enqueue(job)
    queue.run_to_end()
    entry = registry.find(failing)
    assert entry.condition == "failed" and "000003.png is missing" in entry.error
    assert registry.find(other).state == "delivered"


@pytest.mark.skipif(os.name != "posix", reason="kills by signals")
def test_a_backend_that_is_killed_is_told_and_its_job_goes_on(
    house: House, queue: ModuleType, registry: Any, prepared: Prepared, blend: Any
) -> None:
    job = prepared(blend, frames=range(1, 61))  # so many that it is not quicker
    queue.enqueue(job)
    until_painting(queue)
    os.kill(house("scene.app.backend_process").shared().pid, signal.SIGKILL)
    queue.run_to_end()
    entry = registry.find(job)
    assert entry.state == "failed" and "was killed (SIGKILL)" in entry.error and "Resume goes on" in entry.error
    kept = {path: path.stat().st_mtime_ns for path in (Path(entry.folder) / "frames").glob("*.png")}
    queue.enqueue(job)
    queue.run_to_end()
    assert registry.find(job).state == "delivered" and registry.find(job).error == ""
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items()), "nothing is painted twice"


def test_the_extension_leaves_its_jobs_to_whoever_comes(
    queue: ModuleType, registry: Any, prepared: Prepared, blend: Any
) -> None:
    jobs = [prepared(blend), prepared(blend)]
    for job in jobs:
        queue.enqueue(job)
    until_painting(queue)
    queue.unregister()
    assert [registry.find(job).condition for job in jobs] == ["paused", "paused"]


def test_what_was_delivered_but_never_saved_is_offered_again(
    house: House, queue: ModuleType, registry: Any, prepared: Prepared, blend: Any, tmp_path: Path
) -> None:
    import bpy

    job = prepared(blend)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    queue.enqueue(job)
    queue.run_to_end()
    assert registry.find(job).state == "delivered"
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    (offer,) = house("scene.background.listing").offers()
    assert offer.entry.id == job and offer.condition == "finished"
    queue.deliver(job)
    queue.run_to_end()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert not house("scene.background.listing").offers() and len(strips_of(house, job)) == 1


def test_all_jobs_of_a_file_that_was_not_saved_since_are_known_again(
    house: House, queue: ModuleType, registry: Any, prepared: Prepared, blend: Any, tmp_path: Path
) -> None:
    import bpy

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    jobs = [prepared(blend), prepared(blend)]
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert [item.entry.id for item in house("scene.background.listing").offers()] == jobs
    for job in jobs:
        queue.enqueue(job)
        queue.run_to_end()
    assert [registry.find(job).state for job in jobs] == ["delivered"] * 2
    assert len(house("scene.background.takes").of_scene(bpy.context.scene)) == 2


def test_an_older_version_of_the_file_neither_takes_nor_doubles_results(
    house: House, queue: ModuleType, registry: Any, prepared: Prepared, blend: Any, tmp_path: Path
) -> None:
    import bpy

    job = prepared(blend)
    for name in ("v01.blend", "v02.blend"):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / name))
    queue.enqueue(job)
    queue.run_to_end()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "v01.blend"))
    assert registry.find(job).state == "delivered" and not house("scene.background.listing").offers()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "v02.blend"))
    queue.deliver(job)
    queue.run_to_end()
    assert len(strips_of(house, job)) == 1


def test_a_copy_of_a_scene_gets_an_identity_of_its_own(house: House, blend: Any) -> None:
    import bpy

    identity = house("scene.app.identity")
    known = identity.of(blend)
    copied = blend.copy()
    blend.name, copied.name = "Z original", "A copy"
    assert identity.find(bpy.data.scenes, known, "Scene") == blend
    assert identity.of(copied) != known == identity.of(blend)


def test_a_copy_is_still_told_from_its_original_when_both_were_saved(
    house: House, shot_scene: Any, tmp_path: Path
) -> None:
    import bpy

    identity = house("scene.app.identity")
    known, capture = identity.of(shot_scene), identity.of(shot_scene.objects["A"])
    copied, beside = shot_scene.copy(), shot_scene.objects["A"].copy()
    copied.name, shot_scene.name, beside.name = "Anew", "Zoo", "0"
    copied.collection.objects.link(beside)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert identity.find(bpy.data.scenes, known, "Scene") == bpy.data.scenes["Zoo"]
    assert identity.find(bpy.data.objects, capture) == bpy.data.objects["A"]


def test_a_registry_that_cannot_be_written_begins_no_job_twice(
    house: House, queue: ModuleType, prepared: Prepared, blend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepared(blend)
    queue.enqueue(job)
    monkeypatch.setattr(house("core.jobs.registry"), "note", lambda *_, **__: None)
    queue.run_to_end()
    assert len(strips_of(house, job)) == 1
    monkeypatch.undo()


def test_a_job_that_is_in_no_list_says_so(house: House, queue: ModuleType) -> None:
    with pytest.raises(house("core.errors").JobError, match="does not have this one"):
        queue.enqueue("missing")


def test_a_delivery_that_failed_says_why_and_can_be_tried_again(
    house: House, queue: ModuleType, registry: Any, prepared: Prepared, blend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepared(blend)
    error = house("core.errors").RenderError("All channels are taken.")

    def refuse(*_: Any) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(house("scene.shot.strips"), "free_channel", refuse)
        queue.enqueue(job)
        queue.run_to_end()
    assert registry.find(job).state == "finished"
    assert registry.find(job).error.startswith("All channels are taken.")
    queue.deliver(job)
    queue.run_to_end()
    assert registry.find(job).state == "delivered" and registry.find(job).error == ""


def test_nothing_is_delivered_beneath_a_stroke_or_a_render(
    house: House, queue: ModuleType, registry: Any, prepared: Prepared, blend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, delivery = prepared(blend), house("scene.background.delivery")
    for busy in ("SCULPT_OT_brush_stroke", "TRANSFORM_OT_translate"):
        assert delivery._is_stroke(busy)
    assert not delivery._is_stroke("WM_OT_screencast_keys")
    with monkeypatch.context() as stroke:
        stroke.setattr(delivery, "_modal_operators", lambda: iter(["SCULPT_OT_brush_stroke"]))
        queue.enqueue(job)
        while registry.find(job).state != "finished":
            queue.step()
        assert all(queue.step() for _ in range(3)) and not strips_of(house, job)
    queue.run_to_end()
    assert len(strips_of(house, job)) == 1


def test_a_project_that_was_moved_goes_on(
    house: House, queue: ModuleType, registry: Any, blend: Any, tmp_path: Path
) -> None:
    run, shot = house("scene.app.jobs").run_blocking, house("scene.shot.shot")
    (tmp_path / "before").mkdir()
    folder = run(shot.prepare(blend, root=tmp_path / "before"))
    (tmp_path / "before").rename(tmp_path / "after")
    moved = house("core.jobs.job_folder").PaintFolder.open(tmp_path / "after" / folder.path.name)
    shot.remember(blend, moved)
    queue.enqueue(run(shot.adopt(blend)).id)
    queue.run_to_end()
    assert registry.find(folder.id).state == "delivered"

"""The list of jobs as an artist sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.scene.conftest import shot_scene as shot_scene

House = Callable[[str], ModuleType]


@pytest.fixture
def listed(house: House, shot_scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """listed(state, **changes): a job of the scene in this state; returns its id."""
    monkeypatch.setattr(house("core.person_folder"), "path", lambda *_: tmp_path / "data")
    registry = house("core.jobs.registry")

    def make(state: str, **changes: Any) -> str:
        folder = house("scene.app.jobs").run_blocking(house("scene.shot.shot").prepare(shot_scene))
        registry.update(folder.id, state=state, **changes)
        return str(folder.id)

    return make


def test_an_empty_list_says_what_it_is_for(draw: Any, house: House, listed: Any) -> None:
    layout = draw(room="ui.jobs_panel")
    assert "listed here until it is delivered" in layout.labels and not layout.shown
    assert "0 jobs take 0 MB" in layout.labels


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        ("waiting", {"pause_job", "move_job", "open_job", "remove_job"}),
        ("paused", {"resume_job", "open_job", "remove_job"}),
        ("failed", {"resume_job", "open_job", "remove_job", "copy_text", "install_engine"}),
        ("finished", {"deliver_job", "open_job", "remove_job"}),
        ("delivered", {"open_job", "remove_job"}),
    ],
)
def test_each_state_has_its_buttons(state: str, verbs: set[str], draw: Any, listed: Any, house: House) -> None:
    why = {"error": "torch is missing.", "repair": "pantheon360.install_engine"} if state == "failed" else {}
    listed(state, **why)
    layout = draw(room="ui.jobs_panel")
    assert {name.partition(".")[2] for name in layout.shown} == verbs
    if state == "failed":
        assert "torch is missing." in layout.labels
    elif state != "delivered":
        assert f"360° video, {state}" in layout.labels


def test_what_a_gone_process_had_in_hand_is_offered(draw: Any, listed: Any, house: House) -> None:
    job = listed("paused")
    registry = house("core.jobs.registry")
    path = registry.folder() / f"{job}.json"
    path.write_text(path.read_text("utf-8").replace('"paused"', '"running"'), "utf-8")
    layout = draw(room="ui.jobs_panel")
    assert "360° video, interrupted" in layout.labels and "pantheon360.resume_job" in layout.shown
    assert [item.entry.id for item in house("scene.background.listing").offers()] == [job]


def test_the_job_at_work_shows_one_bar_and_can_be_canceled(
    draw: Any, listed: Any, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    monkeypatch.setattr(house("scene.app.jobs"), "LONGEST_TICK", 0.0)  # one step a tick: the job cannot be done in it
    queue, registry = house("scene.background.queue"), house("core.jobs.registry")
    job = listed("paused")
    queue.enqueue(job)
    queue.step()
    phase = queue.current().ticker.newest.phase
    assert phase
    for room in ("ui.jobs_panel", "ui.panel"):
        layout = draw(room=room)
        assert "pantheon360.pause_job" in layout.shown and any("%" in label for label in layout.labels)
        assert any(label.startswith(phase) for label in layout.labels)
    assert bpy.ops.pantheon360.cancel() == {"FINISHED"}
    assert registry.find(job).condition == "paused" and not bpy.ops.pantheon360.cancel.poll()


def test_a_job_is_removed_with_its_files_and_its_note(draw: Any, listed: Any, house: House, blend: Any) -> None:
    import bpy

    job = listed("paused")
    registry, shot = house("core.jobs.registry"), house("scene.shot.shot")
    folder = Path(registry.find(job).folder)
    shot.remember(blend, house("core.jobs.job_folder").PaintFolder.open(folder))
    assert bpy.ops.pantheon360.remove_job(job=job) == {"FINISHED"}
    assert registry.find(job) is None and not folder.exists() and shot.unfinished(blend) is None


def test_what_was_delivered_can_be_deleted_to_free_the_disk(draw: Any, listed: Any, house: House) -> None:
    import bpy

    job = listed("delivered")
    assert "1 job takes 0 MB" in draw(room="ui.jobs_panel").labels
    folder = Path(house("core.jobs.registry").find(job).folder)
    assert bpy.ops.pantheon360.remove_job(job=job) == {"FINISHED"}
    assert not folder.exists() and house("scene.background.listing").delivered() == []


def test_a_folder_that_holds_another_job_is_not_deleted(listed: Any, house: House) -> None:
    import bpy

    one, other = listed("paused"), listed("paused")
    registry = house("core.jobs.registry")
    folder = Path(registry.find(other).folder)
    registry.update(one, folder=str(folder))
    with pytest.raises(RuntimeError, match="holds another job"):
        bpy.ops.pantheon360.remove_job(job=one)
    assert folder.is_dir()


def test_a_job_whose_folder_is_gone_says_so(draw: Any, listed: Any, house: House) -> None:
    import bpy

    job = listed("paused")
    Path(house("core.jobs.registry").find(job).folder).rename(Path(house("core.person_folder").path()) / "moved")
    layout = draw(room="ui.jobs_panel")
    assert "Its folder is gone" in layout.labels and "pantheon360.open_job" not in layout.shown
    with pytest.raises(RuntimeError, match="is gone"):
        bpy.ops.pantheon360.resume_job(job=job)
    assert bpy.ops.pantheon360.remove_job(job=job) == {"FINISHED"}


def test_the_newest_job_is_always_in_the_list(draw: Any, listed: Any, house: House) -> None:
    panel, listing = house("ui.jobs_panel"), house("scene.background.listing")
    jobs = [listed("paused") for _ in range(3)]
    assert [item.entry.id for item in panel._ranked(listing.items())] == jobs[::-1]


def test_a_job_that_was_never_saved_is_delivered_into_the_scene_at_hand(listed: Any, house: House, blend: Any) -> None:
    import bpy

    job = listed("paused")
    registry, queue = house("core.jobs.registry"), house("scene.background.queue")
    queue.enqueue(job)
    while registry.find(job).state != "finished":
        assert queue.step() is not None
    queue.unregister()
    registry.update(job, identity="another session's")
    assert bpy.ops.pantheon360.deliver_job(job=job) == {"FINISHED"}
    queue.run_to_end()
    assert registry.find(job).state == "delivered" and house("scene.shot.strips").made_of(job)


@pytest.fixture
def killed(listed: Any, house: House, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[str, str]]:
    """killed(): a job whose Blender was killed as it had just sealed the folder; its id and that Blender."""

    def make() -> tuple[str, str]:
        owner = f"{house('core.temporary').owner()[:-8]}00000000"
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(house("core.temporary"), "owner", lambda: owner)
            return listed("preparing"), owner

    return make


def test_a_job_that_was_never_complete_is_removed_with_its_folder(killed: Any, draw: Any, house: House) -> None:
    import bpy

    job, owner = killed()
    registry = house("core.jobs.registry")
    folder = Path(registry.find(job).folder)
    begun = folder.rename(folder.with_name(f".{folder.name}.{owner}-abcdef.part"))
    layout = draw(room="ui.jobs_panel")
    assert "pantheon360.resume_job" in layout.shown and "Its folder is gone" not in layout.labels
    assert [item.entry.id for item in house("scene.background.listing").offers()] == [job]
    assert bpy.ops.pantheon360.remove_job(job=job) == {"FINISHED"}
    assert not begun.exists() and registry.find(job) is None


def test_a_job_that_was_just_complete_is_gone_on_with(killed: Any, house: House) -> None:
    import bpy

    (job, _), queue = killed(), house("scene.background.queue")
    (offer,) = house("scene.background.listing").offers()
    assert (offer.entry.id, offer.condition) == (job, "interrupted")
    assert bpy.ops.pantheon360.resume_job(job=job) == {"FINISHED"}
    queue.run_to_end()
    (entry,) = house("core.jobs.registry").entries()
    assert (entry.id, entry.state) == (job, "delivered")
    queue.unregister()


def test_a_job_is_entered_by_the_path_that_it_will_have(
    house: House, shot_scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a kill between the two would leave a complete folder that nothing leads to."""
    monkeypatch.setattr(house("core.person_folder"), "path", lambda *_: tmp_path / "data")
    registry, steps = house("core.jobs.registry"), house("scene.shot.shot").prepare(shot_scene)
    while not registry.entries():
        next(steps)
    (entry,) = registry.entries()
    assert entry.state == "preparing" and not entry.path.exists()
    folder = house("scene.app.jobs").run_blocking(steps)
    assert folder.path == entry.path and registry.find(entry.id).path == entry.path


def test_a_folder_in_which_somebody_paints_is_not_deleted(listed: Any, house: House) -> None:
    import bpy

    job = listed("paused")
    folder = house("core.jobs.job_folder").PaintFolder.open(Path(house("core.jobs.registry").find(job).folder))
    with house("core.jobs.lock").locked(folder.output), pytest.raises(RuntimeError, match="another process"):
        bpy.ops.pantheon360.remove_job(job=job)
    assert folder.path.is_dir()


def test_what_a_delivery_said_is_read_in_the_panel(draw: Any, listed: Any, house: House) -> None:
    queue = house("scene.background.queue")
    queue.enqueue(listed("paused"))
    queue.run_to_end()
    shown = " ".join(draw(room="ui.jobs_panel").labels)
    assert "Show Result plays it" in shown and "Strip" in shown
    queue.unregister()
    assert "Show Result plays it" not in " ".join(draw(room="ui.jobs_panel").labels)

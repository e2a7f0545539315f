"""Takes of a scene: listed, shown, compared, loaded back, deleted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.scene.conftest import House


@pytest.fixture
def takes(house: House, shot_scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(house("core.person_folder"), "path", lambda *_: tmp_path / "data")
    yield house("scene.background.takes")
    house("scene.background.queue").unregister()


def generate(house: House, scene: Any, **settings: Any) -> str:
    """Paint a take; returns its job's id."""
    for name, value in settings.items():
        setattr(scene.pantheon360, name, value)
    strip = house("scene.app.jobs").run_blocking(house("scene.shot.shot").generate(scene))
    return str(house("scene.shot.strips").job_of(strip))


def test_takes_are_listed_the_newest_first_with_what_painted_them(takes: Any, house: House, blend: Any) -> None:
    assert takes.of_scene(blend) == []
    one, other = generate(house, blend), generate(house, blend, width=128, seed="7")
    found = takes.of_scene(blend)
    assert [take.entry.id for take in found] == [other, one]
    assert [(take.painter, take.width, take.frames) for take in found] == [("draft", 128, 5), ("draft", 64, 5)]
    assert all(take.bytes > 1000 and Path(take.preview).is_file() for take in found)
    assert [takes.is_shown(take) for take in found] == [True, False]


def test_two_takes_are_compared_by_one_button(takes: Any, house: House, blend: Any) -> None:
    import bpy

    assert not bpy.ops.pantheon360.compare_takes.poll()
    generate(house, blend)
    generate(house, blend, seed="7")
    states = []
    for _ in range(3):
        states.append([takes.is_shown(take) for take in takes.of_scene(blend)])
        assert bpy.ops.pantheon360.compare_takes() == {"FINISHED"}
    assert states == [[True, False], [False, True], [True, False]]


def test_a_take_whose_strip_was_removed_can_be_shown_again(takes: Any, house: House, blend: Any) -> None:
    import bpy

    job = generate(house, blend)
    strip = takes.strip_of(takes.find(job))
    strip.id_data.sequence_editor.strips.remove(strip)
    assert takes.strip_of(takes.find(job)) is None
    assert bpy.ops.pantheon360.show_take(job=job) == {"FINISHED"}
    assert takes.is_shown(takes.find(job))


def test_settings_are_loaded_back(takes: Any, house: House, blend: Any) -> None:
    import bpy

    job = generate(house, blend, width=128, seed="99", near=0.25, frame_step=2, own_pixels=True)
    for name, value in {"own_pixels": False, "width": 64, "seed": "1", "near": 0.1, "frame_step": 1}.items():
        setattr(blend.pantheon360, name, value)
    assert bpy.ops.pantheon360.load_take(job=job) == {"FINISHED"}
    chosen = blend.pantheon360
    assert (chosen.width, chosen.seed, chosen.near, chosen.frame_step) == (128, "99", 0.25, 2)
    assert chosen.own_pixels


def test_the_diffusion_painter_s_settings_come_back_as_they_were_written(house: House, blend: Any) -> None:
    settings, group = house("scene.shot.diffusion_settings"), blend.pantheon360.diffusion
    untouched = settings.to_json(group)
    group.steps, group.guidance, group.model = 7, 2.5, "/models/some"
    lora = group.loras.add()
    lora.file, lora.strength = "/loras/one.safetensors", 0.5
    changed = settings.to_json(group)
    settings.from_json(group, untouched)
    assert settings.to_json(group) == untouched
    settings.from_json(group, changed)
    assert settings.to_json(group) == changed != untouched


def test_a_deleted_take_is_gone_from_disk_sequencer_and_list(takes: Any, house: House, blend: Any) -> None:
    import bpy

    job = generate(house, blend)
    folder = Path(takes.find(job).entry.folder)
    assert bpy.ops.pantheon360.delete_take(job=job) == {"FINISHED"}
    assert not folder.exists() and takes.of_scene(blend) == [] and not house("scene.shot.strips").made_of(job)
    with pytest.raises(RuntimeError, match="not there any more"):
        bpy.ops.pantheon360.delete_take(job=job)


def test_a_copy_of_a_project_deletes_nothing_of_the_original(
    takes: Any, house: House, blend: Any, tmp_path: Path
) -> None:
    import shutil

    import bpy

    (tmp_path / "project").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "project" / "a.blend"))
    job = generate(house, blend, jobs_folder="//jobs")
    bpy.ops.wm.save_mainfile()
    shutil.copytree(tmp_path / "project", tmp_path / "copy")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "copy" / "a.blend"))
    folder = Path(takes.find(job).entry.folder)
    assert folder.is_relative_to(tmp_path / "project")
    assert bpy.ops.pantheon360.delete_take(job=job) == {"FINISHED"}
    assert len(list(folder.glob("frames/*.png"))) == 5 and not house("scene.shot.strips").made_of(job)


def test_a_strip_in_a_meta_strip_is_removed_with_its_take(takes: Any, house: House, blend: Any) -> None:
    import bpy

    job = generate(house, blend)
    strip = takes.strip_of(takes.find(job))
    meta = strip.id_data.sequence_editor.strips.new_meta("Meta", 5, 1)
    strip.move_to_meta(meta)
    assert bpy.ops.pantheon360.delete_take(job=job) == {"FINISHED"}
    assert not house("scene.shot.strips").made_of(job)


def test_a_copy_says_whose_files_stay_before_and_after(takes: Any, house: House, blend: Any, tmp_path: Path) -> None:
    import bpy

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    job = generate(house, blend)
    operators = house("operators.background.takes")
    folder = takes.find(job).entry.folder
    assert operators._warning(takes.find(job)) == f"{folder} is deleted; undo does not bring it back"
    house("core.jobs.registry").update(job, blend=str(tmp_path / "other.blend"))
    assert operators._warning(takes.find(job)).startswith(folder), "the strip of this file finds it from here"
    strip = takes.strip_of(takes.find(job))
    strip["pantheon360_folder"] = "//elsewhere"
    take = takes.find(job)
    assert operators._warning(take) == f"Its files belong to {tmp_path / 'other.blend'} and stay"
    assert takes.delete(take) is None and Path(folder).is_dir()


def test_a_take_that_cannot_be_deleted_now_keeps_its_strip(takes: Any, house: House, blend: Any) -> None:
    import bpy

    job = generate(house, blend)
    folder = house("core.jobs.job_folder").PaintFolder.open(takes.find(job).entry.path)
    with house("core.jobs.lock").locked(folder.output), pytest.raises(RuntimeError, match="another process"):
        bpy.ops.pantheon360.delete_take(job=job)
    assert takes.strip_of(takes.find(job)) is not None


def test_a_folder_that_does_not_say_what_it_holds_stays_and_is_named(takes: Any, house: House, blend: Any) -> None:
    job = generate(house, blend)
    entry = takes.find(job).entry
    (entry.path / "job.json").write_text("{", "utf-8")
    removed = house("scene.background.removal").remove(entry)
    assert removed.left == entry.path and entry.path.is_dir() and str(entry.path) in removed.text
    assert house("core.jobs.registry").find(job) is None


def test_a_lock_that_cannot_be_asked_does_not_keep_a_job(takes: Any, house: House, blend: Any) -> None:
    job = generate(house, blend)
    entry = takes.find(job).entry
    (entry.path / "run.lock").unlink(missing_ok=True)
    (entry.path / "run.lock").mkdir()
    removed = house("scene.background.removal").remove(entry)
    assert removed.left is None and removed.bytes > 1000 and not entry.path.exists()


def test_what_could_not_be_deleted_is_named(
    takes: Any, house: House, blend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = takes.find(generate(house, blend)).entry
    monkeypatch.setattr(house("core.temporary"), "remove", lambda _path: None)
    removed = house("scene.background.removal").remove(entry)
    assert (removed.bytes, removed.left) == (0, entry.path)


def test_who_deletes_a_take_is_asked_and_told_which_folder(takes: Any, house: House, blend: Any) -> None:
    """Blender's own question takes these words, and the operator gives them."""
    import bpy

    job = generate(house, blend)
    manager, asked = SimpleNamespace(), []
    manager.invoke_confirm = lambda _operator, _event, **words: asked.append(words) or {"RUNNING_MODAL"}
    delete = house("operators.background.takes").PANTHEON360_OT_delete_take
    delete.invoke(SimpleNamespace(job=job), SimpleNamespace(window_manager=manager), None)
    assert asked[0]["message"].startswith(str(takes.find(job).entry.path))
    assert set(asked[0]) <= set(bpy.types.WindowManager.bl_rna.functions["invoke_confirm"].parameters.keys())

"""The registry of a person's jobs: what it keeps, whom a job belongs to, and that nothing damaged gets out of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pantheon360_blender.core import person_folder, temporary
from pantheon360_blender.core.errors import FileError
from pantheon360_blender.core.jobs import registry
from pantheon360_blender.core.jobs.registry import Entry


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(person_folder, "path", lambda *_: tmp_path / "data")


def job(job_id: str = "0a1b2c3d", **values: Any) -> Entry:
    return Entry(**{"id": job_id, "kind": "paint", "title": "Street", "folder": "/jobs/street", **values})


def another_process() -> str:
    """The name of a process that has ended."""
    code = "from pantheon360_blender.core import temporary; print(temporary.owner())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_what_is_entered_is_found_and_can_be_removed() -> None:
    assert registry.entries() == [] and registry.find("0a1b2c3d") is None and registry.stamp() == 0
    first = registry.add(job(blend="/a/b.blend", scene="Ünï 空", identity="f00", place=2.5))
    second = registry.add(job("second", kind="reconstruct"))
    assert registry.entries() == [first, second] and registry.find("second") == second
    before = registry.stamp()
    changed = registry.update("0a1b2c3d", state="failed", error="The disk is full.")
    assert changed is not None and changed.made == first.made and changed.updated > first.updated
    assert registry.find("0a1b2c3d") == changed and changed.owner == "" and registry.stamp() != before
    registry.remove("0a1b2c3d")
    registry.remove("0a1b2c3d")
    assert registry.entries() == [second]
    assert registry.update("0a1b2c3d", state="failed") is None


def test_a_job_in_hand_is_its_process_s_own() -> None:
    ours = registry.add(job(state="running"))
    assert ours.is_ours and ours.condition == "running" and ours.owner == temporary.owner()
    settled = registry.add(job(state="finished"))
    assert not settled.is_ours and settled.condition == "finished"


@pytest.mark.parametrize("state", registry.IN_HAND)
def test_a_job_whose_process_is_gone_is_interrupted(state: registry.State) -> None:
    gone = replace(registry.add(job(state=state)), owner=another_process())
    assert gone.condition == "interrupted" and not gone.is_ours
    assert replace(gone, state="paused").condition == "paused"
    assert replace(gone, owner="no process").condition == "interrupted"


def test_another_computer_s_job_is_its_own_until_it_has_been_silent_for_long() -> None:
    elsewhere = replace(registry.add(job(state="running")), owner="00000000-12-00000000")
    assert elsewhere.condition == "running" and not elsewhere.is_ours
    long_ago = datetime.now(UTC) - timedelta(seconds=temporary.LONGEST_SILENCE + 60)
    assert replace(elsewhere, updated=long_ago.isoformat()).condition == "interrupted"


@pytest.mark.parametrize(
    "damage",
    [
        {"state": "mislaid"},
        {"id": "another"},
        {"place": "first"},
        {"folder": 7},
        {"title": None},
        {"captures": ["room"]},
        {"captures": {"room": 3}},
        [],
        "text",
    ],
)
def test_a_damaged_entry_is_left_out_and_hides_no_other(damage: Any) -> None:
    sound = registry.add(job("sound"))
    entry = registry.add(job())
    path = registry.folder() / f"{entry.id}.json"
    record = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**record, **damage} if isinstance(damage, dict) else damage), "utf-8")
    (registry.folder() / "torn.json").write_text('{"id": "to')
    (registry.folder() / "link.json").symlink_to("/dev/zero")
    assert registry.entries() == [sound] and registry.find(entry.id) is None


def test_what_a_newer_version_adds_is_passed_over() -> None:
    entry = registry.add(job())
    path = registry.folder() / f"{entry.id}.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"colour": "red"}), "utf-8")
    assert registry.find(entry.id) == entry


@pytest.mark.parametrize("job_id", ["../../etc/passwd", "", "a/b", "x" * 65, "a\0b"])
def test_no_name_of_a_job_leads_out_of_the_registry(job_id: str) -> None:
    assert registry.find(job_id) is None
    registry.remove(job_id)


def test_a_registry_that_cannot_be_written_stops_no_job(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(FileError):
        registry.add(job())
    registry.note("0a1b2c3d", state="running")
    assert registry.entries() == []


def test_a_person_without_a_home_has_a_registry_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.undo()
    monkeypatch.setattr(Path, "home", nowhere)
    assert person_folder.path({}, "linux").is_absolute()

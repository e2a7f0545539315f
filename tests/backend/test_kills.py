"""A few of the kills that `make kill-test` does by the hundred."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPTH = {"poses.json", *(f"depth/view-{index}.npz" for index in range(3))}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes as Linux shows them")
def test_painting_that_is_killed_ends_as_if_undisturbed(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    options = ["--kinds", "draft", "--kills", "2", "--backend", sys.executable, "--output", str(figures)]
    command = [sys.executable, "-B", str(ROOT / "scripts" / "kill_test.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    draft = json.loads(figures.read_text())["draft"]
    assert sum(draft["hits"].values()) == 2 and draft["failures"] == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes as Linux shows them")
def test_a_reconstruction_that_is_killed_in_three_stages_ends_as_if_undisturbed(
    kill_test: ModuleType, tmp_path: Path
) -> None:
    """One after the other in one folder, so that every run but the first goes on."""
    for package in ("numba", "pycolmap"):
        pytest.importorskip(package, reason="needs the backend's environment")
    subjects, temporary = tmp_path / "subjects", tmp_path / "tmp"
    for folder in (subjects, temporary):
        folder.mkdir()
    maker = [sys.executable, "-B", str(ROOT / "scripts" / "kill_subjects.py")]
    subprocess.run([*maker, "reconstruction", str(subjects)], check=True, timeout=300)
    whole, killed = (Path(shutil.copytree(subjects / "job", tmp_path / name)) for name in ("whole", "killed"))
    assert not run(whole, temporary)
    finished: dict[str, tuple[int, int]] = {}
    for stage, results in (("Solving poses", set()), ("Matching at full", {"poses.json"}), ("Fusing", DEPTH)):
        assert run(killed, temporary, stage), f"it ended before {stage}"
        assert kill_test.gone(killed)
        found = kill_test.finished(killed)
        assert results <= found.keys() and not kill_test.made_again(finished, found)
        finished = found
    assert not run(killed, temporary)
    assert not kill_test.made_again(finished, kill_test.finished(killed))
    assert not kill_test.differences(kill_test.contents(whole), kill_test.contents(killed))
    assert list(temporary.iterdir()) == []


@pytest.fixture
def kill_test(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("kill_test")


def run(folder: Path, temporary: Path, until: str = "") -> bool:
    """Run a job to its end, or kill it when a phase begins; whether it was killed."""
    command = [sys.executable, "-B", "-m", "backend", "run", str(folder), "--json"]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if until and json.loads(line).get("phase", "").startswith(until):
                child.kill()
    assert child.returncode == (-signal.SIGKILL if until else 0)
    return bool(until)

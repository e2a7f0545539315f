"""A few of the kills that `make kill-test` does by the hundred."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes as Linux shows them")
def test_painting_that_is_killed_ends_as_if_undisturbed(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    options = ["--kinds", "draft", "--kills", "2", "--backend", sys.executable, "--output", str(figures)]
    command = [sys.executable, "-B", str(ROOT / "scripts" / "kill_test.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    draft = json.loads(figures.read_text())["draft"]
    assert sum(draft["hits"].values()) == 2 and draft["failures"] == 0

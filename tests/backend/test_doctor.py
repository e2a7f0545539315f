"""`python -m backend doctor`: what can work here, and how to get what is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]


def test_it_says_that_the_draft_painter_is_ready(run_backend: Run) -> None:
    said = run_backend("doctor")
    assert said.returncode == 0
    assert "Draft (draft): ready" in said.stdout and f"numpy: {np.__version__}" in said.stdout
    assert "needs nothing else: no model, no download, no GPU" in said.stdout


def test_json_has_what_programs_need(run_backend: Run) -> None:
    said = run_backend("doctor", "--json")
    report = json.loads(said.stdout)
    assert said.returncode == 0 and report["ready"] is True
    assert report["python"] == ".".join(map(str, sys.version_info[:3]))
    assert report["device"]["kind"] in ("cpu", "cuda", "mps")
    assert report["cores"] == os.cpu_count() and report["disk_free"] > 0
    draft = next(painter for painter in report["painters"] if painter["name"] == "draft")
    assert draft["ready"] and [package["package"] for package in draft["packages"]] == ["numpy"]


def test_a_python_without_numpy_is_told_what_to_do(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=os.name != "nt")
    python = tmp_path / "bare" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    said = subprocess.run([python, "-B", "-m", "backend", "doctor"], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 1 and "not ready" in said.stdout
    assert f'"{python}" -m pip install numpy' in said.stdout
    said = subprocess.run([python, "-B", "-m", "backend", "run", "x"], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 1 and "has no numpy" in said.stderr and "Traceback" not in said.stderr


def test_what_a_painter_misses_is_named_with_the_way_to_get_it(run_backend: Run) -> None:
    said = run_backend("doctor")
    assert "Hungry (hungry): not ready" in said.stdout
    assert "no-such-package is missing, Hungry needs it" in said.stdout and "pip install no-such-package" in said.stdout
    assert said.returncode == 0, "the draft painter can work all the same"


@pytest.mark.parametrize(
    ("torch", "said"),
    [
        ("raise OSError('libtorch.so: cannot open')", "cannot be loaded: OSError: libtorch.so: cannot open"),
        ("import os; os.abort()", "cannot be loaded: "),
        (
            "from types import SimpleNamespace as N\n__version__ = '9.9'\n"
            "cuda = N(is_available=lambda: True, "
            "get_device_properties=lambda i: N(name='H200', total_memory=139 << 30))",
            "CUDA H200, 139.0 GiB, torch 9.9",
        ),
        (
            "from types import SimpleNamespace as N\n__version__ = '9.9'\ncuda = N(is_available=lambda: False)\n"
            "backends = N(mps=N(is_available=lambda: True))",
            "MPS Apple GPU, torch 9.9",
        ),
    ],
)
def test_the_device_is_what_torch_says_even_a_broken_one(torch: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(torch)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-B", "-m", "backend", "doctor"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert text.returncode == 0 and said in text.stdout


def test_importers_are_named_with_what_they_lack(run_backend: Run) -> None:
    said = run_backend("doctor", "--json")
    report = json.loads(said.stdout)
    found = {kind["name"]: kind for kind in report["importers"]}
    assert {"LAS, LAZ, COPC", "E57"} <= found.keys()
    for name, module in (("LAS, LAZ, COPC", "laspy"), ("E57", "pye57")):
        there = importlib.util.find_spec(module) is not None
        assert found[name]["ready"] == there
        assert there or f"{module}" in found[name]["missing"]
    assert "Files of other programs" in run_backend("doctor").stdout

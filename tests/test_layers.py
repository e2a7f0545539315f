"""The rooms of the house: who may import whom, and no circles. layers.py holds the table and the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import layers

TALLEST = 6
"""Floors that a room may have at most: one can still read it from the ground up."""
LARGEST = 19
"""Files that a room may hold at most."""


def test_every_import_goes_down() -> None:
    assert layers.violations() == []


def test_no_files_import_one_another_in_a_circle() -> None:
    assert layers.circles(layers.graph()) == []


def test_every_room_of_the_table_is_there_and_no_tower() -> None:
    edges = layers.graph()
    for house in layers.HOUSES.values():
        for room in house.rooms:
            files = [path for path in edges if layers.room_of(path)[1] == room]
            assert files, f"there is no code in {room}"
            assert len(files) <= LARGEST, f"{room} has {len(files)} files"
            assert layers.floors(room, edges) <= TALLEST, f"{room} is a tower"


WRONG = """
import bpy
import pickle
from ..scene.app import jobs
from pantheon360_blender.core import cameras
from .jobs import job
"""


def test_a_violation_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks themselves can fail: core reaching for bpy, pickle, scene, a room above, absolutely; and a circle."""
    core = tmp_path / "pantheon360_blender" / "core"
    files = {
        core / "wrong.py": WRONG,
        core / "cameras.py": "from . import files",
        core / "files.py": "def late() -> None:\n    from .cameras import pose",
        core / "jobs" / "job.py": "",
        core.parent / "scene" / "app" / "jobs.py": "",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(layers, "ROOT", tmp_path)
    lines = [each.split(" ")[0].rpartition(":")[2] for each in layers.violations()]
    assert lines == ["2", "3", "4", "5", "6"]
    (ring,) = layers.circles(layers.graph())
    assert [path.name for path in ring] == ["cameras.py", "files.py"]


def test_what_the_backend_says_of_itself_imports_no_learning_stack() -> None:
    """`python -m backend --help` and the lists of painters and reconstructors are instant."""
    program = """
import sys
import backend.__main__, backend.doctor, backend.painters, backend.runner, backend.service
import backend.reconstruction.reconstruct, backend.reconstruction.reconstructors
backend.painters.described(), backend.reconstruction.reconstructors.described()
print(sorted({"torch", "diffusers", "transformers", "accelerate", "numba", "scipy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-B", "-c", program], cwd=layers.ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr

"""The whole way with the diffusion painter: two photographs in Blender to a strip that a small model painted."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("bpy", reason="needs Blender as a Python module")
pytestmark = pytest.mark.ends

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def painting_python(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python with torch, named as the backend's."""
    found = ROOT / ".environments" / "backend" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not found.exists():
        pytest.skip("the backend environment has not been made: python scripts/environments.py backend")
    monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", str(found))
    return found


@pytest.fixture
def tiny_model(painting_python: Path, tmp_path: Path) -> Path:
    """The folder of a tiny random model."""
    folder = tmp_path / "models" / "tiny"
    command = [str(painting_python), "-B", "-m", "backend", "models", "make-tiny", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    return folder


def test_from_photographs_to_a_painted_strip(street: Any, tiny_model: Path) -> None:
    """Six frames, every other one painted: all are there, and the strip says what painted them."""
    import bpy

    settings = street.pantheon360
    settings.painter = "DIFFUSION"
    settings.diffusion.model = str(tiny_model)
    settings.diffusion.steps, settings.diffusion.every = 2, 2
    assert bpy.ops.pantheon360.generate() == {"FINISHED"}

    results = bpy.data.scenes["Pantheon360 Results"]
    (strip,) = results.sequence_editor.strips
    assert strip["pantheon360_painter"] == "diffusion: Tiny (untrained)" and strip["pantheon360_licence"] == "CC0-1.0"
    job = json.loads(strip["pantheon360_job"])
    assert job["painter"] == "diffusion" and job["settings"]["diffusion"]["every"] == 2
    assert [anchor["frame"] for anchor in job["anchors"]] == [1, 6], "the path goes from one capture to the other"
    (segment,) = job["painting"]["segments"].values()
    assert segment["painted"] == 4 and segment["passes"] == 2
    assert segment["starts_at_capture"] and segment["ends_at_capture"]

    folder = Path(bpy.path.abspath(strip["pantheon360_folder"]))
    images = [pixels(folder / "frames" / f"{frame:06d}.png") for frame in range(1, 7)]
    assert all(image.shape == (128, 256, 3) and image.std() > 1 for image in images)
    assert len({image.tobytes() for image in images}) == 6


def pixels(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture)

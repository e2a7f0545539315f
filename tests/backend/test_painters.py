"""Every painter that needs numpy alone, on a tiny job; and the one that CONTRIBUTING.md shows, as it stands there."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pantheon360_blender.core import plugins
from pantheon360_blender.core.formats import png
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.progress import run_to_end
from pantheon360_blender.core.render.draft import DraftPainter

from .conftest import ROOT, backend_command

PAINTERS = plugins.find(plugins.PAINTERS)
LIGHT = [name for name, plugin in PAINTERS.items() if {need.module for need in plugin.needs} <= {"numpy"}]


def painted(folder: PaintFolder) -> dict[int, bytes]:
    return {frame: folder.frame_file(frame).read_bytes() for frame in folder.job.frames}


@pytest.mark.parametrize("name", LIGHT)
def test_a_painter_paints_every_frame_in_one_go_or_in_several(name: str, shot: Callable[..., PaintFolder]) -> None:
    paint = importlib.import_module(f"backend.painters.{name}").paint
    whole, parts = shot(3, painter=name), shot(3, painter=name)
    run_to_end(paint(whole))
    assert whole.finished_frames() == [1, 2, 3]
    while len(parts.finished_frames()) < 3:
        before = len(parts.finished_frames())
        job = paint(parts)
        while len(parts.finished_frames()) == before:
            next(job)
        job.close()
    assert painted(parts) == painted(whole)


def test_the_draft_shows_the_captures_own_pixels_if_the_job_knows_what_they_see(
    shot: Callable[..., PaintFolder],
) -> None:
    folder = shot(2, painter="draft")
    seen = [np.full((512, 1024), 3.0 + index, np.float32) for index in range(len(folder.job.captures))]
    for entry, depth in zip(folder.job.captures, seen, strict=True):
        folder.write_range(entry, depth)
    folder.seal(folder.job)
    run_to_end(importlib.import_module("backend.painters.draft").paint(folder))
    expected = DraftPainter(folder.captures(), folder.job.width, seen.__getitem__)
    of_points = DraftPainter(folder.captures(), folder.job.width)
    for frame in folder.job.frames:
        given = folder.read_surfaces(frame), folder.job.camera(frame)
        image = png.read(folder.frame_file(frame))
        np.testing.assert_array_equal(image, expected.paint(*given))
        assert not np.array_equal(image, of_points.paint(*given))


def test_the_painter_of_the_contributors_guide_works_as_it_stands_there(
    tmp_path: Path, shot: Callable[..., PaintFolder]
) -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = guide[guide.index('        """The negative painter') : guide.index("- **A reconstructor**")]
    folder, painters = shot(2, painter="negative"), tmp_path / "painters"
    painters.mkdir()
    (painters / "negative.py").write_text(textwrap.dedent(code), encoding="utf-8")
    command = backend_command("run", str(folder.path), painters=painters)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for frame in folder.job.frames:
        seen, image = folder.read_surfaces(frame), png.read(folder.frame_file(frame))
        assert 0.1 < seen.coverage.mean() < 1
        np.testing.assert_array_equal(image[seen.coverage], 255 - seen.colour[seen.coverage])
        assert not image[~seen.coverage].any()
    listed = subprocess.run(
        backend_command("doctor", painters=painters), cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert "Negative (negative): ready" in listed.stdout and sys.executable in listed.stdout

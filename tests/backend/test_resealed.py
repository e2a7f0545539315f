"""A finished job folder that is sealed again with other inputs or settings ends as one that never was painted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend import runner
from pantheon360_blender.core.formats import png
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.progress import run_to_end

Shot = Callable[..., PaintFolder]


def geometry(folder: PaintFolder) -> dict[str, Any]:
    frame = folder.read_geometry("geometry", 2)
    folder.write_geometry("geometry", 2, replace(frame, colour=255 - frame.colour))
    return {}


def capture(folder: PaintFolder) -> dict[str, Any]:
    path = folder.path / folder.job.captures[0]["image"]
    png.write(path, 255 - png.read(path))
    return {}


def camera(folder: PaintFolder) -> dict[str, Any]:
    return {"cameras": folder.job.cameras + _shift(3)}


def _shift(frame: int) -> np.ndarray:
    moved = np.zeros((3, 4, 4))
    moved[frame - 1, 1, 3] = 0.5
    return moved


@pytest.mark.parametrize(("change", "again"), [(geometry, [2]), (camera, [3]), (capture, [1, 2, 3])])
def test_frames_of_what_was_changed_are_painted_again_and_no_others(
    change: Callable[[PaintFolder], dict[str, Any]], again: list[int], shot: Shot, tmp_path: Path
) -> None:
    folder = shot(3)
    run_to_end(runner.run(folder.path))
    first = {frame: folder.frame_file(frame).stat().st_mtime_ns for frame in folder.job.frames}
    folder = PaintFolder.open(folder.path)
    folder.seal(replace(folder.job, **change(folder)))
    fresh = Path(shutil.copytree(folder.path, tmp_path / "fresh"))
    shutil.rmtree(fresh / "frames")
    told = [step.warning for step in runner.run(folder.path) if step.warning]
    assert [text for text in told if "other inputs" in text] == [
        f"Frame {frame} was made of other inputs or settings and is painted again." for frame in again
    ]
    changed = [frame for frame, then in first.items() if folder.frame_file(frame).stat().st_mtime_ns != then]
    run_to_end(runner.run(fresh))
    assert changed == again and folder.state().status == "done"
    for frame in folder.job.frames:
        assert folder.frame_file(frame).read_bytes() == PaintFolder.open(fresh).frame_file(frame).read_bytes()


def test_a_job_that_is_resealed_while_it_runs_keeps_no_frame_of_before(shot: Shot) -> None:
    folder, undisturbed = shot(3), shot(3)
    for each in (folder, undisturbed):
        if each is undisturbed:
            each.seal(replace(each.job, **capture(each)))
        else:
            job = runner.run(folder.path)
            while not folder.finished_frames():
                next(job)
            other = PaintFolder.open(folder.path)
            other.seal(replace(other.job, **capture(other)))
            job.close()
    folder = PaintFolder.open(folder.path)
    assert folder.finished_frames() == []
    for each in (folder, undisturbed):
        run_to_end(runner.run(each.path))
    for frame in folder.job.frames:
        assert folder.frame_file(frame).read_bytes() == undisturbed.frame_file(frame).read_bytes()

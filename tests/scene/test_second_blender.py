"""What a second Blender reads and writes is what this one would have, and none of it happens in this one's thread."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def process(house: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """As if there were an interface to keep alive."""
    module = house("scene.worker.process")
    monkeypatch.setattr(module, "is_wanted", lambda: not module._Shared.failed)
    yield module
    module._Shared.failed = False


@pytest.fixture(scope="module", autouse=True)
def _ended(extension: Any) -> Iterator[None]:
    yield
    sys.modules[f"{extension.__name__}.pantheon360_blender.scene.worker.process"].stop()


@pytest.fixture
def run(house: Any) -> Any:
    return house("scene.app.jobs").run_blocking


@pytest.fixture
def folder(house: Any, run: Any, shot_scene: Any) -> Any:
    """A job whose frames are painted with noise."""
    made = run(house("scene.shot.shot").prepare(shot_scene))
    width, height = made.job.size
    for frame in made.job.frames:
        made.write_frame(frame, np.random.default_rng(frame).integers(0, 256, (height, width, 3), dtype=np.uint8))
    return made


def test_a_video_is_the_one_that_this_blender_encodes(
    house: Any, run: Any, folder: Any, process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    video = house("scene.shot.video")
    rendered: list[Any] = []
    bpy.app.handlers.render_init.append(rendered.append)
    try:
        steps = list(_steps(video.encode(folder, tmp_path / "there.mp4")))
    finally:
        bpy.app.handlers.render_init.remove(rendered.append)
    assert not rendered
    assert {step.step for step in steps if step.phase == "Encoding video"} == {0, 1, 2, 3, 4, 5}
    monkeypatch.setattr(process, "is_wanted", lambda: False)
    run(video.encode(folder, tmp_path / "here.mp4"))
    assert (tmp_path / "there.mp4").read_bytes() == (tmp_path / "here.mp4").read_bytes()
    assert {file.name for file in tmp_path.glob("*.mp4")} == {"there.mp4", "here.mp4"}


def _steps(job: Any) -> Iterator[Any]:
    for step in job:
        yield step
        if step.waiting:
            time.sleep(0.01)


def test_cancelling_ends_the_encoder_and_leaves_nothing(
    house: Any, folder: Any, process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    start = process._started
    monkeypatch.setattr(process, "_started", lambda: started.append(start()) or started[-1])
    target = tmp_path / "videos" / "shot.mp4"
    job = house("scene.shot.video").encode(folder, target)
    for step in _steps(job):
        if step.step > 0:
            break
    job.close()
    assert [child.alive for child in started] == [False]
    assert list(target.parent.iterdir()) == []


def test_an_error_there_is_an_error_here(
    house: Any, run: Any, folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, errors = house("scene.shot.video"), house("core.errors")
    encoding = video._encoding

    def impossible(*given: Any) -> Any:
        return dataclasses.replace(encoding(*given), size=(1, 1), codec="PRORES", place="the film's folder")

    monkeypatch.setattr(video, "_encoding", impossible)
    with pytest.raises(errors.RenderError, match="the film's folder"):
        run(video.encode(folder, tmp_path / "videos" / "shot.mp4"))
    assert list((tmp_path / "videos").iterdir()) == []


def test_without_a_second_blender_this_one_does_it(
    house: Any, run: Any, folder: Any, process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(process, "command", lambda: asked.append(1) or [sys.executable, "-c", "print('Welcome')"])
    for name in ("a.mp4", "b.mp4"):
        assert run(house("scene.shot.video").encode(folder, tmp_path / name)).stat().st_size
    assert asked == [1]


def test_it_dies_with_whoever_started_it(process: Any, run: Any) -> None:
    child = process._started()
    child.wait_for_hello()
    child._child.stdin.close()
    child._wait(5.0)
    assert not child.alive
    child.stop(grace=0)

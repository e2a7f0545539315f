"""A job folder may come from anywhere, and may go, or change, while its job runs: nothing outside it is touched, and no
frame counts as done that was made of something else.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backend import runner
from pantheon360_blender.core.errors import FileError, JobError, PantheonError
from pantheon360_blender.core.formats import png
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.progress import run_to_end

Shot = Callable[..., PaintFolder]
links = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """What an artist has beside: pictures, a program's temporary file, a file that the shell reads."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("000001.png", "000002.png", ".x.part", f".a.png.{'0' * 8}-1-{'0' * 8}.part", ".profile"):
        (folder / name).write_bytes(b"mine")
    return folder


def until_painting(folder: PaintFolder, frames: int) -> runner.progress.Job[object]:
    """The folder's job, begun: so many frames are finished."""
    job = runner.run(folder.path)
    while len(list(folder.path.glob("frames/[0-9]*.png"))) < frames:
        next(job)
    return job


@links
@pytest.mark.parametrize(
    "name", ["log.txt", "run.lock", "state.json", "preview.png", "painting.json", "frames", "segments", "seen", "depth"]
)
@pytest.mark.parametrize("there", [True, False], ids=["to something", "to nothing yet"])
def test_a_link_in_place_of_what_is_written_is_refused_before_work(
    name: str, there: bool, shot: Shot, precious: Path
) -> None:
    folder = shot(2)
    is_file = "." in name
    target = (precious / ".profile" if is_file else precious) if there else precious / "new"
    (folder.path / name).symlink_to(target)
    before = contents(precious)
    with pytest.raises(FileError, match=f"{name} is a link") as caught:
        run_to_end(runner.run(folder.path))
    assert caught.value.advice and contents(precious) == before and not folder.finished_frames()
    (folder.path / name).unlink()
    run_to_end(runner.run(folder.path))
    assert folder.finished_frames() == [1, 2] and contents(precious) == before


@links
def test_links_deeper_down_are_replaced_by_what_is_written(shot: Shot, precious: Path) -> None:
    folder = shot(2)
    (folder.path / "frames").mkdir()
    folder.frame_file(1).symlink_to(precious / "000001.png")
    (folder.path / "frames" / "inner").symlink_to(precious)
    before = contents(precious)
    run_to_end(runner.run(folder.path))
    assert folder.finished_frames() == [1, 2] and not folder.frame_file(1).is_symlink()
    assert contents(precious) == before


def test_what_is_logged_of_a_hostile_name_is_one_line(shot: Shot) -> None:
    """The name of a capture ends in the log with the error that it causes."""
    folder = shot(2)
    folder.job.captures[0]["name"] = "A\n* * * * * sh evil\n\x1b]0;owned\x07"
    png.write(folder.path / folder.job.captures[0]["image"], np.zeros((32, 48, 3), np.uint8))
    png.write(folder.path / folder.job.captures[0]["mask"], np.zeros((32, 48), np.uint8))
    folder.seal(folder.job)
    with pytest.raises(PantheonError, match="evil"):
        run_to_end(runner.run(folder.path))
    lines = folder.log_file.read_text("utf-8").splitlines()
    assert len(lines) == 2 and all(line.startswith("20") for line in lines), lines
    assert r"A\n* * * * * sh evil\n\x1b]0;owned\x07" in lines[1]


@pytest.mark.parametrize("how", ["moved", "deleted", "exchanged"])
@pytest.mark.parametrize("inputs_are_read", [True, False])
def test_a_folder_that_goes_while_its_job_runs_stops_it_and_is_not_made_again(
    how: str, inputs_are_read: bool, shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = shot(6), shot(5)
    if not inputs_are_read:  # as a painter does that has read them all before it writes
        frame = folder.read_surfaces(1)
        monkeypatch.setattr(PaintFolder, "read_surfaces", lambda *_: frame)
    job = until_painting(folder, 2)
    if how == "deleted":
        shutil.rmtree(folder.path)
    else:
        folder.path.rename(tmp_path / "away")
    if how == "exchanged":
        other.path.rename(folder.path)
    with pytest.raises(PantheonError) as caught:
        run_to_end(job)
    if how == "exchanged":
        assert caught.value.code in ("folder-changed", "input-changed")
        assert not list(folder.path.glob("frames/*")) and not (folder.path / "state.json").exists()
    else:
        assert caught.value.code == "folder-gone" and caught.value.advice
        assert not folder.path.exists()
    if how == "moved":
        moved = PaintFolder.open(tmp_path / "away")
        run_to_end(runner.run(moved.path))
        assert len(moved.finished_frames()) == 6


@pytest.mark.parametrize("name", ["geometry/000004.png", "geometry/000004.npz"])
def test_a_frame_of_an_input_that_was_exchanged_while_painting_is_not_made(name: str, shot: Shot) -> None:
    folder, undisturbed = shot(6), shot(6)
    run_to_end(runner.run(undisturbed.path))
    original = (folder.path / name).read_bytes()
    job = until_painting(folder, 2)
    shutil.copy(folder.path / name.replace("4", "5"), folder.path / name)  # sound, but of another frame
    with pytest.raises(JobError, match="SHA-256 differs") as caught:
        run_to_end(job)
    assert caught.value.code == "input-changed" and name in caught.value.text
    assert folder.finished_frames() == [1, 2, 3]
    (folder.path / name).write_bytes(original)
    run_to_end(runner.run(folder.path))
    for frame in folder.job.frames:
        assert folder.frame_file(frame).read_bytes() == undisturbed.frame_file(frame).read_bytes()


def test_captures_that_are_exchanged_after_the_check_are_not_painted_with(shot: Shot) -> None:
    folder = shot(2)
    job = runner.run(folder.path)
    while next(job).phase != "Loading captures":
        pass
    capture = folder.path / folder.job.captures[0]["image"]
    png.write(capture, 255 - png.read(capture))
    with pytest.raises(JobError, match="SHA-256 differs"):
        run_to_end(job)
    assert not folder.finished_frames()


def test_what_the_job_was_not_made_with_is_not_used(shot: Shot) -> None:
    """Somebody puts footprints beside the geometry: they are none of its inputs."""
    folder, undisturbed = shot(2), shot(2)
    shutil.copytree(folder.path / "geometry", folder.path / "footprint")
    for path in (folder.path / "footprint").glob("*.png"):
        png.write(path, 255 - png.read(path))
    for each in (folder, undisturbed):
        run_to_end(runner.run(each.path))
    assert folder.frame_file(1).read_bytes() == undisturbed.frame_file(1).read_bytes()
    with pytest.raises(JobError, match=r"footprint/000001\.png is none of the job's inputs"):
        folder.read_geometry("footprint", 1)

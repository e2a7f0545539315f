"""Faults while painting: each has its clear error, and finished frames are kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pantheon360_blender.core.jobs.job_folder import PaintFolder

Shot = Callable[..., PaintFolder]
Run = Callable[..., subprocess.CompletedProcess[str]]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A tmpfs mounted on the folder; skips where that is not allowed."""
    folder.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_keeps_what_is_finished_and_goes_on_when_there_is_room(
    shot: Shot, run_backend: Run, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "8m"):
        folder = shot(20, root=tmp_path / "disk")
        ballast = tmp_path / "disk" / "ballast"
        free = os.statvfs(tmp_path / "disk")
        ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - 60_000))
        failed = run_backend("run", folder.path)
        assert failed.returncode == 1 and "the disk is full" in failed.stderr and "Traceback" not in failed.stderr
        finished = folder.finished_frames()
        assert 0 < len(finished) < 20 and not list(folder.path.rglob("*.part"))
        ballast.unlink()
        assert run_backend("run", folder.path).returncode == 0
        assert len(folder.finished_frames()) == 20


def test_a_read_only_disk_is_named_and_a_finished_job_on_it_is_done(
    shot: Shot, run_backend: Run, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "8m"):
        new, finished = shot(3, root=tmp_path / "disk"), shot(4, root=tmp_path / "disk")
        assert run_backend("run", finished.path).returncode == 0
        subprocess.run(["mount", "-o", "remount,ro", tmp_path / "disk"], check=True)
        failed = run_backend("run", new.path)
        assert failed.returncode == 1 and "the disk is read-only" in failed.stderr
        assert str(new.path) in failed.stderr and "Traceback" not in failed.stderr
        assert run_backend("run", finished.path).returncode == 0


def test_frames_that_cannot_be_written_are_named(shot: Shot, run_backend: Run) -> None:
    folder = shot(3)
    (folder.path / "frames").write_text("a file where the folder belongs")
    failed = run_backend("run", folder.path)
    assert failed.returncode == 1 and str(folder.frame_file(1)) in failed.stderr and "Traceback" not in failed.stderr
    state = folder.state()
    assert state.status == "failed" and state.error is not None and "frames" in state.error["text"]


@pytest.mark.parametrize(
    "name", ["captures/A.png", "captures/A.mask.png", "geometry/000002.png", "geometry/000002.npz"]
)
def test_a_changed_input_is_named_before_anything_is_painted(name: str, shot: Shot, run_backend: Run) -> None:
    folder = shot(3)
    file = folder.path / name
    file.write_bytes(file.read_bytes()[:-8])
    failed = run_backend("run", folder.path)
    assert failed.returncode == 1 and str(file) in failed.stderr and "SHA-256 differs" in failed.stderr
    assert not folder.finished_frames() and folder.state().status == "failed"


def test_a_truncated_capture_is_named_even_where_its_hash_fits(shot: Shot, run_backend: Run) -> None:
    folder = shot(3)
    file = folder.path / "captures/A.png"
    file.write_bytes(file.read_bytes()[:200])
    folder.seal(folder.job)
    failed = run_backend("run", folder.path)
    assert failed.returncode == 1 and str(file) in failed.stderr and "Traceback" not in failed.stderr


def test_missing_geometry_is_named(shot: Shot, run_backend: Run) -> None:
    folder = shot(3)
    folder.geometry_file(2).unlink()
    folder.seal(folder.job)
    failed = run_backend("run", folder.path)
    assert failed.returncode == 1 and "geometry of frame 2 is missing" in failed.stderr


def test_an_unknown_painter_says_which_there_are(shot: Shot, run_backend: Run) -> None:
    failed = run_backend("run", shot(3, painter="oil").path)
    assert failed.returncode == 1 and "'oil'" in failed.stderr and "draft" in failed.stderr


def test_a_painter_that_breaks_leaves_its_traceback_in_the_log_only(shot: Shot, run_backend: Run) -> None:
    folder = shot(3, painter="broken")
    failed = run_backend("run", folder.path)
    assert failed.returncode == 1 and "Traceback" not in failed.stderr + failed.stdout
    assert "ZeroDivisionError: the innermost reason" in failed.stderr and str(folder.log_file) in failed.stderr
    assert "Traceback" in folder.log_file.read_text("utf-8") and folder.state().status == "failed"


def test_a_painter_that_leaves_frames_out_has_failed(shot: Shot, run_backend: Run) -> None:
    failed = run_backend("run", shot(3, painter="lazy").path)
    assert failed.returncode == 1 and "left out 3 frames" in failed.stderr


def test_two_processes_do_not_paint_the_same_folder(
    shot: Shot, run_backend: Run, start_backend: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = shot(3, painter="steps")
    child = start_backend("run", folder.path)
    assert child.stdout is not None
    while "Stepping" not in child.stdout.readline():
        assert child.poll() is None
    second = run_backend("run", folder.path)
    assert second.returncode == 1 and "another process" in second.stderr
    child.kill()
    child.wait()
    third = run_backend("run", shot(3).path)
    assert third.returncode == 0

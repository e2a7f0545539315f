"""`python -m backend run FOLDER`: what people and farms see, and what is left when it is interrupted."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.terminal import Bar, Lines
from pantheon360_blender.core import temporary
from pantheon360_blender.core.jobs import messages
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.render.draft import DraftPainter

ROOT = Path(__file__).resolve().parent.parent.parent
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
Shot = Callable[..., PaintFolder]
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]


def frames(folder: PaintFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder.path / "frames").glob("[!.]*"))}


def everything(folder: PaintFolder) -> dict[str, tuple[int, bytes]]:
    files = [path for path in folder.path.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder.path)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def wait_for_frames(folder: PaintFolder, count: int, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while len(frames(folder)) < count:
        assert child.poll() is None and time.monotonic() < deadline, "it ended before it was interrupted"
        time.sleep(0.002)


def test_it_paints_every_frame_and_says_so(shot: Shot, run_backend: Run) -> None:
    folder = shot(3)
    done = run_backend("run", folder.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Painting 0 of 3" in done.stdout and "Done: 3 frames" in done.stdout and "\r" not in done.stdout
    assert sorted(frames(folder)) == ["000001.png", "000002.png", "000003.png"]
    assert folder.state().status == "done" and folder.state().finished == [1, 2, 3]
    assert Image.open(folder.preview_file).size == (64, 32)
    assert "running: 0 of 3" in folder.log_file.read_text("utf-8")


def test_frames_are_what_the_draft_painter_makes_of_the_folder(shot: Shot, run_backend: Run) -> None:
    folder = shot(3)
    run_backend("run", folder.path)
    painter = DraftPainter(folder.captures(), folder.job.width)
    for frame in folder.job.frames:
        pixels = np.asarray(Image.open(folder.frame_file(frame)).convert("RGB"))
        expected = painter.paint(folder.read_geometry("geometry", frame), folder.job.camera(frame))
        np.testing.assert_array_equal(pixels, expected)
        seen = folder.read_geometry("geometry", frame)
        np.testing.assert_array_equal(pixels[seen.coverage], seen.colour[seen.coverage])


def test_a_finished_folder_is_not_touched(shot: Shot, run_backend: Run) -> None:
    folder = shot(3)
    run_backend("run", folder.path)
    before = everything(folder)
    again = run_backend("run", folder.path)
    assert again.returncode == 0 and "Done: 3 frames" in again.stdout
    assert everything(folder) == before


def test_what_a_killed_blender_left_in_a_finished_folder_goes(shot: Shot, run_backend: Run) -> None:
    """It had begun to make a video of the frames."""
    folder = shot(3)
    run_backend("run", folder.path)
    before = everything(folder)
    scratch = folder.path / temporary.name("scratch").replace(temporary._RUN, "12345678").replace(
        f"-{os.getpid()}-",
        "-4194400-",  # more than any process of Linux has
    )
    scratch.mkdir()
    (scratch / "untagged.mp4").write_bytes(b"half")
    assert run_backend("run", folder.path).returncode == 0
    assert everything(folder) == before and not scratch.exists()


def test_json_is_one_object_a_line(shot: Shot, run_backend: Run) -> None:
    folder = shot(3).path
    done = run_backend("run", os.path.relpath(folder, ROOT), "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [record["kind"] for record in records]
    assert kinds[0] == "started" and kinds[-1] == "done" and "preview" in kinds
    shown = [Path(record["path"]) for record in records if record["kind"] == "preview"]
    assert all(path.is_absolute() and path.is_file() for path in shown)
    painting = [record["step"] for record in records if record.get("phase") == "Painting"]
    assert painting == sorted(painting) and painting[-1] == 3


@posix
def test_killed_and_run_again_gives_the_same_bytes(shot: Shot, run_backend: Run, start_backend: Start) -> None:
    killed, undisturbed = shot(40, painter="slow"), shot(40, painter="slow")
    child = start_backend("run", killed.path)
    wait_for_frames(killed, 3, child)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    (killed.path / "segments").mkdir()
    elsewhere = f"frames/.000040.png.{'0' * 8}-4711-{'0' * 8}-123abc.part"
    for leftover in (elsewhere, "segments/.0002.safetensors.ab3_5xyz.part"):  # the second one by version 0.1.0
        (killed.path / leftover).write_bytes(b"left over by the kill")
    kept = everything(killed)
    finished = [f"frames/{name}" for name in frames(killed)]
    assert 3 <= len(finished) < 40 and killed.state().status == "running"

    assert run_backend("run", killed.path).returncode == 0
    assert run_backend("run", undisturbed.path).returncode == 0
    assert frames(killed) == frames(undisturbed) and len(frames(killed)) == 40
    after = everything(killed)
    assert all(after[name] == kept[name] for name in finished), "finished frames are not painted again"
    assert not list(killed.path.rglob("*.part"))
    assert killed.state().status == "done"


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_what_is_finished(number: int, shot: Shot, run_backend: Run, start_backend: Start) -> None:
    folder = shot(40, painter="slow")
    child = start_backend("run", folder.path)
    wait_for_frames(folder, 2, child)
    child.send_signal(number)
    _, said = child.communicate(timeout=300)
    assert child.returncode == 130 and "Cancelled" in said and "Traceback" not in said
    state = folder.state()
    assert state.status == "cancelled" and state.finished == folder.finished_frames() and len(state.finished) >= 2
    assert run_backend("run", folder.path).returncode == 0 and len(frames(folder)) == 40


def test_damaged_frames_are_painted_again_with_a_warning(shot: Shot, run_backend: Run) -> None:
    folder = shot(3)
    run_backend("run", folder.path)
    whole = frames(folder)
    folder.frame_file(2).write_bytes(whole["000002.png"][:-20])
    Image.new("RGB", (16, 8)).save(folder.frame_file(3))
    again = run_backend("run", folder.path)
    assert again.returncode == 0 and frames(folder) == whole
    assert "Frame 2 is damaged" in again.stderr and "Frame 3 is damaged" in again.stderr


def test_it_runs_where_it_is_moved(shot: Shot, run_backend: Run, tmp_path: Path) -> None:
    here, there = shot(3), shot(3)
    moved = PaintFolder.open(there.path.rename(tmp_path / "Ünïcode 空 dir"))
    assert run_backend("run", here.path).returncode == 0
    assert run_backend("run", moved.path).returncode == 0
    assert frames(moved) == frames(here)


def test_what_is_wrong_is_one_explained_line(shot: Shot, run_backend: Run, tmp_path: Path) -> None:
    folder = shot(3)
    (folder.path / "job.json").write_text("{")
    for path, said in ((folder.path, "damaged"), (tmp_path / "nowhere", "moved or deleted")):
        failed = run_backend("run", path)
        assert failed.returncode == 1 and failed.stderr.startswith("Error: ") and said in failed.stderr
        assert failed.stderr.count("\n") == 1
    as_json = run_backend("run", folder.path, "--json")
    record = json.loads(as_json.stdout.splitlines()[-1])
    assert as_json.returncode == 1 and record["kind"] == "error" and record["advice"]


def test_a_wrong_command_line_is_usage(run_backend: Run) -> None:
    for arguments in ((), ("paint",), ("run",), ("run", "x", "--fast")):
        failed = run_backend(*arguments)
        assert failed.returncode == 2 and "usage:" in failed.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from backend.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(sorted({'numpy', 'torch', 'bpy'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "serve" in said and "doctor" in said and said.endswith("[]\n")


@posix
def test_a_closed_pipe_ends_it_quietly(shot: Shot, start_backend: Start) -> None:
    reading, writing = os.pipe()
    child = start_backend("run", shot(20, painter="slow").path, "--json", stdout=writing)
    os.close(writing)
    assert os.read(reading, 10)
    os.close(reading)
    _, said = child.communicate(timeout=300)
    assert child.returncode == 1 and "Traceback" not in said


@posix
def test_on_a_terminal_it_draws_one_line(shot: Shot, start_backend: Start) -> None:
    import pty

    ours, theirs = pty.openpty()
    child = start_backend("run", shot(3).path, stdout=theirs)
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 4096):
            shown += block
    except OSError:
        pass  # Linux tells the end of a terminal by an error
    os.close(ours)
    assert child.wait(300) == 0
    text = shown.decode()
    assert "\r\x1b[K[........................]" in text and "[########################] Painting 3 of 3" in text
    assert text.endswith("frames\r\n") and text.count("\n") == 2


HOSTILE = "A\x1b[2J\x9b1A\nDone: 3 frames\r\u202e"
HARMLESS = r"A\x1b[2J\x9b1A" + "\n    " + r"Done: 3 frames\r\u202e"


def test_no_name_moves_the_cursor_or_passes_for_a_message_of_ours() -> None:
    stream = io.StringIO()
    shown = Lines(stream)
    with redirect_stderr(stream):
        shown.send(messages.ProgressMessage("job", HOSTILE, 1, 2))
        shown.send(messages.Warning_(HOSTILE))
        shown.send(messages.Error("job", HOSTILE, "Try again."))
        shown.send(messages.Done("job", "/tmp/\x1b[2J", 0))
    assert stream.getvalue() == (
        f"{HARMLESS} 1 of 2\nWarning: {HARMLESS}\nError: {HARMLESS} Try again.\n"
        "Done: the results are in /tmp/\\x1b[2J\n"
    )
    bar = io.StringIO()
    Bar(bar).send(messages.ProgressMessage("job", HOSTILE, 1, 2))
    assert bar.getvalue().startswith("\r\x1b[K[") and bar.getvalue()[5:].isprintable()

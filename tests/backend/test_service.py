"""`python -m backend serve`: a real child with the real protocol, and everything that can go wrong on its pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pantheon360_blender.core.jobs import messages
from pantheon360_blender.core.jobs.job_folder import PaintFolder

Shot = Callable[..., PaintFolder]
Serve = Callable[[], Any]


def run(folder: PaintFolder, job: str = "1") -> messages.Run:
    return messages.Run(job, str(folder.path))


def works(backend: Any, folder: PaintFolder) -> None:
    """The backend still does its work."""
    backend.send(run(folder, "works"))
    done = backend.until(messages.Done)
    assert done == messages.Done("works", str(folder.path), len(folder.job.frames))
    assert folder.finished_frames() == folder.job.frames


def test_it_greets_works_and_ends_with_stdin(shot: Shot, serve: Serve) -> None:
    backend = serve()
    folder = shot(3)
    backend.send(run(folder))
    heard: list[messages.Message] = []
    while not heard or not isinstance(heard[-1], messages.FINAL):
        heard.append(backend.next())
    assert heard[0] == messages.Started("1") and isinstance(heard[-1], messages.Done)
    previews = [message for message in heard if isinstance(message, messages.Preview)]
    assert previews and Image.open(previews[-1].path).size == (64, 32)
    progress = [message for message in heard if isinstance(message, messages.ProgressMessage)]
    assert progress[-1].step == progress[-1].of == 3
    assert backend.end() == 0 and backend.stderr == b""


def test_hello_tells_protocol_version_and_process(serve: Serve) -> None:
    manifest = tomllib.loads((Path(__file__).resolve().parents[2] / "blender_manifest.toml").read_text("utf-8"))
    backend = serve()
    assert backend.hello.protocol == messages.PROTOCOL
    assert backend.hello.pid == backend.child.pid
    assert backend.hello.version == manifest["version"]


def test_quit_ends_it(serve: Serve) -> None:
    backend = serve()
    backend.send(messages.Quit())
    assert backend.child.wait(300) == 0


BAD = [
    b"nonsense\n",
    b"\xff\xfe\x00\n",
    b"[1, 2\n",
    b'{"kind": "dance"}\n',
    b'{"kind": "run", "job": "1"}\n',
    b'{"kind": "run", "job": "1", "folder": 7}\n',
    b'{"kind": "done", "job": "1", "folder": "", "frames": 1}\n',
    b"[" * 50_000 + b"\n",
    b"x" * (3 * messages.LINE_LIMIT) + b"\n",
    b'{"kind": "cancel", "job": "' + b"y" * messages.LINE_LIMIT + b'"}\n',
]


def test_every_bad_line_has_one_error_and_the_next_job_works(shot: Shot, serve: Serve) -> None:
    backend = serve()
    for line in BAD:
        backend.send(line)
        answer = backend.next()
        assert isinstance(answer, messages.Error) and answer.code == "message" and answer.text, line[:40]
        assert "Traceback" not in answer.text and len(answer.text) < 500
    backend.send(b"\n\n")
    works(backend, shot(3))
    assert backend.end() == 0 and b"Traceback" not in backend.stderr


def test_lines_may_come_in_pieces_and_together(shot: Shot, serve: Serve) -> None:
    backend = serve()
    folder = shot(3)
    line = messages.encode(run(folder))
    for part in (line[:5], line[5:-1], line[-1:] + messages.encode(messages.Cancel("nobody"))):
        backend.send(part)
        time.sleep(0.01)
    assert isinstance(backend.until(messages.Done), messages.Done)


def test_cancel_takes_effect_within_a_step(shot: Shot, serve: Serve) -> None:
    backend = serve()
    folder = shot(3, painter="steps")
    backend.send(run(folder))
    while backend.until(messages.ProgressMessage).phase != "Stepping":
        pass
    backend.send(messages.Cancel("1"))
    assert backend.until(messages.Cancelled) == messages.Cancelled("1")
    assert folder.state().status == "cancelled"
    works(backend, shot(4))


def test_cancelled_and_run_again_it_goes_on(shot: Shot, serve: Serve) -> None:
    backend = serve()
    folder = shot(20, painter="slow")
    backend.send(run(folder))
    while not (folder.path / "frames").is_dir():
        backend.next()
    backend.send(messages.Cancel("1"))
    backend.until(messages.Cancelled)
    kept = {frame: folder.frame_file(frame).stat().st_mtime_ns for frame in folder.finished_frames()}
    assert 0 < len(kept) < 20
    works(backend, folder)
    assert all(folder.frame_file(frame).stat().st_mtime_ns == kept[frame] for frame in kept)


def test_a_second_job_is_told_that_it_is_busy_at_once(shot: Shot, serve: Serve) -> None:
    backend = serve()
    backend.send(run(shot(3, painter="sleepy"), "first"))
    while backend.until(messages.ProgressMessage).phase != "Sleeping":
        pass
    backend.send(run(shot(4), "second"))
    while not isinstance(answer := backend.next(), messages.Error):
        pass
    assert (answer.code, answer.job) == ("busy", "second")


def test_to_cancel_a_job_that_is_not_there_harms_nothing(shot: Shot, serve: Serve) -> None:
    backend = serve()
    backend.send(messages.Cancel("nobody"))
    assert isinstance(backend.next(), messages.Warning_)
    works(backend, shot(3))


def test_errors_of_a_job_carry_its_name_and_advice(shot: Shot, serve: Serve, tmp_path: Path) -> None:
    backend = serve()
    broken, unknown = shot(3, painter="broken"), shot(3, painter="oil")
    for path, code in ((tmp_path, "job"), (broken.path, "unexpected"), (unknown.path, "unknown-painter")):
        backend.send(messages.Run(code, str(path)))
        while not isinstance(answer := backend.next(), messages.Error):
            pass
        assert (answer.job, answer.code) == (code, code) and answer.text and answer.advice
        assert "Traceback" not in answer.text
    works(backend, shot(4))


def test_stdout_belongs_to_the_protocol(shot: Shot, serve: Serve) -> None:
    backend = serve()
    works(backend, shot(3, painter="noisy"))
    assert backend.end() == 0
    for said in (b"printed by a library", b"written by C code", b"said by a helper"):
        assert said in backend.stderr


def test_stdin_belongs_to_the_protocol(shot: Shot, serve: Serve) -> None:
    backend = serve()
    backend.send(messages.encode(run(shot(3, painter="curious"))) + messages.encode(messages.Cancel("nobody")))
    assert isinstance(backend.until(messages.Done), messages.Done)
    works(backend, shot(3))
    assert backend.end() == 0


def test_a_long_step_is_told_again(shot: Shot, serve: Serve) -> None:
    backend = serve()
    backend.send(run(shot(3, painter="sleepy")))
    while (first := backend.until(messages.ProgressMessage)).phase != "Sleeping":
        pass
    assert backend.until(messages.ProgressMessage) == first


def test_an_error_too_long_for_a_message_is_cut(shot: Shot, serve: Serve) -> None:
    backend = serve()
    backend.send(run(shot(3, painter="wordy")))
    while not isinstance(answer := backend.next(), messages.Error):
        pass
    assert answer.code == "unexpected" and "do not match" in answer.text and len(answer.text) < 5000
    works(backend, shot(4))


@pytest.mark.parametrize("painter", ["steps", "sleepy"])
def test_the_end_of_stdin_ends_it_even_in_a_long_step(painter: str, shot: Shot, serve: Serve) -> None:
    backend = serve()
    backend.send(run(shot(3, painter=painter)))
    while backend.until(messages.ProgressMessage).phase not in ("Stepping", "Sleeping"):
        pass
    assert backend.end() == 0


def test_a_listener_that_is_gone_ends_it(shot: Shot) -> None:
    """What Blender's death looks like where its stdin survives in another process."""
    reading, writing = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-B", "-m", "backend", "serve"],
        cwd=Path(__file__).resolve().parents[2],
        stdin=subprocess.PIPE,
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert json.loads(os.read(reading, 4096))["kind"] == "hello"
    os.close(reading)
    assert child.stdin is not None and child.stderr is not None
    child.stdin.write(messages.encode(run(shot(20, painter="slow"))))
    child.stdin.flush()
    assert child.wait(300) == 0
    assert b"Traceback" not in child.stderr.read()
    child.stdin.close()
    child.stderr.close()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_killed_in_the_middle_the_next_backend_goes_on(shot: Shot, serve: Serve) -> None:
    first = serve()
    folder = shot(20, painter="slow")
    first.send(run(folder))
    while not (folder.path / "frames").is_dir():
        first.next()
    first.child.send_signal(signal.SIGKILL)
    assert first.child.wait(300) == -signal.SIGKILL
    assert len(folder.finished_frames()) < 20
    works(serve(), folder)

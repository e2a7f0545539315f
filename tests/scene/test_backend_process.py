"""The backend as Blender's child: started, cancelled, killed, explained, and never left behind."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture
def backend_process(house: House) -> Iterator[ModuleType]:
    module = house("scene.app.backend_process")
    yield module
    module.stop_shared()
    assert not [thread for thread in threading.enumerate() if thread.name == "pantheon360-backend"]


@pytest.fixture
def shot(house: House, tmp_path: Path) -> Callable[[int], Any]:
    """shot(frames): a sealed job folder; many frames at a size that takes a while."""
    job_folder, splatting = house("core.jobs.job_folder"), house("core.render.splatting")

    def fresh(frames: int) -> Any:
        width = 128
        random = np.random.default_rng(1)
        points = random.normal(size=(2000, 3)).astype(np.float32)
        colours = random.integers(0, 256, (2000, 3), dtype=np.uint8)
        folder = job_folder.PaintFolder.new(tmp_path / "Ünïcode 空 dir", "Shot")
        seen = splatting.splat(points, colours, np.eye(4), width)
        for frame in range(frames):
            folder.write_geometry("geometry", frame, seen)
        cameras = np.tile(np.eye(4), (frames, 1, 1))
        folder.seal(
            house("core.jobs.job").PaintJob(
                name="Shot", width=width, fps=24, frames=list(range(frames)), cameras=cameras
            )
        )
        return folder

    return fresh


@pytest.fixture
def pretended(tmp_path: Path, backend_process: ModuleType, house: House) -> Iterator[Callable[[str], Any]]:
    """pretended(code): a started process whose backend is this code."""
    started: list[Any] = []

    def start(code: str) -> Any:
        folder = tmp_path / str(len(started)) / "backend"
        folder.mkdir(parents=True)
        (folder / "__main__.py").write_text("import os, signal, sys, time\n" + code)
        started.append(house("core.jobs.child").ChildProcess(root=folder.parent))
        started[-1].start()
        return started[-1]

    yield start
    for process in started:
        process.stop(grace=0)


HELLO = 'print(\'{"kind": "hello", "protocol": 1, "version": "1", "pid": 1, "device": "CPU"}\', flush=True)\n'


def gone(pid: int) -> bool:
    """Neither running nor a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def to_the_end(job: Any) -> Any:
    while True:
        try:
            if next(job).waiting:
                time.sleep(0.005)
        except StopIteration as end:
            return end.value


def until_painting(job: Any, folder: Any) -> None:
    """Drive the job until its first frame is there."""
    deadline = time.monotonic() + 300
    while not folder.finished_frames():
        assert time.monotonic() < deadline
        next(job)


def test_it_paints_and_reports(backend_process: ModuleType, house: House, shot: Callable[[int], Any]) -> None:
    folder = shot(3)
    steps = []
    job = backend_process.run(folder)
    done = None
    while done is None:
        try:
            steps.append(next(job))
        except StopIteration as end:
            done = end.value
    assert (done.folder, done.frames) == (str(folder.path), 3)
    assert folder.finished_frames() == [0, 1, 2]
    assert any(step.phase == "Painting" and step.of == 3 for step in steps)


def test_one_child_serves_job_after_job_and_ends_without_trace(
    backend_process: ModuleType, house: House, shot: Callable[[int], Any]
) -> None:
    to_the_end(backend_process.run(shot(2)))
    process = backend_process.shared()
    to_the_end(backend_process.run(shot(2)))
    assert backend_process.shared() is process and process.alive
    backend_process.stop_shared()
    assert not process.alive and gone(process.pid)


def test_closing_the_job_cancels_it_and_keeps_the_child(
    backend_process: ModuleType, house: House, shot: Callable[[int], Any]
) -> None:
    folder = shot(60)
    job = backend_process.run(folder)
    until_painting(job, folder)
    job.close()
    assert folder.state().status == "cancelled"
    finished = folder.finished_frames()
    assert 0 < len(finished) < 60
    process = backend_process.shared()
    assert process.alive
    to_the_end(backend_process.run(shot(2)))
    assert backend_process.shared() is process


@posix
def test_a_killed_child_is_explained_and_the_next_run_goes_on(
    backend_process: ModuleType, house: House, shot: Callable[[int], Any]
) -> None:
    folder = shot(40)
    job = backend_process.run(folder)
    until_painting(job, folder)
    killed = backend_process.shared()
    os.kill(killed.pid, signal.SIGKILL)
    with pytest.raises(house("core.errors").BackendError, match=r"was killed \(SIGKILL\).*memory") as caught:
        to_the_end(job)
    assert caught.value.code == "backend-died" and gone(killed.pid)
    kept = {frame: folder.frame_file(frame).stat().st_mtime_ns for frame in folder.finished_frames()}
    assert 0 < len(kept) < 40
    to_the_end(backend_process.run(folder))
    assert len(folder.finished_frames()) == 40
    assert all(folder.frame_file(frame).stat().st_mtime_ns == time for frame, time in kept.items())


def test_the_backends_errors_come_with_their_advice(
    backend_process: ModuleType, house: House, shot: Callable[[int], Any]
) -> None:
    folder = shot(2)
    folder.geometry_file(1).write_bytes(b"changed")
    with pytest.raises(house("core.errors").BackendError, match="SHA-256 differs") as caught:
        to_the_end(backend_process.run(folder))
    assert caught.value.advice and caught.value.code == "input-changed"
    assert backend_process.shared().alive


def test_two_jobs_at_once_keep_their_answers_apart(
    backend_process: ModuleType, house: House, shot: Callable[[int], Any]
) -> None:
    first, second = shot(60), shot(2)
    job = backend_process.run(first)
    until_painting(job, first)
    with pytest.raises(house("core.errors").BackendError, match="another job") as caught:
        to_the_end(backend_process.run(second))
    assert caught.value.code == "busy"
    assert to_the_end(job).frames == 60


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@posix
@pytest.mark.parametrize(
    ("program", "said"),
    [
        (None, "No such file"),
        ("#!/no/such/interpreter\n", "No such file"),
        ("not a program", "not a program"),
        ("#!/bin/sh\nexit 0\n", "exit code 0"),
        ("#!/bin/sh\necho 'command not understood' >&2; exit 3\n", "(?s)exit code 3.*command not understood"),
        ("#!/bin/sh\nexec cat /dev/zero\n", "does not speak like the backend"),
        ("#!/bin/sh\nwhile true; do echo y; done\n", "does not speak like the backend"),
        ("#!/bin/sh\nexec sleep 1000\n", "did not answer within 0.3 seconds"),
    ],
)
def test_what_is_no_python_is_named_with_the_way_out(
    program: str | None, said: str, backend_process: ModuleType, house: House, tmp_path: Path
) -> None:
    python = tmp_path / "Ünïcode 空 python"
    if program is not None:
        executable(python, program)
    process = house("core.jobs.child").ChildProcess(python)
    with pytest.raises(house("core.errors").BackendError, match=said) as caught:
        process.start()
        process.wait_for_hello(0.3)
    assert "preferences" in str(caught.value)
    process.stop()
    assert process.pid is None or gone(process.pid)


def test_a_file_that_may_not_be_run_is_named(backend_process: ModuleType, house: House, tmp_path: Path) -> None:
    for python in (tmp_path, tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(house("core.errors").BackendError, match="cannot be started"):
            house("core.jobs.child").ChildProcess(python).start()


def test_a_python_without_numpy_says_so(backend_process: ModuleType, house: House, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=os.name != "nt")
    python = tmp_path / "bare" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    process = house("core.jobs.child").ChildProcess(python)
    process.start()
    with pytest.raises(house("core.errors").BackendError, match="has no numpy"):
        process.wait_for_hello()
    process.stop()


def test_another_protocol_asks_for_one_version(pretended: Callable[[str], Any], house: House) -> None:
    process = pretended(HELLO.replace('"protocol": 1', '"protocol": 99') + "time.sleep(1000)")
    with pytest.raises(house("core.errors").BackendError, match=r"protocol 99.*protocol 1.*one version"):
        process.wait_for_hello()
    assert not process.alive


def test_a_death_is_explained_by_the_last_words(pretended: Callable[[str], Any], house: House) -> None:
    process = pretended(HELLO + "sys.stderr.write('x' * 10**6 + '\\n'); raise RuntimeError('the last words')")
    process.wait_for_hello()
    with pytest.raises(
        house("core.errors").BackendError, match=r"(?s)exit code 1.*RuntimeError: the last words"
    ) as caught:
        while True:
            assert process.receive() == []
            time.sleep(0.005)
    assert len(str(caught.value)) < 20_000


@posix
@pytest.mark.parametrize(
    ("name", "said"),
    [("SIGKILL", "was killed"), ("SIGSEGV", "crashed"), ("SIGTERM", "ended from outside"), ("SIGUSR1", "was ended")],
)
def test_every_signal_has_its_words(name: str, said: str, pretended: Callable[[str], Any], house: House) -> None:
    process = pretended(HELLO + f"os.kill(os.getpid(), signal.{name}); time.sleep(1000)")
    process.wait_for_hello()
    with pytest.raises(house("core.errors").BackendError, match=f"{said}.*{name}"):
        while process.receive() == []:
            time.sleep(0.005)


def test_everything_said_before_death_is_heard(pretended: Callable[[str], Any], house: House) -> None:
    error = '{"kind": "error", "code": "memory", "text": "out of memory", "advice": "", "job": ""}'
    process = pretended(HELLO + f"print({error!r}, flush=True); os._exit(9)")
    heard = []
    with pytest.raises(house("core.errors").BackendError, match="exit code 9"):
        while True:
            process.await_hello()
            heard += process.receive()
            time.sleep(0.005)
    assert [message.text for message in heard] == ["out of memory"]


@posix
def test_a_child_that_will_not_end_is_killed_with_its_helpers(pretended: Callable[[str], Any]) -> None:
    process = pretended(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "helper = os.fork()\n"
        "if helper == 0: time.sleep(1000)\n"
        + HELLO.replace('"device": "CPU"', '"device": "\' + str(helper) + \'"')
        + "time.sleep(1000)"
    )
    helper = int(process.wait_for_hello().device)
    assert not gone(helper)
    process.stop(grace=0.05)
    assert gone(process.pid)
    deadline = time.monotonic() + 300
    while not gone(helper) and time.monotonic() < deadline:  # adopted, and buried by another process
        time.sleep(0.01)
    assert gone(helper) or Path(f"/proc/{helper}/stat").read_text().split()[2] == "Z"


@posix
def test_it_gets_none_of_blenders_python_variables(
    pretended: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "/nowhere")
    process = pretended(
        "names = [name for name in os.environ if name.startswith('PYTHON')]\n"
        + HELLO.replace('"device": "CPU"', '"device": "\' + " ".join(sorted(names)) + \'"')
    )
    assert process.wait_for_hello().device == "PYTHONDONTWRITEBYTECODE PYTHONNOUSERSITE PYTHONUTF8"


def test_unregister_ends_the_child_in_the_middle_of_a_job(
    backend_process: ModuleType, house: House, shot: Callable[[int], Any]
) -> None:
    folder = shot(60)
    job = backend_process.run(folder)
    until_painting(job, folder)
    pid = backend_process.shared().pid
    backend_process.unregister()
    try:
        assert gone(pid)
        assert folder.state().status == "cancelled"
        job.close()
    finally:
        backend_process.register()


def test_no_bytecode_is_written_beside_the_extension(
    backend_process: ModuleType, house: House, shot: Callable[[int], Any]
) -> None:
    caches = house("core.version").EXTENSION_ROOT / "backend" / "__pycache__"
    before = sorted(caches.glob("*")) if caches.exists() else []
    to_the_end(backend_process.run(shot(1)))
    assert (sorted(caches.glob("*")) if caches.exists() else []) == before


def test_blender_itself_is_not_taken_for_a_python(
    backend_process: ModuleType, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert house("core.jobs.child").own_python() == Path(sys.executable)
    prefix = tmp_path / "prefix"
    (prefix / "bin").mkdir(parents=True)
    for executable_name in ("/usr/bin/blender", ""):
        monkeypatch.setattr(sys, "executable", executable_name)
        monkeypatch.setattr(sys, "prefix", str(prefix))
        with pytest.raises(house("core.errors").BackendError, match="preferences"):
            house("core.jobs.child").own_python()
        python = prefix / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        python.touch()
        assert house("core.jobs.child").own_python() == python
        python.unlink()

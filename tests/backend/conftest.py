"""Job folders to paint, and the backend as the real child process it is."""

from __future__ import annotations

import itertools
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.jobs import messages
from pantheon360_blender.core.jobs.job import PaintJob
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.render.splatting import splat

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 300.0
"""Seconds after which a test gives up: long, for on a busy machine a second of work may take a minute."""

PAINTERS = {
    # Each is what a later painter would be: one file with a PLUGIN.
    "sleepy": """
        yield Progress("Sleeping", 0, 2)
        time.sleep(1000)
        yield Progress("Sleeping", 1, 2)
    """,
    "steps": """
        for step in range(10**9):
            time.sleep(0.001)
            yield Progress("Stepping", step % 1000, 1000)
    """,
    "slow": """
        for step in named("draft").paint(folder):
            time.sleep(0.02)
            yield step
    """,
    "broken": """
        yield Progress("Breaking")
        raise ZeroDivisionError("the innermost reason")
    """,
    "lazy": """
        yield Progress("Doing nothing")
    """,
    "curious": """
        yield Progress("Asking")
        assert os.read(0, 1) == b""
        os.system("cat 1>&2" if os.name != "nt" else "more 1>&2")
        yield from named("draft").paint(folder)
    """,
    "wordy": """
        yield Progress("Listing")
        raise RuntimeError("one of many keys that do not match, " * 100_000)
    """,
    "noisy": """
        print("printed by a library")
        os.write(1, b"written by C code")
        os.system("echo said by a helper")
        yield from named("draft").paint(folder)
    """,
}


@pytest.fixture(scope="session")
def painters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of painters for tests."""
    folder = tmp_path_factory.mktemp("painters")
    for name, body in PAINTERS.items():
        (folder / f"{name}.py").write_text(
            "import os, time\n"
            "from pantheon360_blender.core.progress import Progress\n"
            "from backend.painters import named\n"
            "PLUGIN = {'title': 'Test', 'summary': 'For tests'}\n"
            f"def paint(folder):{body}"
        )
    (folder / "hungry.py").write_text(HUNGRY)
    return folder


HUNGRY = """
PLUGIN = {
    "title": "Hungry",
    "summary": "Needs more",
    "needs": [("no_such_module", "no-such-package", "its networks")],
}
import no_such_module
"""


def backend_command(*arguments: str, painters: Path) -> list[str]:
    """The command line of a backend that has more painters than those it comes with."""
    code = (
        "import sys, pathlib, backend.painters; from pantheon360_blender.core import plugins; "
        f"folder = pathlib.Path({str(painters)!r}); "
        "backend.painters.__path__.append(str(folder)); plugins.PAINTERS.append(folder); "
        "from backend.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    return [sys.executable, "-B", "-X", "utf8", "-c", code, *arguments]


@pytest.fixture(scope="session")
def run_backend(painters: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """run_backend("run", folder): a backend's command line, run to its end."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = backend_command(*map(str, arguments), painters=painters)
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=PATIENCE, stdin=subprocess.DEVNULL
        )

    return run


@pytest.fixture
def start_backend(painters: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """start_backend("run", folder): the same, started only; it is killed with the test where it still runs."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        command = backend_command(*map(str, arguments), painters=painters)
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
        started.append(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, **(pipes | options)))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.communicate()


def make_shot(root: Path, frames: int, width: int = 64, *, painter: str = "draft", name: str = "Shot") -> PaintFolder:
    """A sealed job: a capture with a mask, a cloud of points, a camera that walks among them."""
    random = np.random.default_rng(7)
    points = random.normal(size=(3000, 3)).astype(np.float32) * 3
    colours = random.integers(0, 256, (3000, 3), dtype=np.uint8)
    row, column = np.mgrid[: width // 2, :width]
    image = np.stack([row * 3, column * 2, row + column], axis=-1).astype(np.uint8)
    valid = row < width // 2 - width // 8
    cameras = np.tile(np.eye(4), (frames, 1, 1))
    cameras[:, 0, 3] = np.linspace(0, 1, frames)
    folder = PaintFolder.new(root, name)
    entry = folder.write_capture(Capture("A", image, np.eye(4), valid))
    for index in range(frames):
        folder.write_geometry("geometry", index + 1, splat(points, colours, cameras[index], width))
    numbers = list(range(1, frames + 1))
    folder.seal(
        PaintJob(name=name, width=width, fps=24, frames=numbers, cameras=cameras, captures=[entry], painter=painter)
    )
    return folder


@pytest.fixture(scope="session")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int, str], PaintFolder]:
    return {}


@pytest.fixture
def shot(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, _prepared: dict[tuple[int, int, str], PaintFolder]
) -> Callable[..., PaintFolder]:
    """shot(frames, width, painter): a fresh, unpainted job folder of this test's own."""

    places = itertools.count()

    def fresh(frames: int = 3, width: int = 64, painter: str = "draft", root: Path | None = None) -> PaintFolder:
        key = frames, width, painter
        if key not in _prepared:
            _prepared[key] = make_shot(tmp_path_factory.mktemp("jobs"), frames, width, painter=painter)
        place = root or tmp_path / str(next(places))
        return PaintFolder.open(Path(shutil.copytree(_prepared[key].path, place / _prepared[key].path.name)))

    return fresh


class Backend:
    """`python -m backend serve` seen from the other end of its pipes."""

    def __init__(self, painters: Path) -> None:
        self.child = subprocess.Popen(
            backend_command("serve", painters=painters),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.hello: messages.Message | None = None
        self.lines: queue.Queue[bytes] = queue.Queue()
        self.stderr = b""
        self.readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for reader in self.readers:
            reader.start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self.lines.put(line)
        self.lines.put(b"")

    def _read_errors(self) -> None:
        assert self.child.stderr is not None
        self.stderr = self.child.stderr.read()

    def send(self, message: messages.Message | bytes) -> None:
        """Send a message, or bytes as they are."""
        assert self.child.stdin is not None
        self.child.stdin.write(message if isinstance(message, bytes) else messages.encode(message))
        self.child.stdin.flush()

    def next(self) -> messages.Message:
        """The next message; fails where the backend is gone or silent."""
        line = self.lines.get(timeout=PATIENCE)
        assert line, f"the backend is gone: {self.child.wait(PATIENCE)} {self.stderr.decode()}"
        return messages.decode(line)

    def until(self, *kinds: type) -> messages.Message:
        """The next message of these kinds; others are passed over, but not an unexpected error."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            message = self.next()
            if isinstance(message, kinds):
                return message
            assert not isinstance(message, messages.Error), message
        raise AssertionError(f"no {kinds} came")

    def end(self) -> int:
        """Close stdin and return the exit code."""
        assert self.child.stdin is not None
        self.child.stdin.close()
        code = self.child.wait(PATIENCE)
        for reader in self.readers:
            reader.join(PATIENCE)
        return code

    def kill(self) -> None:
        """Make sure that nothing of it is left."""
        self.child.kill()
        self.child.wait()
        for reader in self.readers:
            reader.join(PATIENCE)
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]


@pytest.fixture
def serve(painters: Path) -> Iterator[Callable[[], Backend]]:
    """serve(): a backend that has said hello; every one of them is ended with the test."""
    started: list[Backend] = []

    def start() -> Backend:
        backend = Backend(painters)
        started.append(backend)
        backend.hello = backend.until(messages.Hello)
        return backend

    yield start
    for backend in started:
        backend.kill()

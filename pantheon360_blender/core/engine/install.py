"""Installing an engine: a virtual environment, its packages, a look at them, and only then the new name."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import files
from ..errors import BackendError
from ..jobs.child import clean_environment
from ..progress import Job, Progress
from . import installed, parts
from .installed import Engine
from .preflight import Preflight

_PULSE = 0.1  # seconds between two looks at a process that says nothing
_LONGEST_LINE = 200
_NEW_GROUP = 0x00000200 | 0x08000000  # CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW
_FOUND = re.compile(r"^(Collecting|Requirement already satisfied|Processing|Looking in)\b")
_ABSENT = "import importlib.util, sys; print(*[m for m in sys.argv[1:] if importlib.util.find_spec(m) is None])"


def install(root: Path, flight: Preflight, *, wheels: Path | None = None) -> Job[Engine]:
    """Install an engine and put it to use; another one that was there is removed after that.

    What an interrupted installation has downloaded is used by the next one. Every line of pip's is in `engine.log`.
    wheels: a folder of packages that is used instead of the network.
    Closing the generator ends the processes that work for it. Raises BackendError, FileError; the engine in use is then
    as it was.
    """
    name = parts.digest(flight.names, flight.device, flight.version.rpartition(".")[0])
    ready = _made_before(root, name)
    if ready is not None:
        return ready
    with files.translate_os_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    building = root / f"building-{name}"
    log = root / installed.LOG
    files.write_bytes(log, f"{_now()} {flight.text}\n".encode())
    yield Progress("Making an environment", text=f"Python {flight.version}")
    python = installed.interpreter_of(building)
    if not python.exists():
        shutil.rmtree(building, ignore_errors=True)
        yield from _environment(flight.python, building, log)
    lines = parts.locked(flight.names)
    listed = _requirements(building, lines)
    command = [*_pip(python, flight.python), "install", "--requirement", listed, *_sources(flight, wheels)]
    yield from _run(command, log, "Installing packages", len(lines), cache=root / "wheels")
    yield from _look(python, flight.names, log)
    engine = Engine(name, list(flight.names), flight.device, flight.version, _now())
    with files.translate_os_errors(building):
        building.rename(root / name)
    installed.use(root, engine)
    yield Progress("The engine is installed", 1, 1)
    return engine


def download(folder: Path, flight: Preflight) -> Job[int]:
    """Fetch every package of some parts into a folder, for a computer without a network. Returns how many files."""
    with files.translate_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lines = parts.locked(flight.names)
    listed = _requirements(folder, lines)
    command = [str(flight.python), "-m", "pip", "download", "--requirement", listed, "--dest", str(folder)]
    command += _sources(flight, None)
    yield from _run(command, folder / installed.LOG, "Downloading packages", len(lines), cache=None)
    return sum(1 for path in folder.iterdir() if path.suffix in (".whl", ".gz", ".zip"))


def _requirements(folder: Path, lines: list[str]) -> str:
    """Path of a file for pip in a folder that lists these requirements. Raises FileError."""
    place = folder / "requirements.txt"
    files.write_bytes(place, "\n".join([*lines, ""]).encode())
    return str(place)


def _made_before(root: Path, name: str) -> Engine | None:
    """The engine in use, if it is this one."""
    engine = installed.current(root)
    return engine if engine is not None and engine.folder == name else None


def _environment(python: Path, folder: Path, log: Path) -> Job[None]:
    """A virtual environment; without pip if that Python cannot give it one, as Debian's cannot."""
    for options in ((), ("--without-pip",)):
        try:
            yield from _run([str(python), "-m", "venv", *options, str(folder)], log, "Making an environment", 0)
            return
        except BackendError:
            shutil.rmtree(folder, ignore_errors=True)
            if options:
                raise


def _pip(python: Path, maker: Path) -> list[str]:
    """The command of pip for an environment: its own, or that of the Python it was made with."""
    own = subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, env=clean_environment())
    if own.returncode == 0:
        return [str(python), "-m", "pip"]
    return [str(maker), "-m", "pip", "--python", str(python)]


def _sources(flight: Preflight, wheels: Path | None) -> list[str]:
    """Where pip may look, and how it talks."""
    quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    if wheels is not None:
        return [*quiet, "--no-index", "--find-links", str(wheels)]
    index = parts.DEVICES[flight.device][0] if "diffusion" in flight.names else ""
    return [*quiet, *(["--extra-index-url", index] if index else [])]


def _look(python: Path, names: Sequence[str], log: Path) -> Job[None]:
    """Make sure that every module of the parts is there."""
    yield Progress("Looking at what was installed")
    modules = [module for name in names for module in parts.PARTS[name].modules]
    asked = subprocess.run(
        [str(python), "-c", _ABSENT, *modules], capture_output=True, text=True, env=clean_environment()
    )
    absent = asked.stdout.split()
    if asked.returncode != 0 or absent:
        told = f"it lacks {', '.join(absent)}" if absent else asked.stderr.strip()[-500:]
        raise BackendError(
            f"The new engine is not whole: {told}.",
            advice=f"Install it again. The details are in {log}.",
            code="engine",
            log=log,
        )


def _run(command: list[str], log: Path, phase: str, total: int, *, cache: Path | None = None) -> Job[None]:
    """Run a command to its end, its lines into the log and the progress. Raises BackendError if it fails."""
    environment = clean_environment() | ({"PIP_CACHE_DIR": str(cache)} if cache is not None else {})
    said: list[str] = []
    done = 0
    with closing_process(command, environment) as process:
        for line in _lines(process):
            if line is None:
                yield Progress(phase, min(done, total), total, waiting=True)
                continue
            said.append(line)
            _append(log, line)
            done += bool(_FOUND.match(line))
            yield Progress(phase, min(done, total), total, text=line[:_LONGEST_LINE])
        code = process.wait()
    if code != 0:
        errors = [line for line in said if line.startswith("ERROR:")] or said[-3:]
        raise BackendError(
            f"{phase} failed: {' '.join(errors)[-600:] or f'exit code {code}'}",
            advice=f"All that was said is in {log}. Installing again goes on from there.",
            code="engine",
            log=log,
        )


class closing_process:  # noqa: N801 - used like contextlib.closing
    """A process of its own group, killed with all its children if the block is left before its end."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        group: dict[str, Any] = {"creationflags": _NEW_GROUP} if os.name == "nt" else {"start_new_session": True}
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=environment,
                **group,
            )
        except OSError as error:
            raise BackendError(f"{command[0]} cannot be run: {error}.", advice="Choose another Python.") from error

    def __enter__(self) -> subprocess.Popen[str]:
        return self.process

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            with suppress(OSError):
                if os.name == "nt":
                    self.process.kill()
                else:
                    os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def _lines(process: subprocess.Popen[str]) -> Iterator[str | None]:
    """The lines that a process says; None whenever it has said nothing for a moment."""
    said: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        with suppress(ValueError, OSError):  # the pipe is closed when the process is killed
            for line in process.stdout or ():
                said.put(line.rstrip())
        said.put(None)

    threading.Thread(target=read, name="engine", daemon=True).start()
    while True:
        try:
            line = said.get(timeout=_PULSE)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


def _append(log: Path, line: str) -> None:
    with files.translate_os_errors(log), log.open("a", encoding="utf-8", errors="replace") as opened:
        opened.write(line + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

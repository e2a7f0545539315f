"""Installing an engine: a virtual environment, its packages, a look at them, and only then its name."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from .. import files, temporary
from ..errors import BackendError
from ..output_folder import rename
from ..progress import Job, Progress, in_thread
from . import command, installed, parts, preflight, uv
from .installed import Engine
from .preflight import Preflight
from .uv import Uv

_PACKAGES = (".whl", ".gz", ".zip")


def install(root: Path, flight: Preflight) -> Job[Engine]:
    """Install an engine and put it to use; another one that was there is removed after that.

    What an interrupted installation has downloaded is used by the next one. Every line that is said is in `engine.log`.
    Closing the generator ends the processes that work for it and removes all but what was downloaded.
    Raises BackendError, FileError; the engine in use is then as it was.
    """
    name = parts.digest(flight.names, flight.device, flight.minor)
    log = root / installed.LOG
    with uv.holding(root):
        files.write_bytes(log, f"{_now()} {flight.text}\n".encode())
        ready = yield from _made_before(root, name, log)
        if ready is not None:
            return ready
        tool = yield from uv.ready(root, log, flight.wheels)
        with temporary.directory(root, "building") as building:
            python = yield from _environment(tool, flight, building)
            yield from _packages(tool, flight, python)
            yield from _look(python, flight.names, log)
            engine = Engine(name, list(flight.names), flight.device, preflight.python_version(python), _now())
            shutil.rmtree(root / name, ignore_errors=True)  # one that was broken, or that nobody had put to use
            rename(building, root / name)
        yield from in_thread(lambda: installed.use(root, engine), Progress("Removing the old engine"))
    yield Progress("The engine is installed", 1, 1)
    return engine


def download(root: Path, folder: Path, flight: Preflight) -> Job[int]:
    """Fetch all that some parts need into a folder, for a computer of the same kind without a network.

    root: where engines lie: the program that fetches is kept there. Returns how many files are in the folder.
    Raises BackendError, FileError.
    """
    log = folder / installed.LOG
    with files.translate_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files.write_bytes(log, f"{_now()} {flight.text}\n".encode())
    lines = parts.locked(flight.names)
    with uv.holding(root):
        tool = yield from uv.ready(root, log, into=folder)
        fetch: list[str | Path] = ["tool", "run", *flight.python_options, "--from", parts.pip(), "pip", "download"]
        fetch += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--only-binary", ":all:"]
        fetch += ["--dest", folder]
        if builds := _builds_of_torch(flight):
            fetch += ["--extra-index-url", f"https://download.pytorch.org/whl/{builds}"]
        step = Progress("Downloading packages", 0, len(lines))
        listed: list[str | Path] = ["--requirement", _requirements(folder, lines)]
        yield from tool.run([*fetch, *listed], step, lambda line: float(line.startswith("Collecting ")))
        if bare := parts.bare(flight.names):
            listed = ["--requirement", _requirements(folder, bare), "--no-deps"]
            yield from tool.run([*fetch, *listed], Progress("Downloading packages"))
    return sum(path.suffix in _PACKAGES for path in folder.iterdir())


def _made_before(root: Path, name: str, log: Path) -> Job[Engine | None]:
    """The engine in use, if it is this one and whole."""
    engine = installed.current(root)
    if engine is None or engine.folder != name:
        return None
    try:
        yield from _look(engine.interpreter(root), engine.parts, log)
    except BackendError:
        return None
    return engine


def _environment(tool: Uv, flight: Preflight, building: Path) -> Job[Path]:
    """A virtual environment in an empty folder, which may be renamed. Returns its interpreter."""
    make: list[str | Path] = ["venv", "--no-project", "--relocatable", *flight.python_options, building]
    yield from tool.run(make, Progress("Making an environment", text=f"Python {flight.version}"))
    return installed.interpreter_of(building)


def _packages(tool: Uv, flight: Preflight, python: Path) -> Job[None]:
    """Install the locked packages into an environment."""
    listed = _requirements(tool.root / uv.CACHE, parts.locked(flight.names))
    add: list[str | Path] = ["pip", "install", "--python", python, "--requirement", listed]
    add += ["--only-binary", ":all:", "--compile-bytecode"]
    if flight.wheels is not None:
        add += ["--no-index", "--find-links", flight.wheels]
    elif builds := _builds_of_torch(flight):
        add += ["--torch-backend", builds]
    megabytes = flight.download if flight.wheels is None else 0  # of a folder uv does not tell how far it is
    yield from tool.run(add, Progress("Installing packages", 0, megabytes), uv.Downloads().counted)
    if bare := parts.bare(flight.names):
        add[add.index("--requirement") + 1] = _requirements(tool.root / uv.CACHE, bare)
        yield from tool.run([*add, "--no-deps"], Progress("Installing packages"))


def _builds_of_torch(flight: Preflight) -> str:
    """uv's and the index' name of the builds of torch for the device; empty if none are wanted."""
    return parts.DEVICES[flight.device][0] if parts.computes(flight.names) else ""


def _requirements(folder: Path, lines: list[str]) -> Path:
    """A file in a folder that lists these requirements. Raises FileError."""
    place = folder / "requirements.txt"
    files.write_bytes(place, "\n".join([*lines, ""]).encode())
    return place


def _look(python: Path, names: Sequence[str], log: Path) -> Job[None]:
    """Load every module of the parts, each in a process of its own: libraries of some do not get on with others'.

    Raises BackendError if one does not load.
    """
    modules = sorted({module for name in names for module in parts.PARTS[name].modules})
    for index, module in enumerate(modules):
        step = Progress("Loading what was installed", index, len(modules), text=module)
        yield from command.run([python, "-c", f"import {module}"], log, step)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

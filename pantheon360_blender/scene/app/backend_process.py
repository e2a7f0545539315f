"""The backend that this Blender works with: one child process, kept between jobs so that models stay loaded."""

from __future__ import annotations

import atexit
import importlib.util
import subprocess
import uuid
from collections.abc import Mapping

from ...core import progress, repairs
from ...core.engine import requirements
from ...core.errors import BackendError
from ...core.jobs import child, job_folder, messages
from . import preferences

_ABSENT = "import importlib.util, sys; print(*[m for m in sys.argv[1:] if importlib.util.find_spec(m) is None])"
_ASKING = 20.0  # seconds, from a cold disk

_shared: child.ChildProcess | None = None


def shared() -> child.ChildProcess:
    """The running child with the Python of the preferences. Raises BackendError if it cannot be started."""
    global _shared
    python = preferences.backend_python()
    if _shared is None or not _shared.alive or _shared.python != python:
        stop_shared()
        process = child.ChildProcess(python)
        process.start()
        _shared = process
    return _shared


def stop_shared() -> None:
    """End the shared child, if there is one."""
    global _shared
    process, _shared = _shared, None
    if process is not None:
        process.stop()


def lacking(needed: Mapping[str, str]) -> list[str]:
    """Packages that the Python which would run the backend lacks, as far as Blender can tell without running it.

    needed: module -> package. Of a Python that the artist chose nothing is known; Blender's own is this one.
    """
    if preferences.backend_python() is not None:
        return []
    return sorted(
        requirements.called(package) for module, package in needed.items() if importlib.util.find_spec(module) is None
    )


def require(needed: Mapping[str, str], purpose: str) -> None:
    """Make sure, before long work, that the backend can be started and its Python has these packages.

    needed: module -> package. purpose: what they are needed for. Takes a fraction of a second.
    Raises BackendError that says what is missing and how to get it.
    """
    process = shared()
    if not needed:
        return
    interpreter = process.python or child.own_python()
    command = [str(interpreter), "-B", "-X", "utf8", "-c", _ABSENT, *needed]
    try:
        environment = child.clean_environment()
        asked = subprocess.run(
            command, capture_output=True, text=True, timeout=_ASKING, env=environment, cwd=process.root
        )
    except (OSError, subprocess.TimeoutExpired):
        return  # what keeps it from answering, the backend itself says better
    missing = sorted(needed[module] for module in asked.stdout.split() if module in needed)
    if missing:
        raise BackendError(
            f"{interpreter} lacks {', '.join(map(requirements.called, missing))}, needed for {purpose}.",
            advice=requirements.how_to_get(sorted({*needed.values(), "numpy"})),
            code="missing-package",
            repair=repairs.OPEN_PREFERENCES if preferences.chosen_python() else repairs.INSTALL_ENGINE,
        )


def run(folder: job_folder.JobFolder) -> progress.Job[messages.Done]:
    """Have a job folder painted or reconstructed by the backend.

    Closing the generator cancels the job after the step it is in, or ends the process if that takes too long. What is
    finished is kept. Yields Progress with the backend's warnings and previews.
    Raises BackendError with the backend's own explanation, or with that of its death.
    """
    process = shared()
    job = uuid.uuid4().hex
    settled = False
    try:
        done = yield from child.drive(process, messages.Run(job, str(folder.path)))
        settled = True
        return done
    except BackendError:
        settled = True
        raise
    finally:
        if not settled and process.alive:
            process.cancel(job)


def register() -> None:
    atexit.register(stop_shared)


def unregister() -> None:
    stop_shared()
    atexit.unregister(stop_shared)

"""The backend that this Blender works with: one child process, kept between jobs so that models stay loaded."""

from __future__ import annotations

import atexit
import uuid

from ...core import progress
from ...core.errors import BackendError
from ...core.jobs import child, messages
from ...core.jobs.child import ChildProcess
from ...core.jobs.job_folder import JobFolder
from . import preferences

_shared: ChildProcess | None = None


def shared() -> ChildProcess:
    """The running child with the Python of the preferences. Raises BackendError if it cannot be started."""
    global _shared
    python = preferences.backend_python()
    if _shared is None or not _shared.alive or _shared.python != python:
        stop_shared()
        process = ChildProcess(python)
        process.start()
        _shared = process
    return _shared


def stop_shared() -> None:
    """End the shared child, if there is one."""
    global _shared
    process, _shared = _shared, None
    if process is not None:
        process.stop()


def run(folder: JobFolder) -> progress.Job[messages.Done]:
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

"""The person's jobs without Blender: `python -m backend jobs [ID ...]` lists them, or does these one after the other.

Blender starts it when it quits and jobs are to go on; what it finishes is offered for delivery the next time.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from pantheon360_blender.core import plain_text
from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.jobs import registry
from pantheon360_blender.core.jobs.registry import Entry
from pantheon360_blender.core.unexpected import boundary

from .terminal import CANCELLED, DONE, FAILED

_SIGN_OF_LIFE = 300.0  # seconds between two


def main(job_ids: Sequence[str]) -> int:
    """List the jobs, or do those named. Returns the exit code: that of the last one that was not done."""
    if not job_ids:
        for entry in registry.entries():
            print(plain_text.one_line(f"{entry.id}  {entry.condition:12} {entry.kind:12} {entry.folder}"))
        return DONE
    signal.signal(signal.SIGTERM, _interrupt)
    code = DONE
    for job_id in job_ids:
        code = max(code, _do(job_id))
        if code == CANCELLED:
            break
    return code


def _do(job_id: str) -> int:
    entry = registry.find(job_id)
    if entry is None:
        return _refuse(f"There is no job {job_id}.")
    if entry.condition in ("finished", "delivered"):
        return DONE
    try:
        _run(entry)
    except KeyboardInterrupt:
        return CANCELLED
    except PantheonError as error:
        return _refuse(str(error))
    return DONE


def _run(entry: Entry) -> None:
    """Do a job until it is done or somebody asks to stop it. Raises KeyboardInterrupt then."""
    from . import runner  # needs numpy

    seen = time.monotonic()
    with registry.at_work(entry.id, entry.path), boundary(f"Running {entry.path}"):
        for _ in runner.run(entry.path):
            if registry.is_asked_to_stop(entry.id):
                raise KeyboardInterrupt
            if time.monotonic() - seen > _SIGN_OF_LIFE:
                seen = time.monotonic()
                registry.keep_alive([entry.id])


def _refuse(text: str) -> int:
    print(plain_text.paragraph(text), file=sys.stderr)
    return FAILED


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt

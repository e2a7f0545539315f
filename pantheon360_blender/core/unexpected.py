"""What nobody foresaw, told as an error: the boundary that every way in has around its work.

A verb, an operator, the service and the importers pass on errors that explain themselves. Whatever else comes out of
them becomes one here; its traceback goes to a log, whose place the error names.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from . import person_folder, plain_text
from .errors import PantheonError, reason

VARIABLE = "PANTHEON360_UNEXPECTED"
"""In the environment: `raise` lets errors pass a boundary as they are, for tests and for who looks for a fault."""
LARGEST_LOG = 1 << 20
"""Bytes after which the log begins anew."""


class UnexpectedError(PantheonError):
    """A fault of this project, or of a library, at something that should have been refused with an explanation."""

    code = "unexpected"


@contextmanager
def boundary(what: str) -> Iterator[None]:
    """Raise what is no PantheonError in the block as UnexpectedError. what: begins its sentence ("Reading a.ply")."""
    try:
        yield
    except (PantheonError, BrokenPipeError):  # who listened is gone: there is nobody to tell
        raise
    except Exception as error:
        if os.environ.get(VARIABLE) == "raise":
            raise
        raise explained(error, what) from error


def explained(error: Exception, what: str) -> PantheonError:
    """The error that tells of another one, whose traceback is logged. what: as of boundary."""
    if isinstance(error, MemoryError):
        return PantheonError(
            f"{what} failed: there is not enough memory.",
            advice="Close other programs, or make it smaller.",
            code="memory",
        )
    text = f"{what} failed unexpectedly: {reason(error)}."
    return UnexpectedError(text, advice=_logged(error, what), log=log_file())


def log_file() -> Path:
    """Where tracebacks go."""
    return person_folder.path() / "errors.log"


def _logged(error: Exception, what: str) -> str:
    """Log a traceback and return the sentence that says where it is."""
    details = "".join(traceback.format_exception(error))
    place = log_file()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        full = place.exists() and place.stat().st_size > LARGEST_LOG
        with open(place, "w" if full else "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {what}\n{details}\n")
        return f"The details are in {place}."
    except OSError:
        with suppress(OSError, ValueError):
            print(plain_text.lines(details), file=sys.stderr)
        return "The details are on the console."

"""Errors that a person reads: what happened, to which input, and what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

from . import repairs

_UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

LONGEST_REASON = 2000
"""Characters kept of an unexpected error: libraries put whole lists of weights into theirs."""


LONGEST_TEXT = 10_000
"""Characters of an error's text or a note: names in files are as long as they like."""


def printable(text: str) -> str:
    """A text as every terminal, file and interface takes it: control characters and lone surrogates escaped; cut.

    Line breaks stay.

    >>> printable("room\\x1b[2J")
    'room\\\\x1b[2J'
    """
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]} ..."
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def reason(error: BaseException) -> str:
    """Kind and text of an error that nobody foresaw, for a person to read; cut if it is very long."""
    text = f"{type(error).__name__}: {error}"
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]} ..."


class PantheonError(Exception):
    """A failure explained to the person who caused or met it.

    text: what happened and to which input, one or two sentences.
    advice: what to do; empty if the text says it already.
    code: a short stable slug for programs ("error" if none fits).
    repair: the id of the operator that repairs it (repairs.py), or None; not given, it follows from the code.
    log: a file that tells more, or None.
    """

    code = "error"

    def __init__(
        self,
        text: str,
        *,
        advice: str = "",
        code: str | None = None,
        repair: str | None = None,
        log: Path | None = None,
    ) -> None:
        text, advice = printable(text), printable(advice)
        super().__init__(f"{text} {advice}".strip())
        self.text = text
        self.advice = advice
        self.code = code or self.code
        self.repair = repair or repairs.BY_CODE.get(self.code)
        self.log = log


class FileError(PantheonError):
    """A file cannot be read or written."""

    code = "file"


class ImageError(PantheonError):
    """An image file is damaged or of an unsupported kind."""

    code = "image"


class MetadataError(PantheonError):
    """Metadata of a photograph or video is hostile or damaged beyond reading."""

    code = "metadata"


class PointCloudError(PantheonError):
    """A point cloud has impossible shapes or its file cannot be read."""

    code = "point-cloud"


class PoseError(PantheonError):
    """A camera pose is not a finite rigid transform."""

    code = "pose"


class CaptureError(PantheonError):
    """A capture cannot be imported or used."""

    code = "capture"


class CacheError(PantheonError):
    """There is no 3D cache, or nothing is in it."""

    code = "cache"


class JobError(PantheonError):
    """A job folder is incomplete, damaged or of another version."""

    code = "job"


class MessageError(PantheonError):
    """A line on the wire is not a message of the protocol."""

    code = "message"


class BackendError(PantheonError):
    """The backend process could not be started, died, or refused."""

    code = "backend"


class RenderError(PantheonError):
    """A frame cannot be rendered as asked."""

    code = "render"


class ModelError(PantheonError):
    """A model's folder is missing, incomplete, damaged, unsafe or of a kind that cannot paint."""

    code = "model"

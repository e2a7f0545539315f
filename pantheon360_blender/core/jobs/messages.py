"""Messages between the add-on and its backend: one JSON object a line, UTF-8, on the backend's stdin and stdout.

The backend speaks first: a Hello with the protocol version. Requests to it are Run, Cancel and Quit; everything else
is an answer. Pixels travel by files. A request's `job` is a text of the sender's choice that comes back in its answers.
"""

from __future__ import annotations

import json
import types
import typing
from dataclasses import asdict, dataclass, fields
from typing import Any

from .. import inputs, json_values
from ..errors import MessageError

PROTOCOL = 1
LINE_LIMIT = 1 << 20
"""Bytes of the longest line, its newline included."""


@dataclass(frozen=True)
class Hello:
    """The backend is ready. version: of the extension it belongs to; device: a sentence for people."""

    protocol: int
    version: str
    pid: int
    device: str


@dataclass(frozen=True)
class Run:
    """Run the job folder at this absolute path."""

    job: str
    folder: str


@dataclass(frozen=True)
class Cancel:
    """Stop the job after the step it is in."""

    job: str


@dataclass(frozen=True)
class Quit:
    """Stop whatever is running and end."""


@dataclass(frozen=True)
class Started:
    """The job has begun."""

    job: str


@dataclass(frozen=True)
class ProgressMessage:
    """step of `of` steps of a phase are finished; of is 0 while unknown; eta: seconds left of the phase, or None.

    While a step takes long the same message comes again every few seconds.
    """

    job: str
    phase: str
    step: int
    of: int
    eta: float | None = None
    text: str = ""


@dataclass(frozen=True)
class Preview:
    """The file at this absolute path is new: a picture of what is painted, or points of what is reconstructed."""

    path: str
    job: str = ""


@dataclass(frozen=True)
class Warning_:  # noqa: N801
    """Something the artist should know; the job goes on."""

    text: str
    job: str = ""


@dataclass(frozen=True)
class Error:
    """The job failed. If `job` is empty, a message was not understood."""

    code: str
    text: str
    advice: str = ""
    job: str = ""


@dataclass(frozen=True)
class Done:
    """Every frame of the job is in the folder."""

    job: str
    folder: str
    frames: int


@dataclass(frozen=True)
class Cancelled:
    """The job stopped because it was asked to; its finished frames are kept."""

    job: str


Message = Hello | Run | Cancel | Quit | Started | ProgressMessage | Preview | Warning_ | Error | Done | Cancelled

FINAL = (Done, Cancelled, Error)
"""The last answer to a Run is one of these."""

KINDS: dict[str, type] = {
    "hello": Hello,
    "run": Run,
    "cancel": Cancel,
    "quit": Quit,
    "started": Started,
    "progress": ProgressMessage,
    "preview": Preview,
    "warning": Warning_,
    "error": Error,
    "done": Done,
    "cancelled": Cancelled,
}
_NAMES = {kind: name for name, kind in KINDS.items()}


def encode(message: Message) -> bytes:
    """The message as one line. Raises MessageError if it is longer than LINE_LIMIT.

    >>> encode(Cancel(job="7")).rstrip()
    b'{"kind": "cancel", "job": "7"}'
    """
    # ASCII escapes, so that a path with bytes that are no UTF-8 (lone surrogates in Python) passes unharmed.
    text = json.dumps({"kind": _NAMES[type(message)], **asdict(message)}, ensure_ascii=True, allow_nan=False)
    line = text.encode("ascii") + b"\n"
    if len(line) > LINE_LIMIT:
        raise MessageError(f"A message of {len(line)} bytes is longer than the {LINE_LIMIT} allowed.")
    return line


def decode(line: bytes) -> Message:
    """Read one line. Fields that are not known are ignored, so that a newer minor version can add some.

    Raises MessageError if it is no JSON object, of no known kind, too long, or a field is missing or
    of another type.

    >>> decode(b'{"kind": "done", "job": "7", "folder": "/shots/a", "frames": 49}')
    Done(job='7', folder='/shots/a', frames=49)
    """
    if len(line) > LINE_LIMIT:
        raise MessageError(f"A line is longer than the {LINE_LIMIT} bytes allowed.")
    try:
        record = inputs.parsed(line)
    except ValueError as error:
        raise MessageError(f"A line is not JSON in UTF-8: {_shortened(line)}") from error
    if not isinstance(record, dict):
        raise MessageError(f"A line is not a JSON object: {_shortened(line)}")
    kind = record.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise MessageError(f"A message is of no known kind: {_shortened(line)}")
    return _built(kind, record)


def _built(kind: str, record: dict[str, Any]) -> Message:
    message = KINDS[kind]
    expected = typing.get_type_hints(message)
    known = {field.name: record[field.name] for field in fields(message) if field.name in record}
    for name, value in known.items():
        if not _fits(value, expected[name]):
            raise MessageError(f"Field {name!r} of a {kind} message is of the wrong type.")
    try:
        return typing.cast(Message, message(**known))
    except TypeError as error:
        raise MessageError(f"A {kind} message lacks a field: {error}") from error


def _fits(value: Any, expected: Any) -> bool:
    if isinstance(expected, types.UnionType):
        return any(_fits(value, choice) for choice in typing.get_args(expected))
    if expected is float:
        return json_values.is_number(value)
    return isinstance(value, expected) and not (isinstance(value, bool) and expected is int)


def _shortened(line: bytes) -> str:
    text = line[:80].decode("utf-8", errors="replace").strip()
    return ascii(text) + (" ..." if len(line) > 80 else "")

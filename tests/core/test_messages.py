"""Messages: every one survives the wire, and nothing else gets through."""

from __future__ import annotations

import json
import typing
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon360_blender.core.errors import MessageError
from pantheon360_blender.core.jobs import messages

VALUES = {
    str: st.text(),
    int: st.integers(-(2**70), 2**70),
    float | None: st.none() | st.floats(allow_nan=False, allow_infinity=False),
}


def any_message() -> st.SearchStrategy[messages.Message]:
    def of(kind: type) -> st.SearchStrategy[messages.Message]:
        types = typing.get_type_hints(kind)
        return st.builds(kind, **{field.name: VALUES[types[field.name]] for field in fields(kind)})

    return st.one_of([of(kind) for kind in messages.KINDS.values()])


@settings(deadline=None)
@given(any_message())
def test_every_message_survives(message: messages.Message) -> None:
    line = messages.encode(message)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert messages.decode(line) == message


def test_paths_of_any_bytes_survive() -> None:
    path = b"/jobs/\xff\xfe/\xe7\xa9\xba".decode("utf-8", errors="surrogateescape")
    assert messages.decode(messages.encode(messages.Run("1", path))) == messages.Run("1", path)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["kind", "job", "step", "folder"]) | st.text(), inner)
    ),
)


@settings(deadline=None)
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_a_message_error(line: bytes) -> None:
    try:
        messages.decode(line)
    except MessageError:
        return
    assert json.loads(line)["kind"] in messages.KINDS


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"7",
        b"[" * 100_000,
        b"\xff\xfe\n",
        b'{"kind": "explode"}',
        b'{"kind": ["run"]}',
        b'{"kind": "run", "job": "1"}',
        b'{"kind": "run", "job": 1, "folder": "/x"}',
        b'{"kind": "hello", "protocol": true, "version": "", "pid": 1, "device": ""}',
        b'{"kind": "progress", "job": "1", "phase": "x", "step": 1, "of": 2, "eta": NaN}',
        b'{"kind": "progress", "job": "1", "phase": "x", "step": 1.5, "of": 2}',
        b'{"kind": "cancel", "job": "' + b"x" * messages.LINE_LIMIT + b'"}',
        b'{"kind": "cancel", "job": ' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_wrong_is_refused(line: bytes) -> None:
    with pytest.raises(MessageError):
        messages.decode(line)


def test_unknown_fields_are_ignored() -> None:
    assert messages.decode(b'{"kind": "cancel", "job": "1", "reason": "new in a later version"}') == messages.Cancel(
        "1"
    )


def test_a_message_too_long_for_the_wire_is_not_sent() -> None:
    with pytest.raises(MessageError):
        messages.encode(messages.Cancel("x" * messages.LINE_LIMIT))

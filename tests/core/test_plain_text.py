"""Text from outside says something to people, and nothing to terminals and readers of logs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core import plain_text


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_whatever_it_is_becomes_one_line_of_printable_text(text: str) -> None:
    shown = plain_text.one_line(text)
    assert len(shown.splitlines()) <= 1 and shown.encode("utf-8").decode("utf-8") == shown
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)


@given(st.text())
def test_printable_text_stays_as_it_is(text: str) -> None:
    printable = "".join(letter for letter in text if letter.isprintable())
    assert plain_text.one_line(printable) == printable


def test_no_line_passes_for_another_message() -> None:
    planted = "Hall\x1b]0;owned\x07\x1b[1A\rDone: 3 frames\nError: \u202egnp\x9b2J"
    first, *others = plain_text.paragraph(planted).splitlines()
    assert first == r"Hall\x1b]0;owned\x07\x1b[1A\rDone: 3 frames"
    assert others == ["    Error: \\u202egnp\\x9b2J"]

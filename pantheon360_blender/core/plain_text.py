"""Text from files and from outside, as it may be shown: a log or a terminal takes characters in it for commands."""

from __future__ import annotations

import re

_ACTIVE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, ends of lines, what changes the direction of writing, and what no UTF-8 can hold."""


def one_line(text: str) -> str:
    r"""The text on one line, what is no printable character written as Python escapes it.

    >>> one_line("Hall\nDone: \x1b[2J")
    'Hall\\nDone: \\x1b[2J'
    """
    return _ACTIVE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def lines(text: str) -> str:
    r"""The text for a terminal, as it is laid out: each line as `one_line`.

    >>> print(lines("Painters\n  Draft\x1b[2J"))
    Painters
      Draft\x1b[2J
    """
    return "\n".join(map(one_line, text.split("\n")))


def paragraph(text: str) -> str:
    r"""The text for a terminal: each line as `one_line`, all but the first indented, so that none passes for another
    message.

    >>> print(paragraph("It failed.\nDone: \x1b[2J"))
    It failed.
        Done: \x1b[2J
    """
    return "\n    ".join(one_line(line).strip() for line in text.split("\n")).rstrip()

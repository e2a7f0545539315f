"""Texts for people: what comes from files and from outside made plain, and what has values in it with its template.

A log or a terminal takes some characters for commands. An interface that speaks another language knows templates alone:
Blender translates a text that it finds in its tables whole, and one that was put together is in none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

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


class Filled(str):
    """A text with values in it: for logs and terminals a string as any other.

    template: with names in braces, as of str.format. values: by these names; those that are Filled are said in the
    other language, too.
    """

    template: str
    values: Mapping[str, object]

    def __new__(cls, template: str, values: Mapping[str, object]) -> Filled:
        """Fill in the template. Raises KeyError if it names a value that is not there."""
        text = super().__new__(cls, template.format_map(values))
        text.template, text.values = template, values
        return text

    def __getnewargs__(self) -> Any:
        """For copies."""
        return self.template, self.values


def filled(template: str, /, **values: object) -> Filled:
    """A template with its values; the template is written out where this is called, so that tests find it.

    >>> text = filled("{count:,} points in {name}", count=12345, name="Cache")
    >>> text, text.template
    ('12,345 points in Cache', '{count:,} points in {name}')
    """
    return Filled(template, values)


def listed(texts: Sequence[Filled]) -> Filled:
    """Texts behind each other, with commas; each is said in the other language.

    >>> listed([filled("{count} points", count=2), filled("nothing else")])
    '2 points, nothing else'
    """
    names = [f"text{number}" for number in range(len(texts))]
    return Filled(", ".join(f"{{{name}}}" for name in names), dict(zip(names, texts, strict=True)))

"""Texts in panels are wrapped to the width that there is, and nothing of them is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.interface.conftest import Layout

House = Callable[[str], ModuleType]

TEXT = "Painting failed: /home/artist/Ünïcode 空 dir/with-a-long-name-of-a-job/job.json cannot be read.\nTry it again."


@pytest.fixture
def lines(house: House, blend: Any) -> Any:
    return house("ui.text_lines")


def test_every_line_fits_and_no_character_is_lost(lines: Any) -> None:
    generator = random.Random(7)
    for _ in range(300):
        text = "".join(generator.choices("abcdé空 \n", [8, 8, 4, 4, 2, 2, 6, 1], k=generator.randrange(80)))
        width = generator.randrange(1, 30)
        found = lines.fill(text, lambda line, width=width: len(line) <= width)
        assert all(0 < len(line) <= width for line in found)
        assert "".join("".join(found).split()) == "".join(text.split())
        if all(len(word) <= width for word in text.split()):
            assert " ".join(found).split() == text.split(), "words stay whole where they can"
        wider = lines.fill(text, lambda line, width=width: len(line) <= width + 5)
        assert len(wider) <= len(found), "more room never takes more lines"


def test_a_line_that_nothing_fits_has_one_character(lines: Any) -> None:
    assert lines.fill("abc d", lambda _line: False) == ["a", "b", "c", "d"]


def test_without_a_region_lines_have_the_usual_length(lines: Any) -> None:
    found = lines.wrapped(TEXT)
    assert max(map(len, found)) <= lines.LINE_WIDTH and found[-1] == "Try it again."


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_wider_region_has_longer_lines_and_a_larger_font_shorter_ones(
    lines: Any, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    """The font stands for one whose letters are half as wide as it is high."""
    font = SimpleNamespace(
        size=lambda _font, points: setattr(font, "points", points),
        dimensions=lambda _font, line: (len(line) * font.points / 2, font.points),
    )
    monkeypatch.setattr(lines, "blf", font)
    system = SimpleNamespace(ui_scale=scale)
    preferences = SimpleNamespace(system=system, ui_styles=[SimpleNamespace(widget=SimpleNamespace(points=11.0))])
    monkeypatch.setattr(lines, "bpy", SimpleNamespace(context=SimpleNamespace(preferences=preferences)))
    counts = []
    for width in (200.0, 400.0, 800.0):
        monkeypatch.setattr(lines, "_region_width", lambda width=width: width)
        found = lines.wrapped(TEXT)
        assert all(len(line) * 11.0 * scale / 2 < width for line in found)
        counts.append(len(found))
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[2]
    monkeypatch.setattr(lines, "_region_width", lambda: 400.0)
    assert len(lines.wrapped(TEXT, inset=4.0)) >= counts[1]


def test_a_paragraph_has_its_icon_once(lines: Any) -> None:
    layout = Layout()
    lines.paragraph(layout, TEXT, icon="ERROR")
    assert layout.labels == lines.wrapped(TEXT, 1.1)

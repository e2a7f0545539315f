"""The documentation names what there is: buttons, fields, messages and verbs, as the code has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.layers import ROOT

DOCS = ROOT / "docs"
SPOKEN_OF = sorted(DOCS.glob("panels/*.md")) + [
    DOCS / name for name in ("tutorial.md", "troubleshooting.md", "headless.md")
]
SHOWN = ("ui", "operators", "pantheon360_blender/scene", "pantheon360_blender/core", "backend", "cli")
OF_BLENDER = {"Allow Online Access", "Go On", "Camera"}
"""Names in bold that stand in dialogs which Blender fills, or are Blender's own."""


def constants() -> Iterator[str]:
    for room in SHOWN:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


@pytest.fixture(scope="module")
def texts() -> set[str]:
    """Every text of the code."""
    return set(constants())


def bold(page: str) -> set[str]:
    return {" ".join(name.split()) for name in re.findall(r"\*\*([^*]+)\*\*", page)}


@pytest.mark.parametrize("path", SPOKEN_OF, ids=lambda path: path.stem)
def test_what_is_bold_stands_on_the_screen(path: Path, texts: set[str]) -> None:
    missing = bold(path.read_text(encoding="utf-8")) - texts - OF_BLENDER
    assert not missing, f"{path.name}: nothing is called {sorted(missing)}"


def test_messages_are_those_of_the_code(texts: set[str]) -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    headings = [line for line in page.splitlines() if line.startswith("### ")]
    said = [message for line in headings for message in re.findall(r"`([^`]+)`", line)]
    assert len(said) > 10
    for message in said:
        for part in filter(None, (piece.strip(" ….():,") for piece in message.split("…"))):
            assert any(part in text for text in texts), f"nobody says {part!r}"


def test_verbs_and_options_are_those_of_the_command_line(texts: set[str]) -> None:
    for path in [*SPOKEN_OF, DOCS / "painters.md"]:
        page = path.read_text(encoding="utf-8")
        verbs = re.findall(r"--command pantheon360 ([a-z]+)", page) + re.findall(r"-m backend ([a-z]+)", page)
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) - {"--command", "--online-mode", "--help"}
        for name in {*verbs, *options}:
            assert name in texts, f"{path.name}: there is no {name}"


def test_what_is_made_up_is_found(texts: set[str]) -> None:
    assert bold("Click **Make Coffee** or **Build\n3D Cache**.") - texts == {"Make Coffee"}

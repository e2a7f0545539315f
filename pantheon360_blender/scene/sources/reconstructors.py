"""The ways to dense points that the interface offers: those of the backend, read from its source without running it."""

from __future__ import annotations

import ast
import functools
import zlib
from collections.abc import Iterator
from pathlib import Path

from ...core.jobs import reconstruct_settings
from ...core.version import EXTENSION_ROOT

FOLDER = EXTENSION_ROOT / "backend" / "reconstruction" / "reconstructors"

_OWN = (
    (reconstruct_settings.SWEEP, "Sweep", "Dense, without a model: the captures are compared at all depths", 0),
    (reconstruct_settings.NONE, "Sparse", "Only the points that posing the captures finds; quick, a first look", 1),
)


@functools.cache
def items() -> list[tuple[str, str, str, int]]:
    """Items of an enum property: identifier, name, description, and a number that stays when others are added."""
    learned = [(name, title, text, zlib.crc32(name.encode()) >> 2) for name, title, text in _learned(FOLDER)]
    return [(name.upper(), title, text, number) for name, title, text, number in (*_OWN, *learned)]


def _learned(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Name, title and a sentence of each learned reconstructor: a backend module is data here, never imported."""
    for path in sorted(folder.glob("[!_]*.py")):
        try:
            module = ast.parse(path.read_text("utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        for node in module.body:
            constants = _constants(node) if isinstance(node, ast.ClassDef) else {}
            if "title" in constants:
                about = (ast.get_docstring(node) or "").partition("\n")[0]  # type: ignore[arg-type]
                licence = f" Licence of the weights: {constants['licence']}" if "licence" in constants else ""
                yield path.stem, constants["title"], f"{about}{licence}"


def _constants(node: ast.ClassDef) -> dict[str, str]:
    """The texts that a class body assigns."""
    found = {}
    for line in node.body:
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str):
            found.update({target.id: line.value.value for target in line.targets if isinstance(target, ast.Name)})
    return found

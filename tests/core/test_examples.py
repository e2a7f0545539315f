"""The examples in core's docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import pantheon360_blender.core

FEWEST = 10
"""Functions with an example: the ones that a newcomer meets first."""


def modules() -> list[str]:
    """Every module of core, in whatever folder it lies."""
    name, folders = pantheon360_blender.core.__name__, pantheon360_blender.core.__path__
    return [name, *(found.name for found in pkgutil.walk_packages(folders, f"{name}."))]


def examples(module: ModuleType) -> list[doctest.DocTest]:
    assert module.__doc__  # a file that comes late is run by this, and its names are there
    return [found for found in doctest.DocTestFinder().find(module) if found.examples]


@pytest.mark.parametrize("name", modules())
def test_examples_give_what_they_say(name: str) -> None:
    for example in examples(importlib.import_module(name)):
        said: list[str] = []
        result = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
        assert result.failed == 0, "".join(said)


def test_central_functions_have_examples() -> None:
    shown = {example.name for name in modules() for example in examples(importlib.import_module(name))}
    assert len(shown) >= FEWEST, f"only {sorted(shown)} have an example"

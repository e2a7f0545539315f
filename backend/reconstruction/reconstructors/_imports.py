"""Importing the networks of upstream's packages without what these draw, save and serve with."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def without_initializer(package: str) -> None:
    """Let files of an installed package be imported without running its `__init__.py`."""
    if package not in sys.modules and (spec := importlib.util.find_spec(package)) is not None:
        bare = types.ModuleType(package)
        bare.__path__ = list(spec.submodule_search_locations or [])
        bare.__spec__ = spec
        sys.modules[package] = bare


@contextmanager
def instead_of(module: str, names: Mapping[str, Any]) -> Iterator[None]:
    """Have `module` be one of these names only, while others that ask for it are imported; nothing if it is there."""
    if module in sys.modules:
        yield
        return
    stand_in = types.ModuleType(module)
    stand_in.__dict__.update(names)
    sys.modules[module] = stand_in
    try:
        yield
    finally:
        del sys.modules[module]

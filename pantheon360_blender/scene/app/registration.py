"""Pairs of `register` and `unregister`, as Blender calls them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import bpy

Pair = tuple[Callable[[], None], Callable[[], None]]


def registration(*classes: type) -> Pair:
    """Those of a module that has these classes and nothing else."""
    factory: Any = bpy.utils.register_classes_factory
    register, unregister = factory(classes)
    return register, unregister


def registration_of_modules(modules: Sequence[Any]) -> Pair:
    """Those of a package of modules that register themselves: in this order, and in reverse."""

    def register() -> None:
        for module in modules:
            module.register()

    def unregister() -> None:
        for module in reversed(modules):
            module.unregister()

    return register, unregister

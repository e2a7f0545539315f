"""Pairs of `register` and `unregister`, as Blender calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def add_handlers(handlers: Mapping[str, Callable[..., None]]) -> None:
    """Have Blender call these: name of a list of bpy.app.handlers -> what is called."""
    for name, handler in handlers.items():
        getattr(bpy.app.handlers, name).append(handler)


def remove_handlers(handlers: Mapping[str, Callable[..., None]]) -> None:
    """Undo `add_handlers`. Other add-ons clear these lists: what is not there is passed over."""
    for name, handler in handlers.items():
        there = getattr(bpy.app.handlers, name)
        if handler in there:
            there.remove(handler)

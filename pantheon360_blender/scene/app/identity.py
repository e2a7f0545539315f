"""What tells a scene or an object from others, whatever its name and in whichever Blender: a custom property.

An identity is given without an undo step, but undo takes custom properties back to what they were. What was given since
the file was opened is therefore put back after each undo and redo.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import bpy
from bpy.app.handlers import persistent

from . import registration

IDENTITY = "pantheon360_identity"
"""Custom property of a scene, of its captures, and of the strips that were made for it."""

_given: dict[int, str] = {}
"""session_uid of a scene or an object -> the identity that it was given since the file was opened."""


def of(block: bpy.types.ID) -> str:
    """The identity of a scene or an object, which is given one if it has none."""
    known = known_of(block)
    if not known:
        known = block[IDENTITY] = uuid.uuid4().hex
        _given[block.session_uid] = known
    return known


def known_of(block: bpy.types.ID) -> str:
    """The identity that a scene or an object has, or an empty text."""
    known = block.get(IDENTITY)
    return known if isinstance(known, str) else ""


def scene(identity: str, name: str = "") -> bpy.types.Scene | None:
    """The scene with this identity, or None. name: which of several is meant: copies of a scene have its identity."""
    return _found(bpy.data.scenes, identity, name)  # type: ignore[no-any-return]


def object(identity: str, name: str = "") -> bpy.types.Object | None:
    """The object with this identity, or None. name: as of `scene`."""
    return _found(bpy.data.objects, identity, name)  # type: ignore[no-any-return]


def _found(blocks: Iterable[Any], identity: str, name: str) -> Any:
    alike = [block for block in blocks if identity and known_of(block) == identity]
    return next((block for block in alike if block.name == name), alike[0] if alike else None)


@persistent
def _put_back(*_: Any) -> None:
    if not _given:
        return
    for blocks in (bpy.data.scenes, bpy.data.objects):
        for block in blocks:
            if block.session_uid in _given:
                block[IDENTITY] = _given[block.session_uid]


@persistent
def _forget_all(*_: Any) -> None:
    """Another file was read: its blocks have identities of their own."""
    _given.clear()


_HANDLERS = {"undo_post": _put_back, "redo_post": _put_back, "load_post": _forget_all}


def register() -> None:
    registration.add_handlers(_HANDLERS)


def unregister() -> None:
    registration.remove_handlers(_HANDLERS)
    _given.clear()

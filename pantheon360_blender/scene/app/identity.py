"""What tells a scene or an object from others, whatever its name and in whichever Blender: a custom property.

An identity is given without an undo step, but undo takes custom properties back to what they were. What was given since
the file was opened is therefore put back after each undo and redo.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, TypeVar

import bpy
from bpy.app.handlers import persistent

from . import registration

Block = TypeVar("Block", bound=bpy.types.ID)

IDENTITY = "pantheon360_identity"
"""Custom property of a scene, of its captures, and of the strips that were made for it."""

_given: dict[int, str] = {}
"""session_uid of a scene or an object -> the identity that it was given since the file was opened."""


def of(block: bpy.types.ID) -> str:
    """The identity of a scene or an object, which is given one if it has none, or that of what it was copied from."""
    known = known_of(block)
    blocks: Any = bpy.data.scenes if isinstance(block, bpy.types.Scene) else bpy.data.objects
    if not known or find(blocks, known) != block:
        known = uuid.uuid4().hex
        give(block, known)
    return known


def give(block: bpy.types.ID, known: str) -> None:
    """Let a scene or an object be known by this."""
    block[IDENTITY] = known
    _given[block.session_uid] = known


def known_of(block: bpy.types.ID) -> str:
    """The identity that a scene or an object has, or an empty text."""
    known = block.get(IDENTITY)
    return known if isinstance(known, str) else ""


def find(blocks: Iterable[Block], identity: str, name: str = "") -> Block | None:
    """The one of these blocks with this identity, or None.

    name: which of several is meant, for copies have the identity of what they were copied from; without a name it is
    the oldest.
    """
    alike = [block for block in blocks if identity and known_of(block) == identity]
    oldest = min(alike, key=lambda block: block.session_uid, default=None)
    return next((block for block in alike if block.name == name), oldest)


@persistent
def _tell_copies_apart(*_: Any) -> None:
    """Before the file is saved: in the next session nothing tells a copy from what it was copied from."""
    for blocks in (bpy.data.scenes, bpy.data.objects):
        oldest: dict[str, bpy.types.ID] = {}
        for block in sorted(blocks, key=lambda each: each.session_uid):
            known = known_of(block)
            if known and oldest.setdefault(known, block) != block and block.is_editable:
                give(block, uuid.uuid4().hex)


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


_HANDLERS = {
    "undo_post": _put_back,
    "redo_post": _put_back,
    "load_post": _forget_all,
    "save_pre": _tell_copies_apart,
}


def register() -> None:
    registration.add_handlers(_HANDLERS)


def unregister() -> None:
    registration.remove_handlers(_HANDLERS)
    _given.clear()

"""What is in a cache's mesh, as a digest: whether it is still what something was found of.

The number of points tells little: what moves or recolours them, and its undo, keep it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ..app import registration
from . import attributes

POSITION = "position"
READ = (POSITION, attributes.COLOUR, attributes.CONFIDENCE, attributes.SOURCE, attributes.FOOTPRINT)
"""Attributes that stages read of a cache."""

_known: dict[int, str] = {}
"""Digests of positions by the session's number of the mesh."""


def digest(mesh: Any, names: Iterable[str] = READ) -> str:
    """Hexadecimal digits that change with the values of these attributes; 20 ms for a million points."""
    mixed = hashlib.blake2b(digest_size=16)
    for name in names:
        values = attributes.any_values(mesh, name)
        if values is not None:
            mixed.update(f"{name} {values.dtype} {values.shape} ".encode())
            mixed.update(values.data)
    return mixed.hexdigest()


def positions(obj: bpy.types.Object) -> str:
    """The digest of where a cache's points are, made anew only where Blender says that geometry has changed.

    A mesh in Edit Mode is as it was before: the edit comes into it when that is left.
    """
    mesh: Any = obj.data
    if mesh.session_uid not in _known and not mesh.is_editmode:
        _known[mesh.session_uid] = digest(mesh, [POSITION])
    return _known.get(mesh.session_uid, "")


@persistent
def _after_change(_scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """Forget the digests of meshes whose geometry changed."""
    for update in depsgraph.updates if _known else ():
        changed: Any = update.id
        changed = changed.original
        mesh: Any = changed.data if isinstance(changed, bpy.types.Object) else changed
        if update.is_updated_geometry and isinstance(mesh, bpy.types.Mesh) and not mesh.is_editmode:
            _known.pop(mesh.session_uid, None)  # type: ignore[attr-defined]


@persistent
def _forget(*_: Any) -> None:
    _known.clear()


_HANDLERS = {
    "depsgraph_update_post": _after_change,
    "undo_post": _forget,
    "redo_post": _forget,
    "load_pre": _forget,
}


def register() -> None:
    registration.add_handlers(_HANDLERS)


def unregister() -> None:
    registration.remove_handlers(_HANDLERS)
    _known.clear()

"""Blender's own drawing of point clouds, which viewports do without where we draw the cache.

A viewport can hide all point clouds; what it hides is still evaluated, and every stage reads it. The switch belongs to
the artist's screen: files are saved with it as it was, and it is put back when the extension is disabled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ..app import access, registration

_wishes: dict[int, bool] = {}
_hidden: set[int] = set()
"""Viewports, by their spaces' pointers: whether they should hide point clouds, and those in which we hid them."""


def hide(space: Any, *, hide: bool) -> None:
    """Wish that a viewport hides Blender's own points, or shows them again: as soon as it is not being drawn."""
    if hide == (space.as_pointer() in _hidden) and not (hide and space.show_object_viewport_pointcloud):
        return
    _wishes[space.as_pointer()] = hide
    if not bpy.app.timers.is_registered(_fulfil):
        registration.remove_handlers(_HANDLERS)
        registration.add_handlers(_HANDLERS)
        bpy.app.timers.register(_fulfil, first_interval=0.0, persistent=True)


def _fulfil() -> None:
    for space in _spaces():
        number = space.as_pointer()
        wish = _wishes.get(number)
        if wish and space.show_object_viewport_pointcloud:
            space.show_object_viewport_pointcloud = False
            _hidden.add(number)
        elif wish is False and number in _hidden:
            space.show_object_viewport_pointcloud = True
            _hidden.discard(number)
    _wishes.clear()


def show_all() -> None:
    """Show them in every viewport in which we have hidden them."""
    for space in _spaces():
        if space.as_pointer() in _hidden:
            space.show_object_viewport_pointcloud = True
    _hidden.clear()


def _spaces() -> Iterator[Any]:
    for screen in bpy.data.screens:
        for area in screen.areas:
            yield from (space for space in area.spaces if space.type == "VIEW_3D")


@persistent
def _before_saving(*_: Any) -> None:
    show_all()


@persistent
def _before_loading(*_: Any) -> None:
    _hidden.clear()
    _wishes.clear()


@persistent
def _after_saving(*_: Any) -> None:
    for window in access.windows():
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()  # which hides them again


_HANDLERS = {
    "save_pre": _before_saving,
    "save_post": _after_saving,
    "load_pre": _before_loading,
}


def free() -> None:
    """Leave every viewport as it was."""
    show_all()
    _wishes.clear()
    registration.remove_handlers(_HANDLERS)
    if bpy.app.timers.is_registered(_fulfil):
        bpy.app.timers.unregister(_fulfil)

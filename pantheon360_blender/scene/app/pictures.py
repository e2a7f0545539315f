"""Pictures of files as icons for panels, and the newest picture of the job at work. Nothing enters the .blend."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import bpy

from ...core import budget, plain_text
from ...core.errors import PantheonError
from ...core.formats import image_headers

_NEWEST = "newest"

_log = logging.getLogger(__name__)
collection: Any = None
_refused: set[str] = set()


def icon(path: Path) -> int:
    """The icon of a picture; 0 if there is none that can be shown. The file is read once for each of its changes."""
    try:
        name = f"{path}:{path.stat().st_mtime_ns}"
    except OSError:
        return 0
    if name not in _refused and _find(name) is None and _load(name, path) is None:
        _refused.add(name)
    return _icon(name)


def show_newest(path: str) -> None:
    """Make the picture in this file the newest one; the same file again if its content has changed."""
    forget_newest()
    picture = _load(_NEWEST, Path(path))
    if picture is not None:
        # Asking for the size reads the file now: else Blender would begin to when it draws, and the next picture
        # would come before this one is seen.
        _log.debug("%s is %s pixels large", plain_text.one_line(path), tuple(picture.image_size))


def newest_icon() -> int:
    """The newest picture's icon; 0 if there is none."""
    return _icon(_NEWEST)


def forget_newest() -> None:
    """Forget the newest picture: its job is over."""
    if _find(_NEWEST) is not None:
        del collection[_NEWEST]


def _load(name: str, path: Path) -> Any:
    """The picture, read now; None if it cannot be shown, which is logged."""
    global collection
    import bpy.utils.previews  # here, for it brings much and most sessions show no picture

    if collection is None:
        collection = bpy.utils.previews.new()
    try:
        image_headers.check_whole(path, budget.PREVIEW)
        return collection.load(name, str(path), "IMAGE", force_reload=True)
    except (OSError, ValueError, RuntimeError, KeyError, PantheonError):
        _log.warning("The picture %s cannot be shown", plain_text.one_line(str(path)), exc_info=True)
        return None


def _find(name: str) -> Any:
    return collection.get(name) if collection is not None else None


def _icon(name: str) -> int:
    picture = _find(name)
    return int(picture.icon_id) if picture is not None else 0


def register() -> None:
    """Pictures are read when a panel first shows them."""


def unregister() -> None:
    global collection
    if collection is not None:
        bpy.utils.previews.remove(collection)
    collection = None
    _refused.clear()

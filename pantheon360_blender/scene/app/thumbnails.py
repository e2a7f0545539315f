"""Small pictures of files, as icons for panels. Nothing of them enters the .blend."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import bpy

from ...core import budget, plain_text
from ...core.errors import PantheonError
from ...core.formats import image_headers

_log = logging.getLogger(__name__)
_collection: Any = None
_refused: set[str] = set()


def icon(path: Path) -> int:
    """The icon of a picture; 0 if there is none that can be shown. The file is read once for each of its changes."""
    global _collection
    import bpy.utils.previews  # here, for it brings much and most sessions show no picture

    try:
        name = f"{path}:{path.stat().st_mtime_ns}"
    except OSError:
        return 0
    if _collection is None:
        _collection = bpy.utils.previews.new()
    if name not in _collection and name not in _refused:
        _load(name, path)
    picture = _collection.get(name)
    return int(picture.icon_id) if picture is not None else 0


def _load(name: str, path: Path) -> None:
    try:
        image_headers.check_whole(path, budget.PREVIEW)
        _collection.load(name, str(path), "IMAGE")
    except (OSError, ValueError, RuntimeError, KeyError, PantheonError):
        _refused.add(name)
        _log.warning("The picture %s cannot be shown", plain_text.one_line(str(path)), exc_info=True)


def register() -> None:
    """Pictures are read when a panel first shows them."""


def unregister() -> None:
    global _collection
    if _collection is not None:
        bpy.utils.previews.remove(_collection)
    _collection = None
    _refused.clear()

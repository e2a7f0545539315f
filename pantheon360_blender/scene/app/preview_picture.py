"""The newest picture of a running job, as an icon for panels. Nothing of it enters the .blend."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import bpy

from ...core import budget, plain_text
from ...core.errors import PantheonError
from ...core.formats import image_headers

_NAME = "newest"

_log = logging.getLogger(__name__)
collection: Any = None


def show(path: str) -> None:
    """Make the picture in this file the newest one; the same file again if its content has changed."""
    global collection
    import bpy.utils.previews  # here, for it brings much and most sessions show no preview

    if collection is None:
        collection = bpy.utils.previews.new()
    collection.clear()
    try:
        image_headers.check_whole(Path(path), budget.PREVIEW)
        picture = collection.load(_NAME, path, "IMAGE", force_reload=True)
        # Asking for the size reads the file now: else Blender would begin to when it draws, and the next picture
        # would come before this one is seen.
        _log.debug("%s is %s pixels large", plain_text.one_line(path), tuple(picture.image_size))
    except (OSError, ValueError, RuntimeError, PantheonError):
        _log.warning("The preview %s cannot be shown", plain_text.one_line(path), exc_info=True)


def icon() -> int:
    """The newest picture's icon; 0 if there is none."""
    preview = collection.get(_NAME) if collection is not None else None
    return int(preview.icon_id) if preview is not None else 0


def clear() -> None:
    """Forget the picture: its job is over."""
    global collection
    if collection is not None:
        bpy.utils.previews.remove(collection)
    collection = None

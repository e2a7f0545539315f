"""Pictures of files as icons for panels, and the newest picture of the job at work. Nothing enters the .blend."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import bpy
import imbuf
import numpy as np

from ...core import budget, plain_text
from ...core.errors import ImageError, PantheonError
from ...core.formats import image_headers, png

ICON_WIDTH = 256
"""Pixels across of the newest picture: what Blender makes of larger ones, too."""

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
    """Make the picture in this PNG file the newest one; the same file again if its content has changed.

    It is read here and at once: Blender would begin to when it draws, and the next picture would come before this one
    is seen; made to begin earlier, its first one takes 60 ms.
    """
    forget_newest()
    try:
        image = png.read(Path(path), budget.PREVIEW)
        if image.dtype != np.uint8 or image.shape[2:] != (3,):
            raise ImageError(f"{path} is not a picture of three bytes a pixel.")
    except PantheonError:
        _log_refused(path)
        return
    step = max(1, image.shape[1] // ICON_WIDTH)
    small = image[::step, ::step][::-1]  # Blender's rows go from the lowest to the highest
    picture = _pictures().new(_NEWEST)
    picture.image_size = small.shape[1::-1]
    opaque = np.dstack([small, np.full(small.shape[:2], 255, np.uint8)])
    picture.image_pixels.foreach_set(opaque.view(np.int32).ravel())


def newest_icon() -> int:
    """The newest picture's icon; 0 if there is none."""
    return _icon(_NEWEST)


def forget_newest() -> None:
    """Forget the newest picture: its job is over."""
    if _find(_NEWEST) is not None:
        del collection[_NEWEST]


def wake_decoder(path: Path) -> None:
    """Have Blender decode this small picture: the first one of a session takes it 40 ms more than all others."""
    with suppress(OSError, ValueError, PantheonError):  # there may be none
        image_headers.check_whole(path, budget.PREVIEW)
        imbuf.load(str(path)).free()


def _load(name: str, path: Path) -> Any:
    """The picture, to be read when it is drawn; None if it cannot be shown, which is logged."""
    try:
        image_headers.check_whole(path, budget.PREVIEW)
        return _pictures().load(name, str(path), "IMAGE", force_reload=True)
    except (OSError, ValueError, RuntimeError, KeyError, PantheonError):
        _log_refused(str(path))
        return None


def _log_refused(path: str) -> None:
    _log.warning("The picture %s cannot be shown", plain_text.one_line(path), exc_info=True)


def _pictures() -> Any:
    global collection
    import bpy.utils.previews  # here, for it brings much and most sessions show no picture

    if collection is None:
        collection = bpy.utils.previews.new()
    return collection


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

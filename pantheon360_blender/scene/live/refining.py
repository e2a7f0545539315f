"""What viewports show is refined between redraws: a timer gives each picture that is not done yet some milliseconds.

Nobody waits for it: while the view or the camera moves, pictures begin anew with as many points as a redraw has time
for, and the rest comes when the hand rests.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Protocol

import bpy

from ..app import access

BUDGET = 0.02
"""Seconds of the graphics card that a redraw, or a tick of the timer, may spend on points."""
INTERVAL = 0.01
"""Seconds between two ticks, for Blender to draw and to listen."""
REST = 0.15
"""Seconds after which a hand rests."""

_FEWEST = 20_000  # points of a portion, however slow the card

_log = logging.getLogger(__name__)
_waiting: dict[int, Refined] = {}


class Refined(Protocol):
    """A picture that comes in portions."""

    def refine(self) -> bool:
        """Add a portion; whether there is more to come."""

    def redraw(self) -> None:
        """Have what shows the picture drawn again."""


class Pace:
    """How many points the graphics card draws in the time that there is, as measured."""

    def __init__(self, portion: int = 100_000) -> None:
        self._portion = float(portion)

    @property
    def portion(self) -> int:
        """Points to draw now."""
        return max(_FEWEST, int(self._portion))

    def note(self, count: int, seconds: float) -> None:
        """That so many points took so long. One slow tick, in which something else was done, halves it at most."""
        if count >= min(_FEWEST, self.portion):
            aim = count * BUDGET / max(seconds, 1e-5)
            self._portion = min(max(aim, 0.5 * self._portion), 4.0 * self._portion, 1e8)


def soon(picture: Refined, delay: float = INTERVAL) -> None:
    """Refine a picture until it is done, from a while after now; the timer is put off if it waits already."""
    _waiting[id(picture)] = picture
    _begin = time.monotonic() + delay
    _State.begin = _begin
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=delay, persistent=True)


def is_busy() -> bool:
    """Whether a picture is not done yet."""
    return bool(_waiting)


def drop(picture: Any) -> None:
    """Refine a picture no more."""
    _waiting.pop(id(picture), None)


class _State:
    begin = 0.0


def _tick() -> float | None:
    left = _State.begin - time.monotonic()
    if left > 0:
        return left
    for key, picture in list(_waiting.items()):
        try:
            if not picture.refine():
                _waiting.pop(key, None)
                picture.redraw()
        except Exception:
            _waiting.pop(key, None)
            _log.exception("A picture in a viewport cannot be refined")
    return INTERVAL if _waiting else None


def redraw_viewports(kinds: tuple[str, ...] = ("VIEW_3D", "IMAGE_EDITOR")) -> None:
    """Have all areas of these types drawn again."""
    for window in access.windows():
        for area in window.screen.areas:
            if area.type in kinds:
                area.tag_redraw()


def stop() -> None:
    """Refine nothing more."""
    _waiting.clear()
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)

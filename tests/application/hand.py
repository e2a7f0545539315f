"""A hand at the application's window: it moves, clicks and types by events, and finds buttons as a person does.

Runs inside Blender, started with --enable-event-simulate. What it does are steps of generators: `yield from` them; each
yield gives Blender's loop the seconds it says. Buttons have no coordinates in Blender's API. They are found by moving
over a region and asking Blender what is beneath the mouse: Ctrl C copies the Python command of a button.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import bpy

Steps = Generator[float, None, Any]

_LOOP = 0.02
_NOTHING = "nothing is beneath the mouse"


class NotFound(AssertionError):
    """What a person would look for is not on the screen."""


class Hand:
    """Clicks and keys, counted. pictures: folder for what `picture` takes. actions: what was done, in words."""

    ROW = 15
    """Pixels between two looks: a button is 20 high or more."""

    def __init__(self, pictures: Path) -> None:
        self.pictures = pictures
        self.actions: list[str] = []
        self.number = 0

    # Where

    @property
    def window(self) -> Any:
        """The window that was opened last: a file browser, if there is one."""
        return bpy.context.window_manager.windows[-1]

    def area(self, kind: str) -> Any:
        """The largest area of a type in that window."""
        found = [area for area in self.window.screen.areas if area.type == kind]
        return max(found, key=lambda area: area.width * area.height, default=None)

    def region(self, area_type: str, region_type: str) -> Any:
        """A region that is drawn. Raises NotFound."""
        area = self.area(area_type)
        found = [each for each in area.regions if each.type == region_type and each.width > 1] if area else []
        if not found:
            raise NotFound(f"no {region_type} in a {area_type}")
        return found[0]

    # Events

    def _event(self, kind: str, value: str, x: int, y: int, **keys: Any) -> None:
        self.window.event_simulate(type=kind, value=value, x=int(x), y=int(y), **keys)
        self.place = (int(x), int(y))

    def move(self, x: int, y: int) -> Steps:
        """Move the mouse there."""
        for nudge in (1, 0):
            self._event("MOUSEMOVE", "NOTHING", x + nudge, y)
            yield _LOOP

    def _key(self, kind: str, **keys: Any) -> Steps:
        for value in ("PRESS", "RELEASE"):
            self._event(kind, value, *self.place, **keys)
            yield _LOOP

    def press(self, kind: str, why: str, **keys: Any) -> Steps:
        """Press a key; an action."""
        self.actions.append(why)
        yield from self._key(kind, **keys)

    def click(self, x: int, y: int, why: str) -> Steps:
        """Click there; an action."""
        self.actions.append(why)
        yield from self.move(x, y)
        yield from self._key("LEFTMOUSE")
        yield 0.1

    def fill(self, text: str, places: Iterable[tuple[int, int]], why: str) -> Steps:
        """Put text into the first text field among places, as Ctrl V does; an action. Raises NotFound."""
        manager: Any = bpy.context.window_manager
        for x, y in places:
            yield from self.move(x, y)
            manager.clipboard = text
            yield from self._key("V", ctrl=True)
            if (yield from self.beneath()) == text:
                self.actions.append(why)
                return
        raise NotFound(f"a field to {why}")

    def scroll(self, region: Any, times: int, *, up: bool = False) -> Steps:
        """Turn the wheel above a region."""
        yield from self.move(region.x + region.width // 2, region.y + region.height // 2)
        for _ in range(times):
            yield from self._key("WHEELUPMOUSE" if up else "WHEELDOWNMOUSE")

    # Looking

    def beneath(self) -> Steps:
        """What is beneath the mouse: the Python command of a button, or the text in a field."""
        manager: Any = bpy.context.window_manager
        manager.clipboard = _NOTHING
        yield from self._key("C", ctrl=True)
        return "" if manager.clipboard == _NOTHING else manager.clipboard

    def seek(self, wanted: str, places: Iterable[tuple[int, int]]) -> Steps:
        """Move over places until what is wanted is beneath the mouse: part of its command. Returns where, or None."""
        for x, y in places:
            yield from self.move(x, y)
            if wanted in (yield from self.beneath()):
                return x, y
        return None

    def find(self, wanted: str, area_type: str, region_type: str, *, at: float = 0.5) -> Steps:
        """Where a button is in a region, scrolling as far as it takes. at: how far to the right. Raises NotFound."""
        region = self.region(area_type, region_type)
        yield from self.scroll(region, 40, up=True)
        for _ in range(8):
            x = region.x + int(region.width * at)
            found = yield from self.seek(
                wanted, [(x, y) for y in range(region.y + region.height - 5, region.y, -self.ROW)]
            )
            if found is not None:
                return found
            yield from self.scroll(region, 8)
        raise NotFound(f"{wanted} is nowhere in the {region_type} of the {area_type}")

    def press_button(self, wanted: str, area_type: str, region_type: str, why: str, *, at: float = 0.5) -> Steps:
        """Find a button and click it."""
        x, y = yield from self.find(wanted, area_type, region_type, at=at)
        yield from self.click(x, y, why)

    def until(self, done: Callable[[], Any], seconds: float, what: str) -> Steps:
        """Wait for something. Raises NotFound if it has not come by then."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise NotFound(f"{what} has not come in {seconds:.0f} s")
            yield 0.2

    def picture(self, name: str) -> Steps:
        """Take a picture of the screen, once it was drawn."""
        yield 0.6
        self.number += 1
        path = self.pictures / f"{self.number:02}-{name}.png"
        subprocess.run(["import", "-window", "root", str(path)], check=True, timeout=300)
        yield _LOOP

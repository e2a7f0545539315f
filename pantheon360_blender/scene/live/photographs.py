"""The captures' photographs as small textures: decoded by the second Blender, one after the other, while one works."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import bpy
import gpu
import numpy as np
from bpy.app.handlers import persistent

from ...core import plain_text
from ...core.errors import PantheonError
from ...core.panorama.capture import Capture
from ...core.progress import Job, Progress
from ..app import registration, versions
from ..app.access import ObjectReference, of_object
from ..captures import capture_objects, decoding
from . import refining

WIDTH = 1024
"""Pixels of a photograph's texture at most: 2 MB each."""

_gpu: Any = gpu  # its classes' constructors are unknown to type checkers
_log = logging.getLogger(__name__)

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Shown:
    """A capture with its photograph on the card.

    texture: sRGB values, first row at the bottom; alpha is how valid a pixel is. pose: (4, 4), levelled.
    """

    name: str
    texture: Any
    pose: np.ndarray


class Photographs:
    """The textures of all captures of this session. failed: those that cannot be read; told once."""

    def __init__(self) -> None:
        self._textures: dict[Key, Any] = {}
        self._failed: set[Key] = set()
        self._wanted: dict[Key, ObjectReference] = {}
        self._job: tuple[Key, Job[Capture]] | None = None

    def shown(self, scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> list[Shown]:
        """The scene's captures whose photographs are there; the others come later, and viewports are drawn again."""
        found, used = [], set()
        for obj in capture_objects.in_scene(scene):
            key = _key(obj)
            used.add(key)
            if key in self._textures:
                found.append(Shown(obj.name, self._textures[key], capture_objects.pose(obj, depsgraph)))
            elif key not in self._failed and key not in self._wanted:
                self._wanted[key] = ObjectReference(obj)
        if self._wanted:
            refining.soon(self)
        return found

    def refine(self) -> bool:
        """Go on with the photograph that is decoded now, or begin with the next one."""
        if self._job is None:
            if not self._wanted:
                return False
            key, reference = next(iter(self._wanted.items()))
            obj = reference.find()
            if obj is None:
                del self._wanted[key]
                return bool(self._wanted)
            wanted = decoding.Wanted(WIDTH, enlarge=False)
            self._job = key, capture_objects.reading(obj, wanted, Progress("Loading photographs"))
        key, job = self._job
        try:
            next(job)
            return True
        except StopIteration as end:
            self._textures[key] = _texture(end.value)
        except PantheonError as problem:
            self._failed.add(key)
            _log.warning("A photograph cannot be shown: %s", plain_text.one_line(str(problem)))
        self._job = None
        self._wanted.pop(key, None)
        self.redraw()
        return bool(self._wanted)

    def redraw(self) -> None:
        refining.redraw_viewports()

    def forget(self) -> None:
        """Let go of all textures, and of what is being decoded."""
        refining.drop(self)
        if self._job is not None:
            with suppress(Exception):
                self._job[1].close()
        self.__init__()  # type: ignore[misc]


def _key(obj: bpy.types.Object) -> Key:
    """What decides how a capture's texture looks; its file is looked at when it is read."""
    settings = of_object(obj)
    images = [settings.image, settings.mask]
    told = [(each.session_uid, each.filepath, each.colorspace_settings.name) if each else None for each in images]
    return (*told, round(float(settings.nadir), 4))


def _texture(capture: Capture) -> Any:
    height, width = capture.image.shape[:2]
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = capture.image[::-1].astype(np.float32) / 255.0
    if capture.valid is not None:
        pixels[..., 3] = capture.valid[::-1]
    buffer = _gpu.types.Buffer("FLOAT", pixels.size, pixels.ravel())
    return versions.smooth(_gpu.types.GPUTexture((width, height), format="RGBA8", data=buffer), wrap=True)


PHOTOGRAPHS = Photographs()


@persistent
def _forget(*_: Any) -> None:
    PHOTOGRAPHS.forget()


HANDLERS = {"load_pre": _forget}


class _Watch:
    watching = False


def watch() -> None:
    """Have Blender tell of another file."""
    if not _Watch.watching:
        registration.add_handlers(HANDLERS)
        _Watch.watching = True


def free() -> None:
    """Let go of everything."""
    PHOTOGRAPHS.forget()
    if _Watch.watching:
        registration.remove_handlers(HANDLERS)
        _Watch.watching = False

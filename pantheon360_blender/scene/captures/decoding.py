"""Pictures of captures, decoded by the second Blender at the size that a stage needs, and kept while there is room.

An image whose pixels are in a file, or packed, is decoded by the same code in the other process. One that was painted
on has its pixels in this Blender alone and is read here.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core.errors import BackendError, CaptureError
from ...core.output_folder import OutputFolder
from ...core.progress import Job, Progress, Result, in_thread, map_progress
from ..worker import process
from . import colour, images

TASK = "decode"
KEPT = 256 << 20
"""Bytes of decoded pictures that are kept."""

_PIXELS, _WHITE, _PACKED = "pixels.npy", "white.npy", "packed"


@dataclass(frozen=True)
class Decoded:
    """A picture, and its mask.

    pixels: (H, W, 3) uint8 sRGB, as of images.pixels.
    white: (H, W) float32, as of images.coverage; None without a mask.
    """

    pixels: np.ndarray
    white: np.ndarray | None


@dataclass(frozen=True)
class Wanted:
    """The size that is wanted.

    width: of the result, None is the picture's own. enlarge: whether it may become wider than it is. multiple: what the
    width is rounded down to a multiple of.
    """

    width: int | None = None
    enlarge: bool = True
    multiple: int = 1

    def of(self, own: int) -> int | None:
        """Width to ask images.pixels for, of a picture that is `own` wide."""
        if self.width is None:
            return None
        width = self.width if self.enlarge else min(own, self.width)
        return width // self.multiple * self.multiple


@dataclass(frozen=True)
class _Source:
    """What another process needs to read an image as this one does.

    path: absolute. state: tells its contents from others. packed: whether they are in the .blend.
    """

    name: str
    path: str
    state: tuple[int, int]
    packed: bool
    colorspace: str
    alpha_mode: str


def decode_here(image: bpy.types.Image, mask: bpy.types.Image | None, wanted: Wanted) -> Decoded:
    """Decode in this process; Blender holds no more pixels afterwards than it did before.

    Raises CaptureError if an image is missing, damaged or not a full panorama.
    """
    with images.released(image, mask):
        size = images.checked_size(image)
        images.check_full(size, image.name)
        pixels = images.pixels(image, wanted.of(size[0]))
        return Decoded(pixels, images.coverage(mask, pixels.shape[1]) if mask is not None else None)


def decode(image: bpy.types.Image, mask: bpy.types.Image | None, wanted: Wanted, step: Progress) -> Job[Decoded]:
    """`decode_here`, by a second Blender if somebody waits for this one. step: what is told meanwhile."""
    sources = [_source(each) for each in (image, mask) if each is not None]
    if not process.is_wanted() or None in sources:
        return decode_here(image, mask, wanted)
    key = (*sources, wanted)
    found = _kept.find(key)
    if found is None:
        packed = [each.packed_file.data if each.packed_file else b"" for each in (image, mask) if each is not None]
        uids = image.session_uid, mask.session_uid if mask is not None else None
        try:
            found = yield from _asked([each for each in sources if each is not None], packed, wanted, step)
        except process.Unavailable:
            there = {each.session_uid: each for each in bpy.data.images}  # undo may have replaced them
            return decode_here(there[uids[0]], there.get(uids[1] or 0), wanted)
        _kept.keep(key, found)
    return found


def forget() -> None:
    """Keep no picture."""
    _kept.clear()


def _source(image: bpy.types.Image) -> _Source | None:
    """None if another process cannot read the image's pixels, or would not get the same ones."""
    plain = image.source == "FILE" and not image.is_dirty and not image.use_multiview
    if not plain or not colour.is_rec709() or len(image.packed_files) > 1:
        return None
    path = Path(bpy.path.abspath(image.filepath, library=image.library)).absolute()
    if image.packed_file is not None:
        state = (image.packed_file.size, zlib.crc32(image.packed_file.data))
    elif path.is_file():
        status = path.stat()
        state = (status.st_size, status.st_mtime_ns)
    else:
        return None
    space: Any = image.colorspace_settings
    packed = image.packed_file is not None
    return _Source(image.name, str(path), state, packed, str(space.name), str(image.alpha_mode))


def _asked(sources: list[_Source], packed: list[bytes], wanted: Wanted, step: Progress) -> Job[Decoded]:
    with process.request_folder() as folder:
        for index, data in enumerate(packed):
            if data:
                yield from in_thread(partial(OutputFolder(folder).write_bytes, f"{_PACKED}{index}", data), step)
        arguments = {"sources": [asdict(each) for each in sources], "wanted": asdict(wanted)}
        asked = process.ask(TASK, arguments, folder, step.phase)
        yield from explained(map_progress(asked, lambda _: (waiting(step),)), sources[0].name)
        return (yield from in_thread(partial(_read, folder), step))


def waiting(step: Progress) -> Progress:
    """The step, as whoever waits for another process tells it."""
    return replace(step, waiting=True)


def explained(asked: Job[Result], name: str) -> Job[Result]:
    """A question to the second Blender. Raises CaptureError if it dies over the picture of that name."""
    try:
        return (yield from asked)
    except BackendError as error:
        if isinstance(error, process.Unavailable):
            raise
        raise CaptureError(
            f"Reading the image {name} stopped Blender's reader: {error.text}",
            advice="Open it in an image viewer, then export it again.",
        ) from error


def _read(folder: Path) -> Decoded:
    white = folder / _WHITE
    decoded = Decoded(np.load(folder / _PIXELS), np.load(white) if white.is_file() else None)
    for array in (decoded.pixels, decoded.white):
        if array is not None:
            array.flags.writeable = False  # others get the same one
    return decoded


def answer(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """In the second Blender: decode what was asked for into files of the request's folder."""
    found = [_loaded(_Source(**each), folder / f"{_PACKED}{index}") for index, each in enumerate(asked["sources"])]
    try:
        decoded = decode_here(found[0], found[1] if len(found) > 1 else None, Wanted(**asked["wanted"]))
    finally:
        for image in found:
            bpy.data.images.remove(image)
    for name, array in ((_PIXELS, decoded.pixels), (_WHITE, decoded.white)):
        if array is not None:
            np.save(folder / name, array)
    return {}


def _loaded(source: _Source, packed: Path) -> bpy.types.Image:
    """The image as the artist's file has it. Raises CaptureError if Blender does not open it."""
    try:
        image = bpy.data.images.load(str(packed) if source.packed else source.path)
    except RuntimeError as error:
        raise CaptureError(f"The image {source.name} cannot be read: {error}".strip()) from error
    if source.packed:
        image.pack()
        image.filepath_raw = source.path
    settings: Any = image
    settings.name, settings.alpha_mode = source.name, source.alpha_mode
    settings.colorspace_settings.name = source.colorspace
    return image


class _Kept:
    """The pictures that were asked for last, as many as have room."""

    def __init__(self) -> None:
        self._found: OrderedDict[Any, Decoded] = OrderedDict()

    def find(self, key: Any) -> Decoded | None:
        with suppress(KeyError):
            self._found.move_to_end(key)
            return self._found[key]
        return None

    def keep(self, key: Any, decoded: Decoded) -> None:
        self._found[key] = decoded
        while len(self._found) > 1 and sum(map(_bytes, self._found.values())) > KEPT:
            self._found.popitem(last=False)

    def clear(self) -> None:
        self._found.clear()


def _bytes(decoded: Decoded) -> int:
    return decoded.pixels.nbytes + (decoded.white.nbytes if decoded.white is not None else 0)


_kept = _Kept()


def register() -> None:
    """Nothing is kept yet."""


def unregister() -> None:
    forget()

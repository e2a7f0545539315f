"""OpenImageIO, which upstream's Blender brings along: a reader that may be there, and the only one of its kind here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from .. import temporary
from ..budget import PictureBudget
from ..errors import ImageError

_MOST_VALUES = 1 << 30  # 4 GiB of float32
_MOST_CHANNELS = 64
_TOGETHER = 1 << 26  # values read at a time
_VALUES_A_BYTE = 32 * 1040  # DWA: two bytes that deflate may have packed 1040-fold tell of a flat block of 64 values
_DAMAGED = "Copy or export it again."


def find() -> Any | None:
    """The module OpenImageIO, or None if this Python lacks it, as that of Debian's Blender does."""
    try:
        import OpenImageIO
    except ImportError:
        return None
    return OpenImageIO


def stored_pixels(library: Any, path: Path, most: PictureBudget) -> np.ndarray:
    """(H, W, C) uint8 or uint16 of a picture as its file stores it: as it lies, alpha apart, CMYK roughly as RGB.

    library: what find() gave. most: what can be used of it. Raises ImageError if the file is damaged, cut short, too
    large, of scene light, or of no kind known.
    """
    settings = library.ImageSpec()
    settings.attribute("oiio:UnassociatedAlpha", 1)
    image = library.ImageInput.open(str(path), settings)
    if image is None:
        raise _unreadable(str(path), library.geterror())
    try:
        header = image.spec()
        most.check(header.width, header.height, str(path))
        if not 1 <= header.nchannels <= _MOST_CHANNELS:
            raise ImageError(f"{path} says that it has {header.nchannels} channels.", advice=_DAMAGED)
        pixels = image.read_image(0, 0, 0, header.nchannels, header.format)
        if pixels is None:
            raise _unreadable(str(path), image.geterror())
    finally:
        image.close()
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path} holds {pixels.dtype}, not colors of 8 or 16 bits.", advice="Export it as PNG.")
    return np.asarray(pixels)


def size(library: Any, path: Path) -> tuple[int, int] | None:
    """Width and height that a picture's file of any kind declares, in pixels; None if the library cannot tell.

    library: what find() gave.
    """
    image = library.ImageInput.open(str(path))
    if image is None:
        library.geterror()  # else it is kept for whoever asks next
        return None
    header = image.spec()
    image.close()
    return int(header.width), int(header.height)


def first_rows(library: Any, path: Path, count: int) -> np.ndarray | None:
    """The first rows of a picture of three channels or more, (count, W, 3) uint8; None if they cannot be had alone.

    library: what find() gave. What follows them in the file is not decoded, where it lies in rows.
    """
    image = library.ImageInput.open(str(path))
    if image is None:
        library.geterror()
        return None
    try:
        header = image.spec()
        if header.tile_width or header.nchannels < 3 or header.height < count:
            return None
        rows = image.read_scanlines(0, 0, 0, count, 0, 0, 3, "uint8")
        if rows is None:
            image.geterror()
        return rows if rows is None else np.asarray(rows)
    finally:
        image.close()


def exr_channels(library: Any, data: bytes, name: str) -> dict[str, np.ndarray]:
    """Channels of the bytes of an OpenEXR file of every compression, tiled or not, as exr.decode gives them.

    library: what find() gave. Channels of a file in several parts have the name of their part before their own.
    Raises ImageError if the file is damaged, cut short, deep, or says that it is larger than its bytes can hold.
    """
    # The library reads files only; in a folder of its own, nobody else's name is taken.
    with temporary.directory(Path(tempfile.gettempdir()), "pantheon360-exr") as folder:
        place = folder / "image.exr"
        place.write_bytes(data)
        image = library.ImageInput.open(str(place))
        if image is None:
            raise _unreadable(name, library.geterror())
        try:
            return _parts(image, len(data), name)
        except UnicodeDecodeError as error:  # of a name that is no text
            raise _unreadable(name, str(error)) from error
        finally:
            image.close()


def _parts(image: Any, length: int, name: str) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    left = min(_MOST_VALUES, _VALUES_A_BYTE * length)
    number = 0
    while image.seek_subimage(number, 0):
        header = image.spec()
        left -= _values(header)
        if header.deep or left < 0:
            what = "deep" if header.deep else f"{header.width} x {header.height} pixels, more than its bytes can hold"
            raise ImageError(f"{name} says that it is {what}.", advice="Save it again as a flat OpenEXR image.")
        part = header.get_string_attribute("name") if header.get_int_attribute("oiio:subimages") > 1 else ""
        for label, values in _channels(image, number, header, name):
            found[label if label.startswith(part) else f"{part}.{label}"] = values
        number += 1
    if not found:
        raise _unreadable(name, image.geterror())
    return found


def _values(header: Any) -> int:
    """How many values of all channels a part makes the library hold: those of the image, or of a larger tile."""
    return int(max(header.width, header.tile_width) * max(header.height, header.tile_height) * header.nchannels)


def _channels(image: Any, number: int, header: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and values (H, W) float32; channels of one type together, for each read unpacks all of the file."""
    for kind, start, end in _groups(header):
        # In the type they have: the library would take whole numbers for fractions of the largest one.
        pixels = image.read_image(number, 0, start, end, kind)
        if pixels is None:
            raise _unreadable(name, image.geterror())
        for place in range(start, end):
            yield header.channelnames[place], np.ascontiguousarray(pixels[..., place - start], np.float32)


def _groups(header: Any) -> Iterator[tuple[str, int, int]]:
    """Type, first and last but one of channels that are read together: as many as take little memory."""
    most = max(1, _TOGETHER // max(1, header.width * header.height))
    start = 0
    for kind, alike in groupby(map(header.channelformat, range(header.nchannels)), str):
        end = start + len(list(alike))
        yield from ((kind, first, min(first + most, end)) for first in range(start, end, most))
        start = end


def _unreadable(name: str, why: str) -> ImageError:
    return ImageError(f"{name} is damaged or cut short: {why.strip()[:300] or 'pixels are missing'}.", advice=_DAMAGED)

"""Pictures, videos and OpenEXR files that numpy alone cannot decode, by OpenCV and the OpenEXR library."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core import files
from pantheon360_blender.core.errors import FileError, ImageError
from pantheon360_blender.core.formats import exr
from pantheon360_blender.core.importers import Decoders
from pantheon360_blender.core.importers.imported import as_colours, png_picture

from . import missing

_DAMAGED = "Copy or export it again."
_LARGEST_PIXELS = 1 << 28


def picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of a picture file. Raises FileError and ImageError."""
    if path.suffix.lower() == ".png":
        return png_picture(path)
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error
    cv2 = _opencv()
    try:
        # Turned as stored: a panorama's orientation is that of its pixels.
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if len(data) else None
    except cv2.error as error:
        raise ImageError(f"{path} cannot be decoded: {error.err}.", advice=_DAMAGED) from error
    if image is None:
        raise ImageError(f"{path} is damaged, or of no known kind of picture.", advice=_DAMAGED)
    return as_colours(image[..., ::-1])


def video(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames of a video in their order, (H, W, 3) uint8 sRGB. Raises ImageError where there are none."""
    cv2 = _opencv()
    reader = cv2.VideoCapture(str(path))
    try:
        count = 0
        while True:
            read, frame = reader.read()
            if not read:
                break
            count += 1
            yield np.ascontiguousarray(frame[..., ::-1])
        if not count:
            raise ImageError(f"{path} is damaged, or no video that can be decoded.", advice=_DAMAGED)
    finally:
        reader.release()


def channels(data: bytes, name: str) -> dict[str, np.ndarray]:
    """Channels of the bytes of an OpenEXR file, as core's exr.decode gives them, of every kind of flat file."""
    try:
        return exr.decode(data, name)
    except exr.UnsupportedExrError as refusal:
        try:
            import OpenEXR
        except ImportError:
            raise missing.library(f"{refusal.text} Reading it needs the OpenEXR library", "openexr") from None
        return _by_library(OpenEXR, data, name)


def _by_library(library: Any, data: bytes, name: str) -> dict[str, np.ndarray]:
    # The library opens files only; in a folder of its own, nobody else's name is taken.
    with tempfile.TemporaryDirectory(prefix="pantheon360-") as folder:
        place = Path(folder) / "image.exr"
        files.write_bytes(place, data)
        try:
            parts = library.File(str(place), separate_channels=True, header_only=True).parts
            _check_size(parts, name)
            parts = library.File(str(place), separate_channels=True).parts
            found: dict[str, np.ndarray] = {}
            for part in parts:
                found |= {label: _plane(channel.pixels) for label, channel in part.channels.items()}
        except (RuntimeError, ValueError, TypeError, KeyError, MemoryError) as error:
            raise ImageError(f"{name} cannot be read: {str(error)[:300]}.", advice=_DAMAGED) from error
    if not found:
        raise ImageError(f"{name} has no channels.", advice=_DAMAGED)
    return found


def _check_size(parts: Any, name: str) -> None:
    for part in parts:
        low, high = part.header["dataWindow"]
        width, height = (int(high[axis]) - int(low[axis]) + 1 for axis in (0, 1))
        if not 0 < width * height <= _LARGEST_PIXELS or width < 1:
            raise ImageError(f"{name} says that it is {width} x {height} pixels.", advice=_DAMAGED)


def _plane(pixels: Any) -> np.ndarray:
    return np.asarray(pixels, np.float32)


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise missing.library("Pictures other than PNG and videos need OpenCV", "opencv-python-headless") from error
    return cv2


DECODERS = Decoders(picture, video, channels)

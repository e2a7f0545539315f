"""Pictures, OpenEXR files and videos that numpy alone cannot decode, by OpenImageIO and OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core.errors import ImageError
from pantheon360_blender.core.formats import appearance, exr, openimageio
from pantheon360_blender.core.importers import Decoders
from pantheon360_blender.core.importers.imported import png_picture

from . import missing

_DAMAGED = "Copy or export it again."


def picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB, upright, of a picture file. Raises FileError, ImageError and MissingLibraryError."""
    shown = appearance.read(path)
    library = openimageio.find()
    if library is not None:
        return shown.shown(openimageio.stored_pixels(library, path))
    if path.suffix.lower() == ".png":
        return png_picture(path)
    raise missing.library("Pictures other than PNG need OpenImageIO", "openimageio")


def video(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames of a video in their order, (H, W, 3) uint8 sRGB. Raises ImageError if there are none."""
    cv2 = _opencv()
    reader = cv2.VideoCapture(str(path))
    try:
        read, frame = reader.read()
        if not read:
            raise ImageError(f"{path} is damaged, or no video that can be decoded.", advice=_DAMAGED)
        while read:
            yield np.ascontiguousarray(frame[..., ::-1])
            read, frame = reader.read()
    finally:
        reader.release()


def channels(data: bytes, name: str) -> dict[str, np.ndarray]:
    """Channels of an OpenEXR file, as core's exr.decode gives them. Raises MissingLibraryError without OpenImageIO."""
    try:
        return exr.decode(data, name)
    except exr.UnsupportedExrError as refusal:
        raise missing.library(f"{refusal.text} Reading it needs OpenImageIO", "openimageio") from refusal


def _opencv() -> Any:
    return missing.imported("cv2", "Videos need OpenCV", "opencv-python-headless")


DECODERS = Decoders(picture, video, channels)

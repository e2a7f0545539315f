"""Pictures, OpenEXR files and videos that numpy alone cannot decode, by OpenImageIO and OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core import budget
from pantheon360_blender.core.budget import PictureBudget
from pantheon360_blender.core.errors import ImageError, MetadataError
from pantheon360_blender.core.formats import appearance, exr, image_headers, mp4, openimageio
from pantheon360_blender.core.formats.media_files import reading
from pantheon360_blender.core.importers import Decoders
from pantheon360_blender.core.importers.imported import png_picture

from . import missing

_DAMAGED = "Copy or export it again."


def picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB, upright, of a picture file. Raises FileError, ImageError and MissingLibraryError."""
    image_headers.check_whole(path, budget.PANORAMA)
    shown = appearance.read(path)
    library = openimageio.find()
    if library is not None:
        return shown.shown(openimageio.stored_pixels(library, path, budget.PANORAMA))
    if path.suffix.lower() == ".png":
        return png_picture(path)
    raise missing.library("Pictures other than PNG need OpenImageIO", "openimageio")


def video(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames of a video in their order, (H, W, 3) uint8 sRGB.

    Raises ImageError if there are none, they are too large, or it is no MP4 or MOV: of a list of other files the
    library would read those. Raises FileError if it cannot be read.
    """
    cv2 = _opencv()
    try:
        with reading(path) as (file, length):
            next(mp4.spans(file, length, path))
    except MetadataError as error:
        raise ImageError(error.text, advice=error.advice) from error
    reader = cv2.VideoCapture(str(path))
    try:
        width, height = reader.get(cv2.CAP_PROP_FRAME_WIDTH), reader.get(cv2.CAP_PROP_FRAME_HEIGHT)
        budget.CLIP.check(int(width), int(height), str(path))
        read, frame = reader.read()
        if not read:
            raise ImageError(f"{path} is damaged, or no video that can be decoded.", advice=_DAMAGED)
        while read:
            yield np.ascontiguousarray(frame[..., ::-1])
            read, frame = reader.read()
    finally:
        reader.release()


def channels(data: bytes, name: str, most: PictureBudget) -> dict[str, np.ndarray]:
    """Channels of an OpenEXR file, as core's exr.decode gives them. Raises MissingLibraryError without OpenImageIO."""
    try:
        return exr.decode(data, name, most)
    except exr.UnsupportedExrError as refusal:
        raise missing.library(f"{refusal.text} Reading it needs OpenImageIO", "openimageio") from refusal


def _opencv() -> Any:
    return missing.imported("cv2", "Videos need OpenCV", "opencv-python-headless")


DECODERS = Decoders(picture, video, channels)

"""Pictures, videos and OpenEXR files that numpy alone cannot decode, by OpenCV and OpenImageIO."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core import budget, inputs
from pantheon360_blender.core.budget import PictureBudget
from pantheon360_blender.core.errors import FileError, ImageError, MetadataError
from pantheon360_blender.core.formats import exr, image_headers, mp4
from pantheon360_blender.core.formats.media_files import reading
from pantheon360_blender.core.importers import Decoders
from pantheon360_blender.core.importers.imported import as_colours, png_picture

from . import missing

_DAMAGED = "Copy or export it again."


def picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of a picture file. Raises FileError and ImageError."""
    if path.suffix.lower() == ".png":
        return png_picture(path)
    image_headers.check_whole(path, budget.PANORAMA)
    try:
        data = np.frombuffer(inputs.read_bytes(path, budget.PANORAMA.bytes), np.uint8)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {inputs.why(error)}.") from error
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
    return missing.imported("cv2", "Pictures other than PNG and videos need OpenCV", "opencv-python-headless")


DECODERS = Decoders(picture, video, channels)

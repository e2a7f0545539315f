"""A panorama with a depth image of the same view, as renderers and depth estimators make them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import budget, inputs
from ..errors import FileError, ImageError
from ..formats import exr, png
from ..panorama import depth_image
from ..panorama.cameras import pose_matrix, rotation_from_heading
from ..progress import Job, Progress
from .imported import Gathering, Imported, ImportedCapture, Options, Source, SourceError
from .unprojection import add_depth

_EYE_HEIGHT = 2.0  # metres: a camera on a pole or a raised tripod
_MARKS = ("_depth", "-depth", ".depth", "_range", "_d", "depth_", "depth")
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".exr")
_AGAIN = "Export the depth pass again."


def read_range(path: Path, options: Options) -> tuple[np.ndarray, list[str]]:
    """Range of a depth image by `depth_scale`, `depth_inverse` and `depth_measure` of the options, and notes on it.

    Returns (H, 2 H) float32 metres, infinite where nothing is. Raises FileError, ImageError, SourceError;
    exr.UnsupportedExrError for OpenEXR files that are not read without OpenImageIO.
    """
    try:
        values = _values(path, options)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {inputs.why(error)}.", advice="Check the path.") from error
    notes = []
    if options.depth_scale is None and values.dtype.kind in "iu":
        notes.append("No depth scale was given: one step of the values was taken for a millimeter.")
    try:
        ranges = depth_image.to_range(
            values, options.depth_scale, inverse=options.depth_inverse, measure=options.depth_measure
        )
    except ImageError as error:
        raise ImageError(f"{path}: {error.text}", advice=error.advice) from error
    if not np.isfinite(ranges).any():
        raise ImageError(f"{path} holds no depth: all of its values mean that nothing is there.", advice=_AGAIN)
    return ranges, notes


def _read(path: Path, options: Options) -> Job[Imported]:
    gathering = Gathering(path, options)
    pose = options.pose
    if pose is None:
        pose = pose_matrix(rotation_from_heading(0.0), np.array([0.0, 0.0, _EYE_HEIGHT]))
        gathering.notes.append(f"No pose was given: the camera stands {_EYE_HEIGHT:g} m above the origin, looking +Y.")
    ranges, notes = read_range(path, options)
    gathering.notes += notes
    yield Progress("Reading depth", 1, 3)
    picture = options.image or _picture_beside(path)
    colours = None
    if picture is None:
        gathering.notes.append("No panorama was given or lies beside it: the points are white.")
    else:
        colours = options.decoders.picture(picture)
        if colours.shape[1] != 2 * colours.shape[0]:
            raise ImageError(
                f"{picture} is {colours.shape[1]} x {colours.shape[0]}: a panorama is twice as wide as high."
            )
    yield Progress("Reading depth", 2, 3)
    add_depth(gathering, ranges, colours, pose, 0)
    capture = ImportedCapture((picture or path).stem, picture, gathering.pose(pose, path.name))
    return gathering.finish([capture], wanted=True)


def _values(path: Path, options: Options) -> np.ndarray:
    data, name = inputs.read_bytes(path, budget.DEPTH.bytes), str(path)
    if data.startswith(exr.MAGIC):
        return depth_image.depth_channel(options.decoders.exr(data, name, budget.DEPTH), name)
    values = depth_image.only_channel(png.decode(data, name, budget.DEPTH), name)
    if values.dtype == np.uint8 and options.depth_scale is None:
        raise SourceError(
            f"{path} has 8 bits a pixel: what its 256 steps stand for cannot be known.",
            advice="Give a depth scale in meters a step, or export 16 bits.",
        )
    return values


def _picture_beside(path: Path) -> Path | None:
    """The panorama that a depth image is named after: room_depth.png lies beside room.jpg."""
    for mark in _MARKS:
        stem = path.stem.replace(mark, "", 1) if mark in path.stem else ""
        for suffix in _PICTURES:
            candidate = path.with_name(stem + suffix)
            if stem and candidate != path and candidate.is_file():
                return candidate
    return None


def _is_png(path: Path, start: bytes) -> bool:
    return start.startswith(b"\x89PNG\r\n\x1a\n")


PNG = Source("depth-png", "Equirectangular depth images (16-bit .png)", _is_png, _read)
EXR = Source("depth-exr", "Equirectangular depth images (.exr)", lambda path, start: start.startswith(exr.MAGIC), _read)

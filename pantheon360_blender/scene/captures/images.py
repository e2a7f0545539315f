"""Blender's images as arrays of sRGB bytes, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core import budget, srgb
from ...core.errors import CaptureError, PantheonError
from ...core.formats import image_headers, openimageio
from ...core.formats.appearance import Appearance
from ...core.panorama import equirectangular
from ...core.render.coverage import solid_angles
from .colour import rec709_from_working

MIDDLE_GREY = 0.18
"""Linear value that the median luminance of a high dynamic range panorama is exposed to."""

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_BRIGHTEST = 1e30
_DECODED = 1 << 30  # bytes: sixteen photographs of 5760x2880

HIGH_DYNAMIC_RANGE = frozenset({"OPEN_EXR", "OPEN_EXR_MULTILAYER", "HDR"})
"""File formats whose values are scene light rather than a photograph made for a display."""

SMALLEST_WIDTH, LARGEST_WIDTH = 16, 1 << 15
"""Pixels of panoramas that are handled."""

LARGEST_READ = 1 << 26
"""Pixels (about 1 GiB as Blender hands them out) above which an image is first made smaller in C."""


def pixels(image: bpy.types.Image, width: int | None = None) -> np.ndarray:
    """The image as a photograph for a display.

    width: width wanted; the height is then width / 2 and the resize antialiased and seamless. None keeps the size.
    Returns (H, W, 3) uint8 sRGB, row 0 = top. Bytes of 8-bit files come back unchanged. Scene light (EXR, HDR) is
    exposed so that its median luminance is middle grey and clipped at white; 16-bit files are only rounded.
    Raises CaptureError if Blender cannot read the image.
    """
    size = checked_size(image)
    if width is not None and size[0] * size[1] > LARGEST_READ and size[0] >= 4 * width:
        return pixels_of_smaller_copy(image, width)
    array = _bytes(_floats(image), image, rec709_from_working())
    if width is None or array.shape[:2] == (width // 2, width):
        return array
    return equirectangular.resize(array, width)


def shown(path: Path, look: Appearance) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode a picture file as it wants to be shown.

    Returns (H, W, 3) uint8 sRGB, row 0 = top, scene light exposed as by `pixels`; and (H, W) bool, where it shows
    something, or None if all of it does. Raises CaptureError if Blender cannot read it.
    """
    try:
        image = bpy.data.images.load(str(path))
    except RuntimeError as error:
        raise CaptureError(f"{path.name} cannot be opened: {error}".strip()) from error
    try:
        checked_size(image)
        scene_light = is_scene_light(image)
        stated: Any = image.colorspace_settings
        stated.name = "Non-Color"  # whatever the file's working space, and whichever primaries this Blender knows
        if scene_light:
            return _bytes(_floats(image), image, look.light), look.opaque(_stored(image, np.uint8))
        image.alpha_mode = "CHANNEL_PACKED"
        stored = _stored(image, np.uint16 if image.is_float else np.uint8)
        return look.shown(stored), look.opaque(stored)
    finally:
        bpy.data.images.remove(image)


def check_file(path: Path, known: tuple[int, int] | None = None) -> None:
    """Refuse a picture before Blender opens it: Blender reserves memory for whatever size a header states.

    known: its width and height if its header has been read already.
    Raises FileError if it cannot be read or is no regular file, ImageError if it is cut off, damaged or too large.
    """
    if known is not None:
        return budget.PANORAMA.check(*known, str(path))
    image_headers.check_whole(path, budget.PANORAMA)
    bpy.utils.expose_bundled_modules()
    library = openimageio.find()
    size = openimageio.size(library, path) if library is not None else None
    if size is not None:
        budget.PANORAMA.check(*size, str(path))


def top_rows(path: Path, count: int) -> np.ndarray | None:
    """The first rows of a picture file, (count, W, 3) uint8, without decoding all of it; None where that cannot be."""
    bpy.utils.expose_bundled_modules()
    library = openimageio.find()
    return openimageio.first_rows(library, path, count) if library is not None else None


@contextmanager
def released(*used: bpy.types.Image | None) -> Iterator[None]:
    """For the block; afterwards Blender holds what it has read of these images only where there is room for it."""
    unread = [image for image in used if image is not None and not image.has_data]
    try:
        yield
    finally:
        for image in unread:
            release(image)


def release(image: bpy.types.Image) -> None:
    """Let go of an image's pixels, unless they were changed, or all images decoded so far take less than _DECODED.

    Blender keeps what it has read, and reads it again when it is used: those of some hundred captures are gigabytes.
    """
    held = sum(_decoded(each) for each in bpy.data.images if each.has_data)
    if held > _DECODED and not image.is_dirty:
        image.buffers_free()


def _decoded(image: bpy.types.Image) -> int:
    """Bytes of an image's pixels in memory."""
    return int(image.size[0] * image.size[1] * 4 * (4 if image.is_float else 1))


def checked_size(image: bpy.types.Image) -> tuple[int, int]:
    """Width and height in pixels; loads the image. Raises CaptureError if Blender cannot read it."""
    _check_unread(image)
    width, height = image.size
    if width == 0 or height == 0:
        path = bpy.path.abspath(image.filepath, library=image.library)
        where = f" ({path})" if path else ""
        missing = path and not Path(path).exists()
        raise CaptureError(
            f"The image {image.name}{where} {'is missing' if missing else 'cannot be read'}.",
            advice="Find it with File > External Data > Find Missing Files."
            if missing
            else "Open it in an image viewer to see whether it is damaged, then import it again.",
        )
    return width, height


def _check_unread(image: bpy.types.Image) -> None:
    """Check the file of an image that Blender has not read yet: a .blend names it, or it was exchanged since."""
    path = bpy.path.abspath(image.filepath, library=image.library)
    if image.source != "FILE" or image.packed_file or image.has_data or not Path(path).exists():
        return
    try:
        check_file(Path(path))
    except PantheonError as error:
        raise CaptureError(f"The image {image.name} cannot be read: {error.text}", advice=error.advice) from error


def check_full(size: tuple[int, int], name: str) -> None:
    """Raise CaptureError unless a full panorama can have this size in pixels."""
    width, height = size
    if width != 2 * height:
        raise CaptureError(
            f"{name} is {width} x {height}: a full panorama is twice as wide as high.",
            advice="Crop it, or give it GPano crop metadata.",
        )
    if width < SMALLEST_WIDTH:
        raise CaptureError(
            f"{name} is {width} x {height}: too small for a panorama.",
            advice=f"At least {SMALLEST_WIDTH} x {SMALLEST_WIDTH // 2} pixels are wanted, 2048 x 1024 are useful.",
        )


def exposure(image: bpy.types.Image) -> float:
    """Factor that brings the image's light to that of a photograph: 1 except for EXR and HDR files."""
    if not is_scene_light(image):
        return 1.0
    return _exposure(_floats(image), rec709_from_working())


def is_scene_light(image: bpy.types.Image) -> bool:
    """Whether the image holds linear light without an upper limit."""
    return bool(image.is_float) and image.file_format in HIGH_DYNAMIC_RANGE


def coverage(image: bpy.types.Image, width: int) -> np.ndarray:
    """How white a mask image is.

    Returns (width / 2, width) float32 in 0..1, row 0 = top: the mean of the channels, whatever the mask's own size.
    Raises CaptureError if Blender cannot read the image.
    """
    checked_size(image)
    values = _floats(image)[..., :3].mean(axis=2)
    top, bottom = _cell_bounds(values.shape[0], width // 2)
    left, right = _cell_bounds(values.shape[1], width)
    summed = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    np.cumsum(np.cumsum(values, axis=0, dtype=np.float64), axis=1, out=summed[1:, 1:])
    low, high = summed[top], summed[bottom]
    total = high[:, right] - low[:, right] - high[:, left] + low[:, left]
    return np.asarray(total / np.outer(bottom - top, right - left), np.float32)


def from_array(name: str, array: np.ndarray) -> bpy.types.Image:
    """A new image packed into the .blend.

    array: (H, W), (H, W, 3) or (H, W, 4) uint8 sRGB, row 0 = top.
    """
    height, width = array.shape[:2]
    image = bpy.data.images.new(name, width, height, alpha=array.ndim == 3 and array.shape[2] == 4)
    rgba = np.ones((height, width, 4), np.float32)
    channels = array[..., None] if array.ndim == 2 else array
    rgba[..., : max(3, channels.shape[2])] = channels[::-1] / np.float32(255)
    image.pixels.foreach_set(rgba.ravel())  # type: ignore[attr-defined]
    image.update()
    image.pack()
    return image


def _floats(image: bpy.types.Image) -> np.ndarray:
    """(H, W, 4) float32 as Blender holds it, row 0 = top (a view)."""
    width, height = image.size
    flat = np.empty(width * height * 4, np.float32)
    stored: Any = image.pixels
    if len(stored) != len(flat):
        raise CaptureError(f"The pixels of {image.name} cannot be read.", advice="Reload the image.")
    stored.foreach_get(flat)
    return flat.reshape(height, width, 4)[::-1]


def _stored(image: bpy.types.Image, kind: type) -> np.ndarray:
    """(H, W, 4) of an unsigned type, row 0 = top: an image's values 0..1 as Blender hands them out."""
    values = _floats(image)
    result: np.ndarray = np.empty(values.shape, kind)
    for start in range(0, len(values), 64):
        block = np.clip(np.nan_to_num(values[start : start + 64]), 0, 1) * np.float32(np.iinfo(kind).max)
        result[start : start + 64] = np.rint(block)
    return result


def _bytes(values: np.ndarray, image: bpy.types.Image, light: np.ndarray | None) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of an image's floats, by blocks of rows so that no second float image is made.

    light: (3, 3) from the light of a float image to linear Rec. 709, None if it is that.
    """
    result = np.empty((*values.shape[:2], 3), np.uint8)
    gain = np.float32(_exposure(values, light) if is_scene_light(image) else 1.0)
    matrix = None if light is None else light.T.astype(np.float32)
    for start in range(0, len(values), 64):
        block = values[start : start + 64]
        if image.is_float:  # Blender hands out float images as linear light, whatever their file holds
            block = np.nan_to_num(block, nan=0.0, posinf=_BRIGHTEST, neginf=0.0)
            block = block if matrix is None else block[..., :3] @ matrix
            block = srgb.linear_to_srgb(block * gain)
        rounded = (block * np.float32(255) + np.float32(0.5)).astype(np.uint8)  # all four channels lie together
        result[start : start + 64].view("V3")[...] = _first_three(rounded)
    return result


def _first_three(values: np.ndarray) -> np.ndarray:
    """(H, W, 1) items of three bytes, of (H, W, 3 or 4) uint8: numpy copies such in half of the time of their bytes."""
    if values.shape[-1] == 3:
        return np.ascontiguousarray(values).view("V3")
    return values.view(np.dtype([("rgb", "V3"), ("alpha", "u1")]))["rgb"]


def _exposure(values: np.ndarray, light: np.ndarray | None) -> float:
    """Gain that takes the median luminance over the sphere to middle grey. light: as of _bytes."""
    step = max(1, len(values) // 256)
    sample = values[step // 2 :: step, step // 2 :: step, :3].astype(np.float64)
    weights = _LUMINANCE if light is None else _LUMINANCE @ light
    luminance = np.nan_to_num(sample @ weights, nan=0.0, posinf=0.0, neginf=0.0)
    solid_angle = solid_angles(len(luminance))
    order = np.argsort(luminance, axis=None)
    weight = np.cumsum(np.repeat(solid_angle, luminance.shape[1])[order])
    median = luminance.ravel()[order[np.searchsorted(weight, weight[-1] / 2)]]
    return float(MIDDLE_GREY / median) if median > 1e-9 else 1.0


def pixels_of_smaller_copy(image: bpy.types.Image, width: int) -> np.ndarray:
    """As `pixels`, of less memory and time, and rougher.

    A copy is scaled in C to twice the width wanted before any pixel reaches Python; the rest is done well.
    """
    copy = image.copy()
    try:
        copy.scale(2 * width, width)
        return equirectangular.resize(_bytes(_floats(copy), copy, rec709_from_working()), width)
    finally:
        bpy.data.images.remove(copy)


def coarse(image: bpy.types.Image, width: int) -> np.ndarray:
    """As `pixels`, of an image that is decoded and has no changes of its own, and rougher still.

    The image is scaled itself, and read anew when it is next asked for: a copy would be decoded for this alone.
    """
    image.scale(width, width // 2)
    try:
        return _bytes(_floats(image), image, rec709_from_working())
    finally:
        image.reload()


def _cell_bounds(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """First source cell of each target cell and the one after its last; at least one cell each."""
    edges = np.arange(target + 1) * source / target
    first = np.minimum(np.floor(edges[:-1] + 1e-9).astype(int), source - 1)
    last = np.ceil(edges[1:] - 1e-9).astype(int)
    return first, np.maximum(last, first + 1)

"""Files of 360° photographs as Blender images: read, checked, partial panoramas padded to the full sphere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ...core import geography
from ...core.errors import CaptureError, MetadataError
from ...core.formats import media_files, panorama_metadata
from ...core.panorama import equirectangular
from ..app.paths import absolute_path
from . import images

SMALLEST_WIDTH = 16
LARGEST_WIDTH = 1 << 15

VIDEOS = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"})

PADDED_FROM = "pantheon360_padded_from"
PADDED_MASK = "pantheon360_padded_mask"

Warn = Callable[[str], None]
"""What a person should know although nothing failed."""


@dataclass(frozen=True)
class Photograph:
    """A file that was read.

    image, mask: names of Blender images; a reference would not outlive an undo between two steps of a job.
    """

    path: Path
    image: str
    mask: str | None
    metadata: panorama_metadata.PanoramaMetadata | None

    @property
    def position(self) -> geography.Position | None:
        return self.metadata.position if self.metadata else None


def read(path: Path, warn: Warn) -> Photograph:
    """Load a photograph into Blender; a file that is loaded already is used again.

    Raises FileError if the file is missing or empty, MetadataError for a camera's raw recording, ImageError if it is
    cut off or damaged, CaptureError if it is a video, no image that Blender reads, or not a full panorama.
    """
    with media_files.reading(path):
        pass
    media_files.refuse_camera_original(path)
    if path.suffix.lower() in VIDEOS:
        raise CaptureError(
            f"{path.name} is a video: captures are photographs.",
            advice="Save one of its frames as PNG, for instance from the sequencer, and import that.",
        )
    metadata = _metadata(path, warn)
    before = set(bpy.data.images)
    try:
        image, mask = _full_panorama(path, _loaded(path), metadata)
    except BaseException:
        _remove(image for image in bpy.data.images if image not in before)
        raise
    _remove(other for other in bpy.data.images if other not in before and other not in (image, mask))
    if image not in before and image.packed_file is None:
        image.buffers_free()  # Blender reads it again when it is shown; hundreds of them take gigabytes
    return Photograph(path, image.name, mask.name if mask else None, metadata)


def still_there(photograph: Photograph) -> Photograph:
    """A photograph that was read a while ago, read again if undo took its images away. Raises as `read`."""
    image = bpy.data.images.get(photograph.image)
    if image is not None and _is_of(image, photograph):
        return photograph
    return read(photograph.path, lambda _: None)


def _is_of(image: bpy.types.Image, photograph: Photograph) -> bool:
    """Whether an image of the right name is the photograph's, and its mask is there."""
    if photograph.mask is None:
        return absolute_path(image.filepath) == absolute_path(str(photograph.path))
    made = (image.get(PADDED_FROM), image.get(PADDED_MASK))
    return made == (str(photograph.path), photograph.mask) and photograph.mask in bpy.data.images


def forget_unused(photographs: Iterable[Photograph]) -> None:
    """Remove the images of photographs that became no capture."""
    names = {name for photograph in photographs for name in (photograph.image, photograph.mask) if name}
    _remove(image for image in bpy.data.images if image.name in names and image.users == 0)


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


def _loaded(path: Path) -> bpy.types.Image:
    before = set(bpy.data.images)
    try:
        image = bpy.data.images.load(str(path), check_existing=True)
    except RuntimeError as error:
        raise CaptureError(f"{path.name} cannot be opened: {error}".strip()) from error
    if image.size[0] == 0 or image.size[1] == 0:
        raise CaptureError(
            f"{path.name} cannot be read as an image: it is damaged or of a kind Blender does not know.",
            advice="Open it in an image viewer, then export it again as JPEG, PNG, TIFF or EXR.",
        )
    if image not in before:
        _make_relative(image)
    return image


def _make_relative(image: bpy.types.Image) -> None:
    """Let a saved .blend find its photographs beside it, if the preferences say so, as for any image opened."""
    preferences = bpy.context.preferences
    if bpy.data.filepath and preferences and preferences.filepaths.use_relative_paths:
        with suppress(ValueError):  # another drive on Windows
            image.filepath = bpy.path.relpath(image.filepath)


def _metadata(path: Path, warn: Warn) -> panorama_metadata.PanoramaMetadata | None:
    """What the file says of itself; metadata that is hostile or damaged is left out with a warning."""
    try:
        metadata = panorama_metadata.read(path)
    except MetadataError as error:
        warn(f"{error} The photograph is imported without its metadata.")
        return None
    for text in metadata.warnings:
        warn(f"{path.name}: {text}")
    return metadata


def _full_panorama(
    path: Path, image: bpy.types.Image, metadata: panorama_metadata.PanoramaMetadata | None
) -> tuple[bpy.types.Image, bpy.types.Image | None]:
    """The image as a full sphere, and its mask if a part of it was not taken."""
    projection = metadata.projection if metadata else None
    if projection and projection.lower() != "equirectangular":
        raise CaptureError(
            f"{path.name} is a {projection} panorama: an equirectangular one is wanted.",
            advice="Convert it with a panorama stitcher.",
        )
    size = (image.size[0], image.size[1])
    placement = metadata.full_placement() if metadata else None
    if placement is None or placement[0] == size:
        check_full(size, path.name)
        return image, None
    return _padded(path, image, *placement)


def _padded(
    path: Path, image: bpy.types.Image, full_size: tuple[int, int], offset: tuple[int, int]
) -> tuple[bpy.types.Image, bpy.types.Image]:
    """The partial panorama on the full sphere and its mask, both packed; made once for each file."""
    for other in bpy.data.images:
        if other.get(PADDED_FROM) == str(path) and other.get(PADDED_MASK) in bpy.data.images:
            return other, bpy.data.images[other[PADDED_MASK]]
    if not SMALLEST_WIDTH <= full_size[0] <= LARGEST_WIDTH:
        raise CaptureError(
            f"{path.name}: its metadata says it is part of a {full_size[0]} x {full_size[1]} panorama; "
            f"panoramas from {SMALLEST_WIDTH} to {LARGEST_WIDTH} pixels wide are handled.",
            advice="Make it smaller, or correct its GPano metadata.",
        )
    full, valid = equirectangular.pad_to_full(images.pixels(image), full_size, offset)
    padded = images.from_array(f"{path.stem} padded", full)
    mask = images.from_array(f"{path.stem} mask", np.where(valid, 0, 255).astype(np.uint8))
    padded[PADDED_FROM], padded[PADDED_MASK] = str(path), mask.name
    return padded, mask


def _remove(unused: Iterable[bpy.types.Image]) -> None:
    for image in list(unused):
        with suppress(ReferenceError):
            bpy.data.images.remove(image)

"""Files of 360° photographs as Blender images: read, checked, shown as they want to be, padded to the full sphere."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core import files, geography, plain_text
from ...core.errors import CaptureError, MetadataError
from ...core.formats import camera_originals, panorama_metadata
from ...core.formats.appearance import Appearance
from ...core.panorama import equirectangular, fisheyes
from ...core.plain_text import filled
from . import images

_log = logging.getLogger(__name__)

VIDEOS = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"})

SOURCE = "pantheon360_sha256"
"""Custom property of an image: SHA-256 of the file's bytes that its pixels come from."""

MADE = "pantheon360_made"
"""Custom property of an image that was made of a file, and holds other pixels than it: "picture" or "mask"."""

_TOP = 128  # the part of the height that most panoramas are told from two fisheyes by
_WITHOUT_ALPHA = (8, 24, 96)
"""Bits a pixel of images without alpha, those of more than 8 bits a channel being floats."""

Warn = Callable[[str], None]
"""What a person should know although nothing failed."""


def logged(text: str) -> None:
    """Warn where nobody listens."""
    _log.warning("%s", plain_text.paragraph(text))


@dataclass(frozen=True)
class Photograph:
    """A file that was read.

    image, mask: names of Blender images; a reference would not outlive an undo between two steps of a job.
    exposure: as of images.exposure, None if nobody has looked.
    """

    path: Path
    image: str
    mask: str | None
    metadata: panorama_metadata.PanoramaMetadata | None
    exposure: float | None = None

    @property
    def position(self) -> geography.Position | None:
        return self.metadata.position if self.metadata else None


def read(path: Path, warn: Warn) -> Photograph:
    """Load a photograph into Blender as a full panorama: upright, sRGB, padded, masked where nothing was taken.

    A file whose bytes are loaded already is used again; one that was exported anew is read anew.
    Raises FileError if the file is missing or empty, MetadataError for a camera's raw recording, ImageError if it is
    cut off or damaged, CaptureError if it is a video, no image that Blender reads, or not a full panorama.
    """
    camera_originals.refuse(path)
    if path.suffix.lower() in VIDEOS:
        raise CaptureError(
            f"{path.name} is a video: captures are photographs.",
            advice="Save one of its frames as PNG, for instance from the sequencer, and import that.",
        )
    metadata = metadata_of(path, warn)
    images.check_file(path, metadata.size if metadata else None)
    digest = files.sha256(path)
    before = set(bpy.data.images)
    try:
        image, mask = made_of(digest) or _full_panorama(path, _loaded(path, digest), metadata, digest)
        exposure = images.exposure(image)  # while it is decoded
        _warn_of_fisheyes(path, image, metadata, warn)
    except BaseException:
        _remove(image for image in bpy.data.images if image not in before)
        raise
    _remove(other for other in bpy.data.images if other not in before and other not in (image, mask))
    if image not in before and image.packed_file is None:
        images.release(image)
    return Photograph(path, image.name, mask.name if mask else None, metadata, exposure)


def image_named(name: str) -> bpy.types.Image:
    """A photograph's image or mask; a library may have one of the same name."""
    return bpy.data.images[name, None]  # type: ignore[index,no-any-return]


def still_there(photograph: Photograph) -> Photograph:
    """A photograph that was read a while ago, read again if undo took its images away. Raises as `read`."""
    local = {image.name: image for image in bpy.data.images if image.library is None}
    image = local.get(photograph.image)
    its = image is not None and (image.get(SOURCE) is not None or _is_of(image, photograph.path))
    whole = its and (photograph.mask is None or photograph.mask in local)
    return photograph if whole else read(photograph.path, lambda _: None)


def forget_unused(photographs: Iterable[Photograph]) -> None:
    """Remove the images of photographs that became no capture."""
    names = {name for photograph in photographs for name in (photograph.image, photograph.mask) if name}
    _remove(image for image in bpy.data.images if image.name in names and image.users == 0 and image.library is None)


def made_of(digest: str) -> tuple[bpy.types.Image, bpy.types.Image | None] | None:
    """The picture that was made of a file's bytes earlier, and its mask."""
    made = {
        image[MADE]: image
        for image in bpy.data.images
        if image.library is None and image.get(SOURCE) == digest and image.get(MADE) and not image.is_dirty
    }
    return (made["picture"], made.get("mask")) if "picture" in made else None


@dataclass(frozen=True)
class Reading:
    """How Blender reads a file, by the names of its settings, once it has looked into it."""

    colorspace: str
    alpha_mode: str

    @classmethod
    def of(cls, image: Any) -> Reading:
        """How an image is read."""
        return cls(str(image.colorspace_settings.name), str(image.alpha_mode))

    def unread(self, path: Path, name: str) -> bpy.types.Image:
        """A new image of a file, which nobody has looked into: Blender's own way decodes some kinds whole."""
        image: Any = bpy.data.images.new(name, 1, 1)
        image.source, image.filepath = "FILE", str(path)
        image.colorspace_settings.name, image.alpha_mode = self.colorspace, self.alpha_mode
        return image  # type: ignore[no-any-return]


def linked(path: Path, digest: str, known: Reading | None = None) -> bpy.types.Image:
    """The image of a file, with its present pixels if it is there already. Blender reads it when it is asked for them.

    known: how it is read, if that has been found out. Raises CaptureError if it cannot be opened.
    """
    image = next((image for image in bpy.data.images if _is_of(image, path)), None)
    try:
        if image is None:
            image = known.unread(path, path.name) if known else bpy.data.images.load(str(path))
            _make_relative(image)
        elif image.get(SOURCE) != digest:
            image.reload()
    except RuntimeError as error:
        raise CaptureError(f"{path.name} cannot be opened: {error}".strip()) from error
    image[SOURCE] = digest
    return image


def _loaded(path: Path, digest: str) -> bpy.types.Image:
    """The file as Blender reads it. Raises CaptureError if it cannot."""
    image = linked(path, digest)
    if image.size[0] == 0 or image.size[1] == 0:
        raise CaptureError(
            f"{path.name} cannot be read as an image: it is damaged or of a kind Blender does not know.",
            advice="Open it in an image viewer, then export it again as JPEG, PNG, TIFF or EXR.",
        )
    return image


def _is_of(image: bpy.types.Image, path: Path) -> bool:
    """Whether an image shows a file as it is on disk: neither packed nor painted on."""
    if image.library is not None or image.source != "FILE" or image.packed_file is not None or image.is_dirty:
        return False
    return bool(image.filepath) and os.path.realpath(bpy.path.abspath(image.filepath)) == os.path.realpath(path)


def _make_relative(image: bpy.types.Image) -> None:
    """Let a saved .blend find its photographs beside it, if the preferences say so, as for any image opened."""
    preferences = bpy.context.preferences
    if bpy.data.filepath and preferences and preferences.filepaths.use_relative_paths:
        with suppress(ValueError):  # another drive on Windows
            image.filepath = bpy.path.relpath(image.filepath)


def metadata_of(path: Path, warn: Warn) -> panorama_metadata.PanoramaMetadata | None:
    """What the file says of itself; metadata that is hostile or damaged is left out with a warning."""
    try:
        metadata = panorama_metadata.read(path)
    except MetadataError as error:
        warn(filled("{error} The photograph is imported without its metadata.", error=error))
        return None
    for text in metadata.warnings:
        warn(f"{path.name}: {text}")
    return metadata


def _warn_of_fisheyes(
    path: Path, image: bpy.types.Image, metadata: panorama_metadata.PanoramaMetadata | None, warn: Warn
) -> None:
    """Tell if a picture that does not say what it is looks like two fisheyes, which are as wide for their height."""
    told = metadata is not None and metadata.projection == "equirectangular"
    if told or image.is_float or image.size[0] < fisheyes.WIDTH:
        return
    height = image.size[1]
    top = images.top_rows(path, -(-height // _TOP)) if image.packed_file is None else None
    if top is not None and fisheyes.corners_are_lit(top, height):
        return
    if fisheyes.looks_like_two(images.coarse(image, fisheyes.WIDTH)):
        warn(f"{path.name}: {fisheyes.WARNING}")


def _full_panorama(
    path: Path, image: bpy.types.Image, metadata: panorama_metadata.PanoramaMetadata | None, digest: str
) -> tuple[bpy.types.Image, bpy.types.Image | None]:
    """The image as a full sphere, and its mask if a part of it was not taken.

    What is to be shown as it is stored stays linked to its file; all else is made anew and packed.
    """
    look = metadata.appearance if metadata else Appearance()
    placement = _placement(path, image, look, metadata)
    if placement is None and not look.changes_pixels and image.depth in _WITHOUT_ALPHA:
        return image, None
    picture, opaque = images.shown(path, look)
    if placement is not None:
        opaque = np.ones(picture.shape[:2], np.bool_) if opaque is None else opaque
        picture, opaque = (equirectangular.pad_to_full(each, *placement)[0] for each in (picture, opaque))
    if placement is not None or look.changes_pixels or _is_darkened(image):
        image = _made(f"{path.stem} {'padded' if placement else 'as shown'}", picture, digest, "picture")
    if opaque is None:
        return image, None
    return image, _made(f"{path.stem} mask", np.where(opaque, 0, 255).astype(np.uint8), digest, "mask")


def _placement(
    path: Path, image: bpy.types.Image, look: Appearance, metadata: panorama_metadata.PanoramaMetadata | None
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Full size and offset of a partial panorama, None of a full one. Raises CaptureError if it is neither."""
    projection = metadata.projection if metadata else None
    if projection and projection.lower() != "equirectangular":
        raise CaptureError(
            f"{path.name} is a {projection} panorama: an equirectangular one is wanted.",
            advice="Convert it with a panorama stitcher.",
        )
    size = look.size((image.size[0], image.size[1]))
    placement = metadata.full_placement() if metadata else None
    if placement is None or placement[0] == size:
        images.check_full(size, path.name)
        return None
    full_size = placement[0]
    if not images.SMALLEST_WIDTH <= full_size[0] <= images.LARGEST_WIDTH:
        raise CaptureError(
            f"{path.name}: its metadata says it is part of a {full_size[0]} x {full_size[1]} panorama; "
            f"panoramas from {images.SMALLEST_WIDTH} to {images.LARGEST_WIDTH} pixels wide are handled.",
            advice="Make it smaller, or correct its GPano metadata.",
        )
    return placement


def _is_darkened(image: bpy.types.Image) -> bool:
    """Whether Blender multiplies the colours by alpha when it loads the file: those of more than 8 bits."""
    return bool(image.is_float) and not images.is_scene_light(image)


def _made(name: str, array: np.ndarray, digest: str, kind: str) -> bpy.types.Image:
    image = images.from_array(name, array)
    image[SOURCE], image[MADE] = digest, kind
    return image


def _remove(unused: Iterable[bpy.types.Image]) -> None:
    for image in list(unused):
        with suppress(ReferenceError):
            bpy.data.images.remove(image)

"""How a picture wants to be shown: which way up, and which colours its values stand for.

Decoders give what a file stores. Every picture passes through here once after it is decoded, in Blender and in the
backend, so that all stages work on the same upright sRGB pixels.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import MetadataError
from . import exif, icc, image_headers, xmp
from .image_headers import ImageHeader
from .media_files import reading

_TURNED = (5, 6, 7, 8)
_HALF = 0.5


@dataclass(frozen=True)
class Appearance:
    """How the stored pixels of a picture become those that a viewer shows.

    orientation: 1 to 8, as in TIFF and Exif; 1 is upright.
    space: what its values mean, None for sRGB.
    premultiplied: whether its stored colours are multiplied by alpha.
    light: (3, 3) float64, from its scene light to linear Rec. 709; None if it is that.
    warnings: what could not be followed, in sentences.
    """

    orientation: int = exif.UPRIGHT
    space: icc.ColourSpace | None = None
    premultiplied: bool = False
    light: np.ndarray | None = field(default=None, compare=False)
    warnings: tuple[str, ...] = field(default=())

    @property
    def changes_pixels(self) -> bool:
        """Whether what is shown differs from what is stored."""
        other_colours = self.space is not None or self.light is not None or self.premultiplied
        return other_colours or self.orientation != exif.UPRIGHT

    def size(self, stored: tuple[int, int]) -> tuple[int, int]:
        """(width, height) as shown of a picture stored with another one."""
        return stored[::-1] if self.orientation in _TURNED else stored

    def shown(self, stored: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 sRGB, upright, of stored pixels.

        stored: (h, w), or (h, w, C) with grey, grey + alpha, RGB or RGB + alpha; uint8 or uint16. Alpha is left out.
        """
        image = stored[..., None] if stored.ndim == 2 else stored
        colours, alpha = image[..., : 1 if image.shape[2] < 3 else 3], image[..., -1:]
        if self.premultiplied and image.shape[2] in (2, 4):
            colours = _divided(colours, alpha)
        if colours.shape[2] == 1:
            colours = np.repeat(colours, 3, axis=2)
        if self.space is not None:
            colours = self.space.to_srgb(colours)
        elif colours.dtype == np.uint16:
            colours = np.rint(colours / np.float32(257)).astype(np.uint8)
        return np.ascontiguousarray(self.upright(colours))

    def opaque(self, stored: np.ndarray) -> np.ndarray | None:
        """(H, W) bool, upright: where the picture shows something. None if all of it does, or nothing would.

        stored: as of `shown`.
        """
        if stored.ndim < 3 or stored.shape[2] not in (2, 4):
            return None
        opaque = self.upright(stored[..., -1] >= np.iinfo(stored.dtype).max * _HALF)
        return None if opaque.all() or not opaque.any() else opaque

    def upright(self, image: np.ndarray) -> np.ndarray:
        """An image (h, w, ...) turned as its orientation says. Source: TIFF revision 6.0, section 8, "Orientation"."""
        if self.orientation in _TURNED:
            image = image.swapaxes(0, 1)
        flipped = (self.orientation in (3, 4, 7, 8), self.orientation in (2, 3, 6, 7))
        down, across = (slice(None, None, -1 if each else 1) for each in flipped)
        return image[down, across]


def of(header: ImageHeader) -> Appearance:
    """What a header says of how its picture is to be shown. Raises HostileXmlError."""
    warnings: list[str] = []
    stated, adobe_rgb = _tags(header)
    if stated is None:
        stated = _orientation_of_xmp(header)
    space = header.space or _space(header.profile, warnings)
    if space is None and not header.profile and adobe_rgb:
        space = icc.adobe_rgb()
    return Appearance(
        orientation=stated or exif.UPRIGHT,
        space=None if space is None or space.is_srgb() else space,
        premultiplied=header.premultiplied,
        light=header.light,
        warnings=(*warnings,),
    )


def read(path: Path) -> Appearance:
    """How a picture file wants to be shown. Raises FileError, ImageError and HostileXmlError."""
    with reading(path) as (file, length):
        return of(image_headers.read(file, length, Path(path)))


def _tags(header: ImageHeader) -> tuple[int | None, bool]:
    """Orientation, None if it is not stated, and whether the tags say Adobe RGB."""
    if header.tags is None:
        return None, False
    orientation = None
    with suppress(MetadataError):  # whoever reads the rest of the tags says so
        reader = exif.TagReader(header.tags)
        orientation = exif.orientation(reader)
        return orientation, exif.is_adobe_rgb(reader)
    return orientation, False


def _orientation_of_xmp(header: ImageHeader) -> int | None:
    for packet in header.packets:
        try:
            stated = xmp.properties(packet, xmp.TIFF).get("Orientation", "")
        except xmp.HostileXmlError:
            raise
        except MetadataError:
            continue
        if stated in tuple("12345678"):
            return int(stated)
    return None


def _space(profile: bytes, warnings: list[str]) -> icc.ColourSpace | None:
    if not profile:
        return None
    try:
        return icc.parse(profile)
    except icc.UnsupportedProfileError as error:
        warnings.append(f"{error.text} They were not converted, and may look different: export it as sRGB.")
    except MetadataError as error:
        warnings.append(f"{error.text} It was ignored.")
    return None


def _divided(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours of their own by those multiplied by alpha; black where nothing is."""
    largest = np.iinfo(colours.dtype).max
    own = np.rint(colours * np.float32(largest) / np.maximum(alpha, 1))
    return np.asarray(np.minimum(own, largest).astype(colours.dtype))

"""What a photograph says of itself as a panorama: projection, crop, orientation and place."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import MetadataError
from ..geography import Position
from . import appearance, camera_originals, exif, image_headers, xmp
from .appearance import Appearance
from .media_files import reading

Size = tuple[int, int]

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_RATIO = re.compile(r"(-?\d{1,20})/(\d{1,20})", re.ASCII)
_ANGLE = re.compile(r"(-?\d{1,3}),(\d{1,2}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?([NSEWnsew])", re.ASCII)
_MOST_PIXELS = 1 << 20
_WIDEST_PANORAMA = 1 << 16
_SAME_ASPECT = 0.01
_FULL_SIZE = ("FullPanoWidthPixels", "FullPanoHeightPixels")
_CROPPED_SIZE = ("CroppedAreaImageWidthPixels", "CroppedAreaImageHeightPixels")
_CROPPED_OFFSET = ("CroppedAreaLeftPixels", "CroppedAreaTopPixels")


@dataclass(frozen=True)
class PanoramaMetadata:
    """Metadata of a panoramic photograph; what the file does not say is None.

    size: (width, height) of the picture as it is shown; None for kinds of files not known here.
    appearance: how the pixels in the file become those that are shown.
    projection: GPano's ProjectionType in lower case ("equirectangular").
    full_size, cropped_size, cropped_offset: GPano's full panorama (width, height), the part of it in this file and
        that part's (left, top), in pixels as written, which another program may since have resized: see
        full_placement().
    heading: degrees clockwise from true north of the image centre, [0, 360).
    pitch: degrees of the image centre above the horizon. roll: degrees, clockwise positive.
    position: where it was taken.
    warnings: what is damaged, contradictory or was guessed, in sentences.
    Source: Google's Photo Sphere XMP metadata.
    """

    size: Size | None = None
    appearance: Appearance = field(default_factory=Appearance)
    projection: str | None = None
    full_size: Size | None = None
    cropped_size: Size | None = None
    cropped_offset: Size | None = None
    heading: float | None = None
    pitch: float | None = None
    roll: float | None = None
    position: Position | None = None
    warnings: tuple[str, ...] = ()

    def full_placement(self) -> tuple[Size, Size] | None:
        """Where these pixels lie in the full panorama, at the scale of these pixels.

        Returns (full size, (left, top)); the full size is exactly 2:1. None if the file does not say, or says what
        cannot be true: a picture twice as wide as high is then a full panorama.
        """
        return _placement(self)[0]


def read(path: Path) -> PanoramaMetadata:
    """Metadata of a JPEG, PNG, TIFF, WebP, OpenEXR or Radiance file, from its header alone; others give an empty one.

    GPano comes first. The heading is the Exif compass direction if GPano has none, or if GPano has only zeros beside
    another compass direction, as GoPro MAX writes.
    Raises FileError (missing, empty, unreadable), ImageError (cut off, damaged, not an image of its suffix),
    MetadataError (a camera's raw recording, hostile XML). Damaged metadata of a sound image give a warning.
    """
    path = Path(path)
    camera_originals.refuse(path)
    try:
        with reading(path) as (file, length):
            header = image_headers.read(file, length, path)
            shown = appearance.of(header)
            warnings = [*header.warnings, *shown.warnings]
            panorama = _properties(header.packets, xmp.PANORAMA, warnings)
            gps = _gps(header, warnings)
            insta360 = camera_originals.ends_as_insta360(file, length)
    except xmp.HostileXmlError as error:
        raise xmp.HostileXmlError(f"{path}: {error.text}", advice=error.advice) from error
    pitch = _angle(panorama, "PosePitchDegrees", 90.0, warnings)
    roll = _angle(panorama, "PoseRollDegrees", 180.0, warnings)
    if header.part_of is not None and header.size is not None:
        panorama |= _as_properties(header.size, *header.part_of)
    metadata = PanoramaMetadata(
        size=None if header.size is None else shown.size(header.size),
        appearance=shown,
        projection=panorama.get("ProjectionType", "").lower() or header.projection,
        heading=_heading(panorama, pitch, roll, gps.heading, warnings),
        pitch=pitch,
        roll=roll,
        position=gps.position,
        full_size=_pixels(panorama, _FULL_SIZE, warnings),
        cropped_size=_pixels(panorama, _CROPPED_SIZE, warnings),
        cropped_offset=_pixels(panorama, _CROPPED_OFFSET, warnings),
    )
    if metadata.projection not in (None, "equirectangular"):
        warnings.append(f"The projection is {metadata.projection[:40]}, not equirectangular.")
    if metadata.projection is None and insta360:
        warnings.append("Insta360's camera data follow the picture: it may be two fisheyes, to be stitched first.")
    return replace(metadata, warnings=tuple(dict.fromkeys([*warnings, *_placement(metadata)[1]])))


def _as_properties(size: Size, full_size: Size, offset: Size) -> dict[str, str]:
    """A part of a picture as GPano writes it."""
    names = (*_CROPPED_SIZE, *_FULL_SIZE, *_CROPPED_OFFSET)
    return dict(zip(names, map(str, (*size, *full_size, *offset)), strict=True))


def _properties(packets: list[bytes], namespace: str, warnings: list[str]) -> dict[str, str]:
    """Properties of all packets together, the main packet's first. Raises HostileXmlError."""
    found: dict[str, str] = {}
    for packet in packets:
        try:
            found = {**xmp.properties(packet, namespace), **found}
        except xmp.HostileXmlError:
            raise
        except MetadataError as error:
            warnings.append(f"An XMP packet was ignored. {error.text}")
    return found


def _gps(header: image_headers.ImageHeader, warnings: list[str]) -> exif.Gps:
    """Position and compass direction of the Exif tags, else of the XMP copy of them."""
    found = exif.Gps()
    if header.tags is not None:
        try:
            found = exif.gps(exif.TagReader(header.tags))
        except MetadataError as error:
            warnings.append(f"The Exif tags were ignored: {error.text}")
    warnings.extend(found.warnings)
    copy = _properties(header.packets, xmp.EXIF, [])
    position, heading = found.position, found.heading
    if position is None and "GPSLatitude" in copy and not found.warnings:
        reference = copy.get("GPSAltitudeRef", "0")
        position = exif.place(
            _degrees(copy["GPSLatitude"], "NS", warnings),
            _degrees(copy.get("GPSLongitude", ""), "EW", warnings),
            exif.signed_altitude(_number(copy.get("GPSAltitude", "")), "0123".find(reference)),
            warnings,
        )
    if heading is None and "GPSImgDirection" in copy:
        direction = _number(copy["GPSImgDirection"])
        heading = direction % 360.0 if direction is not None else None
    return exif.Gps(position, heading)


def _heading(
    panorama: dict[str, str], pitch: float | None, roll: float | None, compass: float | None, warnings: list[str]
) -> float | None:
    heading = _angle(panorama, "PoseHeadingDegrees", 1e6, warnings)
    if heading is None:
        return compass
    if heading == 0.0 and not pitch and not roll and compass:
        warnings.append(f"GPano's heading is 0 and the compass says {compass:.1f} degrees: the compass is used.")
        return compass
    return heading % 360.0


def _angle(panorama: dict[str, str], name: str, limit: float, warnings: list[str]) -> float | None:
    """Degrees of a property, or None, with a warning if it is no angle."""
    if name not in panorama:
        return None
    degrees = _number(panorama[name].removesuffix("°").strip())
    if degrees is None or abs(degrees) > limit:
        warnings.append(f"{name} is {panorama[name][:40]!r}, which is no angle, and was ignored.")
        return None
    return degrees


def _pixels(panorama: dict[str, str], names: tuple[str, str], warnings: list[str]) -> Size | None:
    """A pair of pixel counts, or None, with a warning if one is missing or impossible."""
    if not any(name in panorama for name in names):
        return None
    pair = [_number(panorama.get(name, "")) for name in names]
    lowest = 0 if names == _CROPPED_OFFSET else 1
    if pair[0] is None or pair[1] is None or not all(lowest <= round(n) <= _MOST_PIXELS for n in pair if n is not None):
        warnings.append(f"{names[0]} or {names[1]} is missing or impossible; both were ignored.")
        return None
    return round(pair[0]), round(pair[1])


def _number(text: str) -> float | None:
    """A finite number as programs write it: "12", "12.0", "12,5", "25/2"; None otherwise."""
    if ratio := _RATIO.fullmatch(text):
        return int(ratio[1]) / int(ratio[2]) if int(ratio[2]) else None
    if len(text) > 64 or not _NUMBER.fullmatch(text):
        return None
    number = float(text.replace(",", "."))
    return number if math.isfinite(number) else None


def _degrees(text: str, signs: str, warnings: list[str]) -> float | None:
    """Signed degrees from XMP's "49,0.413380N" or "49,0,24.8N"; a plain signed number is taken for what it is."""
    match = _ANGLE.fullmatch(text)
    if not match:
        return _number(text)
    parts = tuple(float(part) for part in match.groups()[:3] if part)
    return exif.signed_degrees(parts, match[4], signs, warnings)


def _placement(metadata: PanoramaMetadata) -> tuple[tuple[Size, Size] | None, list[str]]:
    """The full placement as full_placement() documents it, and what had to be doubted or guessed for it."""
    size, full = metadata.size, metadata.full_size
    if size is None or full is None:
        return None, []
    part, offset, warnings = _part(metadata, size, full)
    if any(start + length > whole for start, length, whole in zip(offset, part, full, strict=True)):
        return None, [*warnings, f"The crop {part} at {offset} does not fit into the full panorama {full}: ignored."]
    contradiction = f"The metadata say {part[0]} x {part[1]} pixels, the picture is {size[0]} x {size[1]}"
    across, down = size[0] / part[0], size[1] / part[1]
    if abs(across / down - 1) > max(_SAME_ASPECT, 1 / min(size)):
        return None, [*warnings, f"{contradiction}, of another shape: what they say of its crop was ignored."]
    if size != part:
        warnings.append(f"{contradiction}: it was resized, and the crop was scaled with it.")
    if abs(full[0] / full[1] / 2 - 1) > _SAME_ASPECT:
        warnings.append(f"The full panorama is {full[0]} x {full[1]}, not 2:1; its horizon is taken to be half-way up.")
    # One scale from both sides, for each was rounded to whole pixels.
    scale = (size[0] + size[1]) / (part[0] + part[1])
    width = max(2 * round(full[0] * scale / 2), size[0] + size[0] % 2)
    height = width // 2
    if width > _WIDEST_PANORAMA or size[1] > height:
        return None, [*warnings, f"A full panorama of {width} x {height} pixels cannot hold this picture: ignored."]
    # The middle of the picture keeps its direction.
    left = round((offset[0] + part[0] / 2) * scale - size[0] / 2)
    top = round(height / 2 + (offset[1] + part[1] / 2 - full[1] / 2) * scale - size[1] / 2)
    left, top = min(max(left, 0), width - size[0]), min(max(top, 0), height - size[1])
    return ((width, height), (left, top)), warnings


def _part(metadata: PanoramaMetadata, size: Size, full: Size) -> tuple[Size, Size, list[str]]:
    """The cropped size and offset as written, or guessed if they are missing."""
    warnings: list[str] = []
    part, offset = metadata.cropped_size, metadata.cropped_offset
    if part is None:
        resized = abs(size[0] / size[1] * full[1] / full[0] - 1) < _SAME_ASPECT
        part = full if resized else size
    if offset is None:
        offset = ((full[0] - part[0]) // 2, (full[1] - part[1]) // 2)
        if part != full:
            warnings.append("The crop's place in the full panorama is missing; it is taken to be in the middle.")
    return part, (max(offset[0], 0), max(offset[1], 0)), warnings

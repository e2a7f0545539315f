"""Colour profiles that pictures carry, and their colours brought to sRGB.

What cameras, phones and raw converters embed are matrix profiles: a tone curve for each channel and three primaries
(Display P3, Adobe RGB, ProPhoto, grey). Tables of colours, as printers and CMYK have them, are not converted.
Sources: ICC.1:2022 (profile version 4.4); ICC.1:2001-04 (version 2); B. Lindbloom, "RGB/XYZ matrices".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import srgb
from ..errors import MetadataError

_STEPS = 65536  # of tone curves: every byte and every 16-bit value falls on one of them
_LONGEST_CURVE = 1 << 16
_MOST_TAGS = 200
_ROWS = 64  # of an image converted together
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = (0.9642, 1.0, 0.8249)  # the white of profiles
_D65 = (0.3127, 0.3290)
_BYTE_OF_LINEAR = np.rint(srgb.linear_to_srgb(np.arange(_STEPS) / (_STEPS - 1)) * 255).astype(np.uint8)

Primaries = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""Chromaticities (x, y) of red, green and blue."""

REC709: Primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
P3: Primaries = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
REC2020: Primaries = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_ADOBE: Primaries = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))


class UnsupportedProfileError(MetadataError):
    """A colour profile is sound, but of a kind that is not converted."""

    code = "colour-profile"


@dataclass(frozen=True, eq=False)
class ColourSpace:
    """What the values of a picture mean as colours.

    name: as the profile calls itself. light: (3, 65536) float32, linear light 0..1 of each step of each channel.
    srgb_from_space: (3, 3) float64, from its linear light to that of sRGB, white on white (relative colorimetric).
    """

    name: str
    light: np.ndarray
    srgb_from_space: np.ndarray

    def to_srgb(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 sRGB of (H, W, 3) uint8 or uint16 values; colours outside sRGB are clipped."""
        scale = np.uint16(257) if image.dtype == np.uint8 else np.uint16(1)
        result = np.empty(image.shape, np.uint8)
        channels = np.arange(3)
        matrix = self.srgb_from_space.T.astype(np.float32)
        for start in range(0, len(image), _ROWS):
            light = self.light[channels, image[start : start + _ROWS].astype(np.uint16) * scale] @ matrix
            steps = np.clip(light, 0, 1) * np.float32(_STEPS - 1) + np.float32(0.5)
            result[start : start + _ROWS] = _BYTE_OF_LINEAR[steps.astype(np.uint16)]
        return result

    def is_srgb(self) -> bool:
        """Whether conversion changes no byte by more than one: judged by what it does, not by its name."""
        some = np.linspace(0, 255, 18).astype(np.uint8)
        cube = np.stack(np.meshgrid(some, some, some), axis=-1).reshape(-1, 18, 3)
        greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
        return all(np.abs(self.to_srgb(each).astype(int) - each).max() <= 1 for each in (cube, greys))


def parse(profile: bytes) -> ColourSpace:
    """The colour space of an embedded ICC profile, RGB by a matrix or grey.

    Raises UnsupportedProfileError, which names the profile, for other kinds; MetadataError if it is damaged.
    """
    try:
        tags = _tags(profile)
        name = _text(tags.get(b"desc", b"")) or "without a name"
        space, connection = profile[16:20], profile[20:24]
        if space == b"GRAY" and connection == b"XYZ ":
            return ColourSpace(name, np.repeat(_curve(tags[b"kTRC"])[None], 3, axis=0), np.eye(3))
        if space != b"RGB " or connection != b"XYZ " or not {b"rXYZ", b"gXYZ", b"bXYZ"} <= tags.keys():
            kind = space.decode("ascii", "replace").strip()
            raise UnsupportedProfileError(f'Its color profile is "{name}", a table of {kind} colors.')
        light = np.stack([_curve(tags[tag]) for tag in (b"rTRC", b"gTRC", b"bTRC")])
        xyz_from_space = np.column_stack([_xyz(tags[tag]) for tag in (b"rXYZ", b"gXYZ", b"bXYZ")])
    except (struct.error, LookupError, ValueError) as error:
        raise MetadataError("Its color profile is damaged.") from error
    xyz_from_srgb = _adaptation(_white(_D65), np.array(_D50)) @ _xyz_from_rgb(REC709, _D65)
    return ColourSpace(name, light, np.linalg.solve(xyz_from_srgb, xyz_from_space))


def of_primaries(
    name: str, primaries: Primaries, gamma: float | None = None, white: tuple[float, float] = _D65
) -> ColourSpace:
    """A colour space by its chromaticities and the exponent of its curve, that of sRGB if None.

    Raises MetadataError if the chromaticities span no colours.
    """
    steps = np.arange(_STEPS) / (_STEPS - 1)
    curve = srgb.srgb_to_linear(steps) if gamma is None else np.power(steps, gamma)
    try:
        xyz_from_space = _adaptation(_white(white), _white(_D65)) @ _xyz_from_rgb(primaries, white)
        matrix = np.linalg.solve(_xyz_from_rgb(REC709, _D65), xyz_from_space)
        np.asarray_chkfinite(matrix)
    except (np.linalg.LinAlgError, ZeroDivisionError, ValueError) as error:
        raise MetadataError(f"The primaries of {name} span no colors.") from error
    return ColourSpace(name, np.repeat(curve.astype(np.float32)[None], 3, axis=0), matrix)


def adobe_rgb() -> ColourSpace:
    """Adobe RGB (1998), which cameras name in their Exif tags without embedding it."""
    return of_primaries("Adobe RGB (1998)", _ADOBE, 563 / 256)


def _tags(profile: bytes) -> Mapping[bytes, bytes]:
    """The tagged elements of a profile by their signatures."""
    (count,) = struct.unpack_from(">I", profile, 128)
    if profile[36:40] != b"acsp" or count > _MOST_TAGS:
        raise ValueError(count)
    found = {}
    for at in range(132, 132 + 12 * count, 12):
        signature, offset, size = struct.unpack_from(">4sII", profile, at)
        found[signature] = profile[offset : offset + size]
    return found


def _curve(tag: bytes) -> np.ndarray:
    """(65536,) float32 linear light of a tone curve. Source: ICC.1:2022, 10.6 and 10.18."""
    steps = np.arange(_STEPS) / (_STEPS - 1)
    if tag[:4] == b"para":
        with np.errstate(all="ignore"):
            curve = _parametric(tag, steps)
    elif tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count > _LONGEST_CURVE:
            raise ValueError(count)
        values = np.array(struct.unpack_from(f">{count}H", tag, 12), np.float64)
        if count == 1:
            curve = np.power(steps, values[0] / 256)
        else:
            curve = np.interp(steps, np.linspace(0, 1, count), values / 65535) if count else steps
    else:
        raise ValueError(tag[:4])
    if not np.isfinite(curve).all():
        raise ValueError("not finite")
    return np.clip(curve, 0, 1).astype(np.float32)


def _parametric(tag: bytes, steps: np.ndarray) -> np.ndarray:
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = (1, 3, 4, 5, 7)[kind]
    g, a, b, c, d, e, f = (*(value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12)), *[0.0] * 7)[:7]
    if kind == 0:
        return np.asarray(np.power(steps, g))
    if kind in (1, 2):  # (a x + b) ^ g above -b / a, and a constant
        low, above, below = -b / a if a else 0.0, c, c
    else:  # (a x + b) ^ g + e above d, and c x + f
        low, above, below = d, e, f
    curved = np.power(np.maximum(a * steps + b, 0), g) + above
    linear = c * steps + below if kind > 2 else np.full(len(steps), below)
    return np.where(steps >= low, curved, linear)


def _xyz(tag: bytes) -> np.ndarray:
    if tag[:4] != b"XYZ ":
        raise ValueError(tag[:4])
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _text(tag: bytes) -> str:
    """A profile's description, of version 2 or the first language of version 4."""
    if tag[:4] == b"desc":
        (size,) = struct.unpack_from(">I", tag, 8)
        found = tag[12 : 12 + size].split(b"\0")[0].decode("latin-1")
    elif tag[:4] == b"mluc":
        size, offset = struct.unpack_from(">II", tag, 20)
        found = tag[offset : offset + size].decode("utf-16-be", "replace")
    else:
        found = tag[8:].split(b"\0")[0].decode("latin-1")
    return "".join(letter for letter in found if letter.isprintable()).strip()[:80]


def _white(chromaticity: tuple[float, float]) -> np.ndarray:
    x, y = chromaticity
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _xyz_from_rgb(primaries: Primaries, white: tuple[float, float]) -> np.ndarray:
    """(3, 3) float64, such that RGB 1, 1, 1 is the white."""
    columns = np.column_stack([_white(each) for each in primaries])
    return np.asarray(columns * np.linalg.solve(columns, _white(white)))


def _adaptation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 3) float64 that brings XYZ seen under one white to another one's, by Bradford's cone responses."""
    cones = (_BRADFORD @ target) / (_BRADFORD @ source)
    return np.asarray(np.linalg.solve(_BRADFORD, cones[:, None] * _BRADFORD))

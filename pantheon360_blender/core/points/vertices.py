"""Vertices of PLY files as points: what programs mean by the properties that they write.

The format names types, not meanings. Colours come as bytes, as 16 bits in any type, as floats to 1, to 255 or to 65535,
packed into one number, or as the harmonics of splats; which of them is told by the values, not by the type.
Sources: PCL, pcl/point_types.h (packed colours); B. Kerbl et al., "3D Gaussian Splatting", 2023 (splats).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import PointCloudError
from ..formats import ply

SHARES = (("confidence", np.float32), ("source", np.int32), ("footprint", np.float32))
"""Properties of this project's own files besides position and colour, and their types."""

WHITE = 255
"""Points without colours are white, as modellers show them."""

_AXES = ("x", "y", "z")
_COLOURS = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_PACKED = ("rgb", "rgba")
_HARMONICS = ("f_dc_0", "f_dc_1", "f_dc_2")
_GREYS = ("intensity", "reflectance", "amplitude")
_ALPHA, _OPACITY = "alpha", "opacity"
_CLOUDCOMPARE = "scalar_"

_UNIT, _BYTE, _SHORT, _LONG = 1.0, 255.0, 65535.0, 4294967295.0
_ABOVE_UNIT, _ABOVE = 2.0, 4.0  # how far a few values may lie above their scale
_HARMONIC = 0.28209479177387814  # of degree 0
_LEAST_OPACITY = 0.1


@dataclass(frozen=True, eq=False)
class Vertices:
    """Points as a PLY file has them.

    positions: (N, 3), floats as exact as the file's. colours: (N, 3) uint8 sRGB.
    shares: those of SHARES that the file has, (N,) each. notes: what was assumed or left out, in sentences.
    """

    positions: np.ndarray
    colours: np.ndarray
    shares: Mapping[str, np.ndarray]
    notes: tuple[str, ...] = ()


def read(path: Path) -> Vertices:
    """Read the vertices of a PLY file. Raises PointCloudError if it cannot be read or has no positions."""
    elements = ply.properties(path)
    names = _known(elements.get("vertex", ()))
    if missing := [axis for axis in _AXES if axis not in names]:
        raise PointCloudError(f"{path} has no points: its vertices lack {', '.join(missing)}.")
    columns = ply.read(path, names.values())
    if not columns.keys() >= set(names.values()):
        raise PointCloudError(f"{path} was changed while it was read.", advice="Do it again.")
    columns = {known: columns[name] for known, name in names.items()}
    positions = np.column_stack([columns[axis] for axis in _AXES])
    if positions.dtype.kind != "f":
        positions = positions.astype(np.float64)
    notes: list[str] = []
    colours = _colours(columns, len(positions), elements, notes)
    with np.errstate(invalid="ignore"):
        shares = {name: columns[name].astype(kind) for name, kind in SHARES if name in columns}
    visible = _visible(columns, notes)
    if visible is not None:
        positions, colours = positions[visible], colours[visible]
        shares = {name: share[visible] for name, share in shares.items()}
    return Vertices(positions, colours, shares, tuple(notes))


def white_of(brightest: float, *, whole: bool = False, short: bool = False) -> float:
    """The value that stands for white, by the brightest colour: 1, 255, 65535 or 4294967295.

    A few values above it are taken for exaggerated. whole: whether the values are integers. short: of 16 bits, which
    need no more than 255 only if they are bytes.
    """
    if not whole and brightest <= _ABOVE_UNIT:
        return _UNIT
    if brightest <= (_BYTE if short else _ABOVE * _BYTE):
        return _BYTE
    return _SHORT if brightest <= _ABOVE * _SHORT else _LONG


def grey_of(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """(N, 3) uint8 grey of (N,) intensities, black at `low` and white at `high`; white if these are equal."""
    if not high > low:
        return np.full((len(values), 3), WHITE, np.uint8)
    share = (np.nan_to_num(values.astype(np.float64)) - low) / (high - low)
    return np.repeat(np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)[:, None], 3, axis=1)


def _known(properties: Sequence[str]) -> dict[str, str]:
    """Names of the properties that mean something here -> names in the file, whatever their case.

    CloudCompare puts "scalar_" before the name of a field.
    """
    wanted = {*_AXES, *(name for names in _COLOURS for name in names), *_PACKED, *_HARMONICS, *_GREYS}
    wanted |= {_ALPHA, _OPACITY, *(name for name, _ in SHARES)}
    found: dict[str, str] = {}
    for prefix in ("", _CLOUDCOMPARE):
        for name in properties:
            known = name.lower().removeprefix(prefix)
            if known in wanted and name.lower().startswith(prefix):
                found.setdefault(known, name)
    return found


def _colours(
    columns: Mapping[str, np.ndarray], count: int, elements: Mapping[str, Sequence[str]], notes: list[str]
) -> np.ndarray:
    """(N, 3) uint8: the vertices' colours in whatever form, else their intensity as grey, else white."""
    for names in _COLOURS:
        if columns.keys() >= set(names):
            return _as_bytes([columns[name] for name in names])
    for name in _PACKED:
        if name in columns:
            return np.ascontiguousarray(_unpacked(columns[name])[:, :3])
    if columns.keys() >= set(_HARMONICS):
        notes.append("It holds Gaussian splats: their middles came as points.")
        return _as_bytes([0.5 + _HARMONIC * columns[name].astype(np.float64) for name in _HARMONICS], _UNIT)
    for name in _GREYS:
        if name in columns:
            notes.append(f"The file has no colors: the points are shaded by {name}.")
            return _grey(columns[name])
    on_faces = any("red" in map(str.lower, names) for element, names in elements.items() if element != "vertex")
    which = "Only the faces of the file have colors" if on_faces else "The file has no colors"
    if count:
        notes.append(f"{which}: the points are white.")
    return np.full((count, 3), WHITE, np.uint8)


def _as_bytes(channels: Sequence[np.ndarray], scale: float | None = None) -> np.ndarray:
    """(N, 3) uint8 of three channels; scale: the value of white, None judges it by the brightest value."""
    if all(each.dtype == np.uint8 for each in channels):
        return np.column_stack(channels)
    known = [np.nan_to_num(each, nan=0.0, posinf=0.0, neginf=0.0) for each in channels]
    brightest = max(float(each.max(initial=0)) for each in known)
    white = scale or white_of(brightest, whole=channels[0].dtype.kind != "f", short=channels[0].dtype == np.uint16)
    shades = [np.clip(np.rint(each * (_BYTE / white)), 0, 255).astype(np.uint8) for each in known]
    return np.column_stack(shades)


def _unpacked(packed: np.ndarray) -> np.ndarray:
    """(N, 4) uint8 red, green, blue and alpha of numbers 0xAARRGGBB, which PCL stores as the bits of a float.

    As bits they are tiny, negative or no numbers at all; some programs write the number itself.
    """
    if packed.dtype.kind != "f" or (((packed == 0) | (packed >= 1)).all() and packed.max(initial=0) <= _LONG):
        bits = packed.astype(np.uint32)
    else:
        bits = packed.astype(np.float32).view(np.uint32)
    return np.ascontiguousarray(bits.astype("<u4")).view(np.uint8).reshape(-1, 4)[:, [2, 1, 0, 3]]


def _grey(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return np.repeat(values[:, None], 3, axis=1)
    sound = values[np.isfinite(values)]
    low, high = np.percentile(sound, (2, 98)) if len(sound) else (0.0, 0.0)
    return grey_of(values, min(low, 0.0), high)


def _visible(columns: Mapping[str, np.ndarray], notes: list[str]) -> np.ndarray | None:
    """(N,) bool, False on points that nobody sees; None if all are seen, or none would be."""
    if columns.keys() >= {*_HARMONICS, _OPACITY}:
        with np.errstate(over="ignore"):
            visible = 1 / (1 + np.exp(-columns[_OPACITY].astype(np.float64))) >= _LEAST_OPACITY
    elif _ALPHA in columns:
        visible = columns[_ALPHA] > 0
    elif "rgba" in columns:
        visible = _unpacked(columns["rgba"])[:, 3] > 0
    else:
        return None
    if visible.all() or not visible.any():
        return None
    notes.append(f"{int((~visible).sum()):,} transparent points were left out.")
    return visible

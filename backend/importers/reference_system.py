"""Units of a laser scan's axes by its coordinate reference system, as pyproj understands it.

A reference system may count feet across and metres up, depths downwards, or metres that a map projection stretched.
Sources: OGC 18-010 and 01-009 (WKT 2 and 1); OGC 19-008, "GeoTIFF Standard 1.1", 7 and D.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core.importers.imported import SourceError

from . import missing

_RECORDS = "LASF_Projection"
_MODEL, _GEOGRAPHIC_CODE, _PROJECTED_CODE, _VERTICAL_CODE = 1024, 2048, 3072, 4096
_UNIT, _VERTICAL_UNIT = 3076, 4099
_GEOGRAPHIC, _GEOCENTRIC = 2, 3
_CODES = range(1024, 32767)
"""Numbers of GeoTIFF keys that are those of EPSG; the others mean "undefined" and "by the user"."""
_LONGEST_TEXT = 1 << 20
"""Characters: compound systems have some 5,000, and the library takes 15 s for 100 million."""
_SMALLEST, _LARGEST = 1e-4, 1e4
_STRETCH = 0.01
"""Share above which a map's scale is put right: Mercator's of the web is 1.5 in Paris, Gauss and Krüger's 1.0004."""
_PROJECT = "Project it first, say to UTM, or state the scale."


@dataclass(frozen=True)
class Units:
    """What a unit along each axis of a file stands for.

    metres: (3,) float64, of x, y and z; negative if the axis points down. notes: what was assumed, in sentences.
    """

    metres: np.ndarray
    notes: tuple[str, ...] = ()


def units(header: Any, path: Path) -> Units:
    """The units of a LAS file's axes, metres if it says nothing of them.

    header: laspy's. Raises SourceError for degrees and for coordinates about the Earth's centre, which make no upright
    shape; MissingLibraryError without pyproj.
    """
    records = [each for each in (*header.vlrs, *(header.evlrs or [])) if each.user_id == _RECORDS]
    text = next((str(each.string).strip("\0 \r\n") for each in records if getattr(each, "string", "")), "")
    keys = {key.id: key.value_offset for each in records for key in getattr(each, "geo_keys", None) or ()}
    if not text and not keys:
        return Units(np.ones(3))
    pyproj = missing.imported("pyproj", "Reference systems of LAS files need pyproj", "pyproj")
    try:
        if len(text) > _LONGEST_TEXT:
            raise ValueError(f"a reference system of {len(text):,} characters")
        by_text = text and (header.global_encoding.wkt or not keys)
        axes, horizontal = _of_text(pyproj, text, path) if by_text else _of_keys(pyproj, keys, path)
        metres = _metres(axes)
    except (pyproj.exceptions.CRSError, ValueError):
        return Units(np.ones(3), ("Its reference system is not understood: its unit was taken for a meter.",))
    stretch = _stretch(pyproj, horizontal, (np.asarray(header.mins) + np.asarray(header.maxs)) / 2)
    return Units(metres / (stretch, stretch, 1.0), tuple(_told(metres, stretch)))


def _of_text(pyproj: Any, text: str, path: Path) -> tuple[list[Any], Any]:
    """The axes of a reference system in WKT, and the part of it that tells places across."""
    system = pyproj.CRS.from_wkt(text)
    if system.is_bound:
        system = system.source_crs
    _refuse(path, system.is_geographic, system.is_geocentric)
    return list(system.axis_info), system.sub_crs_list[0] if system.is_compound else system


def _of_keys(pyproj: Any, keys: Mapping[int, int], path: Path) -> tuple[list[Any], Any]:
    """The same of GeoTIFF keys, which number systems, units, or both; what is stated of units counts."""
    projected = keys.get(_PROJECTED_CODE, 0) in _CODES
    geographic = keys.get(_GEOGRAPHIC_CODE, 0) in _CODES and _UNIT not in keys
    stated = keys.get(_MODEL, 0)
    _refuse(path, not projected and (stated == _GEOGRAPHIC or geographic), stated == _GEOCENTRIC)
    horizontal = pyproj.CRS.from_epsg(keys[_PROJECTED_CODE]) if projected else None
    if horizontal is not None:
        _refuse(path, horizontal.is_geographic, horizontal.is_geocentric)
    across = list(horizontal.axis_info)[:2] if horizontal is not None else []
    up = _vertical(pyproj, keys.get(_VERTICAL_CODE, 0))
    across = [_Axis("", _unit(pyproj, keys[_UNIT]))] * 2 if _UNIT in keys else across
    if _VERTICAL_UNIT in keys:
        up = [_Axis(up[0].direction if up else "up", _unit(pyproj, keys[_VERTICAL_UNIT]))]
    return [*(across or [_Axis("", 1.0)] * 2), *up], horizontal


@dataclass(frozen=True)
class _Axis:
    """What counts of an axis, named as in pyproj."""

    direction: str
    unit_conversion_factor: float


def _vertical(pyproj: Any, code: int) -> list[Any]:
    """The axis of a vertical system by its number; older files number its datum, which tells no unit."""
    try:
        system = pyproj.CRS.from_epsg(code) if code in _CODES else None
    except pyproj.exceptions.CRSError:
        return []
    return list(system.axis_info) if system is not None and system.is_vertical else []


def _unit(pyproj: Any, code: int) -> float:
    """Metres of a unit of length by its number. Raises ValueError if there is none."""
    known = pyproj.database.get_units_map(auth_name="EPSG", category="linear", allow_deprecated=True)
    metres = next((unit.conv_factor for unit in known.values() if unit.code == str(code)), None)
    if metres is None:
        raise ValueError(f"EPSG knows no unit {code}")
    return float(metres)


def _metres(axes: Sequence[Any]) -> np.ndarray:
    """(3,) float64 by axes, of which x is the one across and y the one along; z has their unit if it has none.

    Raises ValueError for units that nobody measures places in.
    """
    upright = [axis for axis in axes if axis.direction in ("up", "down")]
    across, along, *_ = [axis for axis in axes if axis not in upright]
    if across.direction in ("north", "south"):  # LAS has x across, whatever the order of the axes
        across, along = along, across
    height = upright[0] if upright else across
    metres = np.array([axis.unit_conversion_factor for axis in (across, along, height)], np.float64)
    if not ((metres > _SMALLEST) & (metres < _LARGEST)).all():
        raise ValueError(metres)
    return metres * (1, 1, -1 if height.direction == "down" else 1)


def _stretch(pyproj: Any, system: Any, centre: np.ndarray) -> float:
    """How many times longer a map shows a metre at a place, (x, y, ...) of its own; 1 if that is hardly otherwise."""
    try:
        projection = pyproj.Proj(system)
        factors = projection.get_factors(*projection(*centre[:2], inverse=True), errcheck=True)
        stretch = float(np.sqrt(factors.areal_scale))
    except (pyproj.exceptions.ProjError, TypeError, AttributeError):
        return 1.0
    return stretch if abs(stretch - 1) > _STRETCH and 0.1 < stretch < 10 else 1.0


def _refuse(path: Path, in_degrees: bool, about_centre: bool) -> None:
    if in_degrees:
        raise SourceError(f"{path} is in degrees of latitude and longitude.", advice=_PROJECT)
    if about_centre:
        raise SourceError(f"{path} counts from the Earth's center: no axis of it points up.", advice=_PROJECT)


def _told(metres: np.ndarray, stretch: float) -> list[str]:
    notes = []
    across, height = float(metres[0]), float(abs(metres[2]))
    if across != 1 or height != 1:
        unit = (
            f"Its unit is {across:.10g} m"
            if across == height
            else (f"Its units are {across:.10g} m across and {height:.10g} m up")
        )
        notes.append(f"{unit}; it was scaled to meters.")
    if metres[2] < 0:
        notes.append("Its heights are depths, which grow downwards; they were turned over.")
    if stretch != 1:
        notes.append(f"Its map projection shows a meter {stretch:.4g} times as long; that was put right.")
    return notes

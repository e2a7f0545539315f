"""Places on the Earth, and where they lie from each other in metres."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .errors import MetadataError

_SEMI_MAJOR_AXIS = 6378137.0
_FLATTENING = 1.0 / 298.257223563
_HIGHEST = 100_000.0  # metres: where space begins
_ECCENTRICITY_SQUARED = _FLATTENING * (2.0 - _FLATTENING)


@dataclass(frozen=True)
class Position:
    """A place in WGS 84.

    latitude, longitude: degrees, north and east positive; longitude is kept in [-180, 180].
    altitude: metres above the ellipsoid or sea level (cameras do not say which), or None if unknown.
    Raises MetadataError if a number is not finite or out of range.
    """

    latitude: float
    longitude: float
    altitude: float | None = None

    def __post_init__(self) -> None:
        height = self.altitude or 0.0
        # A number that is none fails every comparison.
        if not (abs(self.latitude) <= 90 and abs(self.longitude) <= 180 and abs(height) <= _HIGHEST):
            raise MetadataError(
                f"Latitude {self.latitude}, longitude {self.longitude}, altitude {self.altitude} is no place on Earth."
            )


def local_metres(position: Position, origin: Position) -> np.ndarray:
    """Coordinates of `position` in the tangent plane at `origin`.

    Returns (3,) float64: metres to the east, to the north and up, Blender's X, Y and Z. If either altitude is
    unknown, both places are taken to be at the same height. Over 1 km the Earth falls 8 cm below the plane.
    Source: WGS 84 (NIMA TR8350.2), geodetic to geocentric to local east-north-up.
    """
    if position.altitude is None or origin.altitude is None:
        height = origin.altitude if origin.altitude is not None else position.altitude or 0.0
        position = Position(position.latitude, position.longitude, height)
        origin = Position(origin.latitude, origin.longitude, height)
    local: np.ndarray = _local_from_geocentric(origin) @ (_geocentric(position) - _geocentric(origin))
    return local


def _geocentric(position: Position) -> np.ndarray:
    """(3,) float64 metres from the Earth's centre, axes through (0, 0), (0, 90 E) and the north pole."""
    latitude, longitude = math.radians(position.latitude), math.radians(position.longitude)
    height = position.altitude or 0.0
    radius = _SEMI_MAJOR_AXIS / math.sqrt(1.0 - _ECCENTRICITY_SQUARED * math.sin(latitude) ** 2)
    ring = (radius + height) * math.cos(latitude)
    axis = (radius * (1.0 - _ECCENTRICITY_SQUARED) + height) * math.sin(latitude)
    return np.array([ring * math.cos(longitude), ring * math.sin(longitude), axis])


def _local_from_geocentric(origin: Position) -> np.ndarray:
    """(3, 3) float64: rows are the local axes in geocentric coordinates."""
    latitude, longitude = math.radians(origin.latitude), math.radians(origin.longitude)
    sin_lat, cos_lat, sin_lon, cos_lon = (f(a) for a in (latitude, longitude) for f in (math.sin, math.cos))
    return np.array(
        [
            [-sin_lon, cos_lon, 0.0],
            [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
            [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
        ]
    )

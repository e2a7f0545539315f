"""Places in degrees become metres in Blender's axes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core.errors import MetadataError
from pantheon360_blender.core.geography import Position, local_metres

EQUATORIAL_RADIUS, POLAR_RADIUS = 6378137.0, 6356752.314245


def distance(first: Position, second: Position) -> float:
    return float(np.linalg.norm(local_metres(first, second)))


latitudes = st.floats(-85, 85)
longitudes = st.floats(-180, 180)


def test_lengths_of_a_degree_agree_with_published_ones() -> None:
    # Metres of a degree in the tables of WGS 84; a hundredth of it, so that chord and arc agree.
    assert distance(Position(0, 10), Position(0, 10.01)) == pytest.approx(1113.195, abs=0.002)
    assert distance(Position(-0.005, 10), Position(0.005, 10)) == pytest.approx(1105.743, abs=0.002)
    assert distance(Position(44.995, 10), Position(45.005, 10)) == pytest.approx(1111.318, abs=0.005)
    assert distance(Position(45, 10), Position(45, 10.01)) == pytest.approx(788.468, abs=0.002)


@given(latitudes, longitudes, st.floats(-5, 5), st.floats(-5, 5), st.floats(-400, 8000))
def test_small_steps_agree_with_the_radii_of_curvature(
    latitude: float, longitude: float, north: float, east: float, altitude: float
) -> None:
    sine = math.sin(math.radians(latitude))
    squared = 1 - (POLAR_RADIUS / EQUATORIAL_RADIUS) ** 2
    along_meridian = EQUATORIAL_RADIUS * (1 - squared) / (1 - squared * sine**2) ** 1.5 + altitude
    across = (EQUATORIAL_RADIUS / math.sqrt(1 - squared * sine**2) + altitude) * math.cos(math.radians(latitude))
    there = Position(
        latitude + math.degrees(north / along_meridian),
        (longitude + math.degrees(east / across) + 180) % 360 - 180,
        altitude + 1.5,
    )
    metres = local_metres(there, Position(latitude, longitude, altitude))
    np.testing.assert_allclose(metres, [east, north, 1.5], atol=1e-4)


@given(latitudes, longitudes, latitudes, longitudes)
def test_a_distance_is_the_same_both_ways(a: float, b: float, c: float, d: float) -> None:
    there, back = distance(Position(a, b, 12), Position(c, d, 40)), distance(Position(c, d, 40), Position(a, b, 12))
    assert there == pytest.approx(back, rel=1e-9, abs=1e-6)
    assert there <= 2 * EQUATORIAL_RADIUS + 100


def test_the_earth_falls_below_the_tangent_plane() -> None:
    east, north, up = local_metres(Position(49.009, 1.92), Position(49.0, 1.92))
    assert (east, north) == (pytest.approx(0, abs=1e-6), pytest.approx(1000.8, abs=0.5))
    assert up == pytest.approx(-(north**2) / (2 * EQUATORIAL_RADIUS), rel=0.01)


@pytest.mark.parametrize(("here", "there"), [(None, None), (90.0, None), (None, 90.0)])
def test_an_unknown_altitude_is_the_same_altitude(here: float | None, there: float | None) -> None:
    metres = local_metres(Position(49.00001, 1.92, there), Position(49.0, 1.92, here))
    np.testing.assert_allclose(metres, [0, 1.112, 0], atol=1e-3)


@pytest.mark.parametrize(
    ("latitude", "longitude", "altitude"),
    [
        (91, 0, None),
        (0, -181, None),
        (math.nan, 0, None),
        (0, math.inf, 0),
        (1, 1, math.nan),
        (1, 1, 1e6),
        (1, 1, -1e300),
    ],
)
def test_impossible_places_are_refused(latitude: float, longitude: float, altitude: float | None) -> None:
    with pytest.raises(MetadataError, match="no place on Earth"):
        Position(latitude, longitude, altitude)

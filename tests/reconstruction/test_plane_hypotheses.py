"""Planes proposed from points of a ray-cast room amid outliers, fitted, told apart, and carried between frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="needs the backend's environment")
pytest.importorskip("scipy", reason="needs the backend's environment")

from backend.reconstruction.dense import plane_hypotheses as hypotheses
from backend.reconstruction.dense.plane_hypotheses import Evidence
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import rotation_from_heading

WIDTH = 128
LOW, HIGH = np.array([-3.0, -2.0, 0.0]), np.array([2.5, 2.4, 2.7])
FAR_AWAY = np.array([4000.0, -7000.0, 120.0])
CAMERAS = [((0.5, -0.4, 1.5), (20.0, 3.0, -2.0)), ((-0.8, 0.6, 1.3), (130.0, -25.0, 40.0))]


def pose(place: tuple[float, ...], angles: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from_heading(*angles)
    matrix[:3, 3] = place
    return matrix


def room_evidence(outliers: float = 0.3, noise: float = 0.002) -> Evidence:
    """What two cameras, the second one tilted, see of an empty room; a share of the points is anywhere."""
    random = np.random.default_rng(4)
    poses = [pose(*camera) for camera in CAMERAS]
    rays = equirectangular.directions(WIDTH)
    rhos = []
    for camera in poses:
        world = rays.astype(np.float64) @ camera[:3, :3].T
        with np.errstate(divide="ignore"):
            distance = np.where(world > 0, (HIGH - camera[:3, 3]) / world, (LOW - camera[:3, 3]) / world).min(axis=-1)
        distance = distance * random.normal(1, noise, distance.shape)
        anywhere = random.uniform(0, 1, distance.shape) < outliers
        rhos.append(1 / np.where(anywhere, random.uniform(0.3, 6, distance.shape), distance))
    return hypotheses.seen_by(poses, rays, [np.ones(rho.shape, bool) for rho in rhos], rhos)


def error(planes: np.ndarray, expected: np.ndarray) -> float:
    """How far the best of the planes is from an expected one: radians or metres."""
    sign = np.where(planes[:, :3] @ expected[:3] < 0, -1, 1)[:, None]
    apart = planes * sign - expected
    return float((np.linalg.norm(apart[:, :3], axis=1) + np.abs(apart[:, 3])).min())


def plane_points(plane: np.ndarray, across: np.ndarray, around: tuple[float, ...], seed: int = 0) -> Evidence:
    """Points of a plane within `across` (2,) metres of the foot of `around`, seen from 2 m."""
    random = np.random.default_rng(seed)
    first, second = np.linalg.svd(plane[None, :3])[2][1:]
    foot = np.array(around) - (plane[:3] @ np.array(around) - plane[3]) * plane[:3]
    along = random.uniform(-1, 1, (400, 2)) * across
    points = foot + along[:, :1] * first + along[:, 1:] * second
    return Evidence(points, np.full(400, 2.0), np.arange(400), np.arange(400) % 48)


def test_points_lie_where_the_cameras_saw_them() -> None:
    seen = room_evidence(outliers=0, noise=0)
    inside = np.minimum(seen.points - LOW, HIGH - seen.points)
    np.testing.assert_allclose(inside.min(axis=1), 0, atol=1e-5)
    places = np.array([camera[0] for camera in CAMERAS])
    apart = np.linalg.norm(seen.points[:, None] - places, axis=-1)
    np.testing.assert_allclose(np.abs(apart - seen.ranges[:, None]).min(axis=1), 0, atol=1e-5)


def test_directions_fall_evenly_into_sectors_each_cameras_into_its_own() -> None:
    rays = equirectangular.directions(4 * 48)
    ring = np.zeros(rays.shape[:2], bool)
    ring[len(ring) // 2] = True
    rhos = np.ones(rays.shape[:2])
    upright = pose((0, 0, 0), (0.0, 0.0, 0.0))
    _, counts = np.unique(
        hypotheses.seen_by([upright, upright], rays, [ring, ring], [rhos, rhos]).sectors, return_counts=True
    )
    assert len(counts) == 2 * 48 and counts.min() >= 3 and counts.max() <= 5


def test_the_floor_and_the_ceiling_are_found_amid_outliers() -> None:
    planes = hypotheses.level_planes(room_evidence(), 4, np.random.default_rng(0))
    assert hypotheses.level(planes).all()
    for height in (LOW[2], HIGH[2]):
        assert np.abs(planes[:2, 3] * planes[:2, 2] - height).min() < 0.02


def test_the_walls_are_found_amid_outliers() -> None:
    seen = room_evidence().off(np.array([[0.0, 0, 1, LOW[2]], [0, 0, 1, HIGH[2]]]))
    planes = hypotheses.upright_planes(seen, 6, np.random.default_rng(0))
    assert hypotheses.upright(planes).all()
    for axis in (0, 1):
        for offset in (LOW[axis], HIGH[axis]):
            assert error(planes[:4], np.append(np.eye(3)[axis], offset)) < 0.04


@pytest.mark.parametrize("count", [0, 1, 29, 200])
def test_nothing_is_proposed_where_nothing_is_to_be_seen(count: int) -> None:
    random = np.random.default_rng(count)
    points = random.uniform(-5, 5, (count, 3))
    seen = Evidence(points, np.full(count, 3.0), np.zeros(count, np.int64), np.arange(count) % 5)
    assert hypotheses.level_planes(seen, 4, random).shape == (0, 4)
    assert hypotheses.upright_planes(seen, 4, random).shape == (0, 4)
    assert hypotheses.fitted(np.zeros((0, 4)), seen).shape == (0, 4)
    assert len(seen.one_a_cell(random).points) == min(count, 1)


def test_points_at_one_place_propose_no_wall() -> None:
    seen = Evidence(np.ones((100, 3)), np.full(100, 3.0), np.arange(100), np.arange(100))
    assert hypotheses.upright_planes(seen, 4, np.random.default_rng(0)).shape == (0, 4)


def test_what_lies_on_known_planes_is_left_out() -> None:
    seen = room_evidence(outliers=0, noise=0)
    floor = np.array([[0.0, 0, -1, 0]])
    off = seen.off(floor)
    assert 0 < len(off.points) < len(seen.points)
    assert (np.abs(off.points[:, 2]) > 0.012 * off.ranges).all()
    assert len(seen.off(np.zeros((0, 4))).points) == len(seen.points)


def test_one_point_of_each_cell_is_kept() -> None:
    seen = room_evidence()
    few = seen.one_a_cell(np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(few.cells), np.unique(seen.cells))


numbers = st.floats(-1, 1)


@settings(max_examples=100)
@given(
    st.tuples(*[numbers] * 3).filter(lambda n: np.linalg.norm(n) > 0.1),
    st.floats(0.2, 50),
    st.tuples(*[st.floats(-30, 30)] * 3),
    st.tuples(st.floats(0, 360), st.floats(-90, 90), st.floats(-180, 180)),
)
def test_planes_come_back_from_a_cameras_frame(
    normal: tuple[float, ...], distance: float, place: tuple[float, ...], angles: tuple[float, float, float]
) -> None:
    camera = pose(place, angles)
    unit = np.array(normal) / np.linalg.norm(normal)
    plane = np.append(unit, unit @ camera[:3, 3] + distance)  # seen from its inner side, so that m looks along n
    m = hypotheses.into_camera(plane[None], camera)
    assert m.dtype == np.float32
    np.testing.assert_allclose(hypotheses.into_world(m, camera)[0], plane, rtol=1e-4, atol=1e-4 * (1 + distance))
    point = camera[:3, :3].T @ (distance * unit)  # the foot of the camera, in its frame
    assert m[0] @ point == pytest.approx(1, abs=1e-4)


def test_a_plane_through_the_camera_stays_finite() -> None:
    assert np.isfinite(hypotheses.into_camera(np.array([[0.0, 0, 1, 1.5]]), pose((0, 0, 1.5), (0.0, 0.0, 0.0)))).all()


def test_a_plane_moves_to_its_evidence() -> None:
    true = np.array([0.6, 0.8, 0.0, 2.0])
    seen = plane_points(true, np.array([1.5, 1.2]), (0, 0, 1.5))
    turned = np.array([np.cos(0.008), np.sin(0.008), 0]) * 0.6 + np.array([-np.sin(0.008), np.cos(0.008), 0]) * 0.8
    start = np.append(turned / np.linalg.norm(turned), 2.012)
    assert error(start[None], true) > 0.012
    found = hypotheses.fitted(start[None], seen)
    assert error(found, true) < 0.001
    assert np.linalg.norm(found[0, :3]) == pytest.approx(1)


def test_a_plane_tilts_less_where_its_evidence_is_narrow() -> None:
    """A strip of 2 cm whose noise tells of a tilt must hardly turn the plane; a wide patch may."""
    tilts = []
    true = np.array([0.0, 1.0, 0.0, 2.0])
    for across in (0.01, 1.5):
        seen = plane_points(true, np.array([across, 1.0]), (0, 0, 1.5))
        axis = np.linalg.svd(true[None, :3])[2][1]
        leaning = (seen.points - seen.points.mean(axis=0)) @ axis * np.tan(0.012)
        points = seen.points + leaning[:, None] * true[:3]
        found = hypotheses.fitted(true[None], Evidence(points, seen.ranges, seen.cells, seen.sectors))[0]
        tilts.append(float(np.arccos(min(found[:3] @ true[:3], 1))))
    assert tilts[0] < 0.001 and tilts[1] == pytest.approx(0.012, abs=0.001)


def test_a_plane_without_evidence_stays() -> None:
    plane = np.array([[0.0, 0.0, 1.0, 5.0]])
    np.testing.assert_array_equal(hypotheses.fitted(plane, room_evidence(outliers=0)), plane)


@pytest.mark.parametrize("origin", [np.zeros(3), FAR_AWAY], ids=["at the origin", "far from it"])
def test_planes_are_the_same_where_the_cameras_see_them_alike(origin: np.ndarray) -> None:
    """Wherever the world's origin lies: a degree more or less says much about a plane's distance from far away."""
    positions = np.array([[0.0, 0, 1.5], [1.0, 0, 1.5]]) + origin

    def wall(distance: float, degrees: float) -> np.ndarray:
        normal = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0])
        return np.append(normal, normal @ positions[1] + distance)[None]

    one = wall(2.0, 0)
    for same in (wall(2.0, 1.5), wall(2.03, -1), -wall(2.0, 1)):
        assert len(hypotheses.merged(one, same, positions)) == 1
    for distinct in (wall(2.0, 4), wall(2.1, 0), wall(1.9, 1), wall(-2.0, 0)):
        assert len(hypotheses.merged(one, distinct, positions)) == 2
    assert len(hypotheses.merged(one[:0], np.concatenate([one, one]), positions)) == 1


def test_of_planes_that_nearly_coincide_the_one_of_the_largest_support_stays() -> None:
    positions = np.array([[0.0, 0, 1.5]])
    planes = np.array([[0, 0, 1, 2.70], [0, 0, 1, 2.74], [0, 0, 1, 0.0], [1.0, 0, 0, 2]])
    kept = hypotheses.distinct(planes, np.array([0.1, 0.3, 0.2, 0.05]), positions)
    np.testing.assert_array_equal(kept, planes[[1, 2, 3]])
    assert hypotheses.distinct(planes[:0], np.zeros(0), positions).shape == (0, 4)

"""Points in closed meshes: against formulas of solids, and against tetrahedra whose insides are half spaces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core.points import containment
from pantheon360_blender.core.progress import run_to_end

FACES = [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)]


def inside(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    return run_to_end(containment.finding(points, triangles))


def sphere(rows: int = 12) -> np.ndarray:
    """Triangles of a unit sphere's polyhedron, (T, 3, 3), closed."""
    lat = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)
    lon = np.linspace(0, 2 * np.pi, 2 * rows + 1)
    lon[-1] = 0.0
    place = np.stack(
        [np.outer(np.cos(lat), np.cos(lon)), np.outer(np.cos(lat), np.sin(lon)), np.outer(np.sin(lat), lon * 0 + 1)], -1
    )
    place[0, :, :2] = place[-1, :, :2] = 0
    a, b, c, d = place[:-1, :-1], place[:-1, 1:], place[1:, 1:], place[1:, :-1]
    return np.concatenate([np.stack([a, b, c], 2), np.stack([a, c, d], 2)]).reshape(-1, 3, 3)


def test_inside_a_sphere_a_hollow_and_a_box() -> None:
    points = np.random.default_rng(2).uniform(-1.5, 1.5, (20_000, 3)).astype(np.float32)
    radius = np.linalg.norm(points, axis=1)
    found = inside(points, sphere(40))
    clear = np.abs(radius - 1) > 0.005
    np.testing.assert_array_equal(found[clear], radius[clear] < 1)
    hollow = inside(points, np.concatenate([sphere(40), sphere(40) * 0.5]))
    clear &= np.abs(radius - 0.5) > 0.005
    np.testing.assert_array_equal(hollow[clear], ((radius < 1) & (radius > 0.5))[clear])


def test_rays_through_edges_and_corners_are_counted_once() -> None:
    """Points straight below the corners and edges of a box's triangles, on the ground grid that made them."""
    corners = np.array([(x, y, z) for x in (0, 1, 2) for y in (0, 1, 2) for z in (0, 2)], np.float64)
    index = {tuple(corner): corner for corner in corners}

    def quad(*at: tuple[int, int, int]) -> list[list[np.ndarray]]:
        a, b, c, d = (index[each] for each in at)
        return [[a, b, c], [a, c, d]]

    faces = []
    for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        for z in (0, 2):
            faces += quad((x, y, z), (x + 1, y, z), (x + 1, y + 1, z), (x, y + 1, z))
    for t in (0, 1):
        for side in (0, 2):
            faces += quad((side, t, 0), (side, t + 1, 0), (side, t + 1, 2), (side, t, 2))
            faces += quad((t, side, 0), (t + 1, side, 0), (t + 1, side, 2), (t, side, 2))
    box = np.array(faces)
    assert containment.edges_are_shared(box) and not containment.edges_are_shared(box[1:])
    on_lines = np.array([(1, 1, 1), (0.5, 0.5, 1), (1, 0.5, 1), (1.25, 1.25, 1), (1.5, 1, 1)], np.float32)
    assert inside(on_lines, box).all()
    assert not inside(on_lines + np.float32((0, 0, 5)), box).any()
    assert not inside(on_lines - np.float32((0, 0, 5)), box).any()
    assert not inside(on_lines, np.zeros((0, 3, 3))).any()


@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans())
def test_overlapping_tetrahedra_cancel_each_other(seed: int, count: int, lattice: bool) -> None:
    """Inside an odd number of them. On a lattice many rays pass through corners and along upright faces."""
    generator = np.random.default_rng(seed)
    if lattice:
        solids = generator.integers(0, 6, (count, 4, 3)).astype(np.float64)
        points = (generator.integers(0, 12, (400, 3)) / 2).astype(np.float32)
    else:
        solids = generator.uniform(0, 6, (count, 4, 3))
        points = generator.uniform(-1, 7, (400, 3)).astype(np.float32)
    expected, clear = np.zeros(len(points), np.bool_), np.ones(len(points), np.bool_)
    for solid in solids:
        edges = solid[1:] - solid[0]
        if abs(np.linalg.det(edges)) < 1e-6:
            lies = np.abs((points - solid[0]) @ np.linalg.svd(edges)[2][-1]) < 1e-6  # flat: all are outside
            clear &= ~lies
            continue
        shares = np.linalg.solve(edges.T, (points - solid[0]).T.astype(np.float64)).T
        shares = np.concatenate([shares, 1 - shares.sum(axis=1, keepdims=True)], axis=1)
        expected ^= (shares > 0).all(axis=1)
        clear &= np.abs(shares).min(axis=1) > 1e-6
    mesh = np.concatenate([[solid[list(face)] for face in FACES] for solid in solids])
    np.testing.assert_array_equal(inside(points, mesh)[clear], expected[clear])


@pytest.mark.parametrize("segments", [5, 60])
def test_inside_a_turned_torus(segments: int) -> None:
    """By its mesh's own winding number, van Oosterom and Strackee's solid angles (1983), point by point."""
    generator = np.random.default_rng(1)
    angles = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    around, across = np.meshgrid(angles, angles, indexing="ij")
    ring = np.stack(
        [(2 + np.cos(across)) * np.cos(around), (2 + np.cos(across)) * np.sin(around), np.sin(across)], axis=-1
    )
    turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    a = (ring @ turn) * (1, 3, 0.2) + (10, -5, 2)
    b, d = np.roll(a, -1, axis=0), np.roll(a, -1, axis=1)
    c = np.roll(b, -1, axis=1)
    mesh = np.concatenate([np.stack([a, b, c], 2).reshape(-1, 3, 3), np.stack([a, c, d], 2).reshape(-1, 3, 3)])
    points = generator.uniform(a.min(axis=(0, 1)), a.max(axis=(0, 1)), (300, 3)).astype(np.float32)
    winding = np.array([winding_number(point.astype(np.float64), mesh) for point in points])
    assert containment.edges_are_shared(mesh)
    np.testing.assert_array_equal(inside(points, mesh), np.abs(winding) > 0.5)
    assert 0.05 < (np.abs(winding) > 0.5).mean() < 0.8


def winding_number(point: np.ndarray, mesh: np.ndarray) -> float:
    a, b, c = (mesh[:, corner] - point for corner in range(3))
    la, lb, lc = (np.linalg.norm(each, axis=1) for each in (a, b, c))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c))
    dots = [np.einsum("ij,ij->i", one, other) for one, other in ((a, b), (b, c), (c, a))]
    return float(np.arctan2(volume, la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb).sum() / (2 * np.pi))


def test_odd_points_and_meshes() -> None:
    points = np.array([[0, 0, 0], [np.nan, 0, 0], [0, 0, np.inf], [1e30, 0, 0]], np.float32)
    found = inside(points, sphere())
    np.testing.assert_array_equal(found, [True, False, False, False])
    flat = sphere() * (1, 1, 0)
    assert not inside(points, flat).any()
    assert not inside(points, np.zeros((4, 3, 3))).any()
    assert not containment.edges_are_shared(np.zeros((0, 3, 3)))
    corners = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], np.float64)
    square = corners[[[0, 1, 2], [0, 2, 3]]]
    assert not containment.edges_are_shared(square)
    assert containment.edges_are_shared(np.concatenate([square, square[:, ::-1]])), "two sides of a sheet"

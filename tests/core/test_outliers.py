"""Floaters against a brute-force search and a k-d tree, and on a cloud as panoramas make them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core.errors import PointCloudError
from pantheon360_blender.core.points import connected, outliers, spans
from pantheon360_blender.core.points.morton import MortonOrder
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.progress import run_to_end


def floaters(made: PointCloud, strictness: float = 3.0, neighbours: int = 8) -> np.ndarray:
    return run_to_end(outliers.finding(made, strictness, neighbours))


def crowded(points: np.ndarray, radii: np.ndarray, count: int) -> np.ndarray:
    return run_to_end(outliers.counting(points, radii, count, MortonOrder.from_points(points)))


def cloud(points: np.ndarray, footprint: np.ndarray | None = None) -> PointCloud:
    points = points.astype(np.float32)
    colours = np.zeros((len(points), 3), np.uint8)
    return PointCloud(points, colours, footprint=None if footprint is None else footprint.astype(np.float32))


@given(st.integers(0, 10_000), st.integers(2, 120), st.integers(1, 9), st.floats(0.01, 20.0))
def test_crowded_is_what_brute_force_finds(seed: int, count: int, neighbours: int, reach: float) -> None:
    generator = np.random.default_rng(seed)
    points = (generator.normal(size=(count, 3)) * generator.choice([0.01, 1, 30], (count, 1))).astype(np.float32)
    radii = (reach * generator.uniform(0.05, 2.0, count)).astype(np.float32)
    apart = np.linalg.norm(points[:, None].astype(np.float64) - points[None], axis=2)
    expected = (apart <= radii[:, None]).sum(axis=1) > neighbours
    np.testing.assert_array_equal(crowded(points, radii, neighbours), expected)


@given(st.integers(0, 10_000), st.integers(3, 200))
def test_the_usual_distance_is_measured(seed: int, count: int) -> None:
    """Against all distances: where nothing is far, the threshold follows from the true median and quantile."""
    generator = np.random.default_rng(seed)
    points = generator.uniform(0, 0.3, (count, 3)).astype(np.float32)
    nth = int(generator.integers(1, min(count, 9)))
    apart = np.sort(np.linalg.norm(points[:, None].astype(np.float64) - points[None], axis=2), axis=1)[:, nth]
    ratio = np.sort(apart)
    median, upper = ratio[int(0.5 * (count - 1))], ratio[int(0.84 * (count - 1))]
    expected = median * np.exp(2.0 * max(np.log(upper / median), 0.25))
    found = outliers.usual_distance(points, np.ones(count, np.float32), 2.0, nth)
    assert found == pytest.approx(expected, rel=1e-5)


def room(generator: np.random.Generator, floaters: float = 0.01) -> tuple[PointCloud, np.ndarray]:
    """A corridor of 10 x 80 x 16 m seen from its middle, 200 rays a row, and which of its points float in the air."""
    columns, rows = np.meshgrid((np.arange(400) + 0.5) / 400, (np.arange(200) + 0.5) / 200)
    lon, lat = columns.ravel() * 2 * np.pi, (0.5 - rows.ravel()) * np.pi
    rays = np.stack([np.cos(lat) * np.sin(lon), np.cos(lat) * np.cos(lon), np.sin(lat)], axis=1)
    ranges = (np.array([5, 40, 8]) / np.maximum(np.abs(rays), 1e-9)).min(axis=1)
    footprint = ranges * 2 * np.pi / 400 * 2
    lost = generator.random(len(rays)) < floaters
    ranges[lost] *= generator.uniform(0.2, 0.8, lost.sum())
    return cloud(rays * ranges[:, None], footprint), lost


@pytest.mark.parametrize(("strictness", "neighbours"), [(1.0, 8), (2.0, 3), (2.0, 40)])
def test_floaters_are_those_of_a_tree(strictness: float, neighbours: int) -> None:
    """Against scipy's k-d tree, on a cloud so small that the statistics are those of all its points."""
    spatial = pytest.importorskip("scipy.spatial")
    made, _ = room(np.random.default_rng(8), 0.05)
    nearest = np.argsort(np.linalg.norm(made.points, axis=1))[:3900]
    made = made.selected(np.random.default_rng(9).permutation(nearest))
    assert made.footprint is not None
    nth = spatial.cKDTree(made.points).query(made.points.astype(np.float64), neighbours + 1)[0][:, neighbours]
    ratio = nth / made.footprint
    median, upper = np.sort(ratio)[[int(0.5 * (len(ratio) - 1)), int(0.84 * (len(ratio) - 1))]]
    limit = median * (max(min(upper, 6.0) / median, np.exp(0.25))) ** strictness
    expected = ratio > min(limit, 24.0)
    clear = np.abs(ratio / min(limit, 24.0) - 1) > 1e-5
    found = floaters(made, strictness, neighbours)
    np.testing.assert_array_equal(found[clear], expected[clear])
    assert 0.001 < expected.mean() < 0.5


def test_a_stray_cluster_and_a_huge_cloud_around_it() -> None:
    """Far from everything else, yet dense: what is there is judged as anywhere, and costs the rest no precision."""
    made, lost = room(np.random.default_rng(5))
    x, y = np.meshgrid(np.arange(20) * 0.01, np.arange(20) * 0.01)
    far = np.stack([x.ravel() + 3000, y.ravel(), x.ravel() * 0], axis=1)
    both = PointCloud.concatenate([made, cloud(far, np.full(400, 0.01))])
    found = floaters(both)
    assert found[-400:].mean() < 0.05, "but for the corners"
    assert found[:-400][lost].mean() > 0.9


def test_floaters_go_and_near_and_far_walls_stay() -> None:
    made, lost = room(np.random.default_rng(3))
    found = floaters(made)
    assert found[lost].mean() > 0.93
    assert found[~lost].mean() < 0.005
    far = np.linalg.norm(made.points, axis=1) > 25
    assert found[far & ~lost].mean() < 0.05, "far walls are thin, not lost"


def test_corners_and_edges_of_a_surface_stay() -> None:
    x, y = np.meshgrid(np.arange(40.0), np.arange(40.0))
    flat = np.stack([x.ravel(), y.ravel(), x.ravel() * 0], axis=1)
    assert not floaters(cloud(flat, np.ones(1600))).any()


def test_stricter_removes_more_and_order_does_not_matter() -> None:
    made, _ = room(np.random.default_rng(4), 0.03)
    strict, mild = floaters(made, 1.0), floaters(made, 4.0)
    assert strict.sum() > mild.sum() and (strict | mild == strict).all()
    radii = outliers.spacing(made) * np.float32(2)
    order = np.random.default_rng(0).permutation(len(made))
    turned = crowded(made.points[order], radii[order], 8)
    np.testing.assert_array_equal(turned, crowded(made.points, radii, 8)[order])


def test_odd_clouds() -> None:
    assert not floaters(PointCloud.empty()).any()
    assert not floaters(cloud(np.zeros((5, 3)))).any(), "too few to tell"
    assert not floaters(cloud(np.zeros((50, 3)))).any(), "all in one place"
    broken = cloud(np.random.default_rng(1).normal(size=(100, 3)))
    broken.points[3] = np.nan
    broken.points[4] = 1e30
    found = floaters(broken)
    assert found[3] and found[4] and found.sum() < 20
    with pytest.raises(PointCloudError):
        floaters(broken, neighbours=0)


def test_spacing_without_footprints_is_about_the_grid() -> None:
    x, y = np.meshgrid(np.arange(300) * 0.05, np.arange(300) * 0.05)
    flat = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    assert outliers.spacing(cloud(flat))[0] == pytest.approx(0.05, rel=0.35)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 7)), max_size=40), st.integers(1, 30))
def test_runs_are_written_out(runs: list[tuple[int, int]], at_once: int) -> None:
    start = np.array([first for first, _ in runs], np.intp)
    count = np.array([length for _, length in runs], np.intp)
    parts = list(spans.expand(start, count, at_once))
    found = [(int(r), int(i)) for run, index in parts for r, i in zip(run, index, strict=True)]
    assert found == [(r, first + step) for r, (first, length) in enumerate(runs) for step in range(length)]
    assert all(len(run) <= max(at_once, 7) for run, _ in parts)


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=60))
def test_components_are_those_of_a_walk(count: int, edges: list[tuple[int, int]]) -> None:
    edges = [(a % count, b % count) for a, b in edges]
    expected = list(range(count))
    for _ in range(count):
        for a, b in edges:
            expected[a] = expected[b] = min(expected[a], expected[b])
    one, other = (np.array([edge[end] for edge in edges], np.intp) for end in (0, 1))
    np.testing.assert_array_equal(connected.components(count, one, other), expected)

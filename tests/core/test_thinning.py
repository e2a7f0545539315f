"""Thinning by voxels: against a dictionary of cubes, and the bounds that it promises."""

from __future__ import annotations

import tracemalloc
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon360_blender.core import progress
from pantheon360_blender.core.errors import PointCloudError
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.points.thinning import Thinner, merging, thin, thin_to


def a_cloud(count: int, seed: int = 0, extent: float = 4.0) -> PointCloud:
    random = np.random.default_rng(seed)
    return PointCloud(
        random.uniform(-extent, extent, (count, 3)).astype(np.float32),
        random.integers(0, 256, (count, 3), dtype=np.uint8),
        random.random(count, dtype=np.float32),
        random.integers(-1, 5, count, dtype=np.int32),
        random.uniform(0.001, 0.1, count).astype(np.float32),
    )


def by_cubes(cloud: PointCloud, size: float) -> dict[tuple[int, ...], list[int]]:
    cubes: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, point in enumerate(cloud.points.astype(np.float64) / size):
        cubes[tuple(np.floor(point).astype(int).tolist())].append(index)
    return cubes


@given(count=st.integers(1, 300), size=st.sampled_from([0.3, 1.0, 2.5, 50.0]), seed=st.integers(0, 9))
def test_one_point_a_voxel_is_the_mean_of_its_points(count: int, size: float, seed: int) -> None:
    cloud = a_cloud(count, seed)
    thinned = thin(cloud, size)
    expected = list(by_cubes(cloud, size).values())  # in the order of first appearance
    assert len(thinned) == len(expected)
    for index, members in enumerate(expected):
        np.testing.assert_allclose(thinned.points[index], cloud.points[members].mean(0, np.float64), atol=1e-5)
        assert np.abs(thinned.colours[index] - cloud.colours[members].mean(0)).max() <= 0.5 + 1e-9
        assert thinned.source is not None and cloud.source is not None
        assert thinned.source[index] == cloud.source[members[0]]
        assert thinned.confidence is not None and cloud.confidence is not None
        assert thinned.confidence[index] == pytest.approx(cloud.confidence[members].mean(), abs=1e-6)
    assert thinned.footprint is not None and (thinned.footprint >= np.float32(size)).all()


@given(count=st.integers(1, 300), size=st.sampled_from([0.5, 2.0]), seed=st.integers(0, 9))
def test_the_nearest_point_is_one_of_the_cloud(count: int, size: float, seed: int) -> None:
    cloud = a_cloud(count, seed)
    thinned = thin(cloud, size, "nearest")
    for index, members in enumerate(by_cubes(cloud, size).values()):
        distances = np.linalg.norm(cloud.points[members] - cloud.points[members].mean(0, np.float64), axis=1)
        chosen = members[int(np.argmin(distances))]
        np.testing.assert_array_equal(thinned.points[index], cloud.points[chosen])
        np.testing.assert_array_equal(thinned.colours[index], cloud.colours[chosen])


def test_a_cloud_within_the_limit_is_left_alone() -> None:
    cloud = a_cloud(1000)
    kept = thin_to(cloud, 1000)
    np.testing.assert_array_equal(kept.points, cloud.points)
    np.testing.assert_array_equal(kept.source, cloud.source)


def test_each_kept_point_names_the_one_it_may_inherit_from() -> None:
    cloud = a_cloud(500)
    cloud.points[7] = np.nan
    for keep in ("mean", "nearest"):
        thinned, stands = progress.run_to_end(merging(cloud, 1.5, keep))  # type: ignore[arg-type]
        assert len(thinned) == len(stands) == len(np.unique(stands)) and 7 not in stands
        cells = np.floor(cloud.points[stands].astype(np.float64) / 1.5)
        near = np.floor(thin(cloud, 1.5, "nearest").points.astype(np.float64) / 1.5)
        np.testing.assert_array_equal(cells, near)
        if keep == "nearest":
            np.testing.assert_array_equal(thinned.points, cloud.points[stands])


# One point is left only after the voxels were enlarged dozens of times, each time over all that is left.
@pytest.mark.parametrize("limit", [pytest.param(1, marks=pytest.mark.slow), 10, 999, 5000])
def test_the_limit_holds_and_is_used(limit: int) -> None:
    random = np.random.default_rng(1)
    plane = np.column_stack([random.uniform(0, 30, (40_000, 2)), np.zeros(40_000)]).astype(np.float32)
    thinner = Thinner(limit)
    for part in np.array_split(plane, 17):
        thinner.add(PointCloud(part, np.zeros((len(part), 3), np.uint8)))
    cloud = thinner.cloud()
    assert limit / 4 <= len(cloud) <= limit
    assert thinner.given == 40_000 and thinner.thinned
    cells = np.floor(cloud.points[:, :2] / 10)
    assert limit < 100 or len(np.unique(cells, axis=0)) == 9, "a part of the plane is gone"


def test_a_large_clouds_limit_holds_and_is_used() -> None:
    """So many points that the size of the voxels is found before any of them are merged: a sphere, and a flat floor."""
    directions = np.random.default_rng(2).normal(size=(400_000, 3))
    sphere = 5 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    for points in (sphere, sphere * (1, 1, 0)):
        cloud = PointCloud(points.astype(np.float32), np.zeros((len(points), 3), np.uint8))
        thinner = Thinner(150_000)
        thinner.add(cloud)
        assert 100_000 < len(thinner.cloud()) <= 150_000
        assert len(thinner.cloud()) == len(thin(cloud, thinner.size)), "by one grid of the size it says"


def test_a_stray_point_far_away_costs_the_others_no_resolution() -> None:
    cloud = a_cloud(20_000)
    stray = PointCloud(np.array([[1e9, -1e9, 1e9]], np.float32), np.zeros((1, 3), np.uint8))
    thinner = Thinner(5_000)
    thinner.add(PointCloud.concatenate([cloud, stray]))
    kept = thinner.cloud()
    assert len(kept) > 1_250
    assert np.abs(kept.points).max() > 9e8


@pytest.mark.parametrize("stray", [1e9, 3e38])
def test_a_stray_point_does_not_coarsen_what_is_thinned_to_a_limit(stray: float) -> None:
    points = np.random.default_rng(2).uniform(-1, 1, (4000, 3)).astype(np.float32)
    points[:2, 0] = stray, -stray
    thinned = thin_to(PointCloud(points, np.zeros((4000, 3), np.uint8)), 1000)
    assert 500 < len(thinned) <= 1000


def test_points_that_are_not_finite_are_left_out() -> None:
    points = np.array([[0, 0, 0], [np.nan, 0, 0], [0, np.inf, 0], [5, 5, 5]], np.float32)
    kept = thin(PointCloud(points, np.zeros((4, 3), np.uint8)), 1.0)
    np.testing.assert_array_equal(kept.points, points[[0, 3]])


def test_parts_give_nearly_what_the_whole_gives() -> None:
    cloud = a_cloud(50_000)
    whole = thin(cloud, 1.0)
    thinner = Thinner(100_000, 1.0)
    for start in range(0, len(cloud), 777):
        thinner.add(cloud.selected(slice(start, start + 777)))
    np.testing.assert_allclose(thinner.cloud().points, whole.points, atol=1e-5)


def test_memory_follows_the_limit_and_not_what_is_added() -> None:
    thinner = Thinner(20_000)
    tracemalloc.start()
    for seed in range(40):
        thinner.add(a_cloud(20_000, seed))
    kept = thinner.cloud()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(kept) <= 20_000
    assert peak < 20_000 * 600  # 800,000 points of 31 bytes would be twice that


@pytest.mark.parametrize("size", [-1.0, float("nan"), float("inf")])
def test_voxels_without_a_size_are_refused(size: float) -> None:
    with pytest.raises(PointCloudError):
        thin(a_cloud(3), size)
    with pytest.raises(PointCloudError):
        Thinner(0)


def test_no_points_stay_no_points() -> None:
    assert len(thin(PointCloud.empty(), 1.0)) == 0
    assert len(thin_to(PointCloud.empty(), 5)) == 0

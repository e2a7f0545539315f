"""Faults of caches are as large as they are said to be."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from backend.training.worlds.cache_faults import CaptureView, Faults, cache, random_faults, smooth_field
from backend.training.worlds.rays import Directions
from pantheon360_blender.core.panorama.cameras import rotation_from_heading

WIDTH = 128
GRID = Directions(WIDTH, rotation_from_heading(30), "cpu")


def view(position: tuple[float, float, float] = (0, 0, 0), radius: float = 5.0) -> CaptureView:
    """A capture within a ball around the origin, coloured at random; what is above 60 degrees is sky."""
    random = np.random.default_rng(5)
    looking = GRID.world.double().numpy()
    along = looking @ np.array(position)
    ranges = -along + np.sqrt(along**2 - np.dot(position, position) + radius**2)
    ranges[: WIDTH // 12] = math.inf
    colours = random.integers(1, 256, (WIDTH // 2, WIDTH, 3), dtype=np.uint8)
    return CaptureView(
        torch.from_numpy(colours), torch.from_numpy(ranges.astype(np.float32)), np.array(position, float)
    )


def distances(faults: Faults, seed: int = 0) -> np.ndarray:
    points, *_ = cache([view()], GRID, faults, np.random.default_rng(seed))
    return np.asarray(points.double().norm(dim=1).numpy())


def test_an_exact_cache_is_the_truth_without_the_sky() -> None:
    points, colours, _ = cache([view((1, 0, 0.5)), view((-1, 1, 0))], GRID, Faults(), np.random.default_rng(0))
    assert len(points) == 2 * WIDTH * (WIDTH // 2 - WIDTH // 12) == len(colours)
    np.testing.assert_allclose(points.norm(dim=1).numpy(), 5, rtol=1e-5)


@pytest.mark.parametrize("blobs", [False, True])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.8])
def test_the_share_of_points_that_is_left(kept: float, blobs: bool) -> None:
    whole = len(distances(Faults()))
    shares = [len(distances(Faults(kept=kept, blobs=blobs), seed)) / whole for seed in range(8)]
    assert np.mean(shares) == pytest.approx(kept, rel=0.25)


def test_blobs_leave_holes_that_even_thinning_does_not() -> None:
    def emptiest(faults: Faults) -> float:
        points, *_ = cache([view()], GRID, faults, np.random.default_rng(1))
        octant = ((points > 0).long() * torch.tensor([4, 2, 1])).sum(1)
        counts = torch.bincount(octant, minlength=8).double()
        return float(counts.std() / counts.mean())

    assert emptiest(Faults(kept=0.2, blobs=True)) > 1.2 * emptiest(Faults(kept=0.2))


def test_smooth_errors_are_as_large_as_said_and_differ_by_capture() -> None:
    same = [distances(Faults(smooth=0.02), seed) / 5 - 1 for seed in range(12)]
    assert np.mean([errors.std() for errors in same]) == pytest.approx(0.02, rel=0.3)
    assert abs(np.corrcoef(same[0], same[1])[0, 1]) < 0.6
    neighbours = np.corrcoef(same[0][:-1], same[0][1:])[0, 1]
    assert neighbours > 0.98
    points, *_ = cache([view(), view()], GRID, Faults(smooth=0.02), np.random.default_rng(3))
    first, second = points.norm(dim=1).chunk(2)
    assert not torch.allclose(first, second, rtol=1e-3)


def test_outliers_are_few_and_far_off() -> None:
    errors = np.abs(distances(Faults(outliers=0.05)) / 5 - 1)
    assert np.mean(errors > 1e-4) == pytest.approx(0.05, rel=0.2)
    assert np.median(errors[errors > 1e-4]) > 0.1


def test_a_field_has_no_seam_and_unit_size() -> None:
    random = np.random.default_rng(0)
    fields = [smooth_field((64, 128), 8, random) for _ in range(30)]
    assert np.std(fields) == pytest.approx(1, rel=0.15)
    seam = np.mean([np.abs(field[:, 0] - field[:, -1]).mean() for field in fields])
    inner = np.mean([np.abs(np.diff(field, axis=1)).mean() for field in fields])
    assert seam < 2 * inner


def test_plain_distant_and_broken_surfaces_have_no_points() -> None:
    random = np.random.default_rng(0)
    half = view()
    plain = CaptureView(half.colours.clone(), half.ranges.clone(), half.position)
    plain.colours[:, : WIDTH // 2] = 128
    left = len(cache([plain], GRID, Faults(plain=0.4), random)[0]) / len(cache([plain], GRID, Faults(), random)[0])
    assert 0.45 < left < 0.65
    assert len(cache([half], GRID, Faults(farthest=4.9), random)[0]) == 0
    stepped = CaptureView(half.colours, half.ranges.clone(), half.position)
    stepped.ranges[:, WIDTH // 2 :] = 9
    whole, cut = (cache([stepped], GRID, Faults(edges=edges), random)[0] for edges in (False, True))
    rows = WIDTH // 2 - WIDTH // 12
    assert 3 * rows <= len(whole) - len(cut) <= 8 * rows + WIDTH * 4


def test_fused_surfaces_are_left_to_the_nearest_capture() -> None:
    left, right = view((-3, 0, 0)), view((3, 0, 0))
    points, *_ = cache([left, right], GRID, Faults(fused=True), np.random.default_rng(0))
    for own, side in ((left, -1), (right, 1)):
        alone, *_ = cache([own], GRID, Faults(), np.random.default_rng(0))
        beside = [(cloud[:, 0] * side > 1) & (cloud[:, 2] < 1) for cloud in (points, alone)]
        assert beside[0].sum() == beside[1].sum() > 100


def test_what_is_drawn_spans_what_is_promised() -> None:
    random = np.random.default_rng(0)
    drawn = [random_faults(random) for _ in range(2000)]
    kept = np.log([faults.kept for faults in drawn])
    assert kept.min() < math.log(0.022) and kept.max() > math.log(0.97)
    assert np.mean(kept) == pytest.approx((math.log(0.02)) / 2, abs=0.06)
    exact = np.mean([faults.smooth == 0 and faults.outliers == 0 and faults.rough == 0 for faults in drawn])
    assert exact == pytest.approx(0.3, abs=0.04)


def test_a_point_is_as_large_as_what_its_pixel_covers() -> None:
    """On a ball seen from its middle: the range times the angle of a pixel, however few of the points are left."""
    for faults in (Faults(), Faults(kept=0.1), Faults(fused=True)):
        points, _, footprint = cache([view()], GRID, faults, np.random.default_rng(0))
        assert len(footprint) == len(points)
        inner = points[:, 2] < 4.2  # beside the sky the incidence is not known
        np.testing.assert_allclose(footprint[inner].numpy(), 5 * math.tau / WIDTH, rtol=0.02)

"""Range maps become one cloud in which a surface is there once: captures in a hollow sphere, known in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.reconstruction import depth_map, fusion
from backend.reconstruction.depth_map import DepthMap
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.progress import run_to_end

RADIUS = 5.0
WIDTH = 128


def place(x: float, y: float, turned: float) -> np.ndarray:
    """A level camera at (x, y, 0) that looks to +Y, turned to the left by radians."""
    cosine, sine = np.cos(turned), np.sin(turned)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    pose[:3, 3] = x, y, 0.0
    return pose


PLACES = {"A": place(-1.5, 0, 0.3), "B": place(1.5, 0.5, -1.0)}


def sphere_range(pose: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """Exact range to the sphere, (H, W) float32: the positive root of |p + t d| = RADIUS."""
    rays = equirectangular.directions(width).astype(np.float64) @ pose[:3, :3].T
    along = rays @ pose[:3, 3]
    return np.asarray(-along + np.sqrt(along**2 + RADIUS**2 - pose[:3, 3] @ pose[:3, 3]), np.float32)


def captures() -> list[Capture]:
    colours = {"A": (200, 40, 40), "B": (40, 40, 200)}
    return [
        Capture(name, np.full((WIDTH // 2, WIDTH, 3), colours[name], np.uint8), pose) for name, pose in PLACES.items()
    ]


def depth_of(capture: Capture) -> DepthMap:
    ranges = sphere_range(capture.pose)
    return DepthMap(ranges, np.full(ranges.shape, 0.8, np.float32), np.zeros(ranges.shape, np.bool_))


def fused(maps: list[DepthMap | None], **options: Any) -> PointCloud:
    return run_to_end(fusion.fuse(captures(), maps, 0.5, **options))


def test_a_surface_is_there_once_and_from_its_nearest_capture() -> None:
    cloud = fused([depth_of(capture) for capture in captures()])
    assert cloud.source is not None
    places = np.stack([pose[:3, 3] for pose in PLACES.values()])
    distances = np.linalg.norm(cloud.points[:, None] - places[None], axis=-1)
    own = distances[np.arange(len(cloud)), cloud.source]
    assert (own <= distances.min(axis=1) * 1.05).all()
    both = fused([depth_of(capture) for capture in captures()], nearest_only=False)
    assert both.source is not None and len(both) == len(places) * WIDTH * WIDTH // 2
    distances = np.linalg.norm(both.points[:, None] - places[None], axis=-1)
    nearest = (distances.argmin(axis=1) == both.source).sum()
    assert abs(len(cloud) - nearest) < 0.02 * nearest
    colours = np.array([capture.image[0, 0] for capture in captures()])
    np.testing.assert_array_equal(cloud.colours, colours[cloud.source])


def test_no_side_of_the_sphere_is_left_out() -> None:
    cloud = fused([depth_of(capture) for capture in captures()])
    somewhere = np.random.default_rng(3).normal(size=(500, 3))
    somewhere *= RADIUS / np.linalg.norm(somewhere, axis=1, keepdims=True)
    gaps = np.linalg.norm(cloud.points[:, None] - somewhere[None], axis=-1).min(axis=0)
    assert gaps.max() < 2 * (RADIUS + 1.6) * 2 * np.pi / WIDTH


def test_what_another_capture_looks_through_is_not_there() -> None:
    first, second = (depth_of(capture) for capture in captures())
    ghost = first.range.copy()
    ghost[20:40, 30:60] *= 0.5
    cloud = fused([DepthMap(ghost, first.confidence, first.sky), second])
    assert np.linalg.norm(cloud.points, axis=1).min() > 0.98 * RADIUS


def test_sky_unsure_and_unknown_pixels_are_left_out() -> None:
    whole = depth_of(captures()[0])
    sky, sure, ranges = whole.sky.copy(), whole.confidence.copy(), whole.range.copy()
    sky[:10], sure[20:25], ranges[40:45] = True, 0.4, np.inf
    cloud = fused([DepthMap(ranges, sure, sky), None])
    rows = np.arange(WIDTH // 2)
    left = (
        (rows >= 11) & ~((rows >= 20) & (rows < 25)) & ~((rows >= 39) & (rows < 46))
    )  # what borders on nothing is an edge
    assert len(cloud) == left.sum() * WIDTH


def guess(depth: DepthMap, ranges: np.ndarray, where: Any) -> DepthMap:
    """A map of which a part is guessed to be at other ranges."""
    changed, sure = depth.range.copy(), depth.confidence.copy()
    changed[where] = ranges[where] if isinstance(ranges, np.ndarray) else ranges
    sure[where] = 0.1
    return DepthMap(changed, sure, depth.sky)


PART = (slice(20, 40), slice(30, 60))


def test_guesses_are_points_that_are_marked_if_they_are_wanted() -> None:
    whole = depth_of(captures()[0])
    given = guess(whole, whole.range, PART)
    assert len(fused([given, None])) == WIDTH * WIDTH // 2 - 20 * 30
    cloud = fused([given, None], guesses=True)
    assert len(cloud) == WIDTH * WIDTH // 2 and cloud.confidence is not None
    assert (cloud.confidence < 0.5).sum() == 20 * 30


def test_a_guess_yields_to_what_is_sure_even_from_afar() -> None:
    """A guesses the part of the sphere that is nearest to it; B sees it surely. What A guesses before it is gone."""
    first, second = (depth_of(capture) for capture in captures())
    rays = equirectangular.directions(WIDTH) @ PLACES["A"][:3, :3].T
    beside = rays @ np.array([-1.0, 0, 0]) > 0.8
    for ranges in (first.range, first.range * np.float32(0.5)):
        cloud = fused([guess(first, ranges, beside), second], guesses=True)
        assert cloud.confidence is not None and cloud.source is not None
        assert (cloud.confidence[cloud.source == 0] > 0.5).all()
        assert np.linalg.norm(cloud.points, axis=1).min() > 0.98 * RADIUS
    near = cloud.points[:, 0] < -0.9 * RADIUS
    assert near.sum() > 50 and (cloud.source[near] == 1).all()


def test_of_guesses_that_contradict_each_other_the_one_from_nearer_stays() -> None:
    """B guesses a wall half way to the sphere, right before A, which guesses the sphere."""
    first, second = (depth_of(capture) for capture in captures())
    rays = equirectangular.directions(WIDTH) @ PLACES["B"][:3, :3].T
    beside = rays @ np.array([-1.0, 0, 0]) > 0.97
    everything = (slice(None), slice(None))
    ghost = guess(guess(second, second.range, everything), second.range * np.float32(0.6), beside)
    cloud = fused([guess(first, first.range, everything), ghost], guesses=True)
    assert np.linalg.norm(cloud.points, axis=1).min() > 0.98 * RADIUS


def test_a_guess_before_another_captures_sky_is_not_there() -> None:
    first, second = (depth_of(capture) for capture in captures())
    sky = DepthMap(np.full_like(second.range, np.inf), np.zeros_like(second.confidence), np.ones_like(second.sky))
    assert len(fused([guess(first, first.range, (slice(None), slice(None))), sky], guesses=True)) == 0
    assert len(fused([first, sky], guesses=True)) == len(fused([first, sky])) == WIDTH * WIDTH // 2


def test_no_guess_hangs_beside_a_step() -> None:
    """Half way between two surfaces there is nothing; what is sure keeps the rule that it had."""
    whole = depth_of(captures()[0])
    jump = guess(whole, whole.range * np.float32(0.85), PART)
    cloud = fused([jump, None], guesses=True)
    assert cloud.confidence is not None
    assert (cloud.confidence < 0.5).sum() == 18 * 28


def test_a_footprint_is_what_a_pixel_covers() -> None:
    """Their areas add up to the sphere's, where it is seen at no grazing angle."""
    centre = Capture("A", np.zeros((WIDTH // 2, WIDTH, 3), np.uint8), place(0, 0, 0))
    steps = fusion.fuse([centre], [depth_of(centre)], 0.5)
    with pytest.raises(StopIteration) as end:
        while True:
            next(steps)
    footprint = end.value.value.footprint
    np.testing.assert_allclose(footprint, 2 * np.pi * RADIUS / WIDTH, rtol=0.02)


def test_a_map_survives_its_file_and_a_damaged_one_is_not_there(tmp_path: Path) -> None:
    path, depth = tmp_path / "depth" / "A.npz", depth_of(captures()[0])
    depth_map.write(OutputFolder(tmp_path), "depth/A.npz", depth)
    read = depth_map.read(path)
    assert read is not None
    for name in ("range", "confidence", "sky"):
        np.testing.assert_array_equal(getattr(read, name), getattr(depth, name))
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"PK" + whole[2:200]):
        path.write_bytes(damaged)
        assert depth_map.read(path) is None
    np.savez(path, range=depth.range, confidence=depth.confidence[:-1], sky=depth.sky)
    assert depth_map.read(path) is None
    assert depth_map.read(tmp_path / "nowhere.npz") is None


def test_more_points_than_pixels_lie_on_the_same_surface_in_the_colours_of_the_photograph() -> None:
    stripes = np.zeros((WIDTH, 2 * WIDTH, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than a pixel of the maps
    fine = [Capture(name, stripes, pose) for name, pose in PLACES.items()]
    maps = [depth_of(each) for each in captures()]
    for capture, depth in zip(fine, maps, strict=True):
        large = depth_map.enlarged(depth, 2)
        error = np.abs(large.range / sphere_range(capture.pose, 2 * WIDTH) - 1)
        assert np.percentile(error, 99) < 2e-3 < np.abs(depth.range.repeat(2, 0).repeat(2, 1) / large.range - 1).max()
    cloud = run_to_end(fusion.fuse(fine, maps, 0.5, nearest_only=False, finer=2))
    assert len(cloud) > 3.5 * len(fused(list(maps), nearest_only=False))
    assert set(np.unique(cloud.colours)) == {0, 255}
    np.testing.assert_allclose(np.linalg.norm(cloud.points, axis=1), RADIUS, rtol=5e-3)


def test_edges_stay_where_they_are_when_a_map_is_enlarged() -> None:
    ranges = np.full((8, 16), 2.0, np.float32)
    ranges[:, 5:9] = 9.0
    ranges[3, 12] = np.inf
    depth = DepthMap(ranges, np.ones(ranges.shape, np.float32), ~np.isfinite(ranges))
    large = depth_map.enlarged(depth, 3)
    assert large.range.shape == large.sky.shape == large.confidence.shape == (24, 48)
    np.testing.assert_array_equal(large.range, ranges.repeat(3, 0).repeat(3, 1))
    np.testing.assert_array_equal(large.sky, depth.sky.repeat(3, 0).repeat(3, 1))


def test_points_are_held_against_the_nearest_captures_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the work grows with the captures; those that stand nearest to one are those that see what it sees."""
    asked: list[tuple[float, float]] = []
    truly = fusion._Seen.against

    def noted(self: fusion._Seen, points: fusion._Points, *, first: bool) -> tuple[np.ndarray, np.ndarray]:
        asked.append((float(self.capture.pose[0, 3]), float(np.median(points.places[:, 0]))))
        return truly(self, points, first=first)

    monkeypatch.setattr(fusion._Seen, "against", noted)
    captures, maps = [], []
    for place in range(20):
        pose = np.eye(4)
        pose[0, 3] = 100.0 * place
        captures.append(Capture(str(place), np.zeros((8, 16, 3), np.uint8), pose))
        shape = (8, 16)
        maps.append(DepthMap(np.full(shape, 2.0, np.float32), np.ones(shape, np.float32), np.zeros(shape, np.bool_)))
    run_to_end(fusion.fuse(captures, maps, 0.5))
    assert len(asked) == 20 * fusion._WITNESSES
    assert {witness for witness, here in asked if abs(here) < 50} == {100.0 * index for index in range(1, 13)}

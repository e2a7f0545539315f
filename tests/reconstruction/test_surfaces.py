"""Captures ten metres apart: what is proven of a street, and what must not be.

The oracle casts rays at a road and at a wall beside it, painted with waves or with what repeats. The views' own
estimates are nonsense: only planes can be proven. One of the planes that they were labelled with is right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs the backend's environment")
pytest.importorskip("scipy", reason="needs the backend's environment")

from backend.reconstruction.dense.level_sweep import level_planes_swept
from backend.reconstruction.dense.plane_hypotheses import into_camera
from backend.reconstruction.dense.surfaces import Surfaces, is_far, proven
from backend.reconstruction.dense.view import DenseView, relative_poses
from backend.reconstruction.dense.warps import likeness, pyramid
from pantheon360_blender.core.jobs.reconstruct_settings import DEFAULT_CONFIDENCE
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import rotation_from_heading

WIDTH = 256
EYE, WALL, APART = 2.0, 7.0, 10.0  # metres
ROAD, FACADE = np.array([0.0, 0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0, WALL])
Paint = Callable[[np.ndarray], np.ndarray]


def waves(points: np.ndarray) -> np.ndarray:
    """Grey (N,) of world points."""
    random = np.random.default_rng(5)
    grey = np.full(len(points), 120.0)
    for _ in range(50):
        grey += np.sin(points @ random.normal(0, 3, 3) + random.uniform(0, 7)) * random.uniform(4, 14)
    return grey


def repeated(period: float) -> Paint:
    """Waves that begin again along the wall after so many metres."""

    def paint(points: np.ndarray) -> np.ndarray:
        again = points.copy()
        again[:, 1] = 0
        turn = 2 * np.pi * points[:, 1] / period
        return waves(again + np.stack([np.zeros_like(turn), np.sin(turn), np.cos(turn)], axis=1) * 0.6)

    return paint


@dataclass
class Street:
    """views; ranges: (H, W) true metres each, inf in the sky; wall: (H, W) bool each, where the wall is."""

    views: list[DenseView]
    ranges: list[np.ndarray]
    wall: list[np.ndarray]

    def proven(self) -> list[Surfaces]:
        job = proven(self.views, [[1], [0]])
        while True:
            try:
                next(job)
            except StopIteration as stop:
                result: list[Surfaces] = stop.value
                return result


def street(paint: Paint, labelled: np.ndarray, light: float = 1.0) -> Street:
    """paint: of the wall. labelled: (4,) plane that the views took the wall for. light: of the second capture."""
    found = Street([], [], [])
    for number, (along, heading) in enumerate(((-APART / 2, 30.0), (APART / 2, -50.0))):
        pose = np.eye(4)
        pose[:3, :3] = rotation_from_heading(heading, 0.0, 0.0)
        pose[:3, 3] = (0.0, along, EYE)
        rays = equirectangular.directions(2 * WIDTH).reshape(-1, 3).astype(np.float64) @ pose[:3, :3].T
        with np.errstate(divide="ignore"):
            down = np.where(rays[:, 2] < 0, -EYE / rays[:, 2], np.inf)
            aside = np.where(rays[:, 0] > 0, WALL / rays[:, 0], np.inf)
        low = np.abs(EYE + np.where(np.isfinite(aside), aside, 0) * rays[:, 2]) < 6
        aside = np.where(low, aside, np.inf)
        ranges = np.minimum(down, aside)
        points = pose[:3, 3] + rays * np.where(np.isfinite(ranges), ranges, 0)[:, None]
        on_wall = aside < down
        grey = np.where(on_wall, paint(points), waves(points)) * (light if number else 1.0)
        colour = np.clip(grey, 0, 255)[:, None].repeat(3, axis=1)
        solid = np.isfinite(ranges) & (ranges < 60)
        colour[~solid] = (90, 150, 230)
        image = equirectangular.resize(np.rint(colour).astype(np.uint8).reshape(WIDTH, 2 * WIDTH, 3), WIDTH)
        small = [each.reshape(WIDTH, 2 * WIDTH)[::2, ::2] for each in (ranges, on_wall, solid)]
        view = DenseView(image, np.ones(image.shape[:2], np.bool_), ~small[2], pose)
        view.at(WIDTH)
        random = np.random.default_rng(number)
        view.planes = (view.rays / random.uniform(2, 40, small[0].shape)[..., None]).astype(np.float32)
        view.prior = np.where(small[1][..., None], into_camera(labelled[None], pose)[0], 0).astype(np.float32)
        found.views.append(view)
        found.ranges.append(np.where(small[2], small[0], np.inf))
        found.wall.append(small[1] & small[2])
    return found


def judged(place: Street, surfaces: list[Surfaces], masks: list[np.ndarray]) -> tuple[float, float]:
    """Share of the pixels of masks (H, W) that are sure, and share that is sure and off by more than 10 %."""
    sure = false = every = 0
    for view, ranges, each, mask in zip(place.views, place.ranges, surfaces, masks, strict=True):
        rho = (each.planes * view.rays).sum(axis=-1)
        known = mask & (each.confidence >= DEFAULT_CONFIDENCE)
        ranges = np.where(known, ranges, 1.0)
        every += int(mask.sum())
        sure += int(known.sum())
        false += int((known & (np.abs(rho * ranges - 1) > 0.1)).sum())
    return sure / every, false / every


def ground(place: Street) -> list[np.ndarray]:
    return [np.isfinite(ranges) & ~wall for ranges, wall in zip(place.ranges, place.wall, strict=True)]


@pytest.fixture(scope="module")
def plain() -> Street:
    return street(waves, FACADE)


def test_a_road_is_found_that_each_capture_sees_many_times_larger_at_its_feet(plain: Street) -> None:
    for planes in level_planes_swept(plain.views, [[1], [0]]):
        assert len(planes) and abs(planes[0, 3]) < 0.05 * EYE


def test_a_surface_four_times_smaller_in_the_other_capture_is_alike_on_its_plane_alone(plain: Street) -> None:
    view = plain.views[0]
    pyramids = [pyramid(each.grey, each.valid) for each in plain.views]
    rotations, offsets = relative_poses(plain.views, 0, [1])
    found = []
    for height in (0.0, -0.5):
        camera = into_camera(np.array([[0.0, 0.0, 1.0, height]]), view.pose)[0]
        found.append(likeness(*pyramids, view.active & ground(plain)[0], camera, rotations[0], offsets[0]))
    scale = found[0].scale
    smaller = (scale > 1 / 6) & (scale < 1 / 4) & ~np.isnan(found[0].correlation + found[1].correlation)
    assert smaller.sum() > 100
    right, wrong = (float(np.median(each.correlation[smaller])) for each in found)
    assert right > 0.45 and wrong < 0.2, (right, wrong)


def test_road_and_wall_are_proven_from_nonsense(plain: Street) -> None:
    surfaces = plain.proven()
    for masks in (ground(plain), plain.wall):
        sure, false = judged(plain, surfaces, masks)
        assert sure > 0.15 and false < 0.08 * sure, (sure, false)


def test_another_exposure_changes_little() -> None:
    darker = street(waves, FACADE, light=0.6)
    sure, false = judged(darker, darker.proven(), ground(darker))
    assert sure > 0.1 and false < 0.08 * sure, (sure, false)


@pytest.mark.parametrize("period", [1.2, 2.0])
@pytest.mark.parametrize("right", [True, False])
def test_what_repeats_along_a_wall_proves_no_distance(period: float, right: bool) -> None:
    """A wall farther by 10 / (10 - period) explains both pictures as well."""
    labelled = FACADE if right else np.array([1.0, 0.0, 0.0, WALL * APART / (APART - period)])
    place = street(repeated(period), labelled)
    _, false = judged(place, place.proven(), place.wall)
    assert false < 0.03


def test_a_wall_taken_for_one_that_is_farther_is_not_proven() -> None:
    place = street(waves, np.array([1.0, 0.0, 0.0, 1.3 * WALL]))
    _, false = judged(place, place.proven(), place.wall)
    assert false < 0.03


def test_what_is_far_is_told_by_the_nearest_other(plain: Street) -> None:
    assert is_far(plain.views, 0, [1])
    near = DenseView(plain.views[0].colour, plain.views[0].valid, plain.views[0].sky, np.eye(4))
    near.pose = plain.views[0].pose.copy()
    near.pose[0, 3] += 1.0
    assert not is_far([*plain.views, near], 0, [1, 2])

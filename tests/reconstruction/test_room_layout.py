"""Room layouts against rooms and streets whose walls are known."""

from __future__ import annotations

import importlib.util
import itertools
import math

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the backend environment has opencv")
pytest.importorskip("scipy", reason="the backend environment has scipy")

from backend.reconstruction import reconstructors
from backend.reconstruction.rig import LAYOUTS, Rig
from backend.reconstruction.room_layout import room_layout
from backend.reconstruction.room_layout.circular_path import best_path
from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import pose_matrix, rotation_from_heading
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.progress import run_to_end

WIDTH, EYE = 512, 1.6
LOW, HIGH = np.array([-2.5, -1.8, -EYE]), np.array([2.0, 3.4, 1.1])
"""Walls, floor and ceiling from the camera, metres."""
COLOURS = {"floor": (120, 80, 50), "wall": (190, 185, 160), "ceiling": (235, 235, 240), "sky": (90, 140, 220)}


def place(rotation: np.ndarray, *, outdoors: bool = False, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A room, or a street that leads along Y under the sky: (H, W, 3) uint8 and range (H, W)."""
    low, high = LOW.copy(), HIGH.copy()
    if outdoors:
        low[:2], high[:2], high[2] = (-5, -40), (7, 40), 60
    rays = equirectangular.directions(WIDTH).astype(np.float64) @ rotation.T
    with np.errstate(divide="ignore"):
        reach = np.where(rays > 0, high / rays, low / rays)
    ranges = reach.min(axis=-1)
    axis = reach.argmin(axis=-1)
    points = rays * ranges[..., None]
    sky = np.zeros_like(ranges, bool)
    if outdoors:
        sky = points[..., 2] > 8
        sky |= axis == 2
        sky &= points[..., 2] > 0
        ranges = np.where(sky, np.inf, ranges)
    name = np.where(axis != 2, 1, np.where(rays[..., 2] > 0, 2, 0))
    name[sky] = 3
    image = np.array(list(COLOURS.values()), float)[name]
    image += 8 * np.sin(points @ np.array([5.0, 7.0, 6.0]))[..., None] * (name < 3)[..., None]
    image += np.random.default_rng(seed).normal(0, 4, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), ranges


def error(found: np.ndarray, truth: np.ndarray) -> float:
    """Median relative error of ranges where there is any, by solid angle."""
    known = np.isfinite(truth)
    rows = np.cos(math.pi * ((np.arange(len(truth)) + 0.5) / len(truth) - 0.5))
    weight = np.repeat(rows[:, None], truth.shape[1], axis=1)[known]
    wrong = np.abs(np.where(np.isfinite(found), found, 1e9)[known] / truth[known] - 1)
    order = np.argsort(wrong)
    sums = np.cumsum(weight[order])
    return float(wrong[order][np.searchsorted(sums, sums[-1] / 2)])


def seen(pose: np.ndarray, image: np.ndarray, **options: float) -> np.ndarray:
    """The range map of the reconstructor."""
    rig = Rig(Capture("A", image, pose), LAYOUTS["horizon"])
    made = run_to_end(reconstructors.named("room_layout").reconstruct([rig], {"width": WIDTH, **options}))
    (depth,) = made.maps
    assert depth is not None and depth.range.shape == image.shape[:2]
    return np.asarray(depth.range)


@pytest.mark.parametrize("heading", [0.0, 37.0, 120.0])
def test_a_room_is_found_from_one_photograph(heading: float) -> None:
    rotation = rotation_from_heading(heading)
    image, truth = place(rotation)
    layout = room_layout.estimate(image, EYE)
    assert layout.ceiling_height == pytest.approx(HIGH[2], rel=0.08)
    depth = layout.depth_map(np.zeros(truth.shape, bool))
    assert error(depth.range, truth) < 0.04
    assert (np.abs(depth.range / truth - 1) < 0.15).mean() > 0.9
    assert depth.confidence.min() >= 0.3 and depth.confidence.max() < 0.81


def test_a_street_is_found_under_the_sky() -> None:
    image, truth = place(rotation_from_heading(10.0), outdoors=True)
    layout = room_layout.estimate(image, EYE)
    assert layout.ceiling_height is None
    found = seen(pose_matrix(rotation_from_heading(10.0), np.zeros(3)), image)
    assert (np.isinf(found) == np.isinf(truth)).mean() > 0.97
    near = np.where(truth < 20, truth, np.inf)
    assert error(found, near) < 0.05


@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (12.0, 0.0), (-5.0, 20.0)])
def test_a_tilted_camera_sees_the_same_room(pitch: float, roll: float) -> None:
    rotation = rotation_from_heading(30.0, pitch, roll)
    image, truth = place(rotation)
    assert error(seen(pose_matrix(rotation, np.zeros(3)), image, camera_height=EYE), truth) < 0.05


def test_a_turned_photograph_shows_a_turned_room() -> None:
    image, _ = place(rotation_from_heading(0.0))
    columns = WIDTH // room_layout.WIDTH * 50
    straight, turned = (room_layout.estimate(each, EYE).distance for each in (image, np.roll(image, columns, axis=1)))
    alike = np.abs(np.roll(straight, 50) / turned - 1) < 0.05
    assert alike.mean() > 0.97


def test_what_is_masked_does_not_count() -> None:
    """A photographer whose head is as red as nothing else in the room."""
    image, truth = place(rotation_from_heading(0.0))
    image[180:, 150:260] = (220, 20, 30)
    valid = np.ones(truth.shape, bool)
    valid[180:, 150:260] = False
    masked = room_layout.estimate(image, EYE, valid).depth_map(np.zeros(truth.shape, bool))
    assert error(masked.range, truth) < 0.05


def test_lengths_follow_the_height_of_the_camera() -> None:
    pose = pose_matrix(rotation_from_heading(0.0), np.zeros(3))
    image, _ = place(rotation_from_heading(0.0))
    usual, lower = seen(pose, image, camera_height=EYE), seen(pose, image, camera_height=0.8 * EYE)
    assert np.median(lower / usual) == pytest.approx(0.8, rel=0.05)
    rig = Rig(Capture("A", image, pose), LAYOUTS["horizon"])
    made = run_to_end(reconstructors.named("room_layout").reconstruct([rig], {"width": WIDTH}))
    assert not made.scale_known and any("1.6 m above the ground" in note for note in made.notes)


def test_it_says_what_it_is_and_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reconstructors.named("room_layout")
    assert found.plugin == reconstructors.described()["room_layout"] and found.missing() == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "opencv-python-headless" in found.missing()
    with pytest.raises(PantheonError) as refused:
        seen(np.eye(4), np.zeros((32, 64, 3), np.uint8))
    assert refused.value.code == "reconstructor-missing" and "opencv-python-headless" in refused.value.advice


@pytest.mark.parametrize("seed", range(5))
def test_the_best_path_is_the_best_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    gain = random.normal(0, 1, (3, 7))
    jump = 0.4 * np.abs(np.subtract.outer(np.arange(3), np.arange(3))).astype(float)

    def gained(path: np.ndarray) -> float:
        return float(gain[path, np.arange(7)].sum() - jump[path, np.roll(path, -1)].sum())

    path, found = best_path(gain, jump)
    assert found == pytest.approx(gained(path))
    assert found == pytest.approx(max(gained(np.array(each)) for each in itertools.product(range(3), repeat=7)))

"""Measures that need no network, against other programs' values and against cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("scipy")

from backend.evaluation.metrics import bootstrap, crops, flow, interpolation_error, seam, warping_error
from backend.evaluation.metrics.known_pixels import known_pixel_correlation
from backend.evaluation.metrics.noise_ratio import LARGEST, psnr, ws_psnr
from backend.evaluation.metrics.similarity import ssim, ws_ssim
from backend.evaluation.metrics.sphere import latitude_weights
from pantheon360_blender.core.panorama import cameras, equirectangular
from tests.known_room import path, room


def patches(seed: int, count: int, side: int, patch: int) -> np.ndarray:
    shape = (count, side // patch, side // patch, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8).repeat(patch, 1).repeat(patch, 2)


def noisy(images: np.ndarray, most: int, seed: int = 2) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-most, most + 1, images.shape)
    return np.clip(images.astype(int) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def walk() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, ranges and poses of a walk through the room."""
    poses = path(6, 30.0)
    images, ranges = zip(*(room(pose, 128) for pose in poses), strict=True)
    return np.stack(images), np.stack(ranges), poses


def test_psnr_and_ssim_are_scikit_images() -> None:
    # skimage.metrics 0.26: structural_similarity(a, b, channel_axis=2, gaussian_weights=True, sigma=1.5,
    # use_sample_covariance=False, data_range=255) and peak_signal_noise_ratio. torchmetrics 1.9 gives the same PSNR,
    # and the same SSIM if its image of similarities is cropped to the windows that lie within the image.
    clean = patches(1, 2, 64, 8)
    worse = noisy(clean, 40)
    assert [ssim(*pair) for pair in zip(clean, worse, strict=True)] == pytest.approx([0.75140954, 0.73807387], abs=1e-7)
    assert [psnr(*pair) for pair in zip(clean, worse, strict=True)] == pytest.approx([21.0785022, 21.0436886], abs=1e-5)


def test_equal_images_are_best() -> None:
    image = room(np.eye(4), 64)[0]
    assert psnr(image, image) == ws_psnr(image, image) == LARGEST
    assert ssim(image, image) == pytest.approx(1.0) and ws_ssim(image, image) == pytest.approx(1.0)


def test_errors_at_a_pole_weigh_what_they_cover() -> None:
    image = np.full((64, 128, 3), 100, np.uint8)
    at_pole, at_horizon = image.copy(), image.copy()
    at_pole[:4] += 50
    at_horizon[30:34] += 50
    assert psnr(image, at_pole) == pytest.approx(psnr(image, at_horizon))
    assert ws_psnr(image, at_pole) > ws_psnr(image, at_horizon) + 5
    assert ws_ssim(image, at_pole) > ws_ssim(image, at_horizon)
    assert latitude_weights(64).mean() == pytest.approx(1.0)


def test_ws_ssim_does_not_depend_on_where_the_seam_is() -> None:
    image = room(np.eye(4), 64)[0]
    worse = noisy(image, 30)
    rolled = ws_ssim(np.roll(image, 16, axis=1), np.roll(worse, 16, axis=1))
    assert rolled == pytest.approx(ws_ssim(image, worse), abs=1e-9)


def test_a_seam_and_a_torn_pole_are_found() -> None:
    images = np.stack([room(pose, 128)[0] for pose in path(2)])
    assert seam.seam_ratio(images) == pytest.approx(1.0, abs=0.5)
    torn = images.copy()
    torn[:, :, :64] //= 2
    assert seam.seam_ratio(torn) > 3 * seam.seam_ratio(images)
    point = images.copy()
    point[:, [0, -1]] = 7
    assert seam.pole_error(point) == 0.0
    assert seam.pole_error(noisy(images, 60)) > seam.pole_error(images) + 10


def test_what_ignores_the_known_pixels_correlates_with_nothing() -> None:
    known = room(np.eye(4), 64)[0][None]
    random = np.random.default_rng(0)
    coverage = random.random(known.shape[:3]) < 0.2
    unrelated = random.integers(0, 256, known.shape, dtype=np.uint8)
    assert known_pixel_correlation(known, known * coverage[..., None], coverage) == pytest.approx(1.0)
    assert known_pixel_correlation(known // 2 + 40, known, coverage) > 0.999
    assert abs(known_pixel_correlation(unrelated, known, coverage)) < 0.15
    assert np.isnan(known_pixel_correlation(known, known, np.zeros_like(coverage)))


def test_exact_flow_follows_points_and_turns_with_the_sky(walk: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, ranges, poses = walk
    found, visible = flow.exact_flow(ranges[0], poses[0], ranges[1], poses[1])
    point = poses[0][:3, :3] @ equirectangular.directions(128)[40, 20] * ranges[0][40, 20] + poses[0][:3, 3]
    target = equirectangular.directions_to_pixels(cameras.invert(poses[1])[:3, :3] @ (point - poses[1][:3, 3]), 128)
    assert np.allclose(found[40, 20] + (20.5, 40.5), target, atol=1e-3)
    assert visible.mean() > 0.97  # nothing hides anything in an empty room
    sky = np.full((64, 128), np.inf, np.float32)
    turned = np.eye(4)
    turned[:3, :3] = cameras.rotation_from_angles(2 * np.pi * 8 / 128)
    found, visible = flow.exact_flow(sky, np.eye(4), sky, turned)
    assert visible.all() and np.allclose(found[1:-1], (-8.0, 0.0), atol=1e-3)


def test_what_the_next_frame_hides_is_not_seen(walk: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, ranges, poses = walk
    hidden = ranges[1].copy()
    hidden[20:40, 60:90] *= 0.5
    assert not flow.exact_flow(ranges[0], poses[0], hidden, poses[1])[1][26:34, 68:80].any()


def test_stwe_is_that_of_the_formula_for_a_known_warp() -> None:
    images = np.zeros((2, 32, 64, 3), np.uint8)
    images[0], images[1] = 100, 151
    still = np.zeros((32, 64, 2), np.float32), np.ones((32, 64), np.bool_)
    assert warping_error.warping_error(images, [still]) == pytest.approx(1000 * 3 * 0.2**2, rel=1e-5)
    base = patches(3, 1, 64, 4)[0][:32]
    shifted = np.stack([base, np.roll(base, 5, axis=1)])
    moving = np.full((32, 64, 2), (5.0, 0.0), np.float32), still[1]
    assert warping_error.warping_error(shifted, [moving]) == pytest.approx(0.0, abs=1e-9)
    assert warping_error.warping_error(shifted, [still]) > 10


def test_flicker_raises_stwe_and_ie_and_truth_is_low(walk: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    images, ranges, poses = walk
    exact = [flow.exact_flow(ranges[at], poses[at], ranges[at + 1], poses[at + 1]) for at in range(5)]
    levels = [images, noisy(images, 20), noisy(images, 60)]
    errors = [warping_error.warping_error(level, exact) for level in levels]
    assert errors[0] < 5 and errors == sorted(errors) and errors[2] > 10 * errors[0]
    by_dis = [warping_error.warping_error(level, warping_error.dis_flows(images)) for level in levels]
    assert by_dis == sorted(by_dis)
    interpolated = [interpolation_error.interpolation_error(level) for level in levels]
    assert interpolated == sorted(interpolated)
    assert interpolation_error.interpolation_error(np.repeat(images[:1], 4, axis=0)) == pytest.approx(0.0, abs=1e-3)


def test_dis_flow_crosses_the_seam() -> None:
    base = room(np.eye(4), 128)[0]
    found = flow.dis_flow(base, np.roll(base, 4, axis=1))[20:44]
    assert np.abs(np.median(found[:, :3, 0]) - 4) < 0.7 and np.abs(np.median(found[:, -3:, 0]) - 4) < 0.7


def test_small_crops_are_enlarged_and_hold_no_more() -> None:
    views = crops.horizon_crops(room(np.eye(4), 128)[0])
    assert views.shape == (8, 32, 32, 3)
    assert crops.enlarged(views).shape == (8, 224, 224, 3)


def test_the_interval_of_a_mean_is_seeded_and_holds_it() -> None:
    values = np.random.default_rng(4).normal(20.0, 2.0, 24)
    low, high = bootstrap.interval(values)
    assert (low, high) == bootstrap.interval(values)
    assert low < values.mean() < high and high - low == pytest.approx(4 * 2 / np.sqrt(24), rel=0.5)
    assert np.isnan(bootstrap.interval([])[0])

"""Learned ranges come into the unit of measured ones and of one another, whatever is wrong with a part of them.

A network is stood in for by the truth of a room, spoilt as networks spoil it: in a unit of its own, its inverse ranges
shifted, stretched slowly over the picture, noisy, and quite wrong in some places.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the backend environment has scipy")

from scipy import ndimage

from backend.reconstruction import alignment
from backend.reconstruction.completion import completed
from backend.reconstruction.depth_map import DepthMap
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import rotation_from_heading

WIDTH = 256
LOW, HIGH = np.array([-3.0, -4.0, 0.0]), np.array([4.0, 5.0, 3.0])
CABINET = np.array([1.2, -1.0, 0.0]), np.array([2.2, 1.5, 2.0])
PLACES = [(-1.5, -1.2, 1.6), (0.2, 2.4, 1.5), (-1.8, 3.0, 1.7)]


def pose(index: int) -> np.ndarray:
    stands = np.eye(4)
    stands[:3, :3], stands[:3, 3] = rotation_from_heading(70.0 * index), PLACES[index]
    return stands


def seen(stands: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """(H, W) ranges of a room with a cabinet in it, from within the room."""
    origin = stands[:3, 3]
    rays = equirectangular.directions(width).astype(np.float64) @ stands[:3, :3].T
    with np.errstate(divide="ignore"):
        walls = np.where(rays > 0, (HIGH - origin) / rays, (LOW - origin) / rays).min(axis=-1)
        sides = np.sort(np.stack([(CABINET[0] - origin) / rays, (CABINET[1] - origin) / rays]), axis=0)
    enters, leaves = sides[0].max(axis=-1), sides[1].min(axis=-1)
    return np.where((enters > 0) & (enters < leaves), np.minimum(enters, walls), walls).astype(np.float32)


def slow(seed: int, width: int = WIDTH) -> np.ndarray:
    """(H, W) of standard deviation 1, alike over some thirty degrees."""
    noise = np.random.default_rng(seed).normal(size=(width // 2, width))
    smooth = ndimage.gaussian_filter(noise, width / 20, mode=("nearest", "wrap"))
    return np.asarray(smooth / smooth.std())


def learned(
    truth: np.ndarray, unit: float, seed: int = 0, shift: float = 0.0, stretch: float = 0.0, wrong: float = 0.0
) -> np.ndarray:
    """The truth as a network says it. shift: of inverse ranges, in their median. wrong: share that is quite wrong."""
    width = truth.shape[1]
    inverse = 1 / truth + shift * np.median(1 / truth)
    ranges = unit / inverse * np.exp(stretch * slow(seed, width))
    field = slow(seed + 100, width)
    return np.where(field > np.quantile(field, 1 - wrong), 2.2 * ranges, ranges).astype(np.float32)


def off(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(found / truth - 1))


def told_of(truth: np.ndarray, share: float, seed: int = 5) -> np.ndarray:
    """Trust of a connected part of the pixels, as a sweep trusts what has texture."""
    field = slow(seed, truth.shape[1])
    return np.where(field > np.quantile(field, 1 - share), 0.9, 0.0)


@pytest.mark.parametrize("unit", [0.01, 0.4, 300.0])
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_unit_and_shift_are_found_exactly_however_many_rays_are_wrong(unit: float, shift: float) -> None:
    truth = seen(pose(0))
    given = learned(truth, unit, shift=shift, wrong=0.15)
    found = alignment.to_measured(given, truth, told_of(truth, 0.3), shift=bool(shift), slowly=False)
    assert found is not None
    assert np.quantile(off(found, truth), 0.8) < 0.01


def test_wrong_measurements_do_not_matter() -> None:
    truth = seen(pose(0))
    generator = np.random.default_rng(3)
    measured = np.where(generator.random(truth.shape) < 0.2, generator.uniform(0.3, 40, truth.shape), truth)
    found = alignment.to_measured(learned(truth, 0.4), measured, told_of(truth, 0.3), shift=True)
    assert found is not None and np.quantile(off(found, truth), 0.99) < 0.03


def test_what_changes_slowly_is_taken_away_where_something_near_tells_it() -> None:
    truth, trust = seen(pose(0)), told_of(seen(pose(0)), 0.3)
    given = learned(truth, 0.4, stretch=0.2)
    plain = alignment.to_measured(given, truth, trust, slowly=False)
    found = alignment.to_measured(given, truth, trust)
    assert plain is not None and found is not None
    assert np.median(off(found, truth)) < 0.7 * np.median(off(plain, truth))
    assert np.median(off(found, truth)[trust > 0]) < 0.3 * np.median(off(plain, truth)[trust > 0])


def test_far_from_all_that_is_measured_only_the_unit_counts() -> None:
    """A patch in one direction tells nothing of the other."""
    truth = seen(pose(0))
    trust = np.zeros_like(truth)
    trust[50:70, 20:40] = 1
    given = learned(truth, 0.4)
    wrong = np.where(trust > 0, truth * 1.08, truth)  # it fits no unit of what is learned on the other side
    found = alignment.to_measured(np.where(trust > 0, given, given), wrong, trust)
    assert found is not None
    opposite = np.roll(found, WIDTH // 2, axis=1)[50:70, 20:40] / np.roll(truth, WIDTH // 2, axis=1)[50:70, 20:40]
    assert np.ptp(np.log(opposite)) < 0.01


def test_unknown_stays_unknown_and_too_little_tells_nothing() -> None:
    truth = seen(pose(0))
    given = learned(truth, 0.4)
    given[:30], given[100:110] = np.inf, -1
    found = alignment.to_measured(given, truth, np.ones_like(truth))
    assert found is not None and np.isinf(found[:30]).all() and np.isinf(found[100:110]).all()
    few = np.zeros_like(truth)
    few[60, : alignment.FEWEST - 1] = 1
    assert alignment.to_measured(given, truth, few) is None
    assert alignment.to_measured(np.full_like(truth, np.nan), truth, np.ones_like(truth)) is None


@pytest.mark.parametrize("seed", range(4))
def test_captures_that_stand_apart_tell_one_another_how_large_the_room_is(seed: int) -> None:
    """Each in a unit of its own, stretched and in part wrong."""
    poses = np.stack([pose(index) for index in range(3)])
    truths = [seen(each) for each in poses]
    units = np.exp(np.random.default_rng(seed).uniform(-0.5, 0.5, 3)) * np.exp(
        np.random.default_rng(seed).uniform(-1, 1)
    )
    maps = [
        learned(truth, unit, 10 * seed + index, stretch=0.05, wrong=0.05)
        for index, (truth, unit) in enumerate(zip(truths, units, strict=True))
    ]
    factors = alignment.to_one_another(poses, maps, [0, 0, 0], common=True)
    assert factors is not None
    np.testing.assert_allclose(factors * units, 1, atol=0.06)


def test_a_unit_that_is_known_holds() -> None:
    """Two of three are nearly in metres already: the third follows them."""
    poses = np.stack([pose(index) for index in range(3)])
    maps = [learned(seen(each), unit) for each, unit in zip(poses, (1.0, 1.0, 1.5), strict=True)]
    factors = alignment.to_one_another(poses, maps, [400, 400, 1], common=False)
    assert factors is not None
    np.testing.assert_allclose(factors, [1, 1, 1 / 1.5], rtol=0.02)


def test_captures_in_one_place_tell_no_length() -> None:
    poses = np.stack([pose(0), pose(0)])
    maps = [seen(each) for each in poses]
    assert alignment.to_one_another(poses, maps, [0, 0], common=True) is None
    assert alignment.to_one_another(poses[:1], maps[:1], [0], common=True) is None


def test_captures_that_share_nothing_tell_no_length() -> None:
    """Each knows what lies behind it, seen from the other, and nothing else."""
    poses = np.stack([pose(0), pose(1)])
    maps = []
    for index, each in enumerate(poses):
        away = (equirectangular.directions(WIDTH) @ each[:3, :3].T) @ (each[:3, 3] - poses[1 - index][:3, 3]) > 0
        maps.append(np.where(away, seen(each), np.inf))
    maps[0][:, :] = np.inf
    assert alignment.to_one_another(poses, maps, [0, 0], common=True) is None


def test_the_ground_tells_the_height() -> None:
    truth = seen(pose(0))
    given = DepthMap(truth * 0.25, np.ones_like(truth), np.zeros(truth.shape, np.bool_))
    factor = alignment.by_height(pose(0), given, PLACES[0][2])
    assert factor is not None and factor == pytest.approx(4, rel=0.03)
    assert alignment.by_height(pose(0), replace(given, confidence=np.zeros_like(truth)), 1.6) is None


# Guesses


def picture(stands: np.ndarray) -> np.ndarray:
    """All of one gray: surfaces cannot be told apart by their color."""
    return np.full((WIDTH // 2, WIDTH, 3), 128, np.uint8)


def test_learned_guesses_are_better_than_planes_where_little_is_told() -> None:
    """And what is sure stays as it is."""
    truth = seen(pose(0))
    trust = told_of(truth, 0.2).astype(np.float32)
    swept = DepthMap(np.where(trust > 0, truth, 7.0).astype(np.float32), trust, np.zeros(truth.shape, np.bool_))
    network = learned(truth, 0.4, stretch=0.1, wrong=0.03)
    guess = DepthMap(network, np.full_like(truth, 0.6), np.zeros(truth.shape, np.bool_))
    planes = completed(swept, picture(pose(0)), None, 0.5)
    found = completed(swept, picture(pose(0)), None, 0.5, guess)
    sure = trust >= 0.5
    assert (found.range[sure] == truth[sure]).all() and (found.confidence[sure] == trust[sure]).all()
    assert found.confidence[~sure].max() < 0.5
    assert np.mean(off(found.range, truth)[~sure] > 0.1) < 0.5 * np.mean(off(planes.range, truth)[~sure] > 0.1)


def test_where_the_network_knows_nothing_planes_guess() -> None:
    truth = seen(pose(0))
    trust = told_of(truth, 0.2).astype(np.float32)
    nothing = np.zeros(truth.shape, np.bool_)
    swept = DepthMap(np.where(trust > 0, truth, 7.0).astype(np.float32), trust, nothing)
    sky = nothing.copy()
    sky[:40] = True
    guess = DepthMap(np.where(sky, np.inf, truth).astype(np.float32), np.where(sky, 0, 0.6).astype(np.float32), sky)
    planes = completed(swept, picture(pose(0)), None, 0.5)
    found = completed(swept, picture(pose(0)), None, 0.5, guess)
    unsure = trust < 0.5
    assert (found.range[sky & unsure] == planes.range[sky & unsure]).all()
    assert np.quantile(off(found.range, truth)[~sky & unsure], 0.95) < 0.02
    blind = replace(guess, range=np.full_like(truth, np.inf))
    assert (completed(swept, picture(pose(0)), None, 0.5, blind).range == planes.range).all()

"""What captures leave open is guessed as surfaces go on, is marked as guessed, and changes nothing that is sure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the backend environment has scipy")

from backend.reconstruction import depth_map
from backend.reconstruction.completion import GUESSED, completed
from backend.reconstruction.depth_map import DepthMap
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.panorama import equirectangular

WIDTH = 256
SIDES = ((-2.0, 3.0), (-4.0, 2.0), (-1.6, 1.2))
"""Where the walls of a room stand, in metres from the camera along its x, y and z."""
COLOURS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [200, 200, 60], [90, 90, 90], [230, 230, 230]])


def room(width: int = WIDTH) -> tuple[DepthMap, np.ndarray]:
    """A room of six plain walls, each in its colour, of which everything is sure; and its picture."""
    looking = equirectangular.directions(width).astype(np.float64)
    with np.errstate(divide="ignore"):
        ranges = np.stack(
            [np.where(looking[..., a] / s > 0, s / looking[..., a], np.inf) for a in range(3) for s in SIDES[a]]
        )
    wall = ranges.argmin(axis=0)
    nothing = np.zeros(wall.shape, np.bool_)
    return DepthMap(ranges.min(axis=0).astype(np.float32), np.ones(wall.shape, np.float32), nothing), COLOURS[
        wall
    ].astype(np.uint8)


def known(truth: DepthMap, share: float, confidence: float = 0.9) -> tuple[DepthMap, np.ndarray]:
    """The map, of which a random share of the pixels is told; and which they are."""
    told = np.random.default_rng(0).random(truth.range.shape) < share
    sureness = np.where(told, confidence, 0).astype(np.float32)
    return replace(truth, range=np.where(told, truth.range, 7.0).astype(np.float32), confidence=sureness), told


def off(found: DepthMap, truth: DepthMap) -> np.ndarray:
    """Relative errors of range, (H, W)."""
    return np.abs(found.range / truth.range - 1)


@pytest.mark.parametrize(("width", "share", "within"), [(64, 0.2, 0.8), (320, 0.05, 0.8), (1024, 0.02, 0.95)])
def test_walls_go_on_from_what_is_told_of_them(width: int, share: float, within: float) -> None:
    """Whatever the width is to the levels'."""
    truth, picture = room(width)
    given, told = known(truth, share)
    found = completed(given, picture, None, 0.5)
    assert np.median(off(found, truth)) < 0.02 and (off(found, truth) < 0.05).mean() > within
    assert (found.range[told] == given.range[told]).all() and (found.confidence[told] == given.confidence[told]).all()
    assert (found.confidence[~told] == np.float32(GUESSED)).all()


def test_doubtful_ranges_stay_where_their_surroundings_say_the_same_and_go_where_not() -> None:
    truth, picture = room()
    given, told = known(truth, 0.3, 0.3)
    wrong = told & (np.random.default_rng(1).random(told.shape) < 0.2)
    given = replace(given, range=np.where(wrong, given.range * 2.5, given.range).astype(np.float32))
    found = completed(given, picture, None, 0.5)
    assert (found.confidence[wrong] == np.float32(GUESSED)).mean() > 0.97
    assert np.median(off(found, truth)[wrong]) < 0.02
    right = told & ~wrong
    assert (found.range[right] == given.range[right]).mean() > 0.9
    assert (found.confidence[right] == np.float32(0.3)).mean() > 0.9


def test_what_captures_agree_on_without_proof_leads_the_guesses_and_stays_one() -> None:
    """Ranges that others confirm, though nothing rules out that they are wrong: the best guess, and no more."""
    truth, picture = room()
    given, told = known(truth, 0.3)
    unproven = replace(given, confidence=np.zeros_like(given.confidence), support=given.confidence)
    found, sure = completed(unproven, picture, None, 0.5), completed(given, picture, None, 0.5)
    assert (found.range == sure.range).all() and (found.range[told] == given.range[told]).all()
    assert (found.confidence == np.float32(GUESSED)).all()
    half = replace(unproven, confidence=np.where(told, 0.3, 0).astype(np.float32))
    assert (completed(half, picture, None, 0.5).confidence[told] == np.float32(0.3)).all()


def test_what_captures_agree_on_is_kept_in_the_job_folder(tmp_path: Path) -> None:
    """And a map of before there was such a thing is read as well."""
    folder, (truth, _) = OutputFolder.made(tmp_path), room(64)
    for support in (None, truth.confidence / 2):
        depth_map.write(folder, "a.npz", replace(truth, support=support))
        found = depth_map.read(tmp_path / "a.npz")
        assert found is not None and (found.support is None) == (support is None)
        np.testing.assert_array_equal(found.agreement, truth.confidence if support is None else support)


def test_steps_stay_where_the_colour_changes() -> None:
    """A panel of another colour stands a metre before a wall: nothing between the two is made up."""
    truth, picture = room()
    rows, columns = slice(50, 80), slice(100, 150)
    before = truth.range.copy()
    before[rows, columns] *= 0.5
    picture[rows, columns] = (20, 20, 20)
    truth = replace(truth, range=before)
    found = completed(known(truth, 0.05)[0], picture, None, 0.5)
    around = off(found, truth)[40:90, 90:160]
    assert (around < 0.05).mean() > 0.9


def test_the_sky_and_what_is_masked_are_no_surfaces() -> None:
    truth, picture = room()
    sky = np.zeros_like(truth.sky)
    sky[:30] = True
    given, told = known(replace(truth, sky=sky), 0.05)
    given = replace(given, range=np.where(sky, np.inf, given.range), confidence=np.where(sky, 0, given.confidence))
    valid = np.ones_like(sky)
    valid[110:] = False
    found = completed(given, picture, valid, 0.5)
    assert np.isinf(found.range[:30]).all() and (found.confidence[:30] == 0).all() and (found.sky == sky).all()
    assert (found.confidence[110:][~told[110:]] == 0).all()
    assert (found.confidence[30:110] > 0).all()


def test_it_does_not_depend_on_the_heading() -> None:
    truth, picture = room()
    given, _ = known(truth, 0.05)
    found = completed(given, picture, None, 0.5)
    turned = DepthMap(*(np.roll(each, WIDTH // 4, axis=1) for each in (given.range, given.confidence, given.sky)))
    again = completed(turned, np.roll(picture, WIDTH // 4, axis=1), None, 0.5)
    differences = np.abs(np.roll(again.range, -WIDTH // 4, axis=1) / found.range - 1)
    assert np.quantile(differences, 0.99) < 0.02


def test_where_nothing_is_told_nothing_is_guessed() -> None:
    truth, picture = room()
    given = replace(truth, confidence=np.full_like(truth.confidence, 0.05))
    assert completed(given, picture, None, 0.5) is given


@pytest.mark.parametrize("width", [64, 320, 1024])
def test_one_pixel_that_is_told_is_enough_and_a_whole_sky_is_left_alone(width: int) -> None:
    truth, picture = room(width)
    sureness = np.zeros_like(truth.confidence)
    sureness[width // 4, width // 3 + 1] = 0.9
    found = completed(replace(truth, confidence=sureness), picture, None, 0.5)
    assert np.isfinite(found.range).all() and (found.range > 0).all()
    sky = np.ones_like(truth.sky)
    sky[width // 4, width // 3 + 1] = False
    ranges = np.where(sky, np.inf, truth.range).astype(np.float32)
    assert np.isinf(completed(DepthMap(ranges, sureness, sky), picture, None, 0.5).range[sky]).all()


def test_guesses_are_less_sure_than_what_is_asked_for() -> None:
    truth, picture = room()
    given, told = known(truth, 0.05)
    for sure in (0.02, GUESSED):
        assert completed(given, picture, None, sure).confidence[~told].max() < np.float32(sure)

"""View-dependent colours: the captures' own pixels, seen from elsewhere, and nothing that they did not see."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.render import image_based
from pantheon360_blender.core.render.image_based import Photograph, seen
from pantheon360_blender.core.srgb import LINEAR_OF_BYTE, linear_to_srgb, srgb_to_linear

from .. import known_room

WIDTH = 256


def at(x: float, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    pose[:3, 3] = (x, y, z)
    return pose


def photograph(pose: np.ndarray, width: int = WIDTH, valid: np.ndarray | None = None) -> Photograph:
    image, _ = known_room.room(pose, width)
    return Photograph.of(Capture("room", image, pose, valid), room_range(pose), WIDTH)


def room_range(pose: np.ndarray, width: int = image_based.RANGE_WIDTH) -> np.ndarray:
    return known_room.room(pose, width)[1]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def plain(level: int, pose: np.ndarray) -> Photograph:
    image = np.full((WIDTH // 2, WIDTH, 3), level, np.uint8)
    return Photograph.of(Capture("plain", image, pose), room_range(pose), WIDTH)


@pytest.mark.parametrize("larger", [1, 4])
def test_a_camera_at_a_capture_sees_its_own_pixels(larger: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (WIDTH * larger // 2, WIDTH * larger, 3)).astype(np.uint8)
    here, there = at(0.4, 0.2, 0.1, yaw=0.7), at(-0.9, 0.3, -0.2)
    photographs = [photograph(there), Photograph.of(Capture("noise", noise, here), room_range(here), WIDTH)]
    found = seen(room_range(here, WIDTH), here, photographs)
    assert psnr(found.colour, equirectangular.resize(noise, WIDTH)) > 45
    assert (found.trust == 1).all()


def test_from_elsewhere_the_room_looks_as_it_does_from_there() -> None:
    between = at(0.1, 0.3, 0.2, yaw=1.1)
    captures = [photograph(at(x, 0.1, y, yaw=x), 2 * WIDTH) for x, y in ((-1.0, 0.3), (1.2, -0.2), (0.3, 0.9))]
    truth, depth = known_room.room(between, WIDTH)
    found = seen(depth, between, captures)
    assert psnr(found.colour, truth) > 38
    shuffled = seen(depth, between, [captures[index] for index in (2, 0, 1)])
    np.testing.assert_allclose(shuffled.colour, found.colour, atol=0.5)
    np.testing.assert_array_equal(shuffled.trust, found.trust)


def test_a_turned_camera_sees_the_same_picture_rolled() -> None:
    columns = 40
    captures = [photograph(at(-1.0)), photograph(at(1.0, 0.5))]
    ahead, turned = at(0.2, 0.1), at(0.2, 0.1, yaw=2 * np.pi * columns / WIDTH)
    one, other = (seen(room_range(pose, WIDTH), pose, captures).colour for pose in (ahead, turned))
    assert np.abs(np.roll(one, columns, axis=1) - other).max() < 2


@pytest.mark.parametrize("width", [WIDTH, 3 * WIDTH, 1450, 2250])
def test_what_is_masked_never_shows(width: int) -> None:
    rng = np.random.default_rng(1)
    valid = np.ones((width // 2, width), np.bool_)
    valid[round(0.36 * width) :] = False
    valid[100:130, 50:90] = False
    valid[rng.uniform(size=valid.shape) < 1e-4] = False
    poses = [at(0.0), at(1.0, yaw=0.5)]
    captures = []
    for pose in poses:
        image = np.full((width // 2, width, 3), (90, 60, 90), np.uint8)
        image[~valid] = (0, 255, 0)
        captures.append(Photograph.of(Capture("a", image, pose, valid), room_range(pose), WIDTH))
    for x in (-0.5, 0.0, 0.01, 0.4, 1.0, 1.9):
        pose = at(x, 0.1)
        found = seen(room_range(pose, WIDTH), pose, captures)
        assert found.colour[found.trust > 0][:, 1].max() < 62
    found = seen(room_range(poses[0], WIDTH), poses[0], captures[:1])
    assert (found.trust[round(0.36 * WIDTH) :] == 0).all()
    assert np.mean(found.trust > 0) > 0.55


def two_planes(pose: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A red board, 2 m wide and high and 2 m ahead of the origin, before a blue wall 6 m ahead: image, range, board."""
    rays = equirectangular.directions(width).astype(np.float64) @ pose[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        to_board, to_wall = ((z - pose[2, 3]) / rays[..., 2] for z in (-2.0, -6.0))
        place = pose[:3, 3] + rays * to_board[..., None]
    board = (to_board > 0) & (np.abs(place[..., :2]) < 1).all(axis=-1)
    depth = np.where(board, to_board, np.where(to_wall > 0, to_wall, np.inf))
    image = np.where(board[..., None], [200, 30, 30], [30, 30, 200]).astype(np.uint8)
    return image, depth.astype(np.float32), board


def test_what_a_board_hides_from_a_capture_is_not_taken_from_it() -> None:
    width = image_based.RANGE_WIDTH
    left, right = at(-1.5), at(1.5)
    captures = []
    for pose in (left, right):
        image, depth, _ = two_planes(pose, width)
        captures.append(Photograph.of(Capture("board", image, pose), depth, width))
    _, depth, board = two_planes(right, width)
    wall = np.isfinite(depth) & ~board
    place = equirectangular.directions(width) * np.where(wall, depth, 1)[..., None] + right[:3, 3]
    covered = wall & (np.abs(place[..., 0] - 3) < 2.9) & (np.abs(place[..., 1]) < 2.9)  # by the board, from the left
    alone = seen(depth, right, captures[:1])
    assert covered.sum() > 1000
    assert (alone.trust[covered] == 0).all()
    assert (alone.trust[wall] == 1).mean() > 0.5
    assert alone.colour[wall & (alone.trust > 0)][:, 0].max() < 40, "no red on the wall"
    both = seen(depth, right, captures)
    assert (both.trust[wall | board] == 1).all()
    assert both.colour[covered][:, 0].max() < 40


def test_weights_change_little_from_frame_to_frame() -> None:
    captures = [plain(40, at(0.0)), plain(200, at(1.0, 0.3)), plain(120, at(1.6, -0.2, 0.5))]
    ends = np.array([-0.4, 0.02, 0.1]), np.array([2.0, 0.1, 0.2])

    def walk(frames: int) -> float:
        way = []
        for share in np.linspace(0, 1, frames):
            pose = at(*(ends[0] * (1 - share) + ends[1] * share))
            way.append(seen(room_range(pose, 64), pose, captures).colour)
        return max(float(np.abs(one - other).mean()) for one, other in pairwise(way))

    slow, fast = walk(241), walk(121)
    assert fast < 12
    assert slow < 0.65 * fast, "half the step is about half the change: nothing jumps"


def test_at_infinity_no_capture_pops_and_none_is_mixed_in_from_afar() -> None:
    """Captures in plain red, green and blue: what a frame shows is how much each of them counts."""
    places, captures = (0.0, 1.0, 2.5), []
    for channel, x in enumerate(places):
        image = np.zeros((WIDTH // 2, WIDTH, 3), np.uint8)
        image[..., channel] = 255
        open_sky = np.full((image_based.RANGE_WIDTH // 2, image_based.RANGE_WIDTH), np.inf, np.float32)
        captures.append(Photograph.of(Capture(str(channel), image, at(x)), open_sky, WIDTH))
    rays = equirectangular.directions(16).reshape(-1, 3)
    steps = np.linspace(-0.5, 3.0, 351)  # a centimetre each, a hundredth of the shorter way between two captures
    found = [image_based.at_infinity(rays, at(float(x), 0.001), captures, WIDTH) for x in steps]
    assert all((each.trust == 1).all() for each in found)
    weights = srgb_to_linear(np.stack([each.colour for each in found]) / 255)
    assert np.ptp(weights, axis=1).max() < 1e-3, "in every direction the same"
    np.testing.assert_allclose(weights.sum(axis=2), 1, atol=0.02)
    assert np.abs(np.diff(weights, axis=0)).max() < 0.12
    for channel, x in enumerate(places):
        beside = np.abs(steps - x) < 0.25
        assert weights[beside, :, channel].min() > 0.97
    shuffled = image_based.at_infinity(rays, at(0.5, 0.001), [captures[index] for index in (2, 0, 1)], WIDTH)
    np.testing.assert_allclose(shuffled.colour, found[100].colour, atol=0.01)


def test_what_stands_elsewhere_from_here_is_not_at_infinity() -> None:
    """A board that a capture sees 2 m away does not hang in the sky 1.5 m beside it; there only the sky is known."""
    width, here, there = image_based.RANGE_WIDTH, at(-1.5), at(1.5)
    image, depth, board = two_planes(here, width)
    capture = Photograph.of(Capture("board", image, here), np.where(board, depth, np.inf), width)
    rays = equirectangular.directions(width).reshape(-1, 3)
    elsewhere = image_based.at_infinity(rays, there, [capture], width)
    assert board.sum() > 1000
    assert (elsewhere.trust[board.ravel()] == 0).all()
    assert elsewhere.colour[elsewhere.trust > 0][:, 0].max() < 40, "no red"
    assert (elsewhere.trust == 1).mean() > 0.8
    assert (image_based.at_infinity(rays, here, [capture], width).trust == 1).all()


def test_seen_from_farther_away_the_fine_is_averaged() -> None:
    fine = np.indices((WIDTH, 2 * WIDTH)).sum(axis=0) % 2 * 255
    image = np.repeat(fine[..., None], 3, axis=2).astype(np.uint8)
    capture = Photograph.of(Capture("checker", image, at(0.0)), np.full((64, 128), 1.0, np.float32), WIDTH)
    pose = at(0.0)
    found = seen(np.full((WIDTH // 2, WIDTH), 1.0, np.float32), pose, [capture])
    assert found.colour[20:-20].std() < 3


def test_exposures_are_evened_out_and_a_capture_keeps_its_own() -> None:
    gains = (1.0, 1.6, 0.8)
    captures = []
    for gain, x in zip(gains, (-1.0, 0.2, 1.3), strict=True):
        image, _ = known_room.room(at(x), WIDTH)
        darker = np.rint(255 * linear_to_srgb(LINEAR_OF_BYTE[image] * 0.5 * gain)).astype(np.uint8)
        captures.append(Photograph.of(Capture("room", darker, at(x)), room_range(at(x)), WIDTH))
    matched = image_based.matched(captures)
    found = np.array([each.gain[0] for each in matched])
    np.testing.assert_allclose(found * gains / (found[0] * gains[0]), 1, atol=0.03)
    own = equirectangular.sample(
        captures[1].levels[0], equirectangular.directions_to_pixels(equirectangular.directions(WIDTH), WIDTH)
    )
    at_capture = seen(room_range(at(0.2), WIDTH), at(0.2), matched)
    assert psnr(at_capture.colour, own) > 45
    lonely = image_based.matched(captures[:1])
    assert (lonely[0].gain == 1).all()


def test_without_captures_nothing_is_seen() -> None:
    assert not seen(np.ones((8, 16), np.float32), np.eye(4), []).trust.any()

"""Frames between painted ones against ray-cast truth: right colours, nothing behind pillars doubled, sky that stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from backend.diffusion.shot.in_between import PaintedView, Pair
from pantheon360_blender.core.errors import PoseError
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import (
    matrix_from_quaternion,
    pose_matrix,
    quaternion_from_matrix,
    rotation_from_heading,
)

WIDTH = 256
SHAPE = (WIDTH // 2, WIDTH)
PILLARS = ((1.2, 2.5), (-1.5, 2.0), (0.3, -2.0))
"""Centres in metres; red, 0.25 m thick and 3 m high. The camera of `BEFORE` stands at the origin."""


def camera(x: float, y: float, heading: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    return pose_matrix(rotation_from_heading(heading, pitch, roll), np.array([x, y, 1.6]))


BEFORE, AFTER = camera(0, 0, 0), camera(0.35, 0.3, 14, 3, 2)


def on_the_way(share: float) -> np.ndarray:
    """The pose (4, 4) that so much of the way lies before: a straight line, turning at a constant speed."""
    turn = quaternion_from_matrix(BEFORE[:3, :3].T @ AFTER[:3, :3])
    half = share * np.arccos(turn[0])
    part = np.array([np.cos(half), *(np.sin(half) * turn[1:] / np.linalg.norm(turn[1:]))])
    place = (1 - share) * BEFORE[:3, 3] + share * AFTER[:3, 3]
    return pose_matrix(BEFORE[:3, :3] @ matrix_from_quaternion(part), place)


def between(before: PaintedView, after: PaintedView, depth: np.ndarray, camera: np.ndarray, share: float) -> np.ndarray:
    return Pair(before, after).frame(depth, camera, share)


def texture(points: np.ndarray, scale: float) -> np.ndarray:
    """(n, 3) colours of points (n, 3): a few crossing waves, smooth to the pixel."""
    waves = np.random.default_rng(7).normal(size=(8, 3)) * scale
    tints = np.random.default_rng(8).normal(size=(8, 3)) * 14
    return 110 + np.sin(points @ waves.T) @ tints


def cast(origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour (n, 3), range (n,) and whether it is a pillar (n,), along unit rays (n, 3) in the world.

    Ground at z = 0, a wall at y = 7, a sphere and pillars under a sky at infinity.
    """
    colour, nearest = texture(rays, 6.0) + np.array([0, 10, 60]), np.full(len(rays), np.inf)
    pillar = np.zeros(len(rays), np.bool_)

    def put(distance: np.ndarray, met: Callable[[np.ndarray], np.ndarray], scale: float, tint: tuple[int, ...]) -> None:
        with np.errstate(invalid="ignore"):
            hit = (distance > 0) & (distance < nearest) & met(origin + rays * distance[:, None])
        colour[hit] = texture(origin + rays[hit] * distance[hit, None], scale) + tint
        nearest[hit], pillar[hit] = distance[hit], tint[0] > 50

    with np.errstate(divide="ignore", invalid="ignore"):
        put(-origin[2] / rays[:, 2], lambda p: np.hypot(p[:, 0], p[:, 1]) < 12, 5.0, (0, 0, 0))
        put(
            (7 - origin[1]) / rays[:, 1], lambda p: (abs(p[:, 0]) < 6) & (p[:, 2] > 0) & (p[:, 2] < 3.5), 4.0, (0, 0, 0)
        )
        centre = origin - (3.0, 0.2, 0.8)
        middle = rays @ centre
        put(-middle - np.sqrt(middle**2 - centre @ centre + 0.64), lambda p: p[:, 2] > 0, 3.0, (0, 40, 0))
        flat = (rays[:, :2] ** 2).sum(axis=1)
        for place in PILLARS:
            centre = origin[:2] - place
            middle = rays[:, :2] @ centre
            put(
                (-middle - np.sqrt(middle**2 - flat * (centre @ centre - 0.0625))) / flat,
                lambda p: (p[:, 2] > 0) & (p[:, 2] < 3),
                3.0,
                (130, -40, -40),
            )
    return np.clip(colour, 0, 255), nearest, pillar


def seen(pose: np.ndarray, width: int = WIDTH) -> PaintedView:
    """What a camera sees: colours averaged over nine rays a pixel, range at its centre."""
    rows, columns = np.mgrid[: width // 2, :width]
    total = np.zeros((width // 2 * width, 3))
    for down in (1 / 6, 1 / 2, 5 / 6):
        for right in (1 / 6, 1 / 2, 5 / 6):
            pixels = np.stack([columns + right, rows + down], axis=-1).reshape(-1, 2)
            rays = equirectangular.pixels_to_directions(pixels, width) @ pose[:3, :3].T
            total += cast(pose[:3, 3], rays)[0]
    depth = cast(pose[:3, 3], centre_rays(pose, width))[1]
    shape = (width // 2, width)
    return PaintedView(
        np.rint(total / 9).astype(np.uint8).reshape(*shape, 3), depth.astype(np.float32).reshape(shape), pose
    )


def centre_rays(pose: np.ndarray, width: int = WIDTH) -> np.ndarray:
    return equirectangular.directions(width).reshape(-1, 3).astype(np.float64) @ pose[:3, :3].T


def behind_pillars(pose: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(H, W) bool: what `pose` sees, not right beside a pillar, and a pillar hides from `other`."""
    rays = centre_rays(pose)
    _, distance, pillar = cast(pose[:3, 3], rays)
    points = pose[:3, 3] + rays * np.where(np.isfinite(distance), distance, 1e6)[:, None]
    towards = points - other[:3, 3]
    length = np.linalg.norm(towards, axis=1)
    _, blocked, by_pillar = cast(other[:3, 3], towards / length[:, None])
    beside = pillar.reshape(SHAPE)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        beside = beside | np.roll(pillar.reshape(SHAPE), step, axis)
    return ~beside & (by_pillar & (blocked < 0.95 * length)).reshape(SHAPE)


def sparse(view: PaintedView, share: float, seed: int) -> PaintedView:
    kept = np.random.default_rng(seed).random(view.depth.shape) < share
    return replace(view, depth=np.where(kept, view.depth, np.float32(np.inf)))


def unknown(view: PaintedView) -> PaintedView:
    return replace(view, depth=np.full_like(view.depth, np.inf))


def psnr(image: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> float:
    error = (image.astype(np.float64) - truth) ** 2
    return float(10 * np.log10(255**2 / error[slice(None) if where is None else where].mean()))


def cross_fade(before: PaintedView, after: PaintedView, share: float) -> np.ndarray:
    return np.asarray((1 - share) * before.image.astype(np.float64) + share * after.image)


def levels_apart(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


@pytest.fixture(scope="module")
def before() -> PaintedView:
    return seen(BEFORE)


@pytest.fixture(scope="module")
def after() -> PaintedView:
    return seen(AFTER)


@pytest.fixture(scope="module")
def middle() -> PaintedView:
    return seen(on_the_way(0.5))


@pytest.mark.parametrize(("known", "least", "gain"), [(1.0, 32.0, 14.0), (0.2, 29.0, 11.0), (0.05, 27.0, 9.0)])
def test_a_frame_is_what_the_camera_sees(
    before: PaintedView, after: PaintedView, middle: PaintedView, known: float, least: float, gain: float
) -> None:
    """In dB against the truth, and how much better than cross-fading, with all or few of the ranges known."""
    first, last, target = (sparse(view, known, seed) for seed, view in enumerate((before, after, middle)))
    quality = psnr(between(first, last, target.depth, target.camera, 0.5), middle.image)
    assert quality > least
    assert quality > psnr(cross_fade(before, after, 0.5), middle.image) + gain


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_frames_elsewhere_on_the_path_are_as_good(before: PaintedView, after: PaintedView, share: float) -> None:
    truth = seen(on_the_way(share))
    quality = psnr(Pair(before, after).frame(truth.depth, truth.camera, share), truth.image)
    assert quality > max(32.0, psnr(cross_fade(before, after, share), truth.image) + 11.0)


@pytest.mark.parametrize(("known", "least", "gain"), [(1.0, 28.0, 9.0), (0.2, 24.0, 5.0)])
def test_what_a_pillar_hides_from_one_side_is_taken_from_the_other(
    before: PaintedView, after: PaintedView, middle: PaintedView, known: float, least: float, gain: float
) -> None:
    """Views that know no ranges hide nothing from one another: they show the pillar twice more."""
    first, last, target = (sparse(view, known, seed) for seed, view in enumerate((before, after, middle)))
    hidden = behind_pillars(middle.camera, BEFORE) ^ behind_pillars(middle.camera, AFTER)
    hidden &= np.isfinite(middle.depth)
    assert hidden.sum() > 100
    quality = psnr(between(first, last, target.depth, target.camera, 0.5), middle.image, hidden)
    ghosts = psnr(between(unknown(before), unknown(after), target.depth, target.camera, 0.5), middle.image, hidden)
    assert quality > least
    assert quality > ghosts + gain


@pytest.mark.parametrize("known", [1.0, 0.2])
def test_the_sky_stays_at_infinity(before: PaintedView, after: PaintedView, middle: PaintedView, known: float) -> None:
    """The surroundings are some metres away; sky as near as they are would move and blur."""
    first, last, target = (sparse(view, known, seed) for seed, view in enumerate((before, after, middle)))
    sky = ~np.isfinite(middle.depth) & ~behind_pillars(middle.camera, BEFORE) & ~behind_pillars(middle.camera, AFTER)
    sky &= equirectangular.directions(WIDTH)[..., 1] > 0.2
    assert psnr(between(first, last, target.depth, target.camera, 0.5), middle.image, sky) > 40


def test_ground_that_no_point_shows_moves_as_ground(
    before: PaintedView, after: PaintedView, middle: PaintedView
) -> None:
    """Under the cameras nothing is known, as where a photographer stood; all that is known round it is farther away."""

    def holed(view: PaintedView) -> PaintedView:
        rays = centre_rays(view.camera).reshape(*SHAPE, 3)
        return replace(view, depth=np.where(rays[..., 2] < -0.65, np.float32(np.inf), view.depth))

    hole = np.isinf(holed(middle).depth) & np.isfinite(middle.depth)
    frame = between(holed(before), holed(after), holed(middle).depth, middle.camera, 0.5)
    assert psnr(frame, middle.image, hole) > 32
    assert psnr(cross_fade(before, after, 0.5), middle.image, hole) < 25


def test_points_that_show_through_a_nearer_surface_are_not_of_it(
    before: PaintedView, after: PaintedView, middle: PaintedView
) -> None:
    """One-pixel points leave gaps through which points of what is behind show: here of a shell four times as far."""

    def leaky(view: PaintedView, seed: int) -> PaintedView:
        random = np.random.default_rng(seed).random(SHAPE)
        behind = np.where(random < 0.35, 4 * view.depth, np.float32(np.inf))
        return replace(view, depth=np.where(random < 0.25, view.depth, behind))

    first, last, target = (leaky(view, seed) for seed, view in enumerate((before, after, middle)))
    frame = between(first, last, target.depth, target.camera, 0.5)
    assert psnr(frame, middle.image, np.isfinite(middle.depth)) > 30.5


def test_a_wall_that_no_point_shows_moves_as_its_surroundings(
    before: PaintedView, after: PaintedView, middle: PaintedView
) -> None:
    """The middle of the wall is unknown; it is no more at infinity than its borders are."""

    def holed(view: PaintedView) -> PaintedView:
        points = view.camera[:3, 3] + centre_rays(view.camera) * view.depth.reshape(-1, 1)
        hole = (abs(points[:, 0]) < 5) & (points[:, 2] > 0.3) & (points[:, 2] < 3.2) & (points[:, 1] > 6.9)
        return replace(view, depth=np.where(hole.reshape(SHAPE), np.float32(np.inf), view.depth))

    hole = np.isinf(holed(middle).depth) & np.isfinite(middle.depth)
    frame = between(holed(before), holed(after), holed(middle).depth, middle.camera, 0.5)
    assert psnr(frame, middle.image, hole) > 31


@pytest.mark.parametrize("known", [1.0, 0.2, 0.0])
def test_at_the_ends_it_is_the_painted_frame(before: PaintedView, after: PaintedView, known: float) -> None:
    first, last = sparse(before, known, 1), sparse(after, known, 2)
    pair = Pair(first, last)
    assert levels_apart(pair.frame(first.depth, BEFORE, 0.0), before.image) <= 1
    assert levels_apart(pair.frame(last.depth, AFTER, 1.0), after.image) <= 1


def test_frames_near_an_end_approach_it(before: PaintedView, after: PaintedView) -> None:
    """No popping: a hundredth of the way from a painted frame little has changed, on silhouettes too."""
    pose = on_the_way(0.01)
    frame = between(before, after, seen(pose).depth, pose, 0.01)
    assert psnr(frame, before.image) > 36


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_reversed_time_gives_the_same_frame(before: PaintedView, after: PaintedView, share: float) -> None:
    first, last = sparse(before, 0.3, 1), sparse(after, 0.3, 2)
    target = sparse(seen(on_the_way(share)), 0.3, 3)
    forwards = between(first, last, target.depth, target.camera, share)
    backwards = between(last, first, target.depth, target.camera, 1 - share)
    assert levels_apart(forwards, backwards) <= 1


def turned(view: PaintedView, columns: int) -> PaintedView:
    """The same panorama of a camera that is turned to the left about its own vertical."""
    angle = 2 * np.pi * columns / WIDTH
    turn = np.eye(4)
    turn[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    return PaintedView(np.roll(view.image, columns, 1), np.roll(view.depth, columns, 1), view.camera @ turn)


def test_the_seam_is_nowhere(before: PaintedView, after: PaintedView, middle: PaintedView) -> None:
    """Panoramas turned by half their width give the turned frame, whatever lies at the seam."""
    views = [sparse(view, 0.3, seed) for seed, view in enumerate((before, after, middle))]
    frame = between(views[0], views[1], views[2].depth, views[2].camera, 0.5)
    first, last, target = (turned(view, WIDTH // 2) for view in views)
    assert levels_apart(between(first, last, target.depth, target.camera, 0.5), np.roll(frame, WIDTH // 2, 1)) <= 1


def test_the_world_has_no_preferred_place_or_heading(
    before: PaintedView, after: PaintedView, middle: PaintedView
) -> None:
    """Turned about the vertical and moved a kilometre, the same things are seen."""
    world = pose_matrix(rotation_from_heading(77) @ rotation_from_heading(0).T, np.array([1000.0, -300, 20]))
    first, last, target = (sparse(view, 0.3, seed) for seed, view in enumerate((before, after, middle)))
    frame = between(first, last, target.depth, target.camera, 0.5)
    moved = [replace(view, camera=world @ view.camera) for view in (first, last, target)]
    assert levels_apart(between(moved[0], moved[1], target.depth, moved[2].camera, 0.5), frame) <= 2


@pytest.mark.parametrize("known", [1.0, 0.2, 0.0])
def test_a_camera_that_only_turns_needs_no_ranges(known: float) -> None:
    poses = [camera(0, 0, 0), camera(0, 0, 15, 8, 5), camera(0, 0, 30, 16, 10)]
    first, target, last = (sparse(seen(pose), known, seed) for seed, pose in enumerate(poses))
    resampled = [equirectangular.rotate(v.image, v.camera[:3, :3].T @ target.camera[:3, :3]) for v in (first, last)]
    mean = (resampled[0].astype(np.float64) + resampled[1]) / 2
    frame = between(first, last, target.depth, target.camera, 0.5)
    least = np.minimum(*resampled).astype(int) - 1
    assert ((frame >= least) & (frame <= np.maximum(*resampled).astype(int) + 1)).all()
    assert psnr(frame, mean) > (45 if known else 52)


def test_a_point_at_a_painted_camera_harms_nothing(before: PaintedView, after: PaintedView) -> None:
    """A panorama that stands on a point sees it in no direction: any will do."""
    row, column = 70, 100
    depth = np.full(SHAPE, np.inf, np.float32)
    depth[row, column] = 1.0
    first, target = replace(before, camera=np.eye(4)), np.eye(4)
    target[:3, 3] = -equirectangular.directions(WIDTH)[row, column]
    frame = between(first, after, depth, target, 0.5)
    assert frame.shape == before.image.shape


@pytest.mark.parametrize("width", [2, 8, 30])
def test_small_panoramas_are_as_good_as_large_ones(width: int) -> None:
    views = [sparse(seen(pose, width), 0.5, seed) for seed, pose in enumerate((BEFORE, AFTER))]
    assert levels_apart(between(*views, views[0].depth, BEFORE, 0.0), views[0].image) <= 1


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
def test_a_share_outside_the_pair_is_refused(before: PaintedView, after: PaintedView, share: float) -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        between(before, after, before.depth, BEFORE, share)


def test_shapes_and_types_that_do_not_fit_are_refused(before: PaintedView, after: PaintedView) -> None:
    with pytest.raises(ValueError, match=r"differ in size.*\(128, 256, 3\).*\(128, 128, 3\)"):
        Pair(before, replace(after, image=after.image[:, ::2]))
    with pytest.raises(ValueError, match="frame before is float64"):
        Pair(replace(before, image=before.image / 255), after)
    with pytest.raises(ValueError, match=r"frame before is uint8 \(128, 128, 3\)"):
        Pair(*(replace(view, image=view.image[:, ::2]) for view in (before, after)))
    with pytest.raises(ValueError, match="after depth"):
        Pair(before, replace(after, depth=after.depth[::2]))
    with pytest.raises(ValueError, match="in-between depth"):
        between(before, after, before.depth[::2], BEFORE, 0.5)


@pytest.mark.parametrize("wrong", [np.nan, 0.0, -1.0])
def test_ranges_that_are_none_are_refused(before: PaintedView, after: PaintedView, wrong: float) -> None:
    depth = before.depth.copy()
    depth[5, 5] = wrong
    with pytest.raises(ValueError, match="NaN, zero or negative"):
        between(before, after, depth, BEFORE, 0.5)
    with pytest.raises(ValueError, match="before depth"):
        Pair(replace(before, depth=depth), after)


def test_a_camera_that_is_no_pose_is_refused(before: PaintedView, after: PaintedView) -> None:
    with pytest.raises(PoseError, match="scales"):
        between(before, after, before.depth, np.diag([2.0, 2.0, 2.0, 1.0]), 0.5)

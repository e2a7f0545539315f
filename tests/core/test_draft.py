"""The draft painter: exact where it can be, steady everywhere, and filled to the last pixel."""

from __future__ import annotations

import weakref
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from pantheon360_blender.core.errors import CaptureError, PoseError, RenderError
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture, UnreadCapture
from pantheon360_blender.core.render import coverage, draft, origin
from pantheon360_blender.core.render.draft import DraftPainter
from pantheon360_blender.core.render.pull_push import pull_push
from pantheon360_blender.core.render.splatting import GeometryFrame, splat, splat_footprints

from .. import known_room

WIDTH = 128
HEIGHT = WIDTH // 2


def paint(frame: GeometryFrame, pose: np.ndarray, captures: list[Capture]) -> np.ndarray:
    return DraftPainter(captures, frame.colour.shape[1]).paint(frame, pose)


def nothing(width: int = WIDTH) -> GeometryFrame:
    return splat(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.eye(4), width)


def at(x: float, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    pose[:3, 3] = (x, y, z)
    return pose


def sky(width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """A smooth photograph that differs in every direction."""
    rng = np.random.default_rng(seed)
    waves = equirectangular.directions(width) @ rng.normal(0, 2, (3, 3)).astype(np.float32)
    return np.clip(127.5 + 100 * np.sin(waves + rng.uniform(0, 6, 3).astype(np.float32)), 0, 255).astype(np.uint8)


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.abs(first.astype(int) - second.astype(int))


def test_a_covered_frame_is_kept() -> None:
    rng = np.random.default_rng(0)
    frame = GeometryFrame(
        colour=rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8),
        depth=np.ones((HEIGHT, WIDTH), np.float32),
        coverage=np.ones((HEIGHT, WIDTH), np.bool_),
        source=np.zeros((HEIGHT, WIDTH), np.int32),
    )
    painted = paint(frame, at(1), [Capture("a", sky(), at(0))])
    assert np.array_equal(painted, frame.colour)
    painted[:] = 0
    assert frame.colour.any(), "the result must not share the frame's memory"


def test_at_a_capture_an_empty_frame_becomes_the_capture() -> None:
    photo, other = sky(seed=1), sky(seed=2)
    pose = at(1, 2, 3, yaw=0.4)
    captures = [Capture("a", other, at(0)), Capture("b", photo, pose), Capture("c", other, at(5))]
    assert difference(paint(nothing(), pose, captures), photo).max() <= 1


def test_a_larger_capture_is_antialiased_to_the_frame() -> None:
    photo = sky(4 * WIDTH)
    painted = paint(nothing(), at(0), [Capture("a", photo, at(0))])
    assert difference(painted, equirectangular.resize(photo, WIDTH)).max() <= 1


def test_the_sky_turns_with_the_camera_and_stays_when_it_moves() -> None:
    photo = sky()
    captures = [Capture("a", photo, at(0))]
    columns = 24
    turned = paint(nothing(), at(9, 5, 2, yaw=2 * np.pi * columns / WIDTH), captures)  # to the left
    assert difference(turned, np.roll(photo, columns, axis=1)).max() <= 2


def test_covered_pixels_keep_their_colour_over_the_sky() -> None:
    points = np.array([[0, 0, -2], [1, 0.5, -1]], np.float32)
    frame = splat(points, np.array([[255, 0, 0], [0, 255, 0]], np.uint8), np.eye(4), WIDTH)
    painted = paint(frame, np.eye(4), [Capture("a", sky(), at(0))])
    assert np.array_equal(painted[frame.coverage], frame.colour[frame.coverage])
    assert difference(painted, sky())[~frame.coverage].max() <= 1


def test_what_is_not_valid_never_shows() -> None:
    photo, valid = sky(), np.ones((HEIGHT, WIDTH), np.bool_)
    photo[..., 1] = 60
    photo[40:], valid[40:] = (0, 255, 0), False  # a green photographer
    for captures in (
        [Capture("a", photo, at(0), valid)],
        [Capture("a", photo, at(0), valid), Capture("b", photo, at(2), valid)],
    ):
        painted = paint(nothing(), at(0.5), captures)
        assert painted[..., 1].max() <= 62
        assert painted[..., 1].min() >= 58


@pytest.mark.parametrize("width", [WIDTH, 150, 174, 360, 722])
def test_a_mask_of_any_size_hides_what_it_covers_and_nothing_else(width: int) -> None:
    photo, valid = sky(width), np.ones((width // 2, width), np.bool_)
    valid[round(0.4 * width) :] = False
    painted = paint(nothing(), at(0), [Capture("a", photo, at(0), valid)])
    own = equirectangular.resize(photo, WIDTH) if width > WIDTH else photo
    assert difference(painted, own)[: round(0.38 * WIDTH)].max() <= 1


def test_one_capture_fills_what_another_lacks() -> None:
    valid = np.ones((HEIGHT, WIDTH), np.bool_)
    valid[40:] = False
    first, second = np.full((HEIGHT, WIDTH, 3), 50, np.uint8), np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    painted = paint(nothing(), at(0), [Capture("a", first, at(0), valid), Capture("b", second, at(3))])
    assert (painted[:36] == 50).all()
    assert (painted[41:] == 200).all()
    steps = difference(painted[1:], painted[:-1]).max(axis=(1, 2))
    assert steps.max() < 150, "the border is soft"


def test_nothing_pops_on_the_way_from_capture_to_capture() -> None:
    captures = [Capture(name, sky(seed=seed), at(x)) for name, seed, x in (("a", 1, 0.0), ("b", 2, 1.0), ("c", 3, 2.5))]
    painter = DraftPainter(captures, WIDTH)
    way = [painter.paint(nothing(), at(x, 0.01)) for x in np.linspace(-0.5, 3.0, 141)]
    steps = [difference(one, other).mean() for one, other in pairwise(way)]
    whole = difference(way[20], way[60]).mean()
    assert max(steps) < 0.12 * whole
    assert difference(way[20], sky(seed=1)).mean() < 1.0


@pytest.mark.parametrize("x", [0.0, 1e-7, 0.3, 1.0])
def test_a_millimetre_changes_little(x: float) -> None:
    rng = np.random.default_rng(3)
    floor = np.stack([rng.uniform(-4, 4, 40_000), np.full(40_000, -1.6), rng.uniform(-4, 4, 40_000)], axis=1)
    points = floor.astype(np.float32)
    colours = np.clip(128 + 60 * np.sin(2.0 * floor), 0, 255).astype(np.uint8)
    valid = np.ones((HEIGHT, WIDTH), np.bool_)
    valid[50:] = False
    captures = [Capture("a", sky(seed=1), at(0), valid), Capture("b", sky(seed=2), at(1, yaw=1.0), valid)]
    painter = DraftPainter(captures, WIDTH)

    def frame(shift: float) -> np.ndarray:
        pose = at(x + shift)
        return painter.paint(splat_footprints(points, colours, 0.05, pose, WIDTH), pose)

    still = frame(0.0)
    assert np.array_equal(still, frame(0.0))
    assert difference(still, frame(0.001)).mean() < 1.0


def test_the_painter_paints_as_paint_does_whatever_came_before() -> None:
    captures = [Capture("a", sky(seed=1), at(0)), Capture("b", sky(seed=2), at(1))]
    painter = DraftPainter(captures, WIDTH)
    painter.paint(nothing(), at(0.9, yaw=2.0))
    assert np.array_equal(painter.paint(nothing(), at(0.3)), paint(nothing(), at(0.3), captures))


class Shelf:
    """Captures in a row along x, read when they are asked for; it counts those that somebody holds."""

    def __init__(self, count: int, width: int = WIDTH, masked: bool = False) -> None:
        self.reads: list[int] = []
        self.most_held = 0
        self._held: list[weakref.ref[np.ndarray]] = []
        self._width, self._masked = width, masked
        self.captures = [
            UnreadCapture(str(index), at(3.0 * index), partial(self.read, index)) for index in range(count)
        ]

    def read(self, index: int) -> Capture:
        self.reads.append(index)
        image = sky(self._width, seed=index)
        valid = np.arange(self._width // 2)[:, None] < self._width // 3
        self._held = [each for each in self._held if each() is not None] + [weakref.ref(image)]
        self.most_held = max(self.most_held, len(self._held))
        return Capture(str(index), image, at(3.0 * index), np.repeat(valid, self._width, 1) if self._masked else None)


@pytest.mark.parametrize("masked", [False, True])
def test_captures_that_fit_are_read_once_and_paint_as_if_they_had_been_there(masked: bool) -> None:
    shelf = Shelf(7, masked=masked)
    painter, places = DraftPainter(shelf.captures, WIDTH), (0.0, 9.5, 2.0)
    painted = [painter.paint(nothing(), at(x)) for x in places]
    assert sorted(shelf.reads) == list(range(7))
    there = [shelf.read(index) for index in range(7)]
    for x, image in zip(places, painted, strict=True):
        assert np.array_equal(image, paint(nothing(), at(x), there))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("fitting", [1, 3, 5])
def test_of_many_captures_the_nearest_paint_and_no_more_are_held(
    fitting: int, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = HEIGHT * WIDTH * (7 if masked else 3)
    monkeypatch.setattr(draft, "MEMORY", fitting * size + size // 2)
    shelf = Shelf(40, masked=masked)
    painter, places = DraftPainter(shelf.captures, WIDTH), (0.0, 30.4, 31.0, 32.0, 33.1, 117.0, 30.4)
    painted = [painter.paint(nothing(), at(x)) for x in places]
    assert shelf.most_held <= fitting + 1
    for x, image in zip(places, painted, strict=True):
        nearest = sorted(range(40), key=lambda index: abs(3.0 * index - x))[:fitting]
        assert np.array_equal(image, paint(nothing(), at(x), [shelf.read(index) for index in sorted(nearest)]))
        alone = DraftPainter(shelf.captures, WIDTH)
        assert np.array_equal(image, alone.paint(nothing(), at(x))), "whatever was painted before"


def test_a_walk_reads_each_capture_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "MEMORY", 5 * 3 * HEIGHT * WIDTH)
    shelf = Shelf(30)
    painter = DraftPainter(shelf.captures, WIDTH)
    for x in np.linspace(0.1, 87, 60):
        painter.paint(nothing(), at(float(x)))
    assert len(shelf.reads) <= 30 + 2


def test_a_capture_larger_than_the_memory_is_used_if_it_is_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "MEMORY", 1)
    shelf = Shelf(3)
    painted = DraftPainter(shelf.captures, WIDTH).paint(nothing(), at(3.0))
    assert difference(painted, sky(seed=1)).max() <= 1 and shelf.reads.count(1) == 1


def test_what_is_read_is_told_before_and_nothing_is_for_a_covered_frame() -> None:
    shelf = Shelf(3)
    painter, frame = DraftPainter(shelf.captures, WIDTH), nothing()
    told = [(name, len(shelf.reads)) for name in painter.load(frame, at(0.0))]
    assert told == [("0", 0), ("1", 1), ("2", 2)] and not list(painter.load(frame, at(0.0)))
    covered = GeometryFrame(frame.colour, frame.depth, np.ones_like(frame.coverage), frame.source)
    assert not list(DraftPainter(shelf.captures, WIDTH).load(covered, at(0.0)))


def test_pinholes_take_the_surface_and_not_the_sky_behind() -> None:
    frame = nothing()
    coverage, colour = frame.coverage.copy(), frame.colour.copy()
    coverage[20:50, 30:90], colour[20:50, 30:90] = True, 200
    holes = np.array([[25, 40], [30, 60], [44, 80]])
    coverage[tuple(holes.T)], colour[tuple(holes.T)] = False, 0
    dark = Capture("a", np.full((HEIGHT, WIDTH, 3), 10, np.uint8), at(0))
    painted = paint(GeometryFrame(colour, frame.depth, coverage, frame.source), at(0), [dark])
    assert (painted[tuple(holes.T)] == 200).all()
    assert (painted[19, 30:90] == 10).all(), "the sky beside a silhouette stays sky"


@pytest.mark.parametrize("captures", [[], [Capture("a", sky(), at(0), np.zeros((HEIGHT, WIDTH), np.bool_))]])
def test_without_a_usable_capture_the_points_fill_the_frame(captures: list[Capture]) -> None:
    frame = splat(np.array([[0, 0, -1]], np.float32), np.array([[120, 60, 30]], np.uint8), np.eye(4), WIDTH)
    painted = paint(frame, np.eye(4), captures)
    assert difference(painted, np.broadcast_to(np.uint8([120, 60, 30]), painted.shape)).max() <= 1


def test_with_nothing_at_all_the_frame_is_black() -> None:
    assert not paint(nothing(), at(0), []).any()


@pytest.mark.parametrize("height", [64, 50, 27])
def test_pull_push_keeps_the_known_and_spans_the_rest(height: int) -> None:
    rng = np.random.default_rng(4)
    colour = rng.uniform(50, 200, (height, 2 * height, 3)).astype(np.float32)
    weight = (rng.uniform(size=(height, 2 * height)) < 0.1).astype(np.float32)
    weight[height // 2 :, : height // 2] = 0
    filled = pull_push(np.where(weight[..., None] > 0, colour, 1e4), weight)
    known = weight > 0
    np.testing.assert_allclose(filled[known], colour[known], rtol=1e-5)
    assert filled.min() >= 49.9
    assert filled.max() <= 200.1


def test_pull_push_goes_over_the_seam() -> None:
    """A hole across the seam is filled as the same hole in the middle."""
    image = sky(64).astype(np.float32)
    weight = np.ones((32, 64), np.float32)
    weight[12:20, 24:40] = 0
    middle = pull_push(image, weight)
    across = pull_push(np.roll(image, 32, axis=1), np.roll(weight, 32, axis=1))
    np.testing.assert_allclose(np.roll(across, -32, axis=1), middle, atol=1e-2)
    assert np.abs(np.diff(across, axis=1, append=across[:, :1])).max() < 60


def test_pull_push_weighs_the_half_known() -> None:
    colour = np.full((16, 32, 1), 100.0, np.float32)
    weight = np.ones((16, 32), np.float32)
    colour[8, 16], weight[8, 16] = 200.0, 0.5
    assert 140 < pull_push(colour, weight)[8, 16, 0] < 160


def test_a_pose_or_frame_that_cannot_be_is_refused() -> None:
    frame = splat(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.eye(4), 32)
    painter = DraftPainter([Capture("a", np.zeros((16, 32, 3), np.uint8), np.eye(4))], 32)
    for wrong in (np.full((4, 4), np.nan), np.zeros((4, 4)), np.eye(3)):
        with pytest.raises(PoseError):
            painter.paint(frame, wrong)
    with pytest.raises(RenderError, match="32 pixels wide"):
        DraftPainter([], 64).paint(frame, np.eye(4))


@pytest.mark.parametrize("wrong", [np.zeros((4, 4)), np.diag([2.0, 2, 2, 1]), np.diag([-1.0, 1, 1, 1]), np.eye(3)])
def test_a_capture_stands_somewhere_and_looks_somewhere(wrong: np.ndarray) -> None:
    with pytest.raises(CaptureError, match="Capture house"):
        Capture("house", np.zeros((2, 4, 3), np.uint8), wrong)


def test_what_is_near_shows_no_ghosts_where_the_captures_saw_it() -> None:
    """A red ball before a blue sky; a camera between two captures sees it once."""

    def seen_from(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ball = pose[:3, :3].T @ (np.array([0.0, 0.0, -5.0]) - pose[:3, 3])
        along = equirectangular.directions(WIDTH) @ ball
        inside = along**2 - ball @ ball + 1.0
        hit = (along > 0) & (inside > 0)
        return hit, np.where(hit, along - np.sqrt(np.maximum(inside, 0)), np.inf)

    def photograph(pose: np.ndarray) -> np.ndarray:
        return np.where(seen_from(pose)[0][..., None], [220, 20, 20], [40, 90, 220]).astype(np.uint8)

    captures = [Capture(name, photograph(at(x)), at(x)) for name, x in (("left", -2.0), ("right", 2.0))]
    middle = at(0.0)
    covered, depth = seen_from(middle)
    frame = GeometryFrame(
        photograph(middle) * covered[..., None].astype(np.uint8),
        depth.astype(np.float32),
        covered,
        np.where(covered, 0, -1).astype(np.int32),
    )
    red = paint(frame, middle, captures)[..., 0] > 80
    rim = np.zeros_like(covered)
    for down in range(-3, 4):
        for right in range(-3, 4):
            rim |= np.roll(covered, (down, right), axis=(0, 1))
    assert red[covered].all()
    assert not red[~rim].any()
    np.testing.assert_array_equal(paint(nothing(), at(-2.0), captures), captures[0].image)


def test_surfaces_show_the_captures_own_pixels_if_their_ranges_are_known() -> None:
    """The room of formulas: points a tenth as dense as pixels, and captures twice as fine as the frame."""
    places = (np.array([-0.9, 0.2, 0.1]), np.array([1.0, -0.3, 0.2]))
    captures, clouds, colours = [], [], []
    for place in places:
        pose = at(*place)
        image, depth = known_room.room(pose, 2 * WIDTH)
        captures.append(Capture(str(len(captures)), image, pose))
        rays = equirectangular.directions(2 * WIDTH)
        clouds.append((rays * depth[..., None] + place)[::3, ::3].reshape(-1, 3).astype(np.float32))
        colours.append(image[::3, ::3].reshape(-1, 3))
    points, colour = np.concatenate(clouds), np.concatenate(colours)

    def frame(pose: np.ndarray, width: int) -> GeometryFrame:
        return splat_footprints(points, colour, 0.15, pose, width)

    read: list[int] = []

    def ranges(index: int) -> np.ndarray:
        read.append(index)
        return frame(captures[index].pose, 512).depth

    painter = DraftPainter(captures, WIDTH, ranges)
    between = at(0.1, 0.1, 0.4, yaw=0.3)
    truth, seen = known_room.room(between, WIDTH)[0], frame(between, WIDTH)
    painted = painter.paint(seen, between)
    error, error_of_points = (
        np.square(difference(each, truth)).mean() for each in (painted, paint(seen, between, captures))
    )
    assert error < error_of_points / 4
    assert np.array_equal(painted, painter.paint(seen, between)), "whatever was painted before"
    here = captures[0].pose
    own = equirectangular.resize(captures[0].image, WIDTH)
    assert np.square(difference(painter.paint(frame(here, WIDTH), here), own)).mean() < 255**2 / 10**4.5
    assert sorted(read) == [0, 1], "each is looked from once"


def test_it_tells_where_each_pixel_is_from() -> None:
    """A wall ahead that a capture sees in part, a sky it sees above, and its photographer below, whom nobody sees."""
    valid = np.ones((HEIGHT, WIDTH), np.bool_)
    valid[40:] = False
    captures = [Capture("a", sky(), at(0), valid)]
    depth = np.full((HEIGHT, WIDTH), np.inf, np.float32)
    depth[20:60, 40:80] = 5.0
    covered = np.isfinite(depth)
    frame = GeometryFrame(
        np.full((HEIGHT, WIDTH, 3), 99, np.uint8) * covered[..., None].astype(np.uint8),
        depth,
        covered,
        np.where(covered, 0, -1).astype(np.int32),
    )
    of_points = DraftPainter(captures, WIDTH).painted(frame, at(0))
    assert (of_points.origin[covered] == origin.POINT).all()
    assert (of_points.origin[:37][~covered[:37]] == origin.PHOTOGRAPH).all()
    assert (of_points.origin[42:][~covered[42:]] == origin.MADE_UP).all()
    own = DraftPainter(captures, WIDTH, lambda index: np.repeat(np.repeat(depth, 8, 0), 8, 1)).painted(frame, at(0))
    assert (own.origin[22:36, 42:78] == origin.PHOTOGRAPH).all()
    assert (own.origin[44:58, 42:78] == origin.POINT).all()
    assert (own.image[44:58, 42:78] == 99).all(), "a point's colour where it says so"
    assert (own.origin[44:, :38] == origin.MADE_UP).all()
    told = origin.shares(own.origin)
    assert sum(told.values()) == pytest.approx(1)
    assert told["photographed"] == pytest.approx(coverage.covered_share(own.origin == origin.PHOTOGRAPH))


@pytest.mark.parametrize("bands", [1, 5])
def test_bands_are_painted_as_the_whole_picture(bands: int, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = [Capture("a", sky(seed=1), at(0)), Capture("b", sky(seed=2), at(1))]
    floor = np.array([[x, -1.6, z] for x in np.linspace(-3, 3, 60) for z in np.linspace(-3, 3, 60)], np.float32)
    frame = splat_footprints(floor, np.full(floor.shape, 90, np.uint8), 0.15, at(0.4), WIDTH)

    def picture() -> np.ndarray:
        ranges = splat_footprints(floor, np.full(floor.shape, 90, np.uint8), 0.15, at(0), 1024).depth
        return DraftPainter(captures, WIDTH, lambda index: ranges).paint(frame, at(0.4))

    whole = picture()
    monkeypatch.setattr("pantheon360_blender.core.render.bands.BAND", bands * WIDTH)
    assert difference(picture(), whole).max() <= 1


def test_what_nobody_knows_the_range_of_stands_once() -> None:
    """Two captures see a post at no known range; a camera between them, nearer to one, shows that one's post alone."""

    def photograph(column: int) -> np.ndarray:
        image = np.full((HEIGHT, WIDTH, 3), (40, 90, 220), np.uint8)
        image[20:40, column : column + 4] = (220, 20, 20)
        return image

    captures = [Capture("a", photograph(50), at(0)), Capture("b", photograph(70), at(1))]
    painter = DraftPainter(captures, WIDTH, lambda index: nothing(1024).depth)
    red = painter.paint(nothing(), at(0.35))[..., 0].astype(int)
    assert red[30, 50:54].min() > 190
    assert red[30, 70:74].max() < 90
    assert painter.paint(nothing(), at(0.65))[30, 70:74, 0].min() > 190


def test_ranges_without_captures_or_points_change_nothing() -> None:
    frame = splat(np.array([[0, 0, -1]], np.float32), np.array([[120, 60, 30]], np.uint8), np.eye(4), WIDTH)
    assert np.array_equal(
        DraftPainter([], WIDTH, lambda index: frame.depth).paint(frame, np.eye(4)), paint(frame, np.eye(4), [])
    )
    capture = Capture("a", sky(), at(0))
    empty = DraftPainter([capture], WIDTH, lambda index: nothing().depth)
    assert np.array_equal(empty.paint(nothing(), at(1)), paint(nothing(), at(1), [capture]))

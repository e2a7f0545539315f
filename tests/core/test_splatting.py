"""Splatting against a brute-force z-buffer in float64, and the properties any renderer of points must have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon360_blender.core.errors import PointCloudError, PoseError, RenderError
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.render.splatting import (
    GeometryFrame,
    resized,
    rolled,
    splat,
    splat_footprints,
    turned,
    with_confidence,
)

WIDTH = 256
HEIGHT = WIDTH // 2


def random_pose(rng: np.random.Generator) -> np.ndarray:
    pose = np.eye(4)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pose[:3, :3] = q * np.sign(np.linalg.det(q))
    pose[:3, 3] = rng.normal(size=3)
    return pose


def random_cloud(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(0, 4, (count, 3)).astype(np.float32), rng.integers(0, 256, (count, 3)).astype(np.uint8)


def camera_coordinates(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    return (points.astype(np.float64) - pose[:3, 3]) @ pose[:3, :3]


def places(points: np.ndarray, pose: np.ndarray, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, rows and ranges in float64, straight from the convention."""
    x, y, z = camera_coordinates(points, pose).T
    distance = np.sqrt(x * x + y * y + z * z)
    u = (0.5 + np.arctan2(x, -z) / (2 * np.pi)) * width
    v = (0.5 - np.arctan2(y, np.hypot(x, z)) / np.pi) * width / 2
    return u % width, v, distance


def clear_of_borders(points: np.ndarray, pose: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """Points whose pixel no rounding can change."""
    u, v, distance = places(points, pose, width)
    return (abs(u - np.rint(u)) > 1e-2) & (abs(v - np.rint(v)) > 1e-2) & (distance > 0.1)


def brute_force(points: np.ndarray, pose: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """Index of the nearest point of each pixel, one point after the other; -1 where none."""
    u, v, distance = places(points, pose, width)
    source, nearest = np.full((width // 2, width), -1), np.full((width // 2, width), np.inf)
    for index, (column, row) in enumerate(zip(u.astype(int) % width, v.astype(int), strict=True)):
        row = min(row, width // 2 - 1)
        if distance[index] < nearest[row, column]:
            nearest[row, column], source[row, column] = distance[index], index
    return source


def same(first: GeometryFrame, second: GeometryFrame) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("colour", "depth", "coverage", "source")
    )


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_a_brute_force_z_buffer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, colours = random_cloud(rng, 20_000)
    pose = random_pose(rng)
    keep = clear_of_borders(points, pose)
    points, colours = points[keep], colours[keep]
    frame = splat(points, colours, pose, WIDTH)
    wanted = brute_force(points, pose)
    assert np.array_equal(frame.source, wanted)
    seen = wanted >= 0
    assert np.array_equal(frame.coverage, seen)
    assert np.array_equal(frame.colour[seen], colours[wanted[seen]])
    assert not frame.colour[~seen].any()
    assert np.isposinf(frame.depth[~seen]).all()
    distances = np.linalg.norm(camera_coordinates(points, pose), axis=1)
    np.testing.assert_allclose(frame.depth[seen], distances[wanted[seen]], rtol=1e-6)


def test_shapes_and_types() -> None:
    frame = splat(*random_cloud(np.random.default_rng(0), 100), np.eye(4), 64)
    assert (frame.colour.shape, frame.colour.dtype) == ((32, 64, 3), np.uint8)
    assert (frame.depth.shape, frame.depth.dtype) == ((32, 64), np.float32)
    assert (frame.coverage.shape, frame.coverage.dtype) == ((32, 64), np.bool_)
    assert (frame.source.shape, frame.source.dtype) == ((32, 64), np.int32)
    rgba = frame.rgba()
    assert (rgba.shape, rgba.dtype) == ((32, 64, 4), np.uint8)
    assert np.array_equal(rgba[..., 3] == 255, frame.coverage)
    assert np.array_equal(rgba[..., :3], frame.colour)


@pytest.mark.parametrize(
    ("direction", "pixel"),
    [
        ((0.01, 0.01, -1), (HEIGHT // 2 - 1, WIDTH // 2)),  # ahead: the centre
        ((1, 0.01, -0.01), (HEIGHT // 2 - 1, 3 * WIDTH // 4 - 1)),  # right: the right quarter
        ((-1, -0.01, -0.01), (HEIGHT // 2, WIDTH // 4)),  # left
        ((0.01, -0.01, 1), (HEIGHT // 2, WIDTH - 1)),  # behind, a little to the right: the right edge
        ((-0.01, -0.01, 1), (HEIGHT // 2, 0)),
    ],
)
def test_directions_land_where_the_convention_says(
    direction: tuple[float, float, float], pixel: tuple[int, int]
) -> None:
    frame = splat(np.array([direction], np.float32), np.array([[9, 8, 7]], np.uint8), np.eye(4), WIDTH)
    assert np.argwhere(frame.coverage).tolist() == [list(pixel)]


def test_up_is_the_top_row_and_down_the_last() -> None:
    points = np.array([[1e-3, 1, 1e-3], [1e-3, -1, 1e-3]], np.float32)
    rows = np.argwhere(splat(points, np.zeros((2, 3), np.uint8), np.eye(4), WIDTH).coverage)[:, 0]
    assert rows.tolist() == [0, HEIGHT - 1]


def test_poles_seam_and_axes_land_in_valid_pixels() -> None:
    axes = np.array([[0, 1, 0], [0, -1, 0], [0, 0, 1], [-0.0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0]], np.float32)
    for scale in (1e-5, 1.0, 1e6):
        for point in axes * np.float32(scale):
            frame = splat(point[None], np.array([[1, 2, 3]], np.uint8), np.eye(4), WIDTH)
            assert frame.coverage.sum() == 1
            assert frame.depth[frame.coverage] == pytest.approx(scale)
    edge = splat(axes[2:3], np.zeros((1, 3), np.uint8), np.eye(4), WIDTH)
    assert np.argwhere(edge.coverage).tolist() == [[HEIGHT // 2, 0]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_turning_camera_and_world_together_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, colours = random_cloud(rng, 3000)
    pose, motion = random_pose(rng), random_pose(rng)
    moved = (points.astype(np.float64) @ motion[:3, :3].T + motion[:3, 3]).astype(np.float32)
    keep = clear_of_borders(points, pose) & clear_of_borders(moved, motion @ pose)
    before = splat(points[keep], colours[keep], pose, WIDTH)
    after = splat(moved[keep], colours[keep], motion @ pose, WIDTH)
    assert np.array_equal(before.coverage, after.coverage)
    assert np.mean(before.source != after.source) < 1e-3  # two points at the same range may change places
    np.testing.assert_allclose(before.depth, after.depth, rtol=1e-4)


@pytest.mark.parametrize("columns", [1, 7, WIDTH // 4, WIDTH // 2, WIDTH - 3])
def test_yaw_by_whole_columns_rolls_the_image(columns: int) -> None:
    rng = np.random.default_rng(columns)
    points, colours = random_cloud(rng, 20_000)
    angle = 2 * np.pi * columns / WIDTH
    pose, turn = np.eye(4), np.eye(4)
    pose[:3, 3] = (0.5, -0.25, 1.0)
    turn[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]  # to the left
    keep = clear_of_borders(points, pose)
    before = splat(points[keep], colours[keep], pose, WIDTH)
    after = splat(points[keep], colours[keep], pose @ turn, WIDTH)
    assert np.array_equal(after.coverage, np.roll(before.coverage, columns, axis=1))
    assert np.mean(after.source != np.roll(before.source, columns, axis=1)) < 1e-4


def test_the_order_of_points_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    points, colours = random_cloud(rng, 100_000)
    pose, order = random_pose(rng), rng.permutation(100_000)
    first, second = splat(points, colours, pose, WIDTH), splat(points[order], colours[order], pose, WIDTH)
    assert np.array_equal(first.depth, second.depth)
    same_point = first.source[first.coverage] == order[second.source[second.coverage]]
    assert same_point.mean() > 0.999  # the rest are ties of float32 ranges


def test_ties_go_to_the_lowest_index() -> None:
    points = np.tile(np.array([[0.3, 0.2, -2.0]], np.float32), (70_000, 1))
    colours = np.arange(70_000 * 3, dtype=np.uint32).astype(np.uint8).reshape(-1, 3)
    frame = splat(points, colours, np.eye(4), WIDTH)
    assert frame.source.max() == 0
    assert np.array_equal(frame.colour[frame.coverage], colours[:1])


def test_the_nearest_wins_however_near_the_next_is() -> None:
    direction = np.array([0.3, 0.2, -0.9])
    points = np.array([direction * 1.0001, direction, direction * 1.00001], np.float32)
    frame = splat(points, np.zeros((3, 3), np.uint8), np.eye(4), WIDTH)
    assert frame.source.max() == 1


def test_points_that_are_no_points_are_ignored() -> None:
    rng = np.random.default_rng(7)
    points, colours = random_cloud(rng, 5000)
    bad = points.copy()
    bad[::5, 0], bad[1::5, 1], bad[2::5, 2] = np.nan, np.inf, -np.inf
    bad[3::5] = np.float32(3e38)  # finite, yet its range is not
    kept = np.arange(4, 5000, 5)
    for render in (splat, lambda *arguments: splat_footprints(arguments[0], arguments[1], 0.1, *arguments[2:])):
        frame, wanted = render(bad, colours, np.eye(4), WIDTH), render(points[kept], colours[kept], np.eye(4), WIDTH)
        assert np.array_equal(frame.colour, wanted.colour)
        assert np.array_equal(frame.depth, wanted.depth)
        assert np.array_equal(frame.source[wanted.coverage], kept[wanted.source[wanted.coverage]])


def test_points_nearer_than_near_are_not_seen() -> None:
    points = np.array([[0, 0, -0.4], [0, 0, -0.6], [0, 0, 0]], np.float32)
    frame = splat(points, np.zeros((3, 3), np.uint8), np.eye(4), WIDTH, near=0.5)
    assert frame.source.max() == 1
    assert splat(points, np.zeros((3, 3), np.uint8), np.eye(4), WIDTH).depth.min() == np.float32(0.4)


@pytest.mark.parametrize("render", [splat, lambda p, c, pose, width: splat_footprints(p, c, 0.1, pose, width)])
def test_an_empty_cloud_gives_an_empty_frame(render: object) -> None:
    frame = render(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.eye(4), 64)  # type: ignore[operator]
    assert not frame.coverage.any()
    assert not frame.rgba().any()
    assert (frame.source == -1).all()
    assert np.isposinf(frame.depth).all()


def test_a_far_world_origin_costs_no_precision() -> None:
    """Points on a grid that float32 holds exactly near 4 km, seen from a position float32 does not hold."""
    rng = np.random.default_rng(8)
    offsets = rng.integers(-5000, 5000, (20_000, 3)) / 1024
    origin = np.array([4096.0, -4096.0, 512.0])
    points = (origin + offsets).astype(np.float32)
    pose = random_pose(rng)
    pose[:3, 3] = origin + np.array([0.12345678, -0.1111111, 0.3333333])
    keep = clear_of_borders(points, pose)
    colours = np.zeros((keep.sum(), 3), np.uint8)
    frame = splat(points[keep], colours, pose, WIDTH)
    assert np.array_equal(frame.source, brute_force(points[keep], pose))


def test_hardly_a_point_falls_beside_its_pixel() -> None:
    """Against float64 at 4096 pixels: a thousandth of a pixel is the most that float32 may move a point."""
    rng = np.random.default_rng(9)
    points = rng.normal(size=(200_000, 3)).astype(np.float32)
    width = 4096
    u, v, _ = places(points, np.eye(4), width)
    frame = splat(points, np.zeros((len(points), 3), np.uint8), np.eye(4), width)
    rows, columns = np.nonzero(frame.coverage)
    index = frame.source[rows, columns]
    beside = (np.floor(u[index]) != columns) | (np.floor(v[index]) != rows)
    assert beside.mean() < 2e-3
    to_border = np.minimum(abs(u - np.rint(u)), abs(v - np.rint(v)))[index]
    assert to_border[beside].max(initial=0.0) < 3e-3


def grid_plane(spacing: float, turn: float, tilt: float, distance: float) -> np.ndarray:
    """A square grid of points, turned in its plane, 6 m wide, whose normal leaves the horizon by `tilt`."""
    line = np.arange(-3, 3, spacing)
    a, b = (axis.ravel() for axis in np.meshgrid(line, line))
    a, b = a * np.cos(turn) - b * np.sin(turn), a * np.sin(turn) + b * np.cos(turn)
    up, ahead = np.array([0, np.cos(tilt), np.sin(tilt)]), np.array([0, np.sin(tilt), -np.cos(tilt)])
    return (a[:, None] * np.array([1.0, 0, 0]) + b[:, None] * up + distance * ahead).astype(np.float32)


@pytest.mark.parametrize("tilt", [0.0, 0.7, np.pi / 2, -np.pi / 2], ids=["ahead", "slanted", "zenith", "nadir"])
@pytest.mark.parametrize("turn", [0.0, 0.3, np.pi / 4])
def test_a_plane_of_footprints_has_no_holes_and_hides_what_is_behind(turn: float, tilt: float) -> None:
    spacing, distance = 0.06, 1.5
    wall = grid_plane(spacing, turn, tilt, distance)
    far = grid_plane(0.02, 0.0, tilt, 2 * distance)
    points = np.concatenate([far, wall])
    colours = np.concatenate([np.full(far.shape, 10, np.uint8), np.full(wall.shape, 200, np.uint8)])
    width = 512
    frame = splat_footprints(points, colours, spacing, np.eye(4), width)
    rows, columns = np.mgrid[: width // 2, :width]
    longitude, latitude = ((columns + 0.5) / width - 0.5) * 2 * np.pi, (0.5 - (rows + 0.5) * 2 / width) * np.pi
    normal = np.array([0, np.sin(tilt), -np.cos(tilt)])
    facing = np.cos(latitude) * np.cos(longitude) * -normal[2] + np.sin(latitude) * normal[1]
    inside = facing > distance / np.hypot(distance, 2.8)  # a disc of 2.8 m within the 3 m of the grid
    assert inside.sum() > 1000
    assert frame.coverage[inside].all()
    assert (frame.colour[inside] == 200).all()


def test_footprints_cover_at_least_what_points_cover_and_never_farther() -> None:
    rng = np.random.default_rng(10)
    points, colours = random_cloud(rng, 30_000)
    pose = random_pose(rng)
    diameters = rng.uniform(0, 0.2, len(points)).astype(np.float32)
    thin, thick = splat(points, colours, pose, WIDTH), splat_footprints(points, colours, diameters, pose, WIDTH)
    assert thick.coverage[thin.coverage].all()
    assert (thick.depth <= thin.depth).all()
    assert thick.coverage.sum() > thin.coverage.sum()
    assert same(thin, splat_footprints(points, colours, 0.0, pose, WIDTH))
    diameters[:] = np.nan
    assert same(thin, splat_footprints(points, colours, diameters, pose, WIDTH))
    assert same(thin, splat_footprints(points, colours, 0.2, pose, WIDTH, limit=0.0))


@pytest.mark.parametrize(
    "direction",
    [(0, 0, -1), (0.02, 0.3, 1), (1, 2.5, 0.3), (0.05, 1, -0.02), (0, 1, 0), (0.01, -1, 0.05), (0, -1, 0)],
    ids=["ahead", "seam", "high", "near zenith", "zenith", "near nadir", "nadir"],
)
def test_a_footprint_is_a_disc_on_the_sphere(direction: tuple[float, float, float]) -> None:
    """Against the angle of every pixel centre to the point; pixels of the disc's rim may go either way."""
    point = np.array(direction) / np.linalg.norm(direction) * 3.0
    diameter, width = 0.9, 512
    frame = splat_footprints(
        point[None].astype(np.float32), np.zeros((1, 3), np.uint8), diameter, np.eye(4), width, limit=100
    )
    rows, columns = np.mgrid[: width // 2, :width]
    longitude, latitude = ((columns + 0.5) / width - 0.5) * 2 * np.pi, (0.5 - (rows + 0.5) * 2 / width) * np.pi
    looking = np.stack(
        [np.cos(latitude) * np.sin(longitude), np.sin(latitude), -np.cos(latitude) * np.cos(longitude)], axis=-1
    )
    angle = np.arccos(np.clip(looking @ point / 3.0, -1, 1))
    radius, pixel = np.arcsin(diameter / np.sqrt(2) / 3.0), 2 * np.pi / width
    assert frame.coverage[angle < radius - pixel].all()
    assert not frame.coverage[angle > radius + pixel].any()


def test_the_limit_bounds_a_footprint() -> None:
    point = np.array([[0.0, 0.0, -0.1]], np.float32)
    frame = splat_footprints(point, np.zeros((1, 3), np.uint8), 5.0, np.eye(4), WIDTH, limit=10)
    rows, columns = np.nonzero(frame.coverage)
    assert 18 <= np.ptp(rows) <= 21
    assert 18 <= np.ptp(columns) <= 21


def test_bad_input_is_named() -> None:
    points, colours = random_cloud(np.random.default_rng(0), 10)
    with pytest.raises(PointCloudError, match="Points"):
        splat(points[:, :2], colours, np.eye(4), WIDTH)
    with pytest.raises(PointCloudError, match="Colors"):
        splat(points, colours[:5], np.eye(4), WIDTH)
    with pytest.raises(PointCloudError, match="Colors"):
        splat(points, colours.astype(np.float32), np.eye(4), WIDTH)
    with pytest.raises(PointCloudError, match="Footprints"):
        splat_footprints(points, colours, np.zeros(3, np.float32), np.eye(4), WIDTH)
    with pytest.raises(PoseError):
        splat(points, colours, np.full((4, 4), np.nan), WIDTH)
    with pytest.raises(RenderError, match="255"):
        splat(points, colours, np.eye(4), 255)
    with pytest.raises(RenderError, match="near"):
        splat(points, colours, np.eye(4), WIDTH, near=-1.0)


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_a_limit_that_is_none_is_refused(limit: float) -> None:
    points, colours = np.array([[0, 0, -1]], np.float32), np.zeros((1, 3), np.uint8)
    with pytest.raises(RenderError, match="footprint"):
        splat_footprints(points, colours, 1.0, np.eye(4), WIDTH, limit=limit)


def test_a_panorama_made_of_footprints_is_as_sharp_as_its_points() -> None:
    """Points of a room, one a pixel: seen from where they were taken, no disc covers its neighbour's pixel."""
    width = 512
    directions = equirectangular.directions(width).reshape(-1, 3)
    points = (directions * (2.0 / np.abs(directions).max(axis=1, keepdims=True))).astype(np.float32)
    colours = np.random.default_rng(3).integers(0, 256, (len(points), 3), dtype=np.uint8)
    footprint = (np.linalg.norm(points, axis=1) * 2 * np.pi / width * 1.5).astype(np.float32)
    frame = splat_footprints(points, colours, footprint, np.eye(4), width)
    assert np.array_equal(frame.colour.reshape(-1, 3), colours)
    assert np.array_equal(frame.source.reshape(-1), np.arange(len(points)))


@pytest.mark.parametrize("width", [WIDTH // 4, WIDTH // 2, 2 * WIDTH, 192])
def test_a_resized_frame_shows_the_nearest_of_what_falls_into_a_pixel(width: int) -> None:
    """Against going through the covered pixels one by one."""
    rng = np.random.default_rng(4)
    frame = splat(*random_cloud(rng, 3000), random_pose(rng), WIDTH)
    found = resized(frame, width)
    depth = np.full((width // 2, width), np.inf, np.float32)
    source = np.full(depth.shape, -1)
    for row, column in np.argwhere(frame.coverage):
        place = int((row + 0.5) * width / WIDTH), int((column + 0.5) * width / WIDTH)
        if frame.depth[row, column] < depth[place]:
            depth[place], source[place] = frame.depth[row, column], frame.source[row, column]
    agree = found.source == source  # centres that fall on a border of pixels may be rounded either way
    assert agree.mean() > (0.999 if width < WIDTH else 0.9)
    assert np.allclose(found.depth[agree], depth[agree], rtol=1e-5)
    assert np.array_equal(found.coverage, found.source >= 0) and np.array_equal(found.colour[~found.coverage].sum(), 0)
    if width > WIDTH:
        assert found.coverage.sum() == frame.coverage.sum(), "every point keeps a pixel of its own"


def test_a_frame_of_the_wanted_width_stays_as_it_is() -> None:
    rng = np.random.default_rng(5)
    frame = splat(*random_cloud(rng, 500), random_pose(rng), WIDTH)
    assert same(resized(frame, WIDTH), frame)
    nothing = resized(splat(*random_cloud(rng, 0), np.eye(4), WIDTH), 64)
    assert not nothing.coverage.any() and nothing.depth.shape == (32, 64)


# Confidence


def two_walls() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A sure screen, 2 m ahead and 2 m wide, before a guessed wall at 4 m: points, colours, confidences."""
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 201), np.linspace(-1, 1, 201)), axis=-1).reshape(-1, 2)
    near, far = np.insert(grid, 2, -2.0, axis=1), np.insert(grid * 8, 2, -4.0, axis=1)
    points = np.concatenate([far, near]).astype(np.float32)
    confidence = np.repeat(np.array([0.1, 0.9], np.float32), len(grid))
    return points, np.zeros((len(points), 3), np.uint8), confidence


def test_the_confidence_is_that_of_the_nearest_wall() -> None:
    points, colours, confidence = two_walls()
    frame = with_confidence(splat(points, colours, np.eye(4), WIDTH), confidence)
    assert frame.confidence is not None and frame.confidence.dtype == np.float32
    ahead = equirectangular.directions(WIDTH)
    x, y, z = np.moveaxis(ahead, -1, 0)
    screen = (z < 0) & (np.abs(x) < 0.45 * -z) & (np.abs(y) < 0.45 * -z)
    beyond = (z < 0) & ((np.abs(x) > 0.55 * -z) | (np.abs(y) > 0.55 * -z))
    assert set(frame.confidence[screen]) == {np.float32(0.9)}
    assert set(frame.confidence[beyond & frame.coverage]) == {np.float32(0.1)} and (beyond & frame.coverage).sum() > 100
    assert (frame.confidence[~frame.coverage] == 0).all() and (~frame.coverage).any()

    behind = with_confidence(splat(points * (1, 1, -1), colours, np.eye(4), WIDTH), confidence)
    swapped = with_confidence(splat(points[::-1], colours, np.eye(4), WIDTH), confidence[::-1])
    assert np.array_equal(swapped.confidence, frame.confidence) and behind.confidence is not None
    assert behind.confidence[:, WIDTH // 2].max() == 0, "nothing stands ahead any more"


def test_points_without_confidences_are_sure_and_broken_ones_are_not() -> None:
    points, colours, confidence = two_walls()
    frame = splat(points, colours, np.eye(4), WIDTH)
    assert with_confidence(frame, None) is frame
    assert np.array_equal(frame.sureness, frame.coverage.astype(np.float32))
    odd = np.where(confidence > 0.5, np.nan, 7.0).astype(np.float32)
    assert set(np.unique(with_confidence(frame, odd).sureness[frame.coverage])) == {0.0, 1.0}
    for wrong in (confidence[:5], confidence[:, None]):
        with pytest.raises(PointCloudError, match="one for each point"):
            with_confidence(frame, wrong)


@pytest.mark.parametrize("seed", range(3))
def test_confidences_stay_with_their_points(seed: int) -> None:
    """However a frame is resized, turned or rolled."""
    rng = np.random.default_rng(seed)
    points, colours = random_cloud(rng, 20_000)
    confidence = rng.random(len(points), np.float32)
    frame = with_confidence(splat(points, colours, random_pose(rng), WIDTH), confidence)
    for made in (resized(frame, 64), resized(frame, 192), turned(frame, random_pose(rng)[:3, :3]), rolled(frame, 5)):
        assert made.confidence is not None and made.coverage.any() and not made.coverage.all()
        assert np.array_equal(made.confidence[made.coverage], confidence[made.source[made.coverage]])
        assert (made.confidence[~made.coverage] == 0).all()
    assert np.array_equal(rolled(frame, 5).source, np.roll(frame.source, 5, axis=1))
    assert rolled(splat(points, colours, np.eye(4), WIDTH), 5).confidence is None

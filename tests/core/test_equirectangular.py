"""Equirectangular geometry: where pixels look, and images that neither seam nor pole disturbs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pantheon360_blender.core.errors import ImageError, PoseError
from pantheon360_blender.core.panorama import cameras
from pantheon360_blender.core.panorama import equirectangular as eq

WIDTHS = st.integers(1, 64).map(lambda half: 2 * half)
ANGLES = st.floats(-np.pi, np.pi)
FORWARD, RIGHT, UP = np.array([0.0, 0, -1]), np.array([1.0, 0, 0]), np.array([0.0, 1, 0])


def smooth(width: int, waves: int = 3) -> np.ndarray:
    """A panorama that changes slowly over the whole sphere; (H, W, 3) uint8."""
    x, y, z = np.moveaxis(eq.directions(width).astype(np.float64), -1, 0)
    colours = [np.sin(waves * x + 0.3), np.cos(waves * y + z), np.sin(waves * z - x * y)]
    return np.rint(127.5 + 120 * np.stack(colours, axis=-1)).astype(np.uint8)


def noise(width: int, *channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (width // 2, width, *channels), dtype=np.uint8)


def extended(image: np.ndarray, margin: int) -> np.ndarray:
    """The panorama with `margin` pixels of what lies beyond each edge, made by rolling and flipping alone."""
    height, width = image.shape[:2]
    opposite = np.roll(image, width // 2, axis=1)
    tall = np.concatenate([opposite[:margin][::-1], image, opposite[height - margin :][::-1]])
    return np.concatenate([tall[:, -margin:], tall, tall[:, :margin]], axis=1)


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.abs(first.astype(np.float64) - second.astype(np.float64))


# Pixels and directions


@pytest.mark.parametrize(
    ("pixel", "direction"),
    [
        ((500, 250), FORWARD),
        ((750, 250), RIGHT),
        ((250, 250), -RIGHT),
        ((0, 250), -FORWARD),
        ((500, 0), UP),
        ((500, 500), -UP),
    ],
)
def test_landmarks(pixel: tuple[float, float], direction: np.ndarray) -> None:
    np.testing.assert_allclose(eq.pixels_to_directions(np.array(pixel), 1000), direction, atol=1e-12)
    if direction[1] == 0:
        np.testing.assert_allclose(eq.directions_to_pixels(direction, 1000), pixel, atol=1e-9)
    else:
        assert eq.directions_to_pixels(direction, 1000)[1] == pytest.approx(pixel[1])


@given(WIDTHS, st.data())
def test_pixel_to_direction_and_back(width: int, data: st.DataObject) -> None:
    u = data.draw(st.floats(0, width, exclude_max=True))
    v = data.draw(st.floats(0.001, width / 2 - 0.001))
    found = eq.directions_to_pixels(eq.pixels_to_directions(np.array([u, v]), width), width)
    assert 0 <= found[0] < width
    apart = abs(found[0] - u)
    assert min(apart, width - apart) < 1e-6
    assert found[1] == pytest.approx(v, abs=1e-6)


@given(arrays(np.float64, 3, elements=st.floats(-100, 100)).filter(lambda d: np.linalg.norm(d) > 1e-3), WIDTHS)
def test_direction_to_pixel_and_back(direction: np.ndarray, width: int) -> None:
    unit = direction / np.linalg.norm(direction)
    np.testing.assert_allclose(
        eq.pixels_to_directions(eq.directions_to_pixels(direction, width), width), unit, atol=1e-9
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_rounding_leaves_the_image(dtype: type) -> None:
    for width in range(2, 400, 2):
        edges = np.stack([np.repeat([0, width, width / 2], 3), np.tile([0, width / 4, width / 2], 3)], axis=-1)
        found = eq.directions_to_pixels(eq.pixels_to_directions(edges.astype(dtype), width), width)
        assert found.dtype == dtype
        assert (found >= 0).all()
        assert (found[:, 0] < width).all()
        assert (found[:, 1] <= width / 2).all()


@pytest.mark.parametrize("width", [2, 6, 256, 5000])
def test_the_grid_of_directions_lies_on_pixel_centres(width: int) -> None:
    grid = eq.directions(width)
    assert grid.shape == (width // 2, width, 3)
    assert grid.dtype == np.float32
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(width // 2) + 0.5)
    sample = np.s_[:: max(1, width // 64), :: max(1, width // 64)]
    centres = np.stack([columns, rows], axis=-1)[sample]
    np.testing.assert_allclose(grid[sample], eq.pixels_to_directions(centres, width), atol=1e-6)
    np.testing.assert_allclose(eq.directions_to_pixels(grid[sample], width), centres, atol=width * 1e-6)


def test_the_shared_grid_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        eq.directions(64)[0, 0, 0] = 2


def test_directions_agree_with_py360convert() -> None:
    utils = pytest.importorskip("py360convert").utils
    looking = np.random.default_rng(1).normal(size=(1000, 3))
    u, v = utils.xyz2uv(looking * [1, 1, -1])  # it looks along +z
    x, y = utils.uv2coor(u, v, 512, 1024)  # its pixel centres are whole numbers
    np.testing.assert_allclose(eq.directions_to_pixels(looking, 1024), np.concatenate([x, y], axis=1) + 0.5, atol=1e-4)


def test_single_precision_is_good_to_a_hundredth_of_a_pixel_near_the_poles() -> None:
    u = np.linspace(1, 2047, 300)
    near = np.stack([u, np.full_like(u, 0.5)], axis=-1)
    looking = eq.pixels_to_directions(near, 2048).astype(np.float32)
    np.testing.assert_allclose(eq.directions_to_pixels(looking, 2048), near, atol=0.01)


@pytest.mark.parametrize("direction", [(0, 0, 0), (np.nan, 0, 1), (0, np.inf, 0)])
def test_what_is_no_direction_is_refused(direction: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="direction"):
        eq.directions_to_pixels(np.array([FORWARD, direction]), 64)


@pytest.mark.parametrize("width", [0, -2, 7])
def test_odd_widths_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match="even"):
        eq.directions(width)


# Sampling


@given(WIDTHS)
def test_pixel_centres_give_the_pixels_back(width: int) -> None:
    image = noise(width, 3)
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(width // 2) + 0.5)
    np.testing.assert_array_equal(eq.sample(image, np.stack([columns, rows], axis=-1)), image)


@given(WIDTHS, st.floats(-200, 200), st.floats(0, 1))
def test_sampling_wraps_at_the_seam(width: int, u: float, share: float) -> None:
    image = noise(width)
    v = share * width / 2
    np.testing.assert_allclose(
        eq.sample(image, np.array([u, v])), eq.sample(image, np.array([u + width, v])), atol=1e-2
    )


@given(WIDTHS, st.floats(0, 1), st.floats(0, 3))
def test_sampling_goes_on_over_the_poles_on_the_opposite_meridian(width: int, share: float, beyond: float) -> None:
    image, height = noise(width, 2), width / 2
    u = share * width
    over_top = eq.sample(image, np.array([u, -beyond]))
    np.testing.assert_allclose(over_top, eq.sample(image, np.array([u + height, beyond])), atol=1e-3)
    over_bottom = eq.sample(image, np.array([u, height + beyond]))
    np.testing.assert_allclose(over_bottom, eq.sample(image, np.array([u + height, height - beyond])), atol=1e-3)


def test_sampling_is_bilinear() -> None:
    """Against a bilinear interpolation of the extended image, written out."""
    image, margin = noise(32, 3), 2
    wide = extended(image, margin).astype(np.float64)
    pixels = np.random.default_rng(3).uniform((0, 0), (32, 16), (500, 2))
    x, y = (pixels + margin - 0.5).T
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    right, low = (x - column)[:, None], (y - row)[:, None]
    upper = wide[row, column] * (1 - right) + wide[row, column + 1] * right
    lower = wide[row + 1, column] * (1 - right) + wide[row + 1, column + 1] * right
    np.testing.assert_allclose(eq.sample(image, pixels), upper * (1 - low) + lower * low, atol=1e-3)


def test_sampling_keeps_the_shape_of_what_it_is_asked() -> None:
    pixels = np.full((2, 3, 2), 1.5, np.float32)
    assert eq.sample(noise(8), pixels).shape == (2, 3)
    assert eq.sample(noise(8, 4), pixels).shape == (2, 3, 4)
    assert eq.sample(noise(8, 4), pixels[:0]).shape == (0, 3, 4)
    assert eq.sample(noise(8) > 100, pixels).dtype == np.float32


@pytest.mark.filterwarnings("error")
def test_a_pixel_that_is_not_finite_gives_nan() -> None:
    values = eq.sample(noise(8), np.array([[1.5, np.nan], [np.inf, 1.5], [1.5, -np.inf], [1.5, 1.5]]))
    np.testing.assert_array_equal(np.isnan(values), [True, True, True, False])


# Turning


@given(WIDTHS, st.integers(-70, 70))
def test_turning_by_whole_columns_rolls_the_image_exactly(width: int, columns: int) -> None:
    image = noise(width, 3)
    turned = eq.rotate(image, cameras.rotation_from_angles(yaw=2 * np.pi * columns / width))
    np.testing.assert_array_equal(turned, np.roll(image, -columns, axis=1))


@settings(max_examples=20)
@given(ANGLES, ANGLES, ANGLES)
def test_turning_there_and_back_changes_little(yaw: float, pitch: float, roll: float) -> None:
    image, rotation = smooth(256), cameras.rotation_from_angles(yaw, pitch, roll)
    back = eq.rotate(eq.rotate(image, rotation), rotation.T)
    assert difference(back, image).max() <= 3


@settings(max_examples=20)
@given(ANGLES, ANGLES, ANGLES)
def test_turned_panorama_shows_in_each_direction_what_was_there(yaw: float, pitch: float, roll: float) -> None:
    """The image is a function of the direction, so the turned image is that function of the turned direction."""
    rotation = cameras.rotation_from_angles(yaw, pitch, roll)
    coordinates = eq.directions(128).astype(np.float64)
    turned = eq.rotate(coordinates, rotation)
    np.testing.assert_allclose(turned, coordinates @ rotation.T, atol=2e-3)


def test_half_a_turn_about_the_view_axis_is_an_image_upside_down() -> None:
    image = noise(64, 3)
    np.testing.assert_array_equal(eq.rotate(image, np.diag([-1.0, -1, 1])), image[::-1, ::-1])


def test_turning_keeps_type_and_shape() -> None:
    rotation = cameras.rotation_from_angles(0.3, 0.2)
    for image in (noise(32), noise(32, 4), noise(32, 3).astype(np.uint16) * 257, noise(32).astype(np.float32)):
        turned = eq.rotate(image, rotation)
        assert (turned.shape, turned.dtype) == (image.shape, image.dtype)
    assert set(np.unique(eq.rotate(noise(32) > 128, rotation))) == {False, True}


def test_what_is_no_rotation_is_refused() -> None:
    with pytest.raises(PoseError):
        eq.rotate(noise(32), 2 * np.eye(3))


# Perspective crops


def perspective_crop(
    image: np.ndarray, yaw: float, pitch: float, fov: float, size: tuple[int, int], roll: float = 0.0
) -> np.ndarray:
    rotation = cameras.rotation_from_angles(yaw, pitch, roll)
    return np.asarray(eq.perspective_crops(image, rotation[None], fov, size)[0])


@pytest.mark.parametrize(
    ("yaw", "pitch", "fov", "size"),
    [
        (0, 0, 90, (80, 80)),
        (30, 20, 70, (90, 60)),
        (-120, -45, 100, (60, 90)),
        (180, 0, 90, (64, 64)),
        (10, 85, 90, (64, 64)),
        (45, -90, 60, (64, 48)),
    ],
)
def test_perspective_crops_are_those_of_py360convert(
    yaw: float, pitch: float, fov: float, size: tuple[int, int]
) -> None:
    py360convert = pytest.importorskip("py360convert")
    image, (wide, high), slope = smooth(256), size, np.tan(np.radians(fov) / 2)
    # Its field of view reaches from the first pixel's centre to the last one's, ours from edge to edge.
    fovs = [2 * np.degrees(np.arctan(slope * each)) for each in ((wide - 1) / wide, (high - 1) / wide)]
    theirs = py360convert.e2p(image, fovs, yaw, pitch, (high, wide))
    ours = perspective_crop(image, np.radians(yaw), np.radians(pitch), np.radians(fov), size)
    assert ours.dtype == np.uint8
    assert difference(ours, theirs).max() <= 2


def test_roll_lowers_the_cameras_right_side() -> None:
    """What stood to the right of the centre stands above right when the camera's right side is down."""
    image = np.zeros((128, 256), np.uint8)
    image[60:68, 140:148] = 255
    rows, columns = np.nonzero(perspective_crop(image, 0, 0, np.pi / 2, (65, 65), roll=np.pi / 4))
    assert columns.mean() > 34
    assert rows.mean() < 30


def test_a_crop_of_the_turned_panorama_is_a_turned_crop_of_the_panorama() -> None:
    image, angles = smooth(512), (0.7, -0.4, 0.2)
    turned = eq.rotate(image, cameras.rotation_from_angles(*angles))
    straight = perspective_crop(turned, 0, 0, 1.2, (96, 64))
    direct = perspective_crop(image, angles[0], angles[1], 1.2, (96, 64), roll=angles[2])
    assert difference(straight, direct).max() <= 2


def test_eight_crops_go_round_to_the_right() -> None:
    image = smooth(512)
    crops = eq.horizon_crops(image, size=(40, 30))
    assert crops.shape == (8, 30, 40, 3)
    for index, crop in enumerate(crops):
        yaw = np.radians(45 * index)
        assert difference(crop, perspective_crop(image, yaw, 0, np.pi / 2, (40, 30))).max() <= 1
    ahead, right = eq.sample(image, np.array([[256.0, 128.0], [384.0, 128.0]]))
    assert difference(crops[0, 14:16, 19:21].mean(axis=(0, 1)), ahead).max() < 3
    assert difference(crops[2, 14:16, 19:21].mean(axis=(0, 1)), right).max() < 3


def test_crops_of_a_fine_panorama_do_not_alias() -> None:
    """A fine checkerboard, seen from afar, is grey."""
    board = (np.indices((1024, 2048)).sum(axis=0) % 2 * 255).astype(np.uint8)
    crop = perspective_crop(board, 0.3, 0.1, np.pi / 2, (64, 64))
    assert difference(crop, np.full_like(crop, 127)).max() < 8


@pytest.mark.parametrize(("fov", "size"), [(0.0, (8, 8)), (np.pi, (8, 8)), (1.0, (0, 8)), (np.nan, (8, 8))])
def test_impossible_cameras_are_refused(fov: float, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="crop"):
        perspective_crop(noise(32), 0, 0, fov, size)


# Resizing


@pytest.mark.parametrize("width", [64, 100, 150, 254, 384, 600])
def test_resizing_agrees_with_pillow(width: int) -> None:
    """Pillow's antialiased triangle filter on the panorama, extended by what lies beyond its edges."""
    image, margin = noise(256, 3), 16
    box = (margin, margin, margin + 256, margin + 128)
    theirs = Image.fromarray(extended(image, margin)).resize((width, width // 2), Image.Resampling.BILINEAR, box=box)
    assert difference(eq.resize(image, width), np.asarray(theirs)).max() <= 1


@settings(max_examples=40)
@given(st.sampled_from([(96, 32), (96, 48), (96, 64), (64, 96), (60, 36)]), st.integers(-20, 20))
def test_resizing_and_rolling_commute(widths: tuple[int, int], steps: int) -> None:
    given, wanted = widths
    common = np.gcd(given, wanted)
    image = noise(given, 3)
    rolled_first = eq.resize(np.roll(image, steps * given // common, axis=1), wanted)
    rolled_last = np.roll(eq.resize(image, wanted), steps * wanted // common, axis=1)
    assert difference(rolled_first, rolled_last).max() <= 1
    exact = eq.resize(np.roll(image.astype(np.float64), steps * given // common, axis=1), wanted)
    np.testing.assert_allclose(
        exact, np.roll(eq.resize(image.astype(np.float64), wanted), steps * wanted // common, axis=1), atol=1e-9
    )


@settings(max_examples=40)
@given(WIDTHS, WIDTHS, st.integers(0, 255))
def test_resizing_keeps_flat_images_and_ranges(given: int, wanted: int, value: int) -> None:
    assert (eq.resize(np.full((given // 2, given), value, np.uint8), wanted) == value).all()
    resized = eq.resize(noise(given).astype(np.float32), wanted)
    assert resized.shape == (wanted // 2, wanted)
    assert noise(given).min() - 1e-3 <= resized.min()
    assert resized.max() <= noise(given).max() + 1e-3


def test_resizing_keeps_the_mean_and_leaves_no_seam() -> None:
    image = noise(512, 3)
    small = eq.resize(image, 64)
    np.testing.assert_allclose(small.mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=0.5)
    across, inside = difference(small[:, 0], small[:, -1]).mean(), difference(small[:, 0], small[:, 1]).mean()
    assert across == pytest.approx(inside, rel=0.25)


def test_resizing_up_and_down_again_gives_the_smooth_image() -> None:
    image = smooth(128)
    assert difference(eq.resize(eq.resize(image, 512), 128), image).max() <= 3


def test_the_same_width_gives_a_copy() -> None:
    image = noise(32, 3)
    copy = eq.resize(image, 32)
    np.testing.assert_array_equal(copy, image)
    assert not np.shares_memory(copy, image)


def test_resizing_keeps_types() -> None:
    mask = np.zeros((32, 64), np.bool_)
    mask[:, :33] = True
    half = eq.resize(mask, 32)
    assert half.dtype == np.bool_
    np.testing.assert_array_equal(half[5], np.arange(32) < 17)
    assert eq.resize(noise(32).astype(np.uint16) * 257, 16).dtype == np.uint16
    assert eq.resize(noise(32).astype(np.float16), 16).dtype == np.float16
    assert eq.resize(np.asfortranarray(noise(32, 3))[:, ::-1], 16).shape == (8, 16, 3)


@pytest.mark.slow  # hundreds of megabytes
def test_huge_images_are_resized_a_band_at_a_time() -> None:
    """8000 x 4000 is 96 MB; nothing near that size, let alone its floats, may be made on the way."""
    image = np.broadcast_to(np.arange(8000, dtype=np.uint16).view(np.uint8)[:8000, None], (4000, 8000, 3))
    tracemalloc.start()
    small = eq.resize(image, 512)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert small.shape == (256, 512, 3)
    assert peak < 40e6


# Partial panoramas


@st.composite
def parts(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    width = draw(WIDTHS)
    wide, high = draw(st.integers(1, width)), draw(st.integers(1, width // 2))
    return (width, width // 2), (wide, high), (draw(st.integers(0, width - 1)), draw(st.integers(0, width // 2 - high)))


@given(parts())
def test_a_padded_part_can_be_cut_out_again(
    part: tuple[tuple[int, int], tuple[int, int], tuple[int, int]],
) -> None:
    full_size, (wide, high), offset = part
    image = np.random.default_rng(wide).integers(1, 256, (high, wide, 3), dtype=np.uint8)
    full, valid = eq.pad_to_full(image, full_size, offset)
    assert full.shape == (full_size[1], full_size[0], 3)
    assert valid.sum() == wide * high
    assert not full[~valid].any()
    rows, columns = (np.arange(size) + first for size, first in ((high, offset[1]), (wide, offset[0])))
    np.testing.assert_array_equal(full[rows[:, None], columns % full_size[0]], image)


def test_a_part_lies_where_its_metadata_says() -> None:
    full, valid = eq.pad_to_full(np.full((10, 20), 7, np.uint8), (100, 50), (30, 5))
    assert (full[5:15, 30:50] == 7).all()
    assert valid[5:15, 30:50].all()
    assert valid.sum() == 200


@pytest.mark.parametrize(
    ("full_size", "offset"), [((100, 50), (0, 45)), ((100, 50), (0, -1)), ((10, 5), (0, 0)), ((100, 60), (0, 0))]
)
def test_parts_that_do_not_fit_are_refused(full_size: tuple[int, int], offset: tuple[int, int]) -> None:
    with pytest.raises(ImageError):
        eq.pad_to_full(np.zeros((10, 20), np.uint8), full_size, offset)


# What is no panorama


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (100, 100, 3), (50, 99), (0, 0, 3), (5,), (2, 4, 3, 1)])
def test_other_images_are_refused_in_words(shape: tuple[int, ...]) -> None:
    image = np.zeros(shape, np.uint8)
    for attempt in (
        lambda: eq.sample(image, np.zeros((1, 2))),
        lambda: eq.rotate(image, np.eye(3)),
        lambda: eq.resize(image, 32),
        lambda: perspective_crop(image, 0, 0, 1, (8, 8)),
    ):
        with pytest.raises(ImageError, match=r"twice as wide as high|is wanted"):
            attempt()


def test_two_by_one_pixels_are_a_panorama() -> None:
    image = np.array([[10, 200]], np.uint8)
    np.testing.assert_array_equal(eq.rotate(image, np.eye(3)), image)
    assert eq.resize(image, 8).shape == (4, 8)
    assert eq.resize(noise(64), 2).shape == (1, 2)

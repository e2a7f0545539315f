"""Range images: crops merge without borders, points lie where their pixels look, footprints cover the surface."""

from __future__ import annotations

import numpy as np
import pytest

from pantheon360_blender.core.errors import ImageError
from pantheon360_blender.core.panorama import equirectangular as eq
from pantheon360_blender.core.panorama.cameras import rotation_from_angles
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points import equirectangular_depth as ed
from pantheon360_blender.core.render.splatting import splat_footprints

WIDTH = 256
HALF_ROOM = np.array([3.0, 1.5, 2.0])


def room_range(directions: np.ndarray) -> np.ndarray:
    """Range from the middle of a box-shaped room, by slabs."""
    return np.min(HALF_ROOM / np.maximum(np.abs(directions), 1e-9), axis=-1)


def crops(scale_noise: float = 0.0, fov: float = np.radians(100)) -> list[ed.CropDepth]:
    """Six or more crops that see the whole sphere; `scale_noise` is how far their scales are apart."""
    random = np.random.default_rng(4)
    angles = [(np.pi / 2 * k, 0.0) for k in range(4)] + [(0.0, np.pi / 2), (0.0, -np.pi / 2)]
    looking = eq.perspective_directions((160, 160), fov)
    looking = looking / np.linalg.norm(looking, axis=-1, keepdims=True)
    made = []
    for yaw, pitch in angles:
        rotation = rotation_from_angles(yaw, pitch)
        seen = room_range(looking @ rotation.T) * np.exp(random.uniform(-scale_noise, scale_noise))
        made.append(ed.CropDepth(seen, rotation, fov))
    return made


def capture(pose: np.ndarray | None = None, valid: np.ndarray | None = None) -> Capture:
    image = np.random.default_rng(1).integers(0, 256, (WIDTH // 2, WIDTH, 3), dtype=np.uint8)
    return Capture("room", image, np.eye(4) if pose is None else pose, valid)


def test_crops_of_a_room_merge_into_its_range() -> None:
    merged, confidence = ed.merge_crops(crops(), WIDTH)
    truth = room_range(eq.directions(WIDTH))
    error = np.abs(merged - truth) / truth
    assert np.isfinite(merged).all() and (confidence > 0.9).all()
    assert np.median(error) < 1e-3 and np.percentile(error, 99) < 0.02


def test_crops_of_slightly_different_scale_leave_no_border() -> None:
    """Along the horizon, the ratio to truth passes from one crop to the next without a step."""
    merged, _ = ed.merge_crops(crops(scale_noise=0.04), WIDTH)
    ratio = (merged / room_range(eq.directions(WIDTH)))[WIDTH // 4]
    assert ratio.max() - ratio.min() > 0.01, "the scales are meant to differ"
    steps = np.abs(np.diff(np.append(ratio, ratio[0])))
    assert steps.max() < 0.25 * (ratio.max() - ratio.min())


def test_an_edge_is_kept_where_crops_disagree() -> None:
    """No range between near and far is invented where one crop places the edge some pixels off."""
    fov, size = np.radians(90), 128
    first = np.full((size, size), 2.0)
    first[:, 64:] = 6.0
    second = np.full((size, size), 2.0)
    second[:, 66:] = 6.0
    third = first.copy()
    merged, _ = ed.merge_crops([ed.CropDepth(each, np.eye(3), fov) for each in (first, second, third)], WIDTH)
    found = merged[np.isfinite(merged)]
    assert len(found) > 1000
    assert np.isclose(found, 2.0, rtol=1e-3).sum() + np.isclose(found, 6.0, rtol=1e-3).sum() == len(found)


def test_what_no_crop_sees_is_unknown() -> None:
    one = crops()[0]
    hole = one.range.copy()
    hole[70:90, 70:90] = np.nan
    merged, confidence = ed.merge_crops([ed.CropDepth(hole, one.rotation, one.fov)], WIDTH)
    behind = eq.directions(WIDTH)[..., 2] > 0
    assert np.isinf(merged[behind]).all() and (confidence[behind] == 0).all()
    assert np.isinf(merged[WIDTH // 4, WIDTH // 2])
    assert np.isfinite(merged[WIDTH // 4, WIDTH // 2 + 30])


def test_confident_crops_outvote_others() -> None:
    fov = np.radians(90)
    made = [
        ed.CropDepth(np.full((64, 64), metres), np.eye(3), fov, np.full((64, 64), sure))
        for metres, sure in ((3.0, 0.9), (5.0, 0.1), (3.0, 0.9))
    ]
    merged, confidence = ed.merge_crops(made, WIDTH)
    middle = (WIDTH // 4, WIDTH // 2)
    assert merged[middle] == pytest.approx(3.0, rel=1e-4)
    assert 0.5 < confidence[middle] <= 0.9


def test_depth_along_the_axis_becomes_range() -> None:
    wall = ed.range_from_z(np.full((65, 65), 2.0), np.radians(90))
    assert wall[32, 32] == pytest.approx(2.0)
    assert wall[32, 0] == pytest.approx(2 * np.hypot(1, 64 / 65), rel=1e-5)


def test_points_lie_where_pixels_look() -> None:
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_angles(0.7, -0.3, 0.2)
    pose[:3, 3] = 5, -2, 1
    truth = room_range(eq.directions(WIDTH)).astype(np.float32)
    taken = capture(pose)
    cloud = ed.cloud_from_depth(taken, truth, edge_ratio=None, source=3)
    local = (cloud.points - pose[:3, 3]) @ pose[:3, :3]
    assert len(cloud) == truth.size and (cloud.source == 3).all()
    np.testing.assert_allclose(np.max(np.abs(local) / HALF_ROOM, axis=-1), 1, rtol=1e-4)
    rows, columns = np.divmod(np.arange(len(cloud)), WIDTH)
    np.testing.assert_array_equal(cloud.colours, taken.image[rows, columns])


def test_masks_confidence_and_unknown_range_leave_points_out() -> None:
    valid = np.ones((WIDTH // 2, WIDTH), bool)
    valid[90:] = False
    depth = np.full(valid.shape, 2.0, np.float32)
    depth[:10] = np.inf
    confidence = np.full(valid.shape, 0.9, np.float32)
    confidence[:, :50] = 0.2
    cloud = ed.cloud_from_depth(capture(valid=valid), depth, confidence, least_confidence=0.5, edge_ratio=None)
    assert len(cloud) == 80 * (WIDTH - 50)
    assert cloud.confidence is not None and (cloud.confidence > 0.5).all()


def test_edges_tear_and_steep_planes_do_not() -> None:
    """A floor seen at grazing angles is one surface; a box before a wall is two."""
    down = np.maximum(-eq.directions(WIDTH)[..., 1], 1e-6)
    floor = (1.6 / down).astype(np.float32)
    assert not ed.depth_edges(floor)[WIDTH // 4 + 6 :].any()
    step = np.full((WIDTH // 2, WIDTH), 4.0, np.float32)
    step[:, 100:120] = 2.0
    edges = ed.depth_edges(step)
    assert edges[64, [99, 100, 119, 120]].all() and not edges[64, 102:117].any()


def test_footprints_close_the_surface_from_its_own_pose_and_beside() -> None:
    truth = room_range(eq.directions(WIDTH)).astype(np.float32)
    cloud = ed.cloud_from_depth(capture(), truth, edge_ratio=None)
    beside = np.eye(4)
    beside[:3, 3] = 0.3, 0.1, 0.2
    for pose in (np.eye(4), beside):
        frame = splat_footprints(cloud.points, cloud.colours, cloud.footprint, pose, WIDTH)
        assert frame.coverage.mean() > 0.98


def test_footprint_of_a_head_on_wall_is_its_pixel() -> None:
    found = ed.footprints(np.full((WIDTH // 2, WIDTH), 3.0, np.float32))
    np.testing.assert_allclose(found, 3.0 * 2 * np.pi / WIDTH, rtol=1e-5)
    assert ed.footprints(np.full((WIDTH // 2, WIDTH), np.inf, np.float32)).max() == 0


@pytest.mark.parametrize("shape", [(10, 10), (4, 8, 1), (0,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError):
        ed.cloud_from_depth(capture(), np.ones(shape, np.float32))
    with pytest.raises(ImageError):
        ed.cloud_from_depth(capture(), np.ones((4, 8), np.float32), np.ones((4, 9), np.float32))

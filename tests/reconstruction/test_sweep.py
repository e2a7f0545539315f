"""Dense range against ray-cast truth: textured and plain walls, occluders, sky, forward motion, two captures and more.

The oracle casts rays at boxes and paints them with waves fixed in the world; nothing of the product takes part in it.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="the reconstruction environment has numba")
pytest.importorskip("scipy", reason="the reconstruction environment has scipy")

from backend.reconstruction.dense.sweep import DenseOptions, DepthMap, dense
from pantheon360_blender.core.errors import CaptureError
from pantheon360_blender.core.jobs.reconstruct_settings import DEFAULT_CONFIDENCE
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import rotation_from_heading
from pantheon360_blender.core.panorama.capture import Capture

WIDTH, SMALL = 256, 128
"""Pixels: where accuracy is asked for, and where it is not."""
ROOM = np.array([[-2.6, -2.1, 0.0], [2.6, 2.1, 2.6]])
PLACES = [((-0.5, -0.4, 1.5), 20.0), ((0.4, -0.1, 1.4), -35.0), ((-0.1, 0.6, 1.6), 80.0)]


def pose(place: tuple[float, float, float], heading: float, pitch: float = 2.0) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from_heading(heading, pitch, 1.0)
    matrix[:3, 3] = place
    return matrix


def texture(points: np.ndarray, finest: float = 12.0) -> np.ndarray:
    """Colour (N, 3), 0..255, of world points: random waves up to `finest` radians a metre."""
    random = np.random.default_rng(5)
    colours = np.full((len(points), 3), 120.0)
    for _ in range(60):
        wave = random.normal(0, finest / 2, 3)
        colours += np.sin(points @ wave + random.uniform(0, 7))[:, None] * random.uniform(2, 12, 3)
    return colours


def room(camera: np.ndarray, plain: bool = False, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) uint8 and range (H, W) of a closed room with a box in it, rendered at twice the width."""
    rays = equirectangular.directions(2 * width).reshape(-1, 3).astype(np.float64) @ camera[:3, :3].T
    origin = camera[:3, 3]
    with np.errstate(divide="ignore"):
        walls = np.where(rays > 0, (ROOM[1] - origin) / rays, (ROOM[0] - origin) / rays)
        low, high = (np.array([0.9, 0.8, 0.0]) - origin) / rays, (np.array([1.7, 1.6, 1.1]) - origin) / rays
    distance = walls.min(axis=1)
    wall = walls.argmin(axis=1)
    enter, leave = np.minimum(low, high).max(axis=1), np.maximum(low, high).min(axis=1)
    box = (enter < leave) & (enter > 0)
    distance = np.where(box, enter, distance)
    points = origin + rays * distance[:, None]
    colours = texture(points)
    if plain:  # the wall at +x is painted white but for a frame of 30 cm
        inner = (wall == 0) & (rays[:, 0] > 0) & ~box
        inner &= (np.abs(points[:, 1]) < 1.8) & (np.abs(points[:, 2] - 1.3) < 1.0)
        colours[inner] = 190.0
    noise = np.random.default_rng(int(1000 * abs(origin[0])) + 7).normal(0, 1, colours.shape)
    image = np.clip(np.rint(colours + noise), 0, 255).astype(np.uint8).reshape(width, 2 * width, 3)
    return equirectangular.resize(image, width), distance.reshape(width, 2 * width)[::2, ::2].astype(np.float32)


def finish(captures: list[Capture], **options: float) -> list[DepthMap]:
    job = dense(captures, DenseOptions(width=captures[0].image.shape[1], **options))  # type: ignore[arg-type]
    try:
        while True:
            next(job)
    except StopIteration as stop:
        result: list[DepthMap] = stop.value
        return result


def views(
    places: list[tuple[tuple[float, float, float], float]], plain: bool = False, width: int = WIDTH
) -> tuple[list[Capture], np.ndarray]:
    seen = [(pose(*place), room(pose(*place), plain, width)) for place in places]
    captures = [Capture(f"room {index}", image, camera) for index, (camera, (image, _)) in enumerate(seen)]
    return captures, np.stack([distance for _, (_, distance) in seen])


def share_and_error(maps: list[DepthMap], truth: np.ndarray) -> tuple[float, float, float]:
    """Share of all pixels kept at default confidence, median relative error of these, share off by more than 10 %."""
    across = np.hypot(*np.moveaxis(equirectangular.directions(truth.shape[-1])[..., ::2], -1, 0))
    area = np.broadcast_to(across, truth.shape)
    keep = np.stack([each.confidence >= DEFAULT_CONFIDENCE for each in maps])
    error = np.abs(np.stack([each.range for each in maps]) - truth) / truth
    false = float((area * (keep & (error > 0.1))).sum() / (area * keep).sum())
    return float((area * keep).sum() / area.sum()), float(np.median(error[keep])), false


@pytest.fixture(scope="module")
def three() -> tuple[list[DepthMap], np.ndarray]:
    captures, truth = views(PLACES)
    return finish(captures), truth


def test_a_textured_room_is_found_from_three_captures(three: tuple[list[DepthMap], np.ndarray]) -> None:
    kept, median, false = share_and_error(*three)
    assert kept > 0.6 and median < 0.02 and false < 0.05, (kept, median, false)


def test_confidence_sorts_right_from_wrong(three: tuple[list[DepthMap], np.ndarray]) -> None:
    maps, truth = three
    error = np.abs(np.stack([each.range for each in maps]) - truth) / truth
    confidence = np.stack([each.confidence for each in maps])
    assert (error[confidence > 0.8] > 0.1).mean() < 0.5 * (error[confidence < 0.3] > 0.1).mean()
    assert confidence.min() >= 0 and confidence.max() <= 1


def test_two_captures_are_enough() -> None:
    captures, truth = views(PLACES[:2])
    kept, median, false = share_and_error(finish(captures), truth)
    assert kept > 0.35 and median < 0.025 and false < 0.08, (kept, median, false)


def test_two_of_one_tripod_count_as_one_place() -> None:
    """Two captures from one place, turned: each finds its range by the third alone."""
    captures, truth = views([PLACES[0], (PLACES[0][0], 110.0), PLACES[1]], width=SMALL)
    kept, median, false = share_and_error(finish(captures), truth)
    assert kept > 0.3 and median < 0.025 and false < 0.08, (kept, median, false)


def test_the_plain_inside_of_a_wall_is_filled_from_its_frame() -> None:
    captures, truth = views(PLACES, plain=True)
    maps = finish(captures)
    kept = errors = 0
    for capture, found, distance in zip(captures, maps, truth, strict=True):
        points = equirectangular.directions(WIDTH) * distance[..., None] @ capture.pose[:3, :3].T + capture.pose[:3, 3]
        inner = (points[..., 0] > 2.59) & (np.abs(points[..., 1]) < 1.5) & (np.abs(points[..., 2] - 1.3) < 0.7)
        error = np.abs(found.range - distance)[inner] / distance[inner]
        kept += int((found.confidence[inner] >= DEFAULT_CONFIDENCE).sum())
        errors += int((error > 0.1).sum())
        total = inner.sum()
        assert (error < 0.05).mean() > 0.6, capture.name
    assert kept > 0.3 * total


def test_masked_pixels_are_neither_estimated_nor_believed() -> None:
    captures, truth = views(PLACES)
    valid = np.ones((WIDTH // 2, WIDTH), bool)
    valid[100:] = False
    spoilt = []
    for index, capture in enumerate(captures):
        image = capture.image.copy()
        image[~valid] = np.random.default_rng(9).integers(0, 256, (int((~valid).sum()), 3))  # alike in all captures
        spoilt.append(Capture(f"masked {index}", image, capture.pose, valid))
    maps = finish(spoilt)
    assert all((found.confidence[~valid] == 0).all() and np.isinf(found.range[~valid]).all() for found in maps)
    _, median, false = share_and_error(maps, truth)
    assert median < 0.02 and false < 0.05


def test_where_nothing_moves_the_walls_around_decide() -> None:
    """Forward motion: ahead and behind lie the epipoles, where no range can be told but by what stands around."""
    captures, truth = views([((0, -0.5, 1.5), 0.0), ((0, 0.1, 1.5), 0.0)])
    for found, distance in zip(finish(captures), truth, strict=True):
        ahead = np.hypot(*np.moveaxis(equirectangular.directions(WIDTH)[..., :2], -1, 0)) < np.sin(np.radians(4))
        kept = ahead & (found.confidence >= DEFAULT_CONFIDENCE)
        assert (np.abs(found.range - distance)[kept] > 0.1 * distance[kept]).sum() <= 0.05 * ahead.sum()


def test_the_same_captures_give_the_same_result() -> None:
    captures, _ = views(PLACES[:2], width=SMALL)
    for one, other in zip(finish(captures), finish(captures), strict=True):
        np.testing.assert_array_equal(one.range, other.range)
        np.testing.assert_array_equal(one.confidence, other.confidence)


def test_what_cannot_be_done_is_said() -> None:
    image = np.zeros((WIDTH // 2, WIDTH, 3), np.uint8)
    alone = [Capture("one", image, np.eye(4))]
    with pytest.raises(CaptureError, match="at least two"):
        finish(alone)
    with pytest.raises(CaptureError, match="one place"):
        finish([*alone, Capture("two", image, np.eye(4))])


def test_progress_is_told_and_a_job_can_be_cancelled() -> None:
    captures, _ = views(PLACES[:2], width=SMALL)
    job = dense(captures, DenseOptions(width=SMALL))
    phases = [next(job).phase for _ in range(6)]
    job.close()
    assert len(set(phases)) >= 2

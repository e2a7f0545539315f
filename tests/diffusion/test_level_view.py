"""Clips are painted level and without turning, and seen by the camera as it turns and leans."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")
pytest.importorskip("transformers", reason="the backend environment has transformers")

from backend import runner
from backend.diffusion.shot.level_view import LevelView, level_views, whole_columns
from backend.diffusion.shot.trajectory import Trajectory
from pantheon360_blender.core.formats import png
from pantheon360_blender.core.jobs.job import Anchor, PaintJob
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import rotation_from_angles, rotation_from_heading
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.progress import run_to_end
from pantheon360_blender.core.render.splatting import GeometryFrame, splat

WIDTH = 128


def waves(width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """A panorama (H, W, 3) uint8 without a fine detail, so that sampling it anew changes little."""
    rays = equirectangular.directions(width).astype(np.float64)
    turns = np.random.default_rng(seed).normal(0, 2.5, (3, 3))
    return np.rint(127 + 100 * np.sin(rays @ turns.T + np.arange(3))).astype(np.uint8)


def pose(rotation: np.ndarray, place: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, place
    return matrix


def points(count: int = 12_000) -> tuple[np.ndarray, np.ndarray]:
    """A cloud around the origin whose colours change slowly from one direction to the next."""
    random = np.random.default_rng(7)
    places = random.normal(size=(count, 3)).astype(np.float32) * 3
    pixels = equirectangular.directions_to_pixels(places, 512).astype(int)
    return places, waves(512)[pixels[:, 1], pixels[:, 0]]


# Orientations


def test_the_way_ahead_is_where_the_model_has_it() -> None:
    """Within half a column of latents, whatever way the camera looks; upright."""
    walk = np.stack([pose(rotation_from_heading(20.0, -30.0, 5.0), (0.3 * step, -0.2 * step, 0)) for step in range(5)])
    for travel in (0.0, 90.0):
        (view,) = level_views([walk], 16, travel)
        way = math.degrees(math.atan2(0.3, -0.2))
        aside = equirectangular.pixels_to_directions(np.array([(0.5 + travel / 360) * 512, 128.0]), 512)
        towards = view.world_from_view @ aside
        found = math.degrees(math.atan2(towards[0], towards[1]))
        assert abs((found - way + 180) % 360 - 180) <= 360 / 16 / 2 + 1e-6
        np.testing.assert_allclose(view.world_from_view[:, 1], (0, 0, 1), atol=1e-12)


def test_headings_of_a_paths_clips_differ_by_whole_columns_of_latents() -> None:
    there = np.stack([pose(rotation_from_heading(33.0), (0, step, 0)) for step in range(3)])
    aside = np.stack([pose(rotation_from_heading(80.0), (step, 3, 0)) for step in range(3)])
    stays = np.stack([pose(rotation_from_heading(5.0), (3, 3, 0.01 * step)) for step in range(3)])
    views = level_views([there, aside, stays], 128, 0.0)
    assert views[0].columns == round(-33 / 360 * 128) and views[1].columns - views[0].columns == 32
    assert views[2].columns == views[1].columns, "who stays in his place has no way ahead"
    for view in views:
        turned = views[0].world_from_view.T @ view.world_from_view
        assert whole_columns(turned, 1024) == 8 * (view.columns - views[0].columns)
    assert [view.columns for view in level_views([there, aside], 128, None)] == [0, 0]
    (kept,) = level_views([there], 128, None)
    np.testing.assert_allclose(kept.world_from_view, rotation_from_heading(33.0), atol=1e-9)


# Pictures


@pytest.mark.parametrize("turn", [(0.3, 0.2, 0.1), (2.0, -0.8, 0.4)])
def test_what_was_painted_is_seen_by_the_camera(turn: tuple[float, float, float]) -> None:
    """Against sampling each direction of the camera by itself; a picture of another width is turned just as well."""
    view, image = LevelView(rotation_from_heading(0.0)), waves(256)
    camera = pose(view.world_from_view @ rotation_from_angles(*turn))
    looking = equirectangular.directions(128).astype(np.float64) @ camera[:3, :3].T @ view.world_from_view
    expected = equirectangular.sample(image.astype(np.float64), equirectangular.directions_to_pixels(looking, 256))
    assert np.abs(view.into_camera(image, camera, 128) - expected).max() < 3
    assert np.abs(view.into_camera(image, pose(view.world_from_view), 128) - expected).mean() > 10


def test_whole_columns_keep_their_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    view = LevelView(rotation_from_heading(0.0))
    camera = pose(rotation_from_heading(5 * 360 / 128))
    np.testing.assert_array_equal(view.into_camera(noise, camera, 128), np.roll(noise, -5, axis=1))
    np.testing.assert_array_equal(view.into_camera(noise, pose(view.world_from_view), 128), noise)


def test_points_seen_by_a_leaning_camera_are_those_of_the_level_one() -> None:
    cloud = points()
    view = LevelView(rotation_from_heading(25.0))
    camera = pose(rotation_from_heading(70.0, 20.0, -15.0), (0.2, 0.1, 0))
    found = view.geometry(splat(*cloud, camera, 1024), camera)
    expected = splat(*cloud, view.pose(camera), 1024)
    assert found.coverage.mean() == pytest.approx(expected.coverage.mean(), rel=0.03)
    near = nearly(expected.coverage)
    assert (found.coverage & ~near).sum() < 0.002 * found.coverage.sum(), "within a pixel of where they are"
    both = found.coverage & expected.coverage & (found.source == expected.source)
    assert both.sum() > 0.4 * found.coverage.sum()
    np.testing.assert_allclose(found.depth[both], expected.depth[both], rtol=1e-6)
    np.testing.assert_array_equal(found.colour[both], expected.colour[both])
    dense = splat(*points(2_000_000), camera, 256)
    assert dense.coverage[8:-8].mean() > 0.99 and view.geometry(dense, camera).coverage[8:-8].mean() > 0.98
    rolled = view.geometry(splat(*cloud, view.pose(camera), 1024), view.pose(camera))
    np.testing.assert_array_equal(rolled.depth, expected.depth)


def nearly(mask: np.ndarray) -> np.ndarray:
    """A mask grown by a pixel on the sphere: near the poles by as many columns as that is."""
    height, width = mask.shape
    grown = mask.copy()
    for rows in (-1, 0, 1):
        shifted = np.roll(mask, rows, axis=0)
        for row in range(height):
            reach = min(width, 1 + round(1 / max(math.sin((row + 0.5) / height * math.pi), 1e-3)))
            for column in range(-reach, reach + 1):
                grown[row] |= np.roll(shifted[row], column)
    return grown


# Shots


def shot_of(
    folder: Path, smaller: Path, cameras: np.ndarray, frames: list[GeometryFrame] | None = None, **more: Any
) -> PaintFolder:
    """A job of a cloud of points seen by cameras that begin at a capture; more: settings of the painter."""
    made = PaintFolder.new(folder, "Shot")
    beside = more.pop("beside", None)
    begins = pose(rotation_from_heading(40.0), tuple(cameras[0][:3, 3]))
    captures = [made.write_capture(Capture("start", waves(seed=3), begins))]
    if beside is not None:
        captures.append(made.write_capture(Capture("beside", waves(seed=4), pose(rotation_from_heading(0.0), beside))))
    cloud = points()
    for index, camera in enumerate(cameras):
        made.write_geometry("geometry", index + 1, frames[index] if frames else splat(*cloud, camera, WIDTH))
    made.seal(
        PaintJob(
            name="Shot",
            width=WIDTH,
            fps=24,
            frames=list(range(1, len(cameras) + 1)),
            cameras=cameras,
            captures=captures,
            anchors=[Anchor(frame=1, capture="start")],
            painter="diffusion",
            settings={"near": 0.05, "diffusion": {"model": str(smaller), "steps": 2, **more}},
        )
    )
    return made


def painted(folder: PaintFolder) -> list[np.ndarray]:
    run_to_end(runner.run(folder.path))
    return [png.read(folder.frame_file(frame)) for frame in folder.job.frames]


def walk(count: int, rotation: Callable[[int], np.ndarray]) -> np.ndarray:
    return np.stack([pose(rotation(step), (0, 0.1 * step, 0)) for step in range(count)])


def test_a_turning_camera_paints_the_same_world(smaller: Path, tmp_path: Path) -> None:
    """Bit for bit, where it turns by whole columns: geometry, anchors, both noises and what is painted."""
    still = walk(6, lambda step: rotation_from_heading(0.0))
    turning = walk(6, lambda step: rotation_from_heading(7 * step * 360 / WIDTH))
    cloud = points()
    seen = [splat(*cloud, camera, WIDTH) for camera in still]
    turned = [
        GeometryFrame(
            *(np.roll(getattr(frame, part), -7 * step, 1) for part in ("colour", "depth", "coverage", "source"))
        )
        for step, frame in enumerate(seen)
    ]
    one = painted(shot_of(tmp_path / "still", smaller, still, seen, overlap=1))
    other = painted(shot_of(tmp_path / "turning", smaller, turning, turned, overlap=1))
    for step, (level, moved) in enumerate(zip(one, other, strict=True)):
        np.testing.assert_array_equal(moved, np.roll(level, -7 * step, axis=1))


def test_a_leaning_camera_paints_the_same_world(smaller: Path, tmp_path: Path) -> None:
    """Turned back it is the level camera's, within what sampling twice does to a picture; upright it is not."""
    level = walk(4, lambda step: rotation_from_heading(0.0))
    leaning = walk(4, lambda step: rotation_from_heading(10.0 * step, -25.0, 12.0))
    cloud = points(400_000)  # without holes, which would lie elsewhere
    shots = [
        shot_of(tmp_path / name, smaller, cameras, [splat(*cloud, camera, WIDTH) for camera in cameras], noise_aug=0)
        for name, cameras in (("level", level), ("leaning", leaning))
    ]
    one, other = map(painted, shots)
    for index, (straight, lent) in enumerate(zip(one, other, strict=True)):
        back = equirectangular.rotate(lent, leaning[index][:3, :3].T @ level[index][:3, :3])
        assert likeness(back, straight) > 0.5 > 0.2 > likeness(lent, straight)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two panoramas' details, away from the poles: 1 if they are the same."""
    details = [each[8:56].astype(float) - each[8:56].mean(axis=(0, 1)) for each in (one, other)]
    return float(np.corrcoef(details[0].ravel(), details[1].ravel())[0, 1])


# What is known within a clip


def test_a_capture_beside_the_path_is_shown_where_the_camera_is_near_enough(smaller: Path, tmp_path: Path) -> None:
    cameras = walk(4, lambda step: rotation_from_heading(0.0))
    near, far = (0.002, 0.2, 0), (0.6, 0.2, 0)
    for place, shown in ((near, {2}), (far, set())):
        folder = shot_of(tmp_path / str(len(shown)), smaller, cameras, beside=place)
        clip = run_to_end(Trajectory(folder, WIDTH, clip=4).clip(0))
        assert set(clip.known) == shown and clip.start is not None and clip.end is None
    clip = run_to_end(Trajectory(shot_of(tmp_path / "there", smaller, cameras, beside=near), WIDTH, clip=4).clip(0))
    assert np.abs(clip.known[2].astype(int) - waves(seed=4)).mean() < 1
    assert np.array_equal(clip.picture(2), clip.known[2])
    assert np.array_equal(replace(clip, known={}).picture(2), clip.geometry[2].colour)


def test_frames_that_two_clips_share_are_the_same(smaller: Path, tmp_path: Path) -> None:
    """The path bends between them, so that their headings differ."""
    places = [(0, 0.1 * step, 0) for step in range(7)] + [(0.1 * step, 0.6, 0) for step in range(1, 6)]
    cameras = np.stack([pose(rotation_from_heading(0.0), place) for place in places])
    folder = shot_of(tmp_path, smaller, cameras, clip=8, overlap=2)
    trajectory = Trajectory(folder, WIDTH, clip=8, overlap=2)
    assert [part.overlap for part in trajectory.segments] == [0, 2]
    assert trajectory.views[0].columns != trajectory.views[1].columns
    clips: list[Any] = []
    original = Trajectory.clip

    def watched(self: Trajectory, index: int, known: Any = None) -> Any:
        clips.append((yield from original(self, index, known)))
        return clips[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trajectory, "clip", watched)
        frames = painted(folder)
    first, second = trajectory.segments
    for number, picture in ((0, clips[1].start), (1, clips[1].known[1])):
        told = trajectory.views[1].into_camera(picture, cameras[second.first + number], WIDTH)
        assert np.abs(told.astype(int) - frames[second.first + number]).mean() < 25, "faded over in latents"
    assert first.last == second.first + 1

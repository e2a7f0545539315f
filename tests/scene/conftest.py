"""A small shot: two captures, a coloured room of points and a camera on its way between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]
WIDTH = 64


@pytest.fixture
def run(house: House) -> Any:
    """run(job): its result."""
    return house("scene.app.jobs").run_blocking


@pytest.fixture
def shot_scene(house: House, blend: Any, tmp_path: Path) -> Any:
    """A scene that lacks nothing: in 5 frames its camera flies from capture A, (0, 0, 1), to capture B, (0, 2, 1)."""
    captures = house("scene.captures.capture_objects")
    for name, y in (("A", 0.0), ("B", 2.0)):
        captures.create(blend, name, photograph(house, tmp_path / f"{name}.png", seed=ord(name)), (0.0, y, 1.0))
    fill_cache(house, blend, room())
    add_camera(blend, {1: (0.0, 0.0, 1.0), 5: (0.0, 2.0, 1.0)})
    blend.frame_start, blend.frame_end = 1, 5
    blend.frame_set(1)
    blend.pantheon360.width = WIDTH
    blend.pantheon360.own_pixels = False  # points say exactly what each pixel is to be
    blend.pantheon360.jobs_folder = str(tmp_path / "jobs")
    return blend


def photograph(house: House, path: Path, seed: int, width: int = WIDTH) -> Any:
    """An image file of random bytes, so that any resampling or colour conversion would show."""
    import bpy

    colours = np.random.default_rng(seed).integers(0, 256, (width // 2, width, 3), dtype=np.uint8)
    house("core.formats.png").write(path, colours)
    return bpy.data.images.load(str(path))


def room(points: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Points of a sphere shell of 4 m without its upper cap, (N, 3) metres and (N, 3) sRGB bytes."""
    generator = np.random.default_rng(7)
    directions = generator.normal(size=(points, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions = directions[directions[:, 2] < 0.5]
    colours = generator.integers(0, 256, directions.shape, dtype=np.uint8)
    return (4.0 * directions + (0.0, 1.0, 1.0)).astype(np.float32), colours


def fill_cache(house: House, scene: Any, cloud: tuple[np.ndarray, np.ndarray], footprint: float = 0.1) -> Any:
    points, colours = cloud
    made = house("core.points.point_cloud").PointCloud(
        points, colours, footprint=np.full(len(points), footprint, dtype=np.float32)
    )
    return house("scene.cache.cache_objects").replace(scene, made)


def add_camera(scene: Any, places: dict[int, tuple[float, float, float]]) -> Any:
    """A camera that looks to +Y and is keyframed at these places."""
    import bpy

    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    camera.rotation_euler = (np.pi / 2, 0.0, 0.0)
    for frame, place in places.items():
        camera.location = place
        camera.keyframe_insert("location", frame=frame)
    return camera

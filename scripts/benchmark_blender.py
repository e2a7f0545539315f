"""What a fresh Blender waits for: enabling the extension, points into the cache, import, projection.

Run by benchmark.py in a process of its own each time; prints one JSON object.
"""

from __future__ import annotations

import importlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
POINTS = 2_000_000
MODULE = "bl_ext.dev.pantheon360"

bpy: Any = importlib.import_module("bpy")  # what an extension adds at run time is in no stub


def main() -> None:
    record = {"enable_ms": enable() * 1000.0, "points_into_blender_s": points_into_blender()}
    record |= import_and_project()
    print(json.dumps(record))


def enable() -> float:
    """Seconds to enable the extension in a Blender that has its repository already."""
    addon_utils = importlib.import_module("addon_utils")
    repository = ROOT / "out" / "benchmark-repository"  # always the same: compiled modules are found by their path
    repository.mkdir(parents=True, exist_ok=True)
    if not (repository / "pantheon360").exists():
        (repository / "pantheon360").symlink_to(ROOT, target_is_directory=True)
    bpy.context.preferences.extensions.repos.new(name="Dev", module="dev", custom_directory=str(repository))
    started = time.perf_counter()
    addon_utils.enable(MODULE, default_set=True)
    return time.perf_counter() - started


def room(name: str) -> Any:
    return importlib.import_module(f"{MODULE}.pantheon360_blender.{name}")


def points_into_blender() -> float:
    """Seconds from arrays to a cache object in the scene."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    random = np.random.default_rng(0)
    cloud = room("core.points.point_cloud").PointCloud(
        points=random.normal(size=(POINTS, 3)).astype(np.float32),
        colours=random.integers(0, 256, (POINTS, 3), dtype=np.uint8),
        footprint=np.full(POINTS, 0.01, np.float32),
    )
    started = time.perf_counter()
    room("scene.cache.cache_objects").replace(bpy.context.scene, cloud)
    return time.perf_counter() - started


def import_and_project() -> dict[str, float]:
    """Seconds to import a capture of a usual camera's size, and to project two at 1024x512 onto the proxy."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        png = room("core.formats.png")
        for index in range(2):
            coarse = random.integers(0, 256, (90, 180, 3), dtype=np.uint8)
            png.write(Path(folder) / f"capture-{index}.png", coarse.repeat(32, axis=0).repeat(32, axis=1))
        files = [{"name": f"capture-{index}.png"} for index in range(2)]
        started = time.perf_counter()
        bpy.ops.pantheon360.import_captures(directory=folder, files=files)
        imported = (time.perf_counter() - started) / len(files)
        bpy.ops.pantheon360.make_proxy()
        started = time.perf_counter()
        bpy.ops.pantheon360.project_captures()
        return {"import_capture_s": imported, "project_s": time.perf_counter() - started}


if __name__ == "__main__":
    main()

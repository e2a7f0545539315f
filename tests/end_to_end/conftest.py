"""A small street made as its user makes it: by the operators, from photographs in a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
House = Callable[[str], ModuleType]
WIDTH, FRAMES = 256, 6


def photograph(path: Path, seed: int) -> Path:
    """A 256 x 128 photograph: sky, horizon and texture, not the same for two seeds."""
    from PIL import Image

    v, u = np.mgrid[0 : WIDTH // 2, 0:WIDTH]
    noise = np.random.default_rng(seed).integers(-20, 20, (WIDTH // 2, WIDTH, 3))
    sky = np.stack([90 + v, 140 + v / 2, 230 - v / 4], axis=2)
    ground = np.stack([v, 120 + 60 * np.sin(2 * np.pi * (u / WIDTH + seed / 7)), 40 + u / 4], axis=2)
    picture = np.where((v < WIDTH // 4)[..., None], sky, ground) + noise
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path)
    return path


def build(folder: Path, frames: int = FRAMES) -> Path:
    """From two photographs to a saved file that lacks nothing but Generate. Returns the .blend."""
    import bpy

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    files = [{"name": photograph(folder / name, seed).name} for seed, name in enumerate(("near.png", "far.png"))]
    assert bpy.ops.pantheon360.import_captures(directory=str(folder), files=files) == {"FINISHED"}
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, frames
    scene.pantheon360.width = scene.pantheon360.projection_width = WIDTH
    assert bpy.ops.pantheon360.make_proxy() == {"FINISHED"}
    assert bpy.ops.pantheon360.project_captures() == {"FINISHED"}
    assert bpy.ops.pantheon360.set_path_ends() == {"FINISHED"}
    blend = folder / "street.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    return blend


@pytest.fixture
def build_street(extension: ModuleType) -> Callable[..., Path]:
    """build_street(folder, frames=6): a new street in a folder; the saved .blend."""
    return build


@pytest.fixture(scope="session")
def _built(extension: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("street"))


@pytest.fixture
def street(_built: Path, house: House, tmp_path: Path) -> Iterator[Any]:
    """The street opened from a folder of this test's own; its scene. The backend's child is ended afterwards."""
    import bpy

    folder = Path(shutil.copytree(_built.parent, tmp_path / "street"))
    bpy.ops.wm.open_mainfile(filepath=str(folder / _built.name))
    for image in bpy.data.images:  # the copies, for some tests damage them
        if image.source == "FILE" and Path(bpy.path.abspath(image.filepath)).parent == _built.parent:
            image.filepath = str(folder / Path(image.filepath).name)
    bpy.ops.wm.save_mainfile()
    yield bpy.context.scene
    house("scene.app.backend_process").stop_shared()


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """refused(operator, **properties): run an operator that must be cancelled; what it reported.

    A script meets a report as a RuntimeError. An exception that nobody caught would reach it as a traceback.
    """

    def call(operator: Any, **properties: Any) -> str:
        capfd.readouterr()
        with pytest.raises(RuntimeError) as caught:
            operator(**properties)
        told = str(caught.value)
        assert told.startswith("Error: ")
        printed = capfd.readouterr()
        assert "Traceback" not in told + printed.out + printed.err
        return told

    return call


@pytest.fixture
def small_disk() -> Callable[[Path, str], AbstractContextManager[None]]:
    """small_disk(folder, "2m"): a disk of this size mounted on the folder; skips where that is not allowed."""

    @contextmanager
    def mounted(folder: Path, size: str) -> Iterator[None]:
        folder.mkdir(parents=True, exist_ok=True)
        if not sys.platform.startswith("linux") or os.geteuid() != 0:
            pytest.skip("mounting a small disk needs root on Linux")
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(mount, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)

    return mounted


@pytest.fixture
def run_backend() -> Callable[..., subprocess.CompletedProcess[str]]:
    """run_backend("run", folder): `python -m backend` as a person runs it."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-B", "-m", "backend", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=300)

    return run


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file in a folder with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """contents(folder): every file in it, by its relative path, with its bytes."""
    return snapshot

"""A tiny random model, made once, and pictures to paint from."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.splatting import GeometryFrame


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Threads that wait for one another make tiny networks many times slower."""
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model's folder. To be read only; `model` gives copies."""
    from backend.diffusion import tiny_model

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model.make(folder)
    return folder


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Callable[..., Path]:
    """model(name): a tiny model's folder of this test's own. Its files are links: replace them, never write into."""

    def fresh(name: str = "model") -> Path:
        return Path(shutil.copytree(tiny, tmp_path / name, copy_function=os.link))

    return fresh


@pytest.fixture(scope="session")
def components(tiny: Path) -> Any:
    """The tiny model in memory. To be changed by nobody."""
    from backend.diffusion import loading, model_folder

    return loading.load(model_folder.open(tiny))


@pytest.fixture(scope="session")
def panoramas() -> Callable[..., np.ndarray]:
    """panoramas(seed, count, width): (count, width / 2, width, 3) uint8 of random patches of 8 pixels."""

    def make(seed: int, count: int, width: int = 256) -> np.ndarray:
        patches = np.random.default_rng(seed).integers(0, 256, (count, width // 16, width // 8, 3), dtype=np.uint8)
        return patches.repeat(8, axis=1).repeat(8, axis=2)

    return make


@pytest.fixture(scope="session")
def geometry(panoramas: Callable[..., np.ndarray]) -> Callable[..., list[GeometryFrame]]:
    """geometry(seed, count, width): frames that points cover to a third, black elsewhere."""

    def make(seed: int, count: int, width: int = 256) -> list[GeometryFrame]:
        random = np.random.default_rng(seed)
        frames = []
        for picture in panoramas(seed, count, width):
            coverage = random.random(picture.shape[:2]) < 1 / 3
            depth = np.where(coverage, random.uniform(0.5, 9, coverage.shape), np.inf).astype(np.float32)
            source = np.full(coverage.shape, -1, np.int32)
            frames.append(GeometryFrame(picture * coverage[..., None], depth, coverage, source))
        return frames

    return make

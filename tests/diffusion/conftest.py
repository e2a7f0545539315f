"""A tiny random model, made once, and pictures to paint from."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.jobs.job import Anchor, PaintJob
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.render.splatting import GeometryFrame, splat, splat_footprints


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Threads that wait for one another make tiny networks many times slower."""
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)


def _needs_what_makes_a_model() -> None:
    """Skip the test that asks for a model in an environment of Blender's, which has no torch."""
    for package in ("torch", "diffusers", "transformers"):
        pytest.importorskip(package, reason=f"the backend environment has {package}")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model's folder. To be read only; `model` gives copies."""
    _needs_what_makes_a_model()
    from backend.diffusion.models import tiny_model

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
    from backend.diffusion.models import loading, model_folder

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


@pytest.fixture(scope="session")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model for clips of four frames, 128 x 64. To be read only."""
    _needs_what_makes_a_model()
    from backend.diffusion.models import tiny_model

    folder = tmp_path_factory.mktemp("models") / "smaller"
    tiny_model.make(folder, width=128, height=64, frames=4)
    return folder


Shot = Callable[..., PaintFolder]


@pytest.fixture
def shot(tmp_path: Path, smaller: Path, panoramas: Callable[..., np.ndarray]) -> Shot:
    """shot(frames, anchors=(0,), width=128, distance=2.0, footprint=None, masked=0.0, **settings): a sealed job folder
    for the smaller model.

    A camera walks so many metres along X through a cloud of points and turns on the way; at each of `anchors`,
    positions along the path, it stands on a capture of its own, which is turned by another angle. footprint: of points,
    metres; None leaves that pass out. masked: lowest share of the captures that shows nothing.
    """
    places = itertools.count()

    def make(
        frames: int,
        anchors: tuple[int, ...] = (0,),
        width: int = 128,
        distance: float = 2.0,
        footprint: float | None = None,
        masked: float = 0.0,
        **settings: Any,
    ) -> PaintFolder:
        random = np.random.default_rng(7)
        points = random.normal(size=(6000, 3)).astype(np.float32) * 3
        colours = random.integers(0, 256, (6000, 3), dtype=np.uint8)
        cameras = np.stack([turned(0.1 * index) for index in range(frames)])
        cameras[:, 0, 3] = np.linspace(0, distance, frames)
        folder = PaintFolder.new(tmp_path / str(next(places)), "Shot")
        captures = []
        for number, image in zip(anchors, panoramas(5, max(anchors, default=0) + 1)[list(anchors)], strict=True):
            pose = turned(0.7)
            pose[:3, 3] = cameras[number, :3, 3]
            valid = (
                None if not masked else np.arange(len(image))[:, None] + 0 * image[..., 0] < (1 - masked) * len(image)
            )
            captures.append(folder.write_capture(Capture(f"at {number}", image, pose, valid)))
        for index in range(frames):
            folder.write_geometry("geometry", index + 1, splat(points, colours, cameras[index], width))
            if footprint is not None:
                large = splat_footprints(points, colours, footprint, cameras[index], width)
                folder.write_geometry("footprint", index + 1, large)
        folder.seal(
            PaintJob(
                name="Shot",
                width=width,
                fps=24,
                frames=list(range(1, frames + 1)),
                cameras=cameras,
                captures=captures,
                anchors=[Anchor(frame=number + 1, capture=f"at {number}") for number in anchors],
                painter="diffusion",
                seed="18446744073709551615",
                settings={"near": 0.05, "diffusion": {"model": str(smaller), "steps": 2, **settings}},
            )
        )
        return folder

    return make


def turned(angle: float) -> np.ndarray:
    """A level camera at the origin, turned to the left by an angle in radians; (4, 4) camera-to-world."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0, sine, 0], [sine, 0, -cosine, 0], [0, 1, 0, 0], [0, 0, 0, 1]])

"""A room whose colours and ranges are formulas, and clips through it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pantheon360_blender.core.formats import npz, png
from pantheon360_blender.core.panorama import cameras, equirectangular

HALF = np.array([3.0, 2.5, 1.5])
"""Metres from the room's middle to its walls, floor and ceiling."""


def room(pose: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """What a camera in the room sees: (H, W, 3) uint8, and range (H, W) float32 metres."""
    rays = equirectangular.directions(width).astype(np.float64) @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        distance = ((np.sign(rays) * HALF - pose[:3, 3]) / rays).min(axis=-1)
    points = pose[:3, 3] + rays * distance[..., None]
    waves = np.stack([np.sin(points @ np.array(way)) for way in ((2, 1, 3), (1, -3, 1), (-2, 2, 1))], axis=-1)
    return np.rint(127 + 110 * waves).astype(np.uint8), distance.astype(np.float32)


def path(frames: int, turn: float = 0.0) -> np.ndarray:
    """(frames, 4, 4) poses along the room, turning by so many degrees in all."""
    shares = np.linspace(0.0, 1.0, frames)
    return np.stack(
        [
            cameras.pose_matrix(cameras.rotation_from_heading(turn * share), np.array([2.4 * share - 1.2, 0.5, 0.1]))
            for share in shares
        ]
    )


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Threads that wait for one another make tiny networks many times slower."""
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """dataset(names, frames=7, width=64): a folder of clips through the room, the second one turning."""

    def make(names: tuple[str, ...] = ("room-1", "room-2"), frames: int = 7, width: int = 64) -> Path:
        root = tmp_path_factory.mktemp("dataset")
        for number, name in enumerate(names):
            poses = path(frames, 40.0 * number)
            for frame, pose in enumerate(poses):
                image, distance = room(pose, width)
                png.write(root / name / f"{frame:06d}.png", image)
                with open(root / name / f"{frame:06d}.npz", "wb") as file:
                    npz.write(file, "range", distance)
            record = {"schema": 1, "fps": 7, "cameras": poses.tolist(), "captures": [0, frames - 1]}
            (root / name / "clip.json").write_text(json.dumps(record), encoding="utf-8")
        return root

    return make

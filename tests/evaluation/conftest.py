"""Clips through a room whose colours and ranges are formulas."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import known_room


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
            known_room.write(root / name, known_room.path(frames, 40.0 * number), width)
        return root

    return make

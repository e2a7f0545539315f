"""A clip to learn from, and the small model with random weights."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Threads that wait for one another make small networks many times slower."""
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small() -> Any:
    """pantheon360-small with random weights, 64 pixels wide, as loading.Components. To be changed by nobody."""
    from backend.diffusion.models import tiny_model
    from backend.diffusion.networks import schedulers
    from backend.training.networks import small_model

    card = small_model.card(width=64, height=32, frames=4, noise_aug=0.0)
    configs = small_model.configs(card)
    networks = {name: tiny_model.network(name, configs[name], 3) for name in ("unet", "vae", "image_encoder")}
    return SimpleNamespace(**networks, scheduler=schedulers.scheduler("euler", configs["scheduler"]), card=card)


@pytest.fixture(scope="session")
def learned() -> Any:
    """A training clip of four frames, 64 pixels wide, a third of which its cache covers."""
    import torch

    from backend.training.training_clip import TrainingClip

    random = np.random.default_rng(5)
    frames = torch.from_numpy(random.integers(0, 256, (4, 3, 32, 64), dtype=np.uint8))
    covered = torch.from_numpy(random.random((4, 32, 64)) < 1 / 3)
    depth = torch.where(covered, torch.from_numpy(random.uniform(0.5, 9, (4, 32, 64)).astype(np.float32)), torch.inf)
    cameras = np.tile(np.eye(4), (4, 1, 1))
    return TrainingClip(frames, frames * covered[:, None], depth, frames[0], frames[3], cameras, 7.0, "noise")

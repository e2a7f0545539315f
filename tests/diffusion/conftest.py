"""A tiny random model on disk, made once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


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

"""What a run takes of memory, known beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")

from backend.training.trainer import memory
from backend.training.trainer import settings as recipes


def activations(*changes: str) -> float:
    settings = recipes.read(recipes.find(Path("small")), [*changes, "perceptual.weight=0.0"], with_files=False)
    (line,) = (each for each in memory.told(settings) if each.endswith("of activations"))
    return float(line.split(": ")[1].split()[0])


def test_checkpointing_and_small_batches_take_less() -> None:
    plain = activations("clips.batch=8")
    assert activations("clips.batch=4") == pytest.approx(plain / 2, rel=0.1)
    assert activations("clips.batch=8", "run.gradient_checkpointing=true") < 0.6 * plain


def test_lora_trains_little() -> None:
    settings = recipes.read(recipes.find(Path("full-lora")), ["painter.rank=8"], with_files=False)
    told = memory.told(settings)
    assert any(line.startswith("  unet: 1,5") for line in told)
    assert any(line.startswith("Trained: 3.3 M") for line in told)

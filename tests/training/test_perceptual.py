"""LPIPS with VGG's features as training has it: nothing for what is equal, gradients, and fewer blocks if so packed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("safetensors", reason="the backend environment has safetensors")

import torch
from safetensors.torch import load_file, save_file

from backend.training.trainer.perceptual import BLOCKS, Perceptual
from tests.training.test_train_on_gpu import script

__all__ = ["script"]
CHANNELS = (4, 6, 8, 8, 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Random weights of VGG16's shape, with few channels."""
    generator = torch.Generator().manual_seed(0)
    network, heads, before = {}, {}, 3
    for index, (block, channels) in enumerate(zip(BLOCKS, CHANNELS, strict=True)):
        for number in block:
            network[f"conv.{number}.weight"] = torch.randn(channels, before, 3, 3, generator=generator) / before
            network[f"conv.{number}.bias"] = torch.zeros(channels)
            before = channels
        heads[f"head.{index}"] = torch.rand(channels, generator=generator)
    save_file(network, tmp_path / "vgg16.safetensors")
    save_file(heads, tmp_path / "lpips-vgg.safetensors")
    return tmp_path


def test_it_is_nothing_for_what_is_equal_and_shows_the_way(folder: Path) -> None:
    perceptual = Perceptual(folder)
    truth = torch.rand(2, 3, 32, 64) * 2 - 1
    assert float(perceptual(truth, truth)) == pytest.approx(0, abs=1e-6)
    painted = (truth + 0.2 * torch.randn(truth.shape)).requires_grad_()
    distance = perceptual(painted, truth)
    distance.backward()
    assert painted.grad is not None
    nearer = painted.detach() - 0.05 * painted.grad / painted.grad.abs().max()
    assert 0 < float(perceptual(nearer, truth)) < float(distance)


def test_blocks_without_weights_are_left_out(folder: Path, tmp_path: Path, script: object) -> None:
    whole = Perceptual(folder)
    part = tmp_path / "part"
    part.mkdir()
    for name in ("vgg16", "lpips-vgg"):
        kept = {key: each for key, each in load_file(folder / f"{name}.safetensors").items() if script._is_seen(key)}  # type: ignore[attr-defined]
        save_file(kept, part / f"{name}.safetensors")
    one, other = (torch.rand(1, 3, 32, 32) * 2 - 1 for _ in range(2))
    assert 0 < float(Perceptual(part)(one, other)) < float(whole(one, other))

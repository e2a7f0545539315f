"""LoRA while it is trained: low-rank changes beside frozen weights, written as the product reads them (models/lora.py).

Source: Hu et al. 2021, on the projections of every attention, as diffusers' own trainers have it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pantheon360_blender.core import temporary
from pantheon360_blender.core.output_folder import OutputFolder

from ...diffusion.models import tensor_file

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
_METADATA = "lora_adapter_metadata"


class LowRank(nn.Module):
    """A frozen linear layer and its change alpha / rank * up @ down, which begins as nothing."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        like = base.weight
        bound = (3 / base.in_features) ** 0.5
        drawn = (torch.rand(rank, base.in_features, generator=generator) * 2 - 1) * bound
        self.down = nn.Parameter(drawn.to(like.device, torch.float32))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=like.device, dtype=torch.float32))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        change = functional.linear(functional.linear(tokens, self.down.to(tokens)), self.up.to(tokens))
        return torch.as_tensor(self.base(tokens) + self.scale * change)


def add(network: nn.Module, rank: int, alpha: float, seed: int) -> None:
    """Freeze a network and put changes beside its attentions' projections. alpha: 0 stands for the rank."""
    network.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    chosen = [name for name, each in network.named_modules() if name.endswith(TARGETS) and isinstance(each, nn.Linear)]
    for name in chosen:
        parent = network.get_submodule(name.rpartition(".")[0])
        base = network.get_submodule(name)
        assert isinstance(base, nn.Linear)
        setattr(parent, name.rpartition(".")[2], LowRank(base, rank, alpha or rank, generator))


def changes(network: nn.Module) -> dict[str, LowRank]:
    """The changes of a network, by the names of the layers that they change."""
    return {name: each for name, each in network.named_modules() if isinstance(each, LowRank)}


def write(path: Path, network: nn.Module) -> None:
    """Write a U-Net's changes as a safetensors file, whole or not at all. Raises FileError."""
    found = changes(network)
    tensors: dict[str, Any] = {}
    for name, each in found.items():
        tensors[f"unet.{name}.lora_A.weight"] = each.down.detach().cpu().clone()
        tensors[f"unet.{name}.lora_B.weight"] = each.up.detach().cpu().clone()
    first = next(iter(found.values()))
    rank = len(first.down)
    told = {"unet.r": rank, "unet.lora_alpha": first.scale * rank, "unet.target_modules": list(TARGETS)}
    folder = OutputFolder.made(path.parent)
    with temporary.directory(path.parent, path.name) as scratch:
        tensor_file.write(scratch / path.name, tensors, {"format": "pt", _METADATA: json.dumps(told)})
        folder.take(scratch / path.name, path.name)

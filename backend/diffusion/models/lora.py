"""LoRA for the U-Net: low-rank changes of its weights, from a safetensors file in diffusers' format.

They are added to the weights, so that painting costs what it cost before and every way of saving memory still works.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pantheon360_blender.core import inputs, json_values
from pantheon360_blender.core.errors import ModelError

from . import model_folder, tensor_file

_PREFIXES = ("base_model.model.", "unet.")
_NAME = re.compile(
    r"(?P<module>.+?)(?:"
    r"\.lora_(?P<peft>[AB])(?:\.\w+)?\.weight"  # peft's: to_q.lora_A.weight, to_q.lora_A.default.weight
    r"|[._]lora[._](?P<plain>down|up)\.weight"  # to_q.lora.down.weight, processor.to_q_lora.down.weight
    r"|\.(?P<alpha>alpha)"
    r")"
)
_METADATA = "lora_adapter_metadata"
_ADVICE = "Choose a LoRA for the U-Net of Stable Video Diffusion, a safetensors file in diffusers' format."


@dataclass(frozen=True)
class Change:
    """A change of one weight: scale * up @ down. down: (rank, in, ...). up: (out, rank, ...). Of any float type."""

    down: torch.Tensor
    up: torch.Tensor
    scale: float

    def delta(self, weight: torch.Tensor) -> torch.Tensor:
        """The change in the shape of the weight, float32, on its device."""
        up, down = (factor.to(weight.device, torch.float32).flatten(1) for factor in (self.up, self.down))
        return (self.scale * (up @ down)).reshape(weight.shape)


@dataclass(frozen=True)
class Lora:
    """path: its file. changes: name of a module of the U-Net -> change of its weight."""

    path: Path
    changes: Mapping[str, Change]


def read(path: Path) -> Lora:
    """Read a LoRA's file. Raises ModelError if it is none, not safe or damaged."""
    path = inputs.expanded(path)
    if path.suffix in model_folder.PICKLES:
        raise ModelError(
            f"{path} is a pickle file, which can run any code when it is read.", advice=_ADVICE, code="pickle"
        )
    with tensor_file.opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        told = (file.metadata() or {}).get(_METADATA, "{}")
    try:
        metadata = inputs.parsed(told.encode())
    except ValueError as error:
        raise ModelError(f"{path} has damaged metadata: {error}", advice=_ADVICE) from error
    return Lora(path, _changes(path, tensors, metadata if isinstance(metadata, dict) else {}))


@torch.no_grad()
def apply(unet: torch.nn.Module, lora: Lora, strength: float = 1.0) -> None:
    """Add a LoRA to the weights of a U-Net. strength: 0 is without, 1 is as it was trained.

    Raises ModelError, with the U-Net as it was, if it was made for another network.
    """
    deltas = {}
    for name, change in lora.changes.items():
        try:
            weight = unet.get_parameter(f"{name}.weight")
        except AttributeError as error:
            raise ModelError(f"{lora.path} changes {name}, which the U-Net does not have.", advice=_ADVICE) from error
        if _shape(change, weight) != tuple(weight.shape):
            raise ModelError(
                f"{lora.path} changes {name} by {tuple(change.up.shape)} times {tuple(change.down.shape)}; "
                f"its weight is {tuple(weight.shape)}.",
                advice=_ADVICE,
            )
        deltas[name] = weight
    for name, weight in deltas.items():
        weight.copy_(weight.float() + strength * lora.changes[name].delta(weight))


def _changes(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, Any]) -> dict[str, Change]:
    factors: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        found = _NAME.fullmatch(name)
        if found is None:
            raise ModelError(f"{path} holds {name[:200]!r}, which is no part of a LoRA.", advice=_ADVICE)
        role = found["plain"] or found["alpha"] or {"A": "down", "B": "up"}[found["peft"]]
        factors.setdefault(_module(found["module"]), {})[role] = tensor
    if not factors:
        raise ModelError(f"{path} holds nothing.", advice=_ADVICE)
    changes = {}
    for module, parts in factors.items():
        if not {"up", "down"} <= parts.keys():
            raise ModelError(f"{path} lacks a half of its change of {module}.", advice=_ADVICE)
        rank = parts["down"].shape[0] if parts["down"].ndim > 1 else 0
        if parts["up"].ndim < 2 or rank < 1 or parts["up"].shape[1] != rank:
            raise ModelError(f"{path} has halves of its change of {module} that do not fit.", advice=_ADVICE)
        if "alpha" in parts and parts["alpha"].numel() != 1:
            raise ModelError(f"{path} scales its change of {module} by more than one number.", advice=_ADVICE)
        if not all(map(tensor_file.is_finite, parts.values())):
            raise ModelError(f"{path} changes {module} by numbers that are not finite.", advice="Get it again.")
        alpha = float(parts["alpha"]) if "alpha" in parts else _alpha(metadata, module)
        changes[module] = Change(parts["down"], parts["up"], 1.0 if alpha is None else alpha / rank)
    return changes


def _module(name: str) -> str:
    """The module of the U-Net that a name in the file stands for."""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    name = name.replace(".processor.", ".")
    return f"{name}.0" if name.endswith(".to_out") else name


def _alpha(metadata: dict[str, Any], module: str) -> float | None:
    """peft's scale times rank, as diffusers stores it beside the tensors; None if it is not."""
    stored = {key.removeprefix("unet."): value for key, value in metadata.items()}
    patterns = stored.get("alpha_pattern")
    of_module = patterns.get(module) if isinstance(patterns, dict) else None
    alpha = stored.get("lora_alpha") if of_module is None else of_module
    return float(alpha) if alpha is not None and json_values.is_number(alpha) else None


def _shape(change: Change, weight: torch.Tensor) -> tuple[int, ...]:
    """The shape of the weight that a change is for."""
    if change.up.ndim != weight.ndim or change.down.ndim != weight.ndim or any(n != 1 for n in change.up.shape[2:]):
        return ()
    return (change.up.shape[0], *change.down.shape[1:])

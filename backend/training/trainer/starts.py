"""What a run starts from: random networks of the small model, a diffusers folder, or a checkpoint of such a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pantheon360_blender.core import inputs, temporary
from pantheon360_blender.core.errors import ModelError, reason
from pantheon360_blender.core.jobs.model_card import ModelCard

from ...diffusion import libraries
from ...diffusion.models import architecture, model_folder, new_folder, tensor_file
from ..networks import small_model
from . import checkpoints
from .settings import RANDOM, Settings


def card(settings: Settings) -> ModelCard:
    """The card of a model that starts from random numbers."""
    return small_model.card(name=settings.card.name, licence=settings.card.licence, source=settings.card.source)


def vae(settings: Settings) -> Any:
    """The VAE that a run trains, float32 on the CPU. Raises ModelError."""
    start = inputs.expanded(settings.start)
    if settings.start != RANDOM and not checkpoints.is_checkpoint(start):
        return read_part("vae", start / "vae" if inputs.is_folder(start / "vae") else start)
    network = random("vae", settings)
    if settings.start != RANDOM:
        take(network, checkpoints.read(start).tensors["average"], "vae.", start)
    return network


def random(part: str, settings: Settings) -> Any:
    """A network of the small model with random weights, which follow from the run's seed."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed % (1 << 63))
        return architecture.empty(part, small_model.configs(card(settings))[part])


def read_part(part: str, folder: Path) -> Any:
    """A network of a diffusers folder's part, float32 on the CPU. Raises ModelError."""
    config = model_folder.read_config(part, folder)
    network = architecture.empty(part, config)
    weights: checkpoints.Tensors = {}
    for path in model_folder.weight_files(part, folder):
        with tensor_file.opened(path) as file:
            weights |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    take(network, weights, "", folder)
    return network


def take(network: Any, weights: checkpoints.Tensors, prefix: str, path: Path) -> None:
    """Give a network those weights whose names begin so. path: for messages. Raises ModelError if they do not fit."""
    own = {
        name.removeprefix(prefix): tensor.float()
        for name, tensor in weights.items()
        if name.startswith(prefix) and not name.endswith(model_folder.HARMLESS)
    }
    try:
        network.load_state_dict(own)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit: {reason(error)[:300]}", advice="Choose another start.") from error


def write_part(network: Any, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a network as a diffusers folder's part, whole or not at all, in place of an older one. Raises FileError."""
    if folder.exists():
        temporary.remove(folder)
    weights = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in network.state_dict().items()}
    with new_folder.atomic_directory(folder) as scratch, libraries.quiet():
        network.save_pretrained(scratch, state_dict=weights)

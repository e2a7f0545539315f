"""From a checkpoint to a diffusers folder with its card, which the product loads."""

from __future__ import annotations

from pathlib import Path

import torch

from pantheon360_blender.core import files, temporary
from pantheon360_blender.core.errors import ModelError

from ...diffusion import libraries
from ...diffusion.models import model_folder, new_folder, tiny_model
from . import checkpoints, low_rank, starts
from . import settings as recipes
from .starts import Networks


def export(checkpoint: Path, target: Path) -> str:
    """Write what a checkpoint's average is: a model's folder, a VAE's, or a LoRA. Returns what was written.

    Raises ModelError if the checkpoint is damaged, or something is at `target` already.
    """
    if target.exists():
        raise ModelError(f"{target} is there already.", advice="Choose another place or remove it.")
    settings = recipes.of(checkpoints.read(checkpoint).settings, str(checkpoint))
    settings = starts.onwards(settings, checkpoint)
    if settings.trains == "vae":
        starts.write_part(starts.vae(settings), target)
        return f"{target} holds the VAE; its scaling factor is still to be measured, as the end of a run does."
    networks = starts.networks(settings)
    if settings.painter.rank:
        low_rank.write(target / "lora.safetensors", networks.unet)
        return f"{target / 'lora.safetensors'} is ready."
    write(target, networks)
    return f'{target} is ready. Add it with: python -m backend models add "{target}"'


def write(folder: Path, networks: Networks, dtype: torch.dtype = torch.float16) -> None:
    """Write a model's folder, whole or not at all, in place of an older one. Raises FileError, ModelError."""
    if folder.exists():
        temporary.remove(folder)
    parts = {"unet": networks.unet, "vae": networks.vae, "image_encoder": networks.image_encoder}
    with new_folder.atomic_directory(folder) as scratch, files.translate_os_errors(folder), libraries.quiet():
        for part, network in parts.items():
            starts.save(network, scratch / part, dtype)
        tiny_model.describe(scratch, networks.card)
        model_folder.check(scratch, folder)

"""From a model's folder to networks in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from transformers import CLIPVisionModelWithProjection

from pantheon360_blender.core.errors import ModelError, reason
from pantheon360_blender.core.jobs.model_card import ModelCard

from .. import libraries
from ..networks import schedulers
from . import lora, model_folder
from .model_folder import ModelFolder


@dataclass
class Components:
    """A model in memory.

    unet, vae, image_encoder: networks in evaluation mode without gradients. scheduler: of schedulers.SCHEDULERS; it
    remembers steps, so that each clip needs a copy. card: what the model is.
    """

    unet: UNetSpatioTemporalConditionModel
    vae: AutoencoderKLTemporalDecoder
    image_encoder: CLIPVisionModelWithProjection
    scheduler: Any
    card: ModelCard


def load(
    folder: ModelFolder,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    loras: Sequence[tuple[Path, float]] = (),
    scheduler: str = "euler",
) -> Components:
    """Load a model. Nothing is downloaded and nothing unpickled.

    loras: (safetensors file in diffusers' format for the U-Net, strength), applied in turn. scheduler: a name of
    schedulers.SCHEDULERS.
    Raises ModelError.
    """
    stepper = scheduler_of(folder, scheduler)
    changes = [(lora.read(path), strength) for path, strength in loras]
    unet = _network(UNetSpatioTemporalConditionModel, "unet", folder, dtype)
    for change, strength in changes:
        lora.apply(unet, change, strength)
    vae = _network(AutoencoderKLTemporalDecoder, "vae", folder, dtype)
    image_encoder = _network(CLIPVisionModelWithProjection, "image_encoder", folder, dtype)
    for network in (unet, vae, image_encoder):
        network.to(device)
    return Components(unet, vae, image_encoder, stepper, folder.card)


def scheduler_of(folder: ModelFolder, name: str = "euler") -> Any:
    """A fresh scheduler of the model by its name in schedulers.SCHEDULERS. Raises ModelError."""
    return schedulers.scheduler(name, folder.config("scheduler"))


def _network(kind: Any, part: str, folder: ModelFolder, dtype: torch.dtype) -> Any:
    place = folder.parts[part]
    try:
        with libraries.quiet():
            network = kind.from_pretrained(
                str(place),
                dtype=dtype,
                variant=model_folder.variant(part, place, str(dtype).removeprefix("torch.")),
                use_safetensors=True,
                local_files_only=True,
            )
    except Exception as error:
        raise ModelError(f"{place} cannot be loaded: {reason(error)}", advice="Get the folder again.") from error
    return network.eval().requires_grad_(False)

"""From a model's folder to networks in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EDMDPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UNetSpatioTemporalConditionModel,
)
from transformers import CLIPVisionModelWithProjection

from pantheon360_blender.core.errors import reason

from . import libraries, lora, model_folder
from .errors import ModelError
from .model_card import ModelCard
from .model_folder import ModelFolder

SCHEDULERS = {
    "euler": "Euler, as Stable Video Diffusion was made for",
    "dpm++2m": "DPM-Solver++ of second order: about as good in half the steps",
}
"""Ways to step from noise to picture that suit v-prediction over sigmas -> what they are, for people."""


@dataclass
class Components:
    """A model in memory.

    unet, vae, image_encoder: networks in evaluation mode without gradients. scheduler: has set_timesteps, timesteps,
    init_noise_sigma, scale_model_input and step; solvers of higher order remember steps, so that each pass of a
    fusion needs its own (`scheduler_of`). card: what the model is. loras: what is added to the U-Net, in order.
    """

    unet: UNetSpatioTemporalConditionModel
    vae: AutoencoderKLTemporalDecoder
    image_encoder: CLIPVisionModelWithProjection
    scheduler: Any
    card: ModelCard
    loras: list[lora.AppliedLora] = field(default_factory=list)

    def unload_loras(self) -> None:
        """Give the U-Net its own weights back."""
        while self.loras:
            self.loras.pop().remove()


def load(
    folder: ModelFolder,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    loras: Sequence[tuple[Path, float]] = (),
    scheduler: str = "euler",
) -> Components:
    """Load a model. Nothing is downloaded and nothing unpickled.

    loras: (safetensors file in diffusers' format for the U-Net, strength), applied in turn.
    Raises ModelError.
    """
    changes = [(lora.read(path), strength) for path, strength in loras]
    unet = _network(UNetSpatioTemporalConditionModel, "unet", folder, dtype)
    applied = [lora.apply(unet, change, strength) for change, strength in changes]
    vae = _network(AutoencoderKLTemporalDecoder, "vae", folder, dtype)
    image_encoder = _network(CLIPVisionModelWithProjection, "image_encoder", folder, dtype)
    for network in (unet, vae, image_encoder):
        network.to(device)
    return Components(unet, vae, image_encoder, scheduler_of(folder, scheduler), folder.card, applied)


def scheduler_of(folder: ModelFolder, name: str = "euler") -> Any:
    """A fresh scheduler of the model by its name in SCHEDULERS. Raises ModelError."""
    config = folder.config("scheduler")
    try:
        if name == "euler":
            return EulerDiscreteScheduler.from_config(config)
        if name == "dpm++2m":
            # SVD's parametrisation is EDM's with data of standard deviation 1.
            return EDMDPMSolverMultistepScheduler(
                sigma_min=config.get("sigma_min") or 0.002,
                sigma_max=config.get("sigma_max") or 700.0,
                sigma_data=1.0,
                prediction_type="v_prediction",
            )
    except Exception as error:
        raise ModelError(f"The scheduler of {folder.path} cannot be made: {reason(error)}") from error
    raise ModelError(f"There is no scheduler {name!r}.", advice=f"Choose one of: {', '.join(SCHEDULERS)}.")


def _network(kind: Any, part: str, folder: ModelFolder, dtype: torch.dtype) -> Any:
    place = folder.parts[part]
    try:
        with libraries.quiet():
            network = kind.from_pretrained(
                str(place),
                dtype=dtype,
                variant=model_folder.variant(part, place),
                use_safetensors=True,
                local_files_only=True,
            )
    except Exception as error:
        raise ModelError(f"{place} cannot be loaded: {reason(error)}", advice="Get the folder again.") from error
    return network.eval().requires_grad_(False)

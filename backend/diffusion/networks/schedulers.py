"""Ways to step from noise to a picture that suit Stable Video Diffusion: v-prediction over continuous sigmas.

All of them are deterministic, share one interface (set_timesteps, timesteps, sigmas, init_noise_sigma,
scale_model_input, step) and are fresh for each pass: solvers of higher order remember what they saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EulerDiscreteScheduler
from diffusers.schedulers import AysSchedules

from pantheon360_blender.core.errors import ModelError, reason

from .. import libraries

SCHEDULERS = {
    "euler": "Euler, as Stable Video Diffusion was made for; 25 steps are usual",
    "euler-aligned": "Euler over steps that were optimized for Stable Video Diffusion; 10 are usual",
    "dpm++2m": "DPM-Solver++ of second order: about as good as Euler in half the steps",
}
"""Name -> what it is, for people."""


def scheduler(name: str, config: Mapping[str, Any]) -> Any:
    """A fresh scheduler. config: the model's scheduler_config.json. Raises ModelError."""
    if name not in SCHEDULERS:
        raise ModelError(f"There is no scheduler {name!r}.", advice=f"Choose one of: {', '.join(SCHEDULERS)}.")
    try:
        with libraries.quiet():
            if name == "dpm++2m":
                return _second_order(config)
            return (AlignedEulerScheduler if name == "euler-aligned" else EulerDiscreteScheduler).from_config(config)
    except Exception as error:
        raise ModelError(
            f"The model's scheduler cannot be made: {reason(error)}", advice="Get its scheduler_config.json again."
        ) from error


class AlignedEulerScheduler(EulerDiscreteScheduler):
    """Euler over the sigmas of "Align Your Steps" (Sabour et al. 2024) for Stable Video Diffusion.

    Other numbers of steps than its ten are interpolated linearly in log sigma over the steps' index, as it proposes.
    """

    def set_timesteps(
        self, num_inference_steps: int | None = None, device: str | torch.device | None = None, **others: Any
    ) -> None:
        """As EulerDiscreteScheduler's."""
        if num_inference_steps is not None and not others:
            others = {"sigmas": [*aligned_sigmas(num_inference_steps), 0.0]}
            num_inference_steps = None
        super().set_timesteps(num_inference_steps, device, **others)


def aligned_sigmas(steps: int) -> list[float]:
    """Decreasing sigmas of so many steps, the final zero left out."""
    published = np.asarray(AysSchedules["StableDiffusionVideoSigmas"][:-1])
    places = np.linspace(0, len(published) - 1, steps) if steps > 1 else np.zeros(1)
    return [float(sigma) for sigma in np.exp(np.interp(places, np.arange(len(published)), np.log(published)))]


def _second_order(config: Mapping[str, Any]) -> Any:
    """SVD's parametrisation is EDM's for data of standard deviation 1."""
    return EDMDPMSolverMultistepScheduler(
        sigma_min=config.get("sigma_min") or 0.002,
        sigma_max=config.get("sigma_max") or 700.0,
        sigma_data=1.0,
        prediction_type="v_prediction",
    )

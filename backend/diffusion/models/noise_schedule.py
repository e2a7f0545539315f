"""Stable Video Diffusion's noise schedule, as diffusers writes it."""

from __future__ import annotations

from typing import Any

SVD: dict[str, Any] = {
    "_class_name": "EulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "interpolation_type": "linear",
    "use_karras_sigmas": True,
    "sigma_min": 0.002,
    "sigma_max": 700.0,
    "timestep_spacing": "leading",
    "timestep_type": "continuous",
    "steps_offset": 1,
}
"""Euler with v-prediction over Karras sigmas from 700 to 0.002. Source: the scheduler_config.json of SVD-XT."""

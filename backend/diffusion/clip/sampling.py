"""Painting a clip: Stable Video Diffusion over panoramas that know their geometry and their anchors.

Latents are (F, 4, h, w) float32 in the clip's time; P passes over them are (P, F, 4, h, w), each in its own time.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pantheon360_blender.core.jobs.paint_settings import Recipe
from pantheon360_blender.core.progress import Job, Progress

from ..execution.execution import Predict
from ..networks import autoencoder, conditioning, noise, overflow, panorama
from .passes import Clip, Pass, fuse_passes, prepare_passes, to_pass_order

if TYPE_CHECKING:
    from ..execution.execution import Execution


@dataclass(frozen=True)
class Step(Progress):
    """A denoising step that is done. clean: the latents as the model believes them to be without noise."""

    clean: torch.Tensor = field(default_factory=lambda: torch.empty(0))


def paint(execution: Execution, clip: Clip, recipe: Recipe) -> Job[np.ndarray]:
    """Paint a clip; (F, H, W, 3) uint8 sRGB.

    Raises ModelError where the model's numbers overflow.
    """
    passes = yield from prepare_passes(execution, clip, recipe.configuration, recipe.handling)
    latents = yield from paint_latents(execution, clip, passes, recipe)
    return autoencoder.images_of((yield from execution.decode(latents, recipe.handling)))


def paint_latents(execution: Execution, clip: Clip, passes: Sequence[Pass], recipe: Recipe) -> Job[torch.Tensor]:
    """Latents of a clip, (F, 4, h, w) float32 on the device. passes: what `prepare_passes` made of the clip.

    Raises ModelError where the model's numbers overflow.
    """
    # 1. The noise that the path has at these frames
    unet, card = execution.model.unet, execution.model.card
    shape = (card.channels["noise"], *passes[0].condition.shape[-2:])
    start = noise.frames(recipe.seed, len(clip), shape, first=clip.first).to(execution.device)

    # 2. Denoising, with a U-Net that sees across the seam
    with ExitStack() as stack:
        if recipe.handling.circular:
            stack.enter_context(panorama.circular_convolutions(unet))
        return (yield from denoise(execution.predict, execution.model.scheduler, passes, start, recipe))


@torch.no_grad()
def denoise(
    predict: Predict, scheduler: Any, passes: Sequence[Pass], start: torch.Tensor, recipe: Recipe
) -> Job[torch.Tensor]:
    """Latents of the clip from noise.

    start: (F, 4, h, w) float32, normal noise.
    Yields a Step after each step. Raises ModelError where numbers overflow.
    """
    scheduler = copy.deepcopy(scheduler)  # a scheduler counts its steps
    scheduler.set_timesteps(recipe.steps, device=start.device)
    evaluations = Evaluations.of(passes, recipe)
    latents = start * scheduler.init_noise_sigma
    total = len(scheduler.timesteps)
    yield Progress("Denoising", 0, total)
    for step, timestep in enumerate(scheduler.timesteps):
        turn = panorama.columns_of_step(recipe.handling.roll, step, latents.shape[-1], recipe.seed)
        views = to_pass_order(latents, passes)
        velocity = evaluations.velocity(predict, scheduler.scale_model_input(views, timestep), timestep, turn)
        clean = without_noise(views, velocity, scheduler.sigmas[step])
        views = scheduler.step(velocity, timestep, views).prev_sample
        latents = fuse_passes(views, passes, recipe.weighting)
        overflow.check(latents, f"step {step + 1}")
        yield Step("Denoising", step + 1, total, clean=fuse_passes(clean, passes, recipe.weighting))
    return latents


@dataclass(frozen=True, eq=False)
class Evaluations:
    """What the U-Net is asked in each step: the passes without conditions, where there is guidance, and with them.

    conditions: (N, F, C, h, w). tokens: (N, K, D). time_ids: (N, 3).
    guidance: (F, 1, 1, 1) in the passes' own time, or None where there is none.
    """

    conditions: torch.Tensor
    tokens: torch.Tensor
    time_ids: torch.Tensor
    guidance: torch.Tensor | None

    @classmethod
    def of(cls, passes: Sequence[Pass], recipe: Recipe) -> Evaluations:
        conditions = torch.stack([each.condition for each in passes])
        tokens = torch.stack([each.tokens for each in passes])
        guidance = None
        if max(recipe.guidance) > 1:
            guidance = torch.linspace(*recipe.guidance, conditions.shape[1]).view(-1, 1, 1, 1).to(conditions.device)
            conditions = torch.cat([torch.zeros_like(conditions), conditions])
            tokens = torch.cat([torch.zeros_like(tokens), tokens])
        time_ids = conditioning.time_ids(recipe.fps, recipe.motion_bucket, recipe.noise_aug)
        return cls(conditions, tokens, time_ids.to(conditions.device).expand(len(conditions), -1), guidance)

    def velocity(self, predict: Predict, views: torch.Tensor, timestep: torch.Tensor, turn: int) -> torch.Tensor:
        """The guided v-prediction (P, F, 4, h, w) float32 for the passes' scaled latents.

        turn: columns the panorama is turned by while the U-Net looks at it.
        """
        noisy = views if self.guidance is None else torch.cat([views, views])
        inputs = panorama.turned(torch.cat([noisy, self.conditions], dim=2), turn)
        predicted = panorama.turned(predict(inputs, timestep, self.tokens, self.time_ids), -turn)
        if self.guidance is None:
            return predicted
        unconditional, conditional = predicted.chunk(2)
        return unconditional + self.guidance * (conditional - unconditional)


def without_noise(latents: torch.Tensor, velocity: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """What v-prediction takes for the latents without their noise of standard deviation sigma."""
    return velocity * (-sigma / (sigma**2 + 1) ** 0.5) + latents / (sigma**2 + 1)

"""Painting a clip: Stable Video Diffusion over panoramas that know their geometry and their anchors.

Latents of a clip are (F, 4, h, w) float32 in its order of frames; of P passes (P, F, 4, h, w), each in its own order.
Arguments have diffusers' names.
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
from ..execution.memory_plan import CONTEXT
from ..networks import autoencoder, conditioning, noise, overflow, panorama
from .passes import Clip, Pass, fuse_passes, prepare_passes, seen_videos, to_pass_order

if TYPE_CHECKING:
    from ..execution.execution import Execution


@dataclass(frozen=True)
class Conditioned(Progress):
    """The passes are prepared. videos: (F, H, W, 3) uint8, what the model sees in each pass, in its own order."""

    passes: Sequence[Pass] = ()
    videos: Sequence[np.ndarray] = ()


@dataclass(frozen=True)
class Step(Progress):
    """A denoising step is done. pred_original_sample: what the model believes the latents to be without noise."""

    pred_original_sample: torch.Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass(frozen=True, eq=False)
class PaintedClip:
    """latents: (F, 4, h, w) float32 on the CPU. images: (F, H, W, 3) uint8 sRGB. passes: how many it was painted in."""

    latents: torch.Tensor
    images: np.ndarray
    passes: int


@dataclass(frozen=True, eq=False)
class Before:
    """The clip before. latents: (F, 4, h, w). overlap: how many of its last frames the next clip begins with."""

    latents: torch.Tensor
    overlap: int


def paint(execution: Execution, clip: Clip, recipe: Recipe, before: Before | None = None) -> Job[PaintedClip]:
    """Paint a clip. before: the clip that it continues, or None.

    Yields Progress, Conditioned, and a Step after each denoising step. Raises ModelError if numbers overflow.
    """
    # 1. What each pass sees: encoded pictures, and CLIP's view of the anchor it begins at
    passes = yield from prepare_passes(execution, clip, recipe)
    yield Conditioned("Conditioned", passes=passes, videos=seen_videos(clip, recipe.configuration))

    # 2. The noise that the path has at these frames
    unet, card = execution.model.unet, execution.model.card
    shape = (card.channels["noise"], *passes[0].condition.shape[-2:])
    noisy = noise.frames(recipe.seed, len(clip), shape, first=clip.first).to(execution.device)
    noisy = panorama.roll(noisy, -clip.columns)

    # 3. Denoising, with a U-Net that sees across the seam
    with ExitStack() as stack:
        if recipe.seam.circular:
            stack.enter_context(panorama.circular_convolutions(unet))
        latents = yield from denoise(execution.predict, execution.model.scheduler, passes, noisy, recipe)

    # 4. Frames that the clip before has painted, too, fade over from it
    latents = cross_fade(before, latents.cpu())

    # 5. Decoding
    images = yield from decode(execution, latents, recipe, before)
    return PaintedClip(latents, images, len(passes))


def cross_fade(before: Before | None, latents: torch.Tensor) -> torch.Tensor:
    """Latents (F, 4, h, w) whose first frames fade over from the end of the clip before.

    The weight falls linearly: all of the earlier clip at the first shared frame, none at the first frame after them.
    Source: Argus, which fades over five frames.
    """
    if before is None or not before.overlap:
        return latents
    share = (1 - torch.arange(before.overlap, dtype=torch.float32) / before.overlap).view(-1, 1, 1, 1)
    shared = share * before.latents[-before.overlap :] + (1 - share) * latents[: before.overlap]
    return torch.cat([shared, latents[before.overlap :]])


def decode(execution: Execution, latents: torch.Tensor, recipe: Recipe, before: Before | None) -> Job[np.ndarray]:
    """Frames (F, H, W, 3) uint8 of a clip's latents; the decoder also sees the last frames of the clip before."""
    lead = latents[:0] if before is None else before.latents[: len(before.latents) - before.overlap][-CONTEXT:]
    video = yield from execution.decode(torch.cat([lead, latents]), recipe.seam)
    return autoencoder.images_of(video[len(lead) :])


@torch.no_grad()
def denoise(
    predict: Predict, scheduler: Any, passes: Sequence[Pass], noisy: torch.Tensor, recipe: Recipe
) -> Job[torch.Tensor]:
    """Latents of a clip from noise, (F, 4, h, w) float32.

    noisy: (F, 4, h, w) float32, normal noise. Yields a Step after each step. Raises ModelError if numbers overflow.
    """
    # 1. A scheduler of our own (it counts its steps), and the U-Net with its conditions
    scheduler = copy.deepcopy(scheduler)
    scheduler.set_timesteps(recipe.num_inference_steps, device=noisy.device)
    unet = GuidedUNet.from_passes(predict, passes, recipe)
    latents = noisy * scheduler.init_noise_sigma
    total = len(scheduler.timesteps)
    yield Progress("Denoising", 0, total)
    for step, timestep in enumerate(scheduler.timesteps):
        # 2. Every pass takes one step, in its own order of frames, with the seam somewhere else each time
        views = to_pass_order(latents, passes)
        columns = panorama.columns_of_step(recipe.seam.roll, step, latents.shape[-1], recipe.seed)
        velocity = unet(scheduler.scale_model_input(views, timestep), timestep, columns)
        clean = pred_original_sample(views, velocity, scheduler.sigmas[step])
        views = scheduler.step(velocity, timestep, views).prev_sample

        # 3. The passes are fused
        latents = fuse_passes(views, passes, recipe.weighting)
        overflow.check(latents, f"step {step + 1}")
        clean = fuse_passes(clean, passes, recipe.weighting)
        yield Step("Denoising", step + 1, total, pred_original_sample=clean)
    return latents


@dataclass(frozen=True, eq=False)
class GuidedUNet:
    """The U-Net with classifier-free guidance, over every pass of a clip.

    conditions: (N, F, C, h, w), without conditions first if there is guidance, then with them.
    encoder_hidden_states: (N, K, D), CLIP's. added_time_ids: (N, 3).
    guidance_scale: (F, 1, 1, 1) in the passes' own order, or None if there is no guidance.
    """

    predict: Predict
    conditions: torch.Tensor
    encoder_hidden_states: torch.Tensor
    added_time_ids: torch.Tensor
    guidance_scale: torch.Tensor | None

    @classmethod
    def from_passes(cls, predict: Predict, passes: Sequence[Pass], recipe: Recipe) -> GuidedUNet:
        conditions = torch.stack([each.condition for each in passes])
        hidden_states = torch.stack([each.encoder_hidden_states for each in passes])
        scale = None
        if max(recipe.guidance_scale) > 1:
            scale = torch.linspace(*recipe.guidance_scale, conditions.shape[1]).view(-1, 1, 1, 1).to(conditions.device)
            conditions = torch.cat([torch.zeros_like(conditions), conditions])
            hidden_states = torch.cat([torch.zeros_like(hidden_states), hidden_states])
        time_ids = conditioning.added_time_ids(recipe.fps, recipe.motion_bucket_id, recipe.noise_aug_strength)
        time_ids = time_ids.to(conditions.device).expand(len(conditions), -1)
        return cls(predict, conditions, hidden_states, time_ids, scale)

    def __call__(self, latents: torch.Tensor, timestep: torch.Tensor, columns: int) -> torch.Tensor:
        """The guided v-prediction (P, F, 4, h, w) float32 of the passes' scaled latents.

        columns: by how many the panorama is rolled while the U-Net looks at it.
        """
        noisy = latents if self.guidance_scale is None else torch.cat([latents, latents])
        sample = panorama.roll(torch.cat([noisy, self.conditions], dim=2), columns)
        predicted = self.predict(sample, timestep, self.encoder_hidden_states, self.added_time_ids)
        predicted = panorama.roll(predicted, -columns)
        if self.guidance_scale is None:
            return predicted
        unconditional, conditional = predicted.chunk(2)
        return unconditional + self.guidance_scale * (conditional - unconditional)


def pred_original_sample(sample: torch.Tensor, model_output: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The sample without its noise of standard deviation sigma, from the model's v-prediction."""
    return model_output * (-sigma / (sigma**2 + 1) ** 0.5) + sample / (sigma**2 + 1)

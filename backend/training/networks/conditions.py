"""What the U-Net is told of training clips: what `diffusion/clip/passes.py` tells it, batched, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from pantheon360_blender.core.jobs.model_card import ModelCard

from ...diffusion.networks import autoencoder, conditioning
from .. import filling
from ..training_clip import TrainingClip, anchors
from . import horizon


@dataclass(frozen=True, eq=False)
class Conditions:
    """condition: (B, F, C, h, w), the U-Net's input channels after the noise. encoder_hidden_states: (B, K, D).

    added_time_ids: (B, 3). All float32; where the image encoder is trained, gradients flow into it.
    """

    condition: torch.Tensor
    encoder_hidden_states: torch.Tensor
    added_time_ids: torch.Tensor


def of_clips(
    clips: Sequence[TrainingClip],
    vae: Any,
    image_encoder: Any,
    card: ModelCard,
    *,
    generator: torch.Generator,
    show_end: Sequence[bool],
    dropout: float = 0.0,
    latents: torch.Tensor | None = None,
) -> Conditions:
    """What the U-Net is told of clips of one length and size.

    The VAE is to see across the seam (`panorama.circular_convolutions`) as it does in the product.
    show_end: of each clip, whether the panorama at its last frame is shown, if there is one. dropout: share of the
    clips that are told nothing, as the unconditional half of guidance is. generator: of the noise on what is seen and
    of the dropout. latents: (B, F, C, h, w), what is seen, if it is encoded already (latent_cache.py).
    """
    covered = torch.stack([_covered(clip, end) for clip, end in zip(clips, show_end, strict=True)])
    told = torch.rand(len(clips), generator=generator, device=generator.device).to(covered.device) >= dropout
    if latents is None:
        video = torch.stack([_seen(clip, card, end) for clip, end in zip(clips, show_end, strict=True)])
        if card.noise_aug:
            noise = torch.randn(video.shape, generator=generator, device=generator.device).to(video.device)
            video = video + card.noise_aug * noise * covered
        latents = encode(video, vae)
    channels = [latents]
    for name in card.extras:
        values = covered if name == "coverage" else _nearness(clips)
        channels.append(_averaged(values.to(channels[0]), channels[0].shape[-2:]))
    embeddings = _embeddings(clips, image_encoder)
    time_ids = conditioning.added_time_ids(card.fps, card.motion_bucket, card.noise_aug)
    return Conditions(
        torch.cat(channels, dim=2) * told.view(-1, 1, 1, 1, 1),
        embeddings * told.view(-1, 1, 1),
        time_ids.to(covered.device).expand(len(clips), -1),
    )


def targets(clips: Sequence[TrainingClip], vae: Any) -> torch.Tensor:
    """Scaled latents of the truth, (B, F, C, h, w) float32."""
    return encode(torch.stack([video_of(clip.frames) for clip in clips]), vae) * vae.config.scaling_factor


@torch.no_grad()
def encode(video: torch.Tensor, vae: Any) -> torch.Tensor:
    """Latents (B, F, C, h, w) float32 of videos (B, F, 3, H, W) in [-1, 1]: the mode, not scaled."""
    latents = autoencoder.distribution(vae, video.flatten(0, 1).to(vae.dtype)).mode().float()
    return torch.as_tensor(latents.unflatten(0, video.shape[:2]))


def video_of(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 sRGB as float32 in [-1, 1]."""
    return pictures.float() / 127.5 - 1.0


def _seen(clip: TrainingClip, card: ModelCard, show_end: bool) -> torch.Tensor:
    """What is seen of a clip, (F, 3, H, W) in [-1, 1]."""
    pictures = filling.shown(clip, card).clone()
    for place, anchor in anchors(clip.start, clip.end if show_end else None):
        pictures[place] = anchor
    return video_of(pictures)


def _covered(clip: TrainingClip, show_end: bool) -> torch.Tensor:
    """Where it is known, (F, 1, H, W) bool."""
    coverage = clip.coverage.clone()
    for place, _ in anchors(clip.start, clip.end if show_end else None):
        coverage[place] = True
    return coverage[:, None]


def _nearness(clips: Sequence[TrainingClip]) -> torch.Tensor:
    return torch.stack([1 / (1 + clip.depth) for clip in clips])[:, :, None]


def _averaged(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(B, F, 1, h, w) of (B, F, 1, H, W)."""
    return functional.adaptive_avg_pool2d(values.flatten(0, 1), size).unflatten(0, values.shape[:2])


def _embeddings(clips: Sequence[TrainingClip], image_encoder: Any) -> torch.Tensor:
    """CLIP's embeddings of the views round the horizon of what each clip begins with, (B, K, D)."""
    first = [clip.geometry[0] if clip.start is None else clip.start for clip in clips]
    pixels = horizon.pixels(image_encoder, torch.stack(first).to(image_encoder.device))
    embeddings = image_encoder(pixels.to(image_encoder.dtype)).image_embeds
    return torch.as_tensor(embeddings).float().unflatten(0, (len(clips), -1))

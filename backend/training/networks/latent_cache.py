"""Latents of clips that are learned from several times: encoding them anew takes a fifth of a small model's step.

It is exact only where nothing is added to pictures before they are encoded (ModelCard.noise_aug 0), and where clips are
turned by whole latents alone, which a VAE that sees across the seam commutes with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch

from pantheon360_blender.core.jobs.model_card import ModelCard

from .. import filling
from ..training_clip import TrainingClip, anchors
from . import conditions


@dataclass(frozen=True, eq=False)
class ClipLatents:
    """Not scaled, float32: frames and shown (F, C, h, w), of the truth and of what is seen of the geometry; start and
    end (C, h, w), of the captures there."""

    frames: torch.Tensor
    shown: torch.Tensor
    start: torch.Tensor | None
    end: torch.Tensor | None

    def seen(self, show_end: bool) -> torch.Tensor:
        """What the U-Net sees, (F, C, h, w), with the captures at the ends."""
        latents = self.shown.clone()
        for place, anchor in anchors(self.start, self.end if show_end else None):
            latents[place] = anchor
        return latents


class LatentCache:
    """vae: is not trained, and sees across the seam. card: of the model; see `fits`."""

    def __init__(self, vae: Any, card: ModelCard) -> None:
        self._vae, self._card = vae, card
        self._kept: WeakKeyDictionary[TrainingClip, ClipLatents] = WeakKeyDictionary()

    @staticmethod
    def fits(card: ModelCard) -> bool:
        """Whether latents of a clip are the same each time."""
        return card.noise_aug == 0

    def of(self, clip: TrainingClip) -> ClipLatents:
        """A clip's latents, made when they are first asked for and kept as long as the clip."""
        if clip not in self._kept:
            self._kept[clip] = self._encoded(clip)
        return self._kept[clip]

    def _encoded(self, clip: TrainingClip) -> ClipLatents:
        ends = [end for end in (clip.start, clip.end) if end is not None]
        pictures = [clip.frames, filling.shown(clip, self._card), *[end[None] for end in ends]]
        video = conditions.video_of(torch.cat(pictures).to(self._vae.device))
        latents = conditions.encode(video[None], self._vae)[0]
        frames, shown, *taken = latents.split([len(clip), len(clip), *[1] * len(ends)])
        kept = [each[0] for each in taken]
        start = kept.pop(0) if clip.start is not None else None
        return ClipLatents(frames, shown, start, kept.pop(0) if clip.end is not None else None)

"""Training the U-Net, and a small model's image encoder with it, on clips whose truth is known.

At every level of noise the U-Net is asked for the clip without noise (networks/objective.py), told what the product
tells it (networks/conditions.py). From some point of the run on most clips are painted in one step, and LPIPS looks at
the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from ...diffusion.models import loading, noise_schedule
from ...diffusion.networks import autoencoder, panorama, schedulers
from .. import filling
from ..networks import conditions, objective
from ..networks.latent_cache import LatentCache
from ..networks.objective import NoiseLevels
from ..training_clip import TrainingClip
from . import export, frame_convolutions, low_rank, samples, starts
from .clip_pool import Sample
from .perceptual import Perceptual
from .settings import Settings
from .starts import Networks

FOLDER = "model"
"""Where what was trained lies in its run's folder: a diffusers folder, or lora.safetensors in it."""


class PainterLoss(torch.nn.Module):
    """networks: what is trained and, frozen, what is not. perceptual: what compares pictures, or None."""

    def __init__(self, networks: Networks, settings: Settings, perceptual: Perceptual | None) -> None:
        super().__init__()
        self.unet = networks.unet
        self.image_encoder = networks.image_encoder
        self._apart = (networks.vae, perceptual)  # no modules of this one: they are never trained
        self._settings, self._card = settings, networks.card
        self._latents = LatentCache(networks.vae, networks.card) if LatentCache.fits(networks.card) else None

    def forward(self, batch: Sequence[Sample], share: float) -> dict[str, torch.Tensor]:
        """share: of the run that is done. Returns "loss" and numbers for the log, scalars."""
        chosen, (vae, _) = self._settings.painter, self._apart
        one_step = share >= 1 - chosen.one_step
        device = vae.device
        stride = autoencoder.factor(vae)
        turns = [_draw(each, each.clip.frames.shape[-1] // stride) * chosen.turn for each in batch]
        clips = [turned(each.clip, columns * stride, device) for each, columns in zip(batch, turns, strict=True)]
        ends = [_chance(sample) < chosen.end_shown for sample in batch]
        in_one = torch.tensor([one_step and _chance(sample) < chosen.one_step_of for sample in batch])
        target, seen = self._encoded(batch, clips, turns, ends)
        sigma = torch.where(in_one, _highest(), self._sigmas(batch, share)).to(device)
        told = conditions.of_clips(
            clips, vae, self.image_encoder, self._card,
            generator=batch[0].generator, show_end=ends, dropout=0.0 if one_step else chosen.dropout, latents=seen,
        )  # fmt: skip
        drawn = [torch.randn(target.shape[1:], generator=sample.generator) for sample in batch]
        noisy = target + sigma.view(-1, 1, 1, 1, 1) * torch.stack(drawn).to(device)
        clean = objective.denoised(
            self.unet, noisy, sigma, told.condition, told.encoder_hidden_states, told.added_time_ids
        )
        loss = objective.loss(clean, target, sigma, latitude=chosen.latitude)
        numbers = {"error": loss}
        if self._apart[1] is not None and share >= self._settings.perceptual.start and bool(in_one.any()):
            numbers["lpips"] = self._lpips(clips, clean, batch, in_one)
            loss = loss + self._settings.perceptual.weight * numbers["lpips"]
        return {"loss": loss, **numbers}

    def _encoded(
        self, batch: Sequence[Sample], clips: Sequence[TrainingClip], turns: Sequence[int], ends: Sequence[bool]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Scaled latents of the truth, and of what is seen, if they are the same each time.

        clips: those of the batch, turned by so many columns of latents.
        """
        vae = self._apart[0]
        if self._latents is None:
            return conditions.targets(clips, vae), None
        kept = [self._latents.of(sample.clip) for sample in batch]
        truth = [panorama.roll(each.frames, columns) for each, columns in zip(kept, turns, strict=True)]
        seen = [panorama.roll(each.seen(end), columns) for each, columns, end in zip(kept, turns, ends, strict=True)]
        return torch.stack(truth) * vae.config.scaling_factor, torch.stack(seen)

    def _sigmas(self, batch: Sequence[Sample], share: float) -> torch.Tensor:
        chosen = self._settings.painter
        levels = NoiseLevels(share=chosen.high_noise)
        ease = min(1.0, share / chosen.curriculum) if chosen.curriculum else 1.0
        return torch.cat([levels.draw(sample.generator, 1, ease) for sample in batch])

    def _lpips(
        self, clips: Sequence[TrainingClip], clean: torch.Tensor, batch: Sequence[Sample], in_one: torch.Tensor
    ) -> torch.Tensor:
        """LPIPS of some frames next to one another of each clip that was painted in one step, decoded."""
        vae, perceptual = self._apart
        assert perceptual is not None
        count = min(self._settings.perceptual.frames, len(clips[0]))
        looked: list[tuple[int, slice]] = []
        for at in torch.nonzero(in_one).flatten().tolist():
            first = _draw(batch[at], len(clips[at]) - count + 1)
            looked.append((at, slice(first, first + count)))
        latents = torch.cat([clean[at, frames] for at, frames in looked]) / vae.config.scaling_factor
        decoded = autoencoder.frames_of(vae, latents.to(vae.dtype), count)
        truth = conditions.video_of(torch.cat([clips[at].frames[frames] for at, frames in looked]))
        columns = self._settings.perceptual.columns or truth.shape[-1]
        return perceptual(decoded[..., :columns], truth[..., :columns])


class PainterTrainee:
    """The painter as what a run trains (loop.Trainee). Raises PantheonError if its start cannot be used."""

    def __init__(self, settings: Settings, machine: Accelerator) -> None:
        self._settings = settings
        self.networks = starts.networks(settings)
        unet, encoder, vae = self.networks.unet, self.networks.image_encoder, self.networks.vae
        vae.eval().requires_grad_(False).to(machine.device)
        if not settings.painter.rank:  # with LoRA, its changes alone are trained
            unet.requires_grad_(True)
        encoder.requires_grad_(settings.painter.train_image_encoder and not settings.painter.rank)
        if settings.run.gradient_checkpointing:
            unet.enable_gradient_checkpointing()
        unet.train()
        encoder.train(settings.painter.train_image_encoder).to(machine.device)
        self._on_processor = machine.device.type == "cpu"
        perceptual = Perceptual.of(settings.perceptual)
        self.module: torch.nn.Module = PainterLoss(self.networks, settings, perceptual)

    @contextmanager
    def running(self) -> Any:
        """U-Net and VAE see across the seam, as they do in the product."""
        with ExitStack() as stack:
            for network in (self.networks.unet, self.networks.vae):
                stack.enter_context(panorama.circular_convolutions(network))
                if self._on_processor:
                    stack.enter_context(frame_convolutions.flat(network))
            yield

    def judge(self, held_out: Sequence[Sample]) -> Mapping[str, float]:
        """Of held-out clips painted in one step: PSNR in dB of all frames, and of pixels that no point covers.

        Of a model that sees the draft also the draft's own, which it has to be better than.
        """
        found: dict[str, list[float]] = {}
        model = self._model()
        for sample in held_out:
            truth, hidden = samples.images(sample.clip.frames), ~sample.clip.coverage.cpu().numpy()
            hidden[0] = False
            pictures = {"": samples.painted(model, sample.clip)}
            if model.card.sees_draft:
                pictures["draft_"] = samples.images(filling.shown(sample.clip, model.card))
            for name, picture in pictures.items():
                found.setdefault(f"{name}psnr", []).append(samples.psnr(picture, truth))
                found.setdefault(f"{name}psnr_uncovered", []).append(samples.psnr(picture, truth, hidden))
        self.networks.unet.train()
        return {name: float(np.nanmean(values)) for name, values in found.items()}

    def show(self, held_out: Sequence[Sample], stem: Path) -> None:
        """A video and a sheet of truth, geometry and paintings of the first held-out clip."""
        samples.show(self._model(), held_out[0].clip, stem)
        self.networks.unet.train()

    def finish(self, folder: Path, held_out: Sequence[Sample]) -> str:
        """Write the model, in half precision, or the LoRA alone."""
        if self._settings.painter.rank:
            path = folder / FOLDER / "lora.safetensors"
            low_rank.write(path, self.networks.unet)
            return f"The LoRA is {path}."
        export.write(folder / FOLDER, self.networks)
        return f'{folder / FOLDER} is ready. Add it with: python -m backend models add "{folder / FOLDER}"'

    def _model(self) -> loading.Components:
        """The networks as the product has them, in evaluation mode."""
        each = self.networks
        each.unet.eval()
        stepper = schedulers.scheduler("euler", noise_schedule.SVD)
        return loading.Components(each.unet, each.vae, each.image_encoder, stepper, each.card)


def _highest() -> torch.Tensor:
    """The sigma that one step paints from."""
    return torch.tensor(NoiseLevels().highest[1])


def turned(clip: TrainingClip, columns: int, device: torch.device) -> TrainingClip:
    """The clip seen in another heading, on a device: a painter learns nothing from where the middle is."""

    def turn(tensor: torch.Tensor | None) -> Any:
        return None if tensor is None else panorama.roll(tensor.to(device), columns)

    return replace(
        clip, frames=turn(clip.frames), geometry=turn(clip.geometry), depth=turn(clip.depth),
        start=turn(clip.start), end=turn(clip.end), filled=turn(clip.filled),
    )  # fmt: skip


def _draw(sample: Sample, most: int) -> int:
    """A whole number below `most`."""
    return int(torch.randint(most, (1,), generator=sample.generator))


def _chance(sample: Sample) -> float:
    return float(torch.rand(1, generator=sample.generator))

"""Training the temporal VAE: it must keep photographs, and the geometry pass, well enough to be painted from.

Half of the samples are the truth, half what a model sees of the geometry: points alone, or the draft (ModelCard).
Loss: L1 over all pixels, of geometry also over those that points cover, which are few; a small KL divergence; LPIPS of
the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from pantheon360_blender.core.jobs.paint_settings import SeamOptions
from pantheon360_blender.core.progress import run_to_end

from ...diffusion.networks import autoencoder, panorama
from .. import filling
from ..networks.conditions import video_of
from . import frame_convolutions, starts
from .clip_pool import Sample
from .perceptual import Perceptual
from .settings import Settings

GATE_TRUTH, GATE_COVERED = 33.0, 30.0
"""dB that a VAE needs, of photographs and of the pixels that points cover, before a painter is trained on it."""
FOLDER = "vae"
"""Where the VAE lies in its run's folder, as diffusers has it."""


class VaeLoss(torch.nn.Module):
    """vae: AutoencoderKLTemporalDecoder, which is trained. perceptual: what compares pictures, or None."""

    def __init__(self, vae: Any, settings: Settings, perceptual: Perceptual | None) -> None:
        super().__init__()
        self.vae = vae
        self._settings = settings
        self._card = starts.card(settings)
        self._perceptual = perceptual

    def forward(self, samples: Sequence[Sample], share: float) -> dict[str, torch.Tensor]:
        """share: of the run that is done. Returns "loss" and numbers for the log, scalars."""
        settings = self._settings.vae
        whole = share >= settings.whole_from or not (settings.rows or settings.columns)
        parts = [self._part(sample, whole) for sample in samples]
        video = torch.cat([part for part, _ in parts])
        covered = torch.cat([mask for _, mask in parts])
        with panorama.circular_convolutions(self.vae) if whole or not settings.columns else nullcontext():
            latents = autoencoder.distribution(self.vae, video)
            drawn = torch.cat([_normal(sample, latents.mean, len(samples)) for sample in samples])
            decoded = autoencoder.frames_of(self.vae, latents.mean + latents.std * drawn, settings.frames)
        return self._losses(decoded, video, covered, latents, share)

    def _part(self, sample: Sample, whole: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures next to one another in time, (F, 3, h, w) in [-1, 1], and what of them counts more, (F, 1, h, w)."""
        settings, clip = self._settings.vae, sample.clip
        first = _draw(sample, len(clip) - settings.frames + 1)
        chosen = slice(first, first + settings.frames)
        shown = filling.shown(clip, self._card) if sample.number % 2 else clip.frames
        covered = clip.coverage[chosen] if sample.number % 2 else torch.zeros_like(clip.coverage[chosen])
        columns = _draw(sample, shown.shape[-1])
        both = [panorama.roll(each, columns) for each in (shown[chosen], covered[:, None])]
        if not whole:
            height, width = shown.shape[-2:]
            rows, wide = min(settings.rows or height, height), min(settings.columns or width, width)
            top = _draw(sample, height - rows + 1)
            both = [each[..., top : top + rows, :wide] for each in both]
        device = self.vae.device
        return video_of(both[0].to(device)), both[1].to(device)

    def _losses(
        self, decoded: torch.Tensor, video: torch.Tensor, covered: torch.Tensor, latents: Any, share: float
    ) -> dict[str, torch.Tensor]:
        settings = self._settings
        distance = (decoded - video).abs().mean(dim=1, keepdim=True)
        weight = covered / covered.sum().clamp(min=1)
        of_points = (distance * weight).sum()
        divergence = latents.kl().sum() / latents.mean.numel()
        loss = distance.mean() + 0.5 * of_points + settings.vae.divergence * divergence
        numbers = {"l1": distance.mean(), "l1_covered": of_points, "divergence": divergence}
        perceptual = self._perceptual
        if perceptual is not None and share >= settings.perceptual.start:
            truth = torch.nonzero(covered.flatten(1).sum(dim=1) == 0).flatten()[: settings.perceptual.frames]
            numbers["lpips"] = perceptual(decoded[truth], video[truth]) if len(truth) else distance.sum() * 0
            loss = loss + settings.perceptual.weight * numbers["lpips"]
        return {"loss": loss, **numbers}


class VaeTrainee:
    """The VAE as what a run trains (loop.Trainee). Raises PantheonError if there is nothing to start from."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._card = starts.card(settings)
        self.vae = starts.vae(settings)
        self.vae.train().requires_grad_(True)
        if self.vae.config.layers_per_block == 1:  # diffusers makes it and never calls it
            self.vae.decoder.mid_block.attentions.requires_grad_(False)
        perceptual = Perceptual.of(settings.perceptual)
        self.module: torch.nn.Module = VaeLoss(self.vae, settings, perceptual)

    def running(self) -> Any:
        """Convolutions over frames are done the quick way."""
        return frame_convolutions.flat(self.vae)

    def judge(self, held_out: Sequence[Sample]) -> Mapping[str, float]:
        """PSNR in dB of held-out truth, and of the pixels of held-out geometry that points cover."""
        truth, covered = [], []
        for sample in held_out:
            clip = sample.clip
            truth.append(_squares(self._there_and_back(clip.frames), clip.frames).flatten())
            shown = filling.shown(clip, self._card)
            error = _squares(self._there_and_back(shown), shown)
            covered.append(error[clip.coverage.cpu()].flatten())
        return {"psnr_truth": _psnr(torch.cat(truth)), "psnr_covered": _psnr(torch.cat(covered))}

    def show(self, held_out: Sequence[Sample], stem: Path) -> None:
        """A sheet of what goes in and what comes out."""
        from ...evaluation import pictures

        clip = held_out[0].clip
        shown = {"truth": _images(clip.frames), "from latents": _images(self._there_and_back(clip.frames))}
        geometry = filling.shown(clip, self._card)
        shown |= {"geometry": _images(geometry), "its points": _images(self._there_and_back(geometry))}
        pictures.contact_sheet(stem.with_suffix(".png"), shown)

    def finish(self, folder: Path, held_out: Sequence[Sample]) -> str:
        """Write the VAE, with the scaling factor that gives its latents a standard deviation of 1."""
        factor = 1 / float(torch.cat([self._encoded(each.clip.frames) for each in held_out]).std())
        self.vae.register_to_config(scaling_factor=factor)
        starts.write_part(self.vae, folder / FOLDER)
        judged = self.judge(held_out)
        passed = judged["psnr_truth"] >= GATE_TRUTH and judged["psnr_covered"] >= GATE_COVERED
        verdict = "good enough" if passed else f"not yet the {GATE_TRUTH:g} and {GATE_COVERED:g} dB"
        return (
            f"{folder / FOLDER} keeps truth to {judged['psnr_truth']:.1f} dB and covered pixels to "
            f"{judged['psnr_covered']:.1f} dB, {verdict} that a painter needs; scaling factor {factor:.4f}."
        )

    def _encoded(self, frames: torch.Tensor) -> torch.Tensor:
        job = autoencoder.encode(
            self.vae, video_of(frames), SeamOptions(), device=self.vae.device, encode_chunk_size=len(frames)
        )
        return run_to_end(job)

    def _there_and_back(self, frames: torch.Tensor) -> torch.Tensor:
        """Pictures (F, 3, H, W) uint8 through the VAE, as the product does it, on the CPU."""
        scaled = self._encoded(frames) * self.vae.config.scaling_factor
        decoded = run_to_end(autoencoder.decode(self.vae, scaled, SeamOptions(), device=self.vae.device))
        return torch.from_numpy(autoencoder.images_of(decoded)).permute(0, 3, 1, 2)


def _images(frames: torch.Tensor) -> Any:
    return frames.permute(0, 2, 3, 1).cpu().numpy()


def _squares(painted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Squared errors of pixels, (F, H, W), mean over colours, of values in [0, 1]."""
    return (painted.float() - truth.cpu().float()).div(255).square().mean(dim=1)


def _psnr(squares: torch.Tensor) -> float:
    return float(-10 * torch.log10(squares.mean().clamp(min=1e-10))) if len(squares) else float("nan")


def _draw(sample: Sample, most: int) -> int:
    """A whole number below `most`."""
    return int(torch.randint(most, (1,), generator=sample.generator))


def _normal(sample: Sample, like: torch.Tensor, samples: int) -> torch.Tensor:
    """Normal noise for a sample's share of a batch of `samples`."""
    return torch.randn(len(like) // samples, *like.shape[1:], generator=sample.generator).to(like)

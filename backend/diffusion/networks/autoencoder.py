"""Video to latents and back: the temporal VAE of Stable Video Diffusion, chunk by chunk, across the seam.

Videos are (F, 3, H, W) float32 in [-1, 1], latents (F, 4, H / factor, W / factor) float32.

A VAE of 3 p^2 channels in and out sees patches of p x p pixels as one: Stable Video Diffusion's has p = 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from pantheon360_blender.core.jobs.paint_settings import SeamOptions
from pantheon360_blender.core.progress import Job, Progress

from .. import libraries
from . import banded_decoder, overflow, panorama, vae_stride

_ENCODER_REACH = 4
"""The encoder's padding over the decoder's: most of its layers are coarse, so that its edges reach further."""


def factor(vae: Any) -> int:
    """Pixels across for one latent."""
    return vae_stride.stride(vae.config)


def distribution(vae: Any, frames: torch.Tensor) -> Any:
    """The VAE's distribution of latents of frames (N, 3, H, W), as diffusers has it."""
    return vae.encode(functional.pixel_unshuffle(frames, vae_stride.patch(vae.config))).latent_dist


def frames_of(vae: Any, latents: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Frames (N, 3, H, W) of latents, not scaled, of videos of `num_frames` each."""
    decoded = vae.decode(latents, num_frames=num_frames).sample
    return functional.pixel_shuffle(decoded, vae_stride.patch(vae.config))


def video_of(images: np.ndarray) -> torch.Tensor:
    """(F, H, W, 3) uint8 sRGB as a video."""
    return torch.from_numpy(images.astype(np.float32) / 255.0).permute(0, 3, 1, 2) * 2.0 - 1.0


def images_of(video: torch.Tensor) -> np.ndarray:
    """A video as (F, H, W, 3) uint8 sRGB: clipped and rounded."""
    shares = (video.float() / 2.0 + 0.5).clamp(0.0, 1.0)
    return np.asarray((shares * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())


@torch.no_grad()
def encode(
    vae: Any, video: torch.Tensor, seam: SeamOptions, *, device: torch.device | str = "cpu", encode_chunk_size: int = 1
) -> Job[torch.Tensor]:
    """Condition latents of a video: the mode of the VAE's distribution, not scaled.

    encode_chunk_size: frames at a time. It changes memory only, as the encoder looks at each frame alone.
    """
    columns = _ENCODER_REACH * seam.columns
    parts = []
    with _across_the_seam(vae, seam), _precise(vae):
        for first in range(0, len(video), encode_chunk_size):
            yield Progress("Encoding", first, len(video))
            frames = panorama.padded(
                video[first : first + encode_chunk_size].to(device, vae.dtype), columns * factor(vae)
            )
            parts.append(panorama.cropped(distribution(vae, frames).mode(), columns).float())
    yield Progress("Encoding", len(video), len(video))
    return torch.cat(parts)


@torch.no_grad()
def decode(
    vae: Any,
    latents: torch.Tensor,
    seam: SeamOptions,
    *,
    device: torch.device | str = "cpu",
    decode_chunk_size: int | None = None,
    context: int = 0,
    banded: bool = False,
) -> Job[torch.Tensor]:
    """The video of denoised latents, on the CPU.

    decode_chunk_size: frames at a time, None for all. The decoder looks at neighbouring frames, so that chunks show in
    the video. context: frames decoded before and after each chunk and thrown away, which hides most of that.
    banded: decode in a third of the memory, see banded_decoder.
    Raises ModelError if numbers overflow.
    """
    total = len(latents)
    decode_chunk_size = decode_chunk_size or total
    columns = seam.columns * factor(vae)
    scaled = 1 / vae.config.scaling_factor * panorama.padded(latents, seam.columns)
    parts = []
    with _across_the_seam(vae, seam), banded_decoder.banded(vae) if banded else nullcontext():
        for first in range(0, total, decode_chunk_size):
            yield Progress("Decoding", first, total)
            last = min(first + decode_chunk_size, total)
            before, after = max(0, first - context), min(total, last + context)
            frames = frames_of(vae, scaled[before:after].to(device, vae.dtype), after - before)
            parts.append(panorama.cropped(frames[first - before : last - before], columns).float().cpu())
            overflow.check(parts[-1], "decoding")
    yield Progress("Decoding", total, total)
    return torch.cat(parts)


@contextmanager
def _across_the_seam(vae: Any, seam: SeamOptions) -> Iterator[None]:
    with ExitStack() as stack:
        if seam.circular:
            stack.enter_context(panorama.circular_convolutions(vae))
        yield


@contextmanager
def _precise(vae: Any) -> Iterator[None]:
    """SVD's encoder overflows in half precision; its configuration says so."""
    dtype = vae.dtype
    if dtype != torch.float16 or not vae.config.force_upcast:
        yield
        return
    try:
        with libraries.quiet():
            vae.to(dtype=torch.float32)  # memory may run out half-way
        yield
    finally:
        with libraries.quiet():
            vae.to(dtype=dtype)

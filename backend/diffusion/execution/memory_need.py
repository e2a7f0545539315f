"""What painting clips with a model takes, for memory_plan to choose by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pantheon360_blender.core.jobs.model_card import ModelCard
from pantheon360_blender.core.jobs.paint_settings import SeamOptions

from ..models import architecture
from . import dry_run
from .memory_plan import Need

_PASSES = 2
_GUIDED = 2
_FLOAT = 4


def need(
    configs: Mapping[str, dict[str, Any]],
    card: ModelCard,
    width: int,
    frames: int,
    dtype: torch.dtype,
    seam: SeamOptions,
) -> Need:
    """What clips of `frames` panoramas of `width` pixels take.

    configs: of "unet", "vae" and "image_encoder". dtype: of the weights. Raises ModelError.
    """
    unet, vae, clip = configs["unet"], configs["vae"], configs["image_encoder"]
    stride = architecture.stride("vae", vae)
    size = {"height": width // 2 // stride, "width": width // stride}

    def denoising(clips: int, chunked: bool) -> int:
        return dry_run.unet_peak(unet, clips=clips, frames=frames, dtype=dtype, seam=seam, chunked=chunked, **size)

    def decoding(count: int, banded: bool) -> int:
        return dry_run.decode_peak(vae, frames=count, dtype=dtype, seam=seam, banded=banded, **size)

    return Need(
        weights={"unet": dry_run.weights("unet", unet, dtype), "vae": dry_run.weights("vae", vae, dtype)}
        | {"image_encoder": dry_run.weights("image_encoder", clip, dtype)},
        encoding=dry_run.encode_peak(vae, frames=1, height=width // 2, width=width, dtype=dtype, seam=seam),
        denoising=denoising,
        decoding=decoding,
        held=_held(card, frames * size["height"] * size["width"]),
        streamed=2 * _largest(unet, dtype),
    )


def _held(card: ModelCard, pixels: int) -> int:
    """Bytes of what is held beside a prediction: conditions, latents and predictions of two guided passes, float32.

    pixels: of the latents of all frames.
    """
    channels = card.in_channels + 4 * card.channels["noise"]
    return _FLOAT * _PASSES * _GUIDED * pixels * channels


def _largest(unet: dict[str, Any], dtype: torch.dtype) -> int:
    """Bytes of the U-Net's largest tensor."""
    shapes = architecture.shapes("unet", unet, Path("unet"))
    return max(math.prod(shape) for shape in shapes.values()) * int(dtype.itemsize)

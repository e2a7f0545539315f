"""What an image encoder is given of panoramas, as `diffusion/networks/conditioning.py` makes it, of many on any device.

On the processor the views of one panorama take 12 ms, more than a GPU takes to learn from them.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import rotation_from_angles

from ...diffusion.networks import conditioning


def pixels(image_encoder: Any, panoramas: torch.Tensor) -> torch.Tensor:
    """Of (B, 3, H, W) uint8; (B * 8, 3, side, side) float32, the views of each panorama next to one another."""
    crops = views(panoramas).flatten(0, 1)
    return conditioning.normalised(image_encoder, crops.float() / 127.5 - 1.0)


def views(panoramas: torch.Tensor) -> torch.Tensor:
    """`equirectangular.horizon_crops` of (B, 3, H, W) uint8; (B, 8, 3, W / 4, W / 4) uint8."""
    width = panoramas.shape[-1]
    texels, right, low = (values.to(panoramas.device) for values in _corners(width))
    upper_left, upper_right, lower_left, lower_right = panoramas.flatten(-2)[..., texels].float().unbind(-2)
    upper = upper_left + (upper_right - upper_left) * right
    lower = lower_left + (lower_right - lower_left) * right
    blended = (upper + (lower - upper) * low).round().to(torch.uint8)
    side = width // 4
    return blended.unflatten(-1, (conditioning.CROPS, side, side)).movedim(2, 1)


@functools.cache
def _corners(width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each pixel of the views the four pixels around it, (4, N) int64 into (H * W): upper left, upper right, lower
    left, lower right; and how far it lies to the right and low among them, (N,) float32 from 0 to 1.

    Views 90 degrees wide and high come nowhere near a pole.
    """
    side = width // 4
    looking = equirectangular.perspective_directions((side, side), np.pi / 2)
    turns = [rotation_from_angles(2 * np.pi * index / conditioning.CROPS) for index in range(conditioning.CROPS)]
    turned = np.stack([looking @ turn.T.astype(np.float32) for turn in turns])
    at = equirectangular.directions_to_pixels(turned, width).reshape(-1, 2) - 0.5
    whole = np.floor(at)
    left, top = whole.astype(np.int64).T
    texels = [row * width + column % width for row in (top, top + 1) for column in (left, left + 1)]
    right, low = torch.from_numpy((at - whole).astype(np.float32)).T
    return torch.from_numpy(np.stack(texels)), right, low

"""Panoramas have no edge: what lets a model of flat pictures see across the seam.

Three remedies, each switchable; with all of them off a model runs as it was published.

    circular   every convolution of U-Net and VAE reads across the seam instead of zeros: exact
    roll       the U-Net sees the panorama rolled by another amount at each step, so that the seam never stays
    padding    the VAE gets columns from beyond the seam, cropped afterwards: approximate, keeps its convolutions

Columns are the last dimension of every tensor here, rows the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers.models.downsampling import Downsample2D
from torch import nn
from torch.nn import functional

from pantheon360_blender.core.jobs.paint_settings import Roll

_ROLL_STREAM = 1
"""Which of a seed's streams of random numbers turns panoramas; noise has another (noise.py)."""


def columns_of_step(roll: Roll, step: int, width: int, seed: int) -> int:
    """How many latent columns the panorama is rolled at a step; 0 <= columns < width.

    step: number of the denoising step from 0. width: of the latents. seed: of random rolls.
    """
    if roll == "none":
        return 0
    if roll == "quarter":
        return step * (width // 4) % width
    stream = np.random.SeedSequence(seed, spawn_key=(_ROLL_STREAM, step))
    return int(np.random.Generator(np.random.Philox(stream)).integers(width))


def roll(tensor: torch.Tensor, columns: int) -> torch.Tensor:
    """The panorama with its columns moved to the right; those that leave come in on the left."""
    return torch.roll(tensor, columns, dims=-1) if columns else tensor


def padded(tensor: torch.Tensor, columns: int) -> torch.Tensor:
    """The panorama with `columns` more on either side, taken from beyond the seam."""
    if not columns:
        return tensor
    width = tensor.shape[-1]
    return tensor[..., torch.arange(-columns, width + columns, device=tensor.device) % width]


def cropped(tensor: torch.Tensor, columns: int) -> torch.Tensor:
    """The inverse of `padded`."""
    return tensor[..., columns:-columns] if columns else tensor


@contextmanager
def circular_convolutions(*models: nn.Module) -> Iterator[None]:
    """Let the convolutions of models read across the seam within the block. It can be nested.

    A model then commutes with rolling its input by a multiple of its stride. Rows keep their padding of zeros.
    """
    changed = []
    try:
        for model in models:
            for convolution, forward in _circular_forwards(model):
                if "_conv_forward" not in vars(convolution):
                    convolution._conv_forward = forward
                    changed.append(convolution)
        yield
    finally:
        for convolution in changed:
            del convolution._conv_forward


def _circular_forwards(model: nn.Module) -> Iterator[tuple[nn.Conv2d, Any]]:
    """Each convolution that reads beyond the left or right edge, and its replacement.

    It replaces the inner function, as offloading replaces the outer one.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.padding_mode == "zeros" and module.padding[1] != 0:
            yield module, partial(_wrapping, module)
        elif isinstance(module, Downsample2D) and module.use_conv and module.padding == 0:
            yield from ((part, partial(_wrapping_padded, part)) for part in _convolutions(module.conv))


def _convolutions(module: nn.Module) -> Iterator[nn.Conv2d]:
    return (part for part in module.modules() if isinstance(part, nn.Conv2d))


def _wrapping(
    convolution: nn.Conv2d, image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """The convolution with its columns wrapped and its rows padded with zeros."""
    rows, columns = convolution.padding
    # cat keeps the layout of memory (channels last); pad(mode="circular") does not.
    wrapped = torch.cat([image[..., -columns:], image, image[..., :columns]], dim=-1)
    return _convolved(convolution, wrapped, weight, bias, (rows, 0))


def _wrapping_padded(
    convolution: nn.Conv2d, image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """The same for an image to which diffusers' Downsample2D has already added one column of zeros on the right."""
    wrapped = torch.cat([image[..., :-1], image[..., :1]], dim=-1)
    return _convolved(convolution, wrapped, weight, bias, (0, 0))


def _convolved(
    convolution: nn.Conv2d,
    image: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    padding: tuple[int, int],
) -> torch.Tensor:
    return functional.conv2d(image, weight, bias, convolution.stride, padding, convolution.dilation, convolution.groups)

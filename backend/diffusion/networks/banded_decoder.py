"""Decoding a whole clip in a third of the memory.

Layers that look at one frame work frame by frame. Layers that look along time work in bands of rows. Both write over
what they read. The pixels are those of the plain decoder up to rounding: a convolution along time sees one row at a
time anyway, and the normalisation before it is measured over the whole clip first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from diffusers.models.resnet import SpatioTemporalResBlock, TemporalResnetBlock
from diffusers.models.upsampling import Upsample2D
from torch import nn
from torch.nn import functional

_BAND = 1 << 25
"""Numbers that are worked on at a time."""

Layer = Callable[[torch.Tensor], torch.Tensor]


@contextmanager
def banded(vae: Any) -> Iterator[None]:
    """Let the decoder of a temporal VAE work in bands, one clip at a time, without gradients, within the block."""
    changed = []
    try:
        for module, forward in _forwards(vae.decoder):
            if "forward" not in vars(module):
                module.forward = forward
                changed.append(module)
        yield
    finally:
        for module in changed:
            del module.forward


def _forwards(decoder: Any) -> Iterator[tuple[nn.Module, Any]]:
    """Each layer that takes much memory, and what computes it in little."""
    for module in decoder.modules():
        if isinstance(module, SpatioTemporalResBlock):
            yield module, partial(_residual, module)
        elif isinstance(module, Upsample2D):
            yield module, partial(_frame_by_frame, module.forward)
    for layer in (decoder.conv_norm_out, decoder.conv_act):
        yield layer, partial(_over_itself, layer.forward)
    yield decoder.conv_out, partial(_frame_by_frame, decoder.conv_out.forward)


def _residual(block: Any, image: torch.Tensor, temb: Any = None, image_only_indicator: Any = None) -> torch.Tensor:
    """A residual block in space, one in time over its result, and a blend of both. image: (F, C, H, W)."""
    spatial = _over_itself(lambda frames: block.spatial_res_block(frames, None), image)
    alpha = block.time_mixer.get_alpha(image_only_indicator, 5).to(spatial.dtype).reshape(())
    if block.time_mixer.switch_spatial_to_temporal_mix:
        alpha = 1.0 - alpha
    return _along_time(block.temporal_res_block, spatial, 1.0 - alpha)


def _along_time(block: TemporalResnetBlock, image: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Add `share` of what a temporal residual block adds to (F, C, H, W), over it."""
    inner = torch.empty_like(image)
    first = _Normalised(block.norm1, image)
    for rows in _bands(image):
        inner[:, :, rows] = _convolved(block.conv1, first(image[:, :, rows]))
    second = _Normalised(block.norm2, inner)
    for rows in _bands(image):
        image[:, :, rows] += share * _convolved(block.conv2, second(inner[:, :, rows]))
    return image


class _Normalised:
    """Group normalisation over a whole clip, and SiLU, for one band of it at a time."""

    def __init__(self, norm: nn.GroupNorm, image: torch.Tensor) -> None:
        """image: (F, C, H, W), the clip that is measured, in single precision as torch does."""
        groups = norm.num_groups
        per_frame = [torch.var_mean(frame.view(groups, -1).float(), dim=1, correction=0) for frame in image]
        variances, means = (torch.stack(values) for values in zip(*per_frame, strict=True))
        mean = means.mean(dim=0)
        variance = variances.mean(dim=0) + ((means - mean) ** 2).mean(dim=0)
        channels = image.shape[1] // groups
        scale = torch.rsqrt(variance + norm.eps).repeat_interleave(channels) * norm.weight.float()
        shift = norm.bias.float() - mean.repeat_interleave(channels) * scale
        self._scale, self._shift = scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1)

    def __call__(self, band: torch.Tensor) -> torch.Tensor:
        normal = torch.addcmul(self._shift, band.float(), self._scale).to(band.dtype)
        return functional.silu(normal, inplace=True)


def _convolved(convolution: nn.Conv3d, band: torch.Tensor) -> torch.Tensor:
    """A convolution along time of (F, C, h, W)."""
    return torch.as_tensor(convolution(band.transpose(0, 1)[None])[0].transpose(0, 1))


def _bands(image: torch.Tensor) -> list[slice]:
    """Bands of rows of (F, C, H, W)."""
    height = image.shape[2]
    rows = max(1, _BAND * height // image.numel())
    return [slice(first, min(first + rows, height)) for first in range(0, height, rows)]


def _portions(image: torch.Tensor) -> list[slice]:
    """Portions of the frames of (F, C, H, W)."""
    count = max(1, _BAND * len(image) // image.numel())
    return [slice(first, min(first + count, len(image))) for first in range(0, len(image), count)]


def _frame_by_frame(layer: Layer, image: torch.Tensor, *_: Any) -> torch.Tensor:
    """A layer that looks at each frame alone."""
    result: torch.Tensor | None = None
    for frames in _portions(image):
        part = layer(image[frames])
        if result is None:
            result = part.new_empty(len(image), *part.shape[1:])
        result[frames] = part
    return torch.empty_like(image) if result is None else result


def _over_itself(layer: Layer, image: torch.Tensor) -> torch.Tensor:
    """A layer whose frames do not grow. Its result overwrites the input, from the beginning, behind what is read."""
    image = image.contiguous()  # attention leaves its channels last
    storage, result = image.view(-1), image
    for frames in _portions(image):
        part = layer(image[frames])
        size = part[0].numel()
        storage[frames.start * size : frames.stop * size] = part.reshape(-1)
        result = storage[: len(image) * size].view(len(image), *part.shape[1:])
    return result

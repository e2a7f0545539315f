"""What a new VAE begins as: the discrete cosine transform of patches, of which it keeps what photographs have most of.

That is JPEG's transform, and nearly the linear map that keeps the most. Training goes on from there. A latent varies as
the root of what it adds to a picture: errors of a painter then weigh about as they show, yet details are not lost.

How a network of normalisations and SiLUs can be linear: a number x passes as the pair (x, -x), since SiLU(x) - SiLU(-x)
= x, in a group with a constant so large that the normalisation divides by nearly the same whatever the picture.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ...diffusion.networks import vae_stride

CONSTANT = 12.0
"""The constant of each group, in standard deviations of what passes beside it."""
_SPREAD = (0.45, 0.12, 0.06)
"""Standard deviation of photographs' brightness and two opponent colours, of values in [-1, 1]."""
_FALL = 2.2
"""Power of a frequency by which its share falls."""
_SILENT = -8.0
"""Log variance of latents at first: noise of the usual width would drown them."""


@torch.no_grad()
def begin(vae: Any) -> None:
    """Let a new AutoencoderKLTemporalDecoder keep the strongest frequencies of each patch, and all else add nothing.

    With patches of one pixel there is no such transform, and its residual branches alone begin as nothing, which saves
    a quarter of the steps (Zhang et al. 2019, Fixup, in part).
    """
    latents, patch = vae.config.latent_channels, vae_stride.patch(vae.config)
    vae.quant_conv.weight[latents:] = 0.0
    vae.quant_conv.bias[latents:] = _SILENT
    for name, module in vae.named_modules():
        if name.endswith(("conv2", "to_out.0")):
            for parameter in module.parameters():
                parameter.zero_()
    if patch > 1:
        _begin_as_transform(vae, latents, patch)


def averages(latents: int, patch: int) -> list[int]:
    """Which latents of such a new VAE are means of their patch, of brightness and of colours."""
    _, spread = transform(patch)
    return [place for place, number in enumerate(_strongest(spread, latents).tolist()) if number % patch**2 == 0]


def _strongest(spread: torch.Tensor, latents: int) -> torch.Tensor:
    return torch.argsort(spread, descending=True)[:latents]


def _begin_as_transform(vae: Any, latents: int, patch: int) -> None:
    basis, spread = transform(patch)
    order = _strongest(spread, latents)
    down, up = basis[order] / spread[order, None], (basis[order] * spread[order, None]).T
    weight = spread[order].sqrt() / spread[order].mean().sqrt()
    _pass(vae.encoder, down, torch.eye(latents))
    vae.quant_conv.weight[:latents] = torch.eye(latents, 2 * latents)[..., None, None] * weight[:, None, None, None]
    vae.quant_conv.bias[:latents] = 0.0
    _pass(vae.decoder, torch.diag(1 / weight), up)
    vae.decoder.time_conv_out.weight.zero_()
    vae.decoder.time_conv_out.weight[:, :, 1, 0, 0] = torch.eye(len(up))
    vae.decoder.time_conv_out.bias.zero_()


def transform(patch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(3 p^2, 3 p^2), a row each of an orthonormal basis of patches as torch's pixel_unshuffle lays them out, and
    (3 p^2,), the standard deviations to be expected of photographs along them."""
    place, frequency = torch.arange(patch) + 0.5, torch.arange(patch)
    cosines = torch.cos(math.pi / patch * frequency[:, None] * place) * math.sqrt(2 / patch)
    cosines[0] /= math.sqrt(2)
    opponent = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    opponent /= opponent.norm(dim=1, keepdim=True)
    basis = torch.kron(opponent, torch.kron(cosines, cosines))
    distance = (frequency[:, None] ** 2 + frequency**2).float().sqrt()
    share = torch.where(distance > 0, 0.25 / distance.clamp_min(1) ** (_FALL / 2), 1.0).flatten()
    of_colours = torch.tensor(_SPREAD) * math.sqrt(3)
    return basis, patch * torch.kron(of_colours, share)


def _pass(network: Any, entry: torch.Tensor, leave: torch.Tensor) -> None:
    """Let the residual stream of an encoder or a decoder carry numbers, as pairs.

    entry: (n, channels in), what makes them. leave: (channels out, n), what becomes of them. n is at most the number of
    groups of the last normalisation.
    """
    norm, count = network.conv_norm_out, len(entry)
    size = norm.num_channels // norm.num_groups
    first, second, third = (torch.arange(count) * size + place for place in range(3))
    middle = network.conv_in.kernel_size[0] // 2
    network.conv_in.weight[torch.cat([first, second, third])] = 0.0
    network.conv_in.bias[: count * size] = 0.0
    network.conv_in.weight[first, : entry.shape[1], middle, middle] = entry
    network.conv_in.weight[second, : entry.shape[1], middle, middle] = -entry
    network.conv_in.bias[third] = CONSTANT
    mean = CONSTANT / size
    deviation = math.sqrt((2 + CONSTANT**2) / size - mean**2)
    norm.weight.fill_(1.0)
    norm.bias.zero_()
    norm.bias[torch.cat([first, second])] = mean / deviation
    network.conv_out.weight.zero_()
    network.conv_out.bias.zero_()
    network.conv_out.weight[: len(leave), first, middle, middle] = leave * deviation
    network.conv_out.weight[: len(leave), second, middle, middle] = -leave * deviation

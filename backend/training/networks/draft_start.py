"""What a new U-Net begins as: it paints what it sees, and training teaches it where that is wrong.

Asked for a clip in one step, its output is minus the clip (objective.py). So the latents that it sees pass through its
outermost skip connection to its last convolution, and everything else adds nothing yet. As in patch_transform.py a
number x passes as the pair (x, -x), here alone in a group of the last normalisation, which takes away how strong it is:
details therefore pass as x + K, K being large. Averages, whose mean over the picture that would take away, pass plain.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ...diffusion.networks import vae_stride
from . import patch_transform

CONSTANT = 4.0
"""K, in standard deviations of latents, which are about 1."""


@torch.no_grad()
def begin(unet: Any, vae: Any) -> None:
    """Let a new U-Net paint the pictures that it sees. vae: begun as patch_transform does, or trained on from there.

    Networks of another shape, whose normalisations have no pair of channels for each latent, stay as they are.
    """
    latents, norm = vae.config.latent_channels, unet.conv_norm_out
    last = unet.up_blocks[-1].resnets[-1]
    shortcut = last.spatial_res_block.conv_shortcut
    if norm.num_channels != 2 * norm.num_groups or norm.num_groups < latents or shortcut is None:
        return
    plain = torch.zeros(latents)
    plain[patch_transform.averages(latents, vae_stride.patch(vae.config))] = 1.0
    first = torch.arange(latents) * 2
    both, strength = 2 * latents, torch.eye(latents)

    unet.conv_in.weight[:both] = 0.0
    unet.conv_in.weight[first, latents:both, 1, 1] = strength
    unet.conv_in.weight[first + 1, latents:both, 1, 1] = -strength
    unet.conv_in.bias[first] = CONSTANT * (1 - plain)
    unet.conv_in.bias[first + 1] = -CONSTANT * (1 - plain)

    shortcut.weight[:both] = 0.0
    shortcut.bias[:both] = 0.0
    skipped = shortcut.in_channels - norm.num_channels
    shortcut.weight[torch.arange(both), skipped + torch.arange(both), 0, 0] = 1.0
    for branch in (last.spatial_res_block, last.temporal_res_block):
        branch.conv2.weight.zero_()
        branch.conv2.bias.zero_()

    norm.weight.fill_(1.0)
    norm.bias.zero_()
    deviation = torch.where(plain > 0, 1.0, math.sqrt(CONSTANT**2 + 1)) * vae.config.scaling_factor
    unet.conv_out.weight.zero_()
    unet.conv_out.weight[:, first, 1, 1] = -torch.diag(deviation)
    unet.conv_out.weight[:, first + 1, 1, 1] = torch.diag(deviation)
    unet.conv_out.bias[:] = CONSTANT * (1 - plain) * vae.config.scaling_factor

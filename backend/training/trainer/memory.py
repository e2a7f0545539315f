"""What a run takes of memory, known beforehand: weights are counted, a step runs on tensors without numbers.

Estimates count tensors alone, as execution/dry_run.py does: keep a tenth of each card free.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional

from pantheon360_blender.core import inputs

from ...diffusion import libraries
from ...diffusion.execution import dry_run
from ...diffusion.models import architecture, model_folder, tiny_model
from ...diffusion.networks import autoencoder, conditioning, panorama
from ..networks import objective, small_model
from . import low_rank, starts
from .settings import RANDOM, Settings

_GPUS = (1, 4, 8)
_GB = 1e9


def told(settings: Settings) -> list[str]:
    """What the recipe's painter takes, a line each. Raises ModelError if its start is damaged."""
    configs, where = _configs(settings)
    card = starts.card(settings, None if settings.start == RANDOM else tiny_model.card("full"))
    with libraries.quiet(), torch.device("meta"):
        networks = {part: architecture.empty(part, configs[part]) for part in ("unet", "vae", "image_encoder")}
    for network in networks.values():
        network.to("meta").requires_grad_(False)
    unet = networks["unet"].requires_grad_(True)
    if settings.painter.rank:
        low_rank.add(unet, settings.painter.rank, settings.painter.alpha, 0)
    trained = _count(unet, trained=True)
    if settings.painter.train_image_encoder and not settings.painter.rank:
        trained += _count(networks["image_encoder"])
    everything = sum(_count(network) for network in networks.values())
    states = {"weights": 4 * everything, "gradients": 4 * trained, "AdamW": 8 * trained}
    states["average"] = 4 * trained if settings.optimizer.average else 0
    activations = _activations(
        unet, settings, card.in_channels, card.channels["noise"], autoencoder.factor(networks["vae"])
    )
    lines = [f"Networks of {where}:"]
    lines += [f"  {part}: {_count(network) / 1e6:,.1f} M weights" for part, network in networks.items()]
    lines.append(f"Trained: {trained / 1e6:,.1f} M, in {settings.run.precision}")
    lines += [f"  {name}: {size / _GB:.2f} GB" for name, size in states.items()]
    clips = settings.clips
    lines.append(
        f"A step of {clips.batch} x {clips.frames} frames of {clips.width} x {clips.width // 2}"
        f"{', with gradient checkpointing' if settings.run.gradient_checkpointing else ''}: "
        f"{activations / _GB:.1f} GB of activations"
    )
    for count in _GPUS:
        each = sum(states.values()) / count + activations
        lines.append(f"  {count} GPU{'s, sharded' if count > 1 else ''}: {each / _GB:.1f} GB on each")
    return lines


def _configs(settings: Settings) -> tuple[dict[str, dict[str, Any]], str]:
    """Configurations of the parts, and what they are of: without the start's folder, Stable Video Diffusion's."""
    if settings.start == RANDOM:
        return small_model.configs(starts.card(settings)), "the small model"
    folder = inputs.expanded(settings.start)
    if inputs.is_folder(folder):
        model = model_folder.open(folder)
        return {part: model.config(part) for part in ("unet", "vae", "image_encoder")}, str(folder)
    return tiny_model.configs(tiny_model.card("full"), "full"), "Stable Video Diffusion's size (its folder is not here)"


def _count(network: torch.nn.Module, *, trained: bool = False) -> int:
    return sum(each.numel() for each in network.parameters() if each.requires_grad or not trained)


def _activations(unet: Any, settings: Settings, channels: int, latents: int, factor: int) -> int:
    """The most bytes that a step's forward and backward hold besides weights and gradients."""
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.run.precision]
    clips = settings.clips
    with libraries.quiet():
        unet.to(dtype).train()
    if settings.run.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    for parameter in unet.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter)
    size = (clips.width // 2 // factor, clips.width // factor)
    cross = unet.config.cross_attention_dim
    width = cross[0] if isinstance(cross, list | tuple) else cross

    def blank(*shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    def work() -> None:
        clean = objective.denoised(
            unet,
            blank(clips.batch, clips.frames, latents, *size),
            torch.ones(clips.batch, dtype=dtype, device="meta"),
            blank(clips.batch, clips.frames, channels - latents, *size),
            blank(clips.batch, conditioning.CROPS, width),
            blank(clips.batch, 3),
        )
        clean.float().square().mean().backward()

    with panorama.circular_convolutions(unet), _fused_attention():
        return dry_run.peak(work)


@contextmanager
def _fused_attention() -> Iterator[None]:
    """What is computed again while going backwards does not pass by the dry run's own replacement."""
    before = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = dry_run.attention
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = before

"""What a run starts from: random networks of the small model, a diffusers folder, or a checkpoint of such a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pantheon360_blender.core import files, inputs, temporary
from pantheon360_blender.core.errors import ModelError, reason
from pantheon360_blender.core.jobs.model_card import ModelCard

from ...diffusion import libraries
from ...diffusion.models import architecture, model_folder, new_folder, tensor_file
from ..networks import draft_start, patch_transform, small_model
from . import checkpoints, low_rank
from . import settings as recipes
from .settings import RANDOM, Settings


@dataclass(frozen=True, eq=False)
class Networks:
    """A painter in memory, float32, and its card."""

    unet: Any
    vae: Any
    image_encoder: Any
    card: ModelCard


def card(settings: Settings, base: ModelCard | None = None) -> ModelCard:
    """The card of what a run makes. base: that of the model it starts from; None is the small model's."""
    told, clips = settings.card, settings.clips
    changes: dict[str, Any] = {
        "name": told.name, "licence": told.licence, "source": told.source, "fps": told.fps, "geometry": told.geometry,
        "width": clips.width, "height": clips.width // 2, "frames": clips.frames,
    }  # fmt: skip
    if base is None:
        return small_model.card(**changes)
    anchors = 2 if settings.painter.end_shown else 1
    return replace(
        base, **changes, kind="pantheon360", trained=True, inferred=False, capability="", anchors=anchors, travel=None
    )


def networks(settings: Settings) -> Networks:
    """The painter that a run trains, on the CPU, with LoRA's changes if it trains those. Raises ModelError."""
    start = inputs.expanded(settings.start)
    if settings.start != RANDOM and checkpoints.is_checkpoint(start):
        return _continued(settings, start)
    if settings.start == RANDOM:
        vae_folder = inputs.expanded(settings.painter.vae)
        vae = read_part("vae", vae_folder / "vae" if inputs.is_folder(vae_folder / "vae") else vae_folder)
        found = Networks(random("unet", settings), vae, random("image_encoder", settings), card(settings))
        draft_start.begin(found.unet, vae)
    else:
        folder = model_folder.open(start)
        parts = {part: read_part(part, folder.parts[part]) for part in ("unet", "vae", "image_encoder")}
        found = Networks(**parts, card=card(settings, folder.card))
    if settings.painter.rank:
        low_rank.add(found.unet, settings.painter.rank, settings.painter.alpha, settings.seed % (1 << 63))
    return found


def onwards(settings: Settings, checkpoint: Path) -> Settings:
    """The same run, starting from one of its checkpoints."""
    return replace(settings, start=str(checkpoint))


def _continued(settings: Settings, checkpoint: Path) -> Networks:
    """What a checkpoint's run started from, with the average that it had come to."""
    kept = checkpoints.read(checkpoint)
    began = recipes.of(kept.settings, str(checkpoint))
    found = networks(replace(settings, start=began.start, painter=replace(settings.painter, vae=_vae(settings, began))))
    parts = torch.nn.ModuleDict({"unet": found.unet, "image_encoder": found.image_encoder})
    own = parts.state_dict()
    strangers = [name for name, tensor in kept.tensors["average"].items() if _shape(own, name) != tensor.shape]
    if strangers:
        raise ModelError(
            f"{checkpoint} does not fit the recipe: {strangers[0]} is of another network.",
            advice="Start from a checkpoint of the same kind of run.",
        )
    parts.load_state_dict(kept.tensors["average"], strict=False)
    return found


def _vae(settings: Settings, began: Settings) -> str:
    return settings.painter.vae or began.painter.vae


def _shape(own: checkpoints.Tensors, name: str) -> torch.Size | None:
    return own[name].shape if name in own else None


def vae(settings: Settings) -> Any:
    """The VAE that a run trains, float32 on the CPU. Raises ModelError."""
    start = inputs.expanded(settings.start)
    if settings.start != RANDOM and not checkpoints.is_checkpoint(start):
        return read_part("vae", start / "vae" if inputs.is_folder(start / "vae") else start)
    network = random("vae", settings)
    if settings.start != RANDOM:
        never_trained = {f"vae.{name}": tensor for name, tensor in network.state_dict().items()}
        take(network, never_trained | checkpoints.read(start).tensors["average"], "vae.", start)
    return network


def random(part: str, settings: Settings) -> Any:
    """A network of the small model with random weights, which follow from the run's seed."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed % (1 << 63))
        network = architecture.empty(part, small_model.configs(card(settings))[part])
    if part == "vae":
        patch_transform.begin(network)
    return network


def read_part(part: str, folder: Path) -> Any:
    """A network of a diffusers folder's part, float32 on the CPU. Raises ModelError."""
    config = model_folder.read_config(part, folder)
    network = architecture.empty(part, config)
    weights: checkpoints.Tensors = {}
    for path in model_folder.weight_files(part, folder):
        with tensor_file.opened(path) as file:
            weights |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    take(network, weights, "", folder)
    return network


def take(network: Any, weights: checkpoints.Tensors, prefix: str, path: Path) -> None:
    """Give a network those weights whose names begin so. path: for messages. Raises ModelError if they do not fit."""
    own = {
        name.removeprefix(prefix): tensor.float()
        for name, tensor in weights.items()
        if name.startswith(prefix) and not name.endswith(model_folder.HARMLESS)
    }
    try:
        network.load_state_dict(own)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit: {reason(error)[:300]}", advice="Choose another start.") from error


def write_part(network: Any, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a network as a diffusers folder's part, whole or not at all, in place of an older one. Raises FileError."""
    if folder.exists():
        temporary.remove(folder)
    with new_folder.atomic_directory(folder) as scratch, files.translate_os_errors(folder), libraries.quiet():
        save(network, scratch, dtype)


def save(network: Any, folder: Path, dtype: torch.dtype) -> None:
    """Write a network's configuration and weights into a folder of ours. The network stays as it is."""
    from diffusers import ModelMixin
    from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
    from transformers.utils import SAFE_WEIGHTS_NAME

    weights = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in network.state_dict().items()}
    folder.mkdir(exist_ok=True)
    if isinstance(network, ModelMixin):  # its save_pretrained would write what it has in memory
        network.save_config(folder)
        name = SAFETENSORS_WEIGHTS_NAME
    else:
        network.config.save_pretrained(folder)
        name = SAFE_WEIGHTS_NAME
    tensor_file.write(folder / name, weights, {"format": "pt"})

"""What a model's configurations say: whether we can run them, and the shapes of weights they ask for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pantheon360_blender.core import json_values
from pantheon360_blender.core.errors import ModelError
from pantheon360_blender.core.jobs.model_card import ModelCard

from ..networks import vae_stride
from .tensor_file import Shapes

CLASSES = {
    "unet": "UNetSpatioTemporalConditionModel",
    "vae": "AutoencoderKLTemporalDecoder",
    "image_encoder": "CLIPVisionModelWithProjection",
    "scheduler": "EulerDiscreteScheduler",
}
IMAGE_SIZE = 224
"""Side of the pictures that CLIP sees: SVD's pipeline knows no other."""

_LIMITS = {
    "in_channels": 256, "out_channels": 256, "latent_channels": 64, "block_out_channels": 8192, "layers_per_block": 8,
    "cross_attention_dim": 8192, "num_attention_heads": 256, "transformer_layers_per_block": 8,
    "addition_time_embed_dim": 8192, "projection_class_embeddings_input_dim": 65536,
    "hidden_size": 16384, "intermediate_size": 65536, "num_hidden_layers": 256, "patch_size": 224,
    "projection_dim": 16384, "num_channels": 16,
}  # fmt: skip
"""Largest sensible numbers in configurations: a hostile one must not keep the computer busy for an hour."""
_MOST_BLOCKS = 8
_USUAL_LEVELS = 4
"""Levels of a U-Net whose configuration does not say, as diffusers has them."""


def check(configs: Mapping[str, dict[str, Any]], card: ModelCard, path: Path) -> None:
    """Refuse configurations that are not SVD's shape or that do not fit each other or the card. Raises ModelError."""
    for part, config in configs.items():
        error = _class_error(part, config) or _number_error(config)
        if error:
            raise ModelError(f"{path / part} {error}.", advice="Choose a Stable Video Diffusion model's folder.")
    error = _mismatch(configs, card)
    if error:
        raise ModelError(f"{path} {error}.", advice="Its parts or its pantheon360.json belong to different models.")


def shapes(part: str, config: dict[str, Any], folder: Path) -> Shapes:
    """Name -> shape of the weights that a configuration asks for; makes the network without its memory.

    Raises ModelError if no network can be made of it.
    """
    try:
        return dict(_shapes(part, json.dumps(config, sort_keys=True)))
    except Exception as error:
        raise ModelError(
            f"{folder / 'config.json'} describes no network: {str(error)[:300]}", advice="Get the file again."
        ) from error


@lru_cache(maxsize=32)
def _shapes(part: str, config: str) -> Shapes:
    import torch

    with torch.device("meta"):
        network = empty(part, json.loads(config))
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def empty(part: str, config: dict[str, Any]) -> Any:
    """The network of a part with the weights it is born with."""
    if part == "image_encoder":
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        return CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(config))
    import diffusers

    return getattr(diffusers, CLASSES[part]).from_config(config)


def stride(part: str, config: Mapping[str, Any]) -> int:
    """Pixels, or latents, across for one at the coarsest level of "vae" or "unet"."""
    if part == "vae":
        return vae_stride.stride(config)
    channels = _given(config, "block_out_channels", ())
    return int(2 ** (len(channels) or _USUAL_LEVELS) // 2)


def _given(config: Mapping[str, Any], name: str, usual: Any) -> Any:
    """An entry of a configuration; diffusers' own value if it is missing or null."""
    value = config.get(name)
    return usual if value is None else value


def _class_error(part: str, config: dict[str, Any]) -> str | None:
    if part == "image_encoder":
        found = config.get("architectures") or [CLASSES[part]]
        found = found[0] if isinstance(found, list) else found
        if isinstance(config.get("image_size"), int) and config["image_size"] != IMAGE_SIZE:
            return f"sees pictures of {config['image_size']} pixels; Stable Video Diffusion's sees {IMAGE_SIZE}"
    else:
        found = config.get("_class_name", CLASSES[part])
    if part == "scheduler":
        if config.get("prediction_type") != "v_prediction":
            return f"predicts {config.get('prediction_type')!r}; Stable Video Diffusion predicts 'v_prediction'"
        return None  # others of the family have the same settings, and we make the one we step with ourselves
    return None if found == CLASSES[part] else f"is a {found!r}, not a {CLASSES[part]}"


def _number_error(config: dict[str, Any]) -> str | None:
    for name, most in _LIMITS.items():
        value = config.get(name)
        if value is None:
            continue
        numbers = value if isinstance(value, list) else [value]
        flat = [number for entry in numbers for number in (entry if isinstance(entry, list) else [entry])]
        listed = name != "block_out_channels" or isinstance(value, list)
        if (
            not listed
            or len(numbers) > _MOST_BLOCKS
            or not all(json_values.is_integer(n) and 1 <= n <= most for n in flat)
        ):
            return f"has {name} {str(value)[:100]} in its configuration"
    for name in ("down_block_types", "up_block_types"):
        value = config.get(name)
        if value is not None and (not isinstance(value, list) or len(value) > _MOST_BLOCKS):
            return f"has {name} {str(value)[:100]} in its configuration"
    return None


def _mismatch(configs: Mapping[str, dict[str, Any]], card: ModelCard) -> str | None:
    unet, vae, clip = configs["unet"], configs["vae"], configs["image_encoder"]
    latents, channels = _given(vae, "latent_channels", 4), _given(unet, "in_channels", 8)
    if any(_given(vae, name, 3) != 3 * vae_stride.patch(vae) ** 2 for name in ("in_channels", "out_channels")):
        return "has a VAE whose channels are not those of square patches of pixels"
    if channels != card.in_channels:
        listed = " + ".join(card.conditioning)
        return f"has a U-Net with {channels} input channels; its card declares {listed}"
    if _given(unet, "out_channels", 4) != latents or card.channels["noise"] != latents:
        return f"has a U-Net that does not paint the {latents} latent channels of its VAE"
    cross, width = _given(unet, "cross_attention_dim", 1024), _given(clip, "projection_dim", 512)
    if any(count != width for count in (cross if isinstance(cross, list) else [cross])):
        return f"has a U-Net for image tokens of {cross} numbers; its CLIP makes {width}"
    multiple = 2 * stride("vae", vae) * stride("unet", unet)  # the height is half the width
    if card.width % multiple:
        return f"paints panoramas {card.width} wide; its networks need a multiple of {multiple} pixels"
    time_ids = 3 * _given(unet, "addition_time_embed_dim", 256)
    if _given(unet, "projection_class_embeddings_input_dim", 768) != time_ids:
        return "has a U-Net for another number of time ids than SVD's three (fps, motion, noise)"
    return None

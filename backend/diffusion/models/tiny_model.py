"""Random models of Stable Video Diffusion's shape: tiny ones for tests and first runs, full ones for measurements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pantheon360_blender.core import files
from pantheon360_blender.core.jobs import model_card
from pantheon360_blender.core.jobs.model_card import ModelCard

from .. import libraries
from . import architecture, new_folder, noise_schedule

_BLOCKS = {
    "down_block_types": [*["CrossAttnDownBlockSpatioTemporal"] * 3, "DownBlockSpatioTemporal"],
    "up_block_types": ["UpBlockSpatioTemporal", *["CrossAttnUpBlockSpatioTemporal"] * 3],
}
_TINY: dict[str, dict[str, Any]] = {
    "unet": {
        **_BLOCKS,
        "block_out_channels": [32, 32, 64, 64],
        "num_attention_heads": [2, 2, 4, 4],
        "layers_per_block": 1,
        "cross_attention_dim": 32,
        "addition_time_embed_dim": 32,
        "projection_class_embeddings_input_dim": 96,
    },
    "vae": {"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1},
    "image_encoder": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": 32,
        "projection_dim": 32,
        "hidden_act": "gelu",
    },
}
_FULL: dict[str, dict[str, Any]] = {
    "unet": {
        **_BLOCKS,
        "block_out_channels": [320, 640, 1280, 1280],
        "num_attention_heads": [5, 10, 20, 20],
        "layers_per_block": 2,
        "cross_attention_dim": 1024,
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 768,
    },
    "vae": {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2},
    "image_encoder": {  # CLIP ViT-H/14 of LAION
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "patch_size": 14,
        "projection_dim": 1024,
        "hidden_act": "gelu",
    },
}
_SMALL: dict[str, dict[str, Any]] = {
    "unet": {
        "down_block_types": ["DownBlockSpatioTemporal", *["CrossAttnDownBlockSpatioTemporal"] * 2],
        "up_block_types": [*["CrossAttnUpBlockSpatioTemporal"] * 2, "UpBlockSpatioTemporal"],
        "block_out_channels": [64, 96, 128],
        "num_attention_heads": [2, 3, 4],
        "layers_per_block": 1,
        "cross_attention_dim": 96,
        "addition_time_embed_dim": 64,
        "projection_class_embeddings_input_dim": 192,
    },
    "vae": {"in_channels": 48, "out_channels": 48, "block_out_channels": [96], "layers_per_block": 1},
    "image_encoder": {
        "hidden_size": 96,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
        "patch_size": 32,
        "projection_dim": 96,
        "hidden_act": "gelu",
    },
}
"""12 million weights, and a VAE of 4 x 4 pixels for a latent: what can be trained, and run, on a processor.

The VAE sees patches of 4 x 4 pixels as one, and works on those alone. One that halves pictures twice, as Stable Video
Diffusion's does three times, took five times as long a pixel, and stood at 24 dB after 430 steps: what doubles a
picture by repeating its pixels learns slowly to tell the left pixel of two from the right one. This one begins
as a cosine transform (training/networks/patch_transform.py).
"""
SIZES = {"tiny": _TINY, "small": _SMALL, "full": _FULL}
_FEATURES = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": architecture.IMAGE_SIZE},
    "do_center_crop": True,
    "crop_size": {"height": architecture.IMAGE_SIZE, "width": architecture.IMAGE_SIZE},
    "do_rescale": True,
    "do_normalize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
"""CLIP's normalisation, as stock diffusers reads it."""


def card(size: str = "tiny", **changes: Any) -> ModelCard:
    """The card of a random model. changes: fields of the card, such as conditioning, width, frames."""
    plain = ModelCard(
        name="Tiny" if size == "tiny" else "Random",
        kind="untrained",
        width=256 if size == "tiny" else 1024,
        height=128 if size == "tiny" else 512,
        frames=8 if size == "tiny" else 25,
        anchors=2,
        licence="CC0-1.0",
        source="random numbers",
        trained=False,
    )
    return replace(plain, **changes)


def configs(card: ModelCard, size: str = "tiny") -> dict[str, dict[str, Any]]:
    """Configurations of every part, as diffusers and transformers write them."""
    latents = card.channels["noise"]
    vae = SIZES[size]["vae"]
    levels, stride = len(vae["block_out_channels"]), architecture.stride("vae", vae)
    return {
        "unet": {
            "_class_name": architecture.CLASSES["unet"],
            "in_channels": card.in_channels,
            "out_channels": latents,
            "num_frames": card.frames,
            "sample_size": [card.height // stride, card.width // stride],
            **SIZES[size]["unet"],
        },
        "vae": {
            "_class_name": architecture.CLASSES["vae"],
            "down_block_types": ["DownEncoderBlock2D"] * levels,
            "latent_channels": latents,
            "sample_size": card.width,
            "scaling_factor": 0.18215,
            "force_upcast": True,
            **SIZES[size]["vae"],
        },
        "image_encoder": {
            "architectures": [architecture.CLASSES["image_encoder"]],
            "model_type": "clip_vision_model",
            "image_size": architecture.IMAGE_SIZE,
            **SIZES[size]["image_encoder"],
        },
        "scheduler": noise_schedule.SVD,
    }


def network(part: str, config: dict[str, Any], seed: int = 0) -> Any:
    """A network of a part with random weights, float32, on torch's default device; the same seed gives the same."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return architecture.empty(part, config).eval()


def make(folder: Path, *, size: str = "tiny", seed: int = 0, shards: str | None = None, **changes: Any) -> ModelCard:
    """Write a random model as a diffusers folder with its card, whole or not at all.

    size: a key of SIZES. shards: largest file, as in "200KB"; None for one file a part. changes: fields of the card.
    Raises ModelError if something is there already, FileError if it cannot be written.
    """
    made = card(size, **changes)
    folder = Path(folder).expanduser().absolute()
    with new_folder.atomic_directory(folder) as scratch, files.translate_os_errors(folder), libraries.quiet():
        _write(scratch, made, size, seed, shards)
    return made


def _write(folder: Path, made: ModelCard, size: str, seed: int, shards: str | None) -> None:
    described = configs(made, size)
    for offset, part in enumerate(("unet", "vae", "image_encoder")):
        options = {"max_shard_size": shards} if shards else {}
        network(part, described[part], seed + offset).save_pretrained(folder / part, **options)
    describe(folder, made)


def describe(folder: Path, made: ModelCard) -> None:
    """Write all that is no network into a model's new folder: scheduler, CLIP's normalisation, index and card."""
    files.write_json(folder / "scheduler" / "scheduler_config.json", noise_schedule.SVD)
    files.write_json(folder / "feature_extractor" / "preprocessor_config.json", _FEATURES)
    index = {
        "_class_name": "StableVideoDiffusionPipeline",
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "image_encoder": ["transformers", architecture.CLASSES["image_encoder"]],
        "scheduler": ["diffusers", architecture.CLASSES["scheduler"]],
        "unet": ["diffusers", architecture.CLASSES["unet"]],
        "vae": ["diffusers", architecture.CLASSES["vae"]],
    }
    files.write_json(folder / "model_index.json", index)
    model_card.write(folder, made)

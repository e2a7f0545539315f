"""Names of weights in Stable Video Diffusion's single files, for the names that diffusers gives them.

The single files (svd.safetensors, svd_xt.safetensors) hold networks of Stability AI's generative-models (sgm) and of
open_clip: VideoUNet, VideoDecoder, the encoder of the conditioner, and a vision transformer. Everything here is about
names and shapes; nothing computes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pantheon360_blender.core.errors import ModelError

from .architecture import CLASSES, IMAGE_SIZE

UNET = "model.diffusion_model."
ENCODER = "conditioner.embedders.3.encoder."
DECODER = "first_stage_model.decoder."
VISION = "conditioner.embedders.0.open_clip.model.visual."

Shapes = Mapping[str, tuple[int, ...]]
_UNET_HEAD, _VISION_HEAD = 64, 80
"""Channels of an attention head: shapes do not tell them. SVD's; those of ViT-H."""

_LAYER = re.compile(r"(down_blocks|up_blocks|mid_block)\.(?:(\d+)\.)?(resnets|attentions|\w+samplers)\.(\d+)\.(.+)")
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_VISION_ENDS = {
    "vision_model.embeddings.class_embedding": "class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "positional_embedding",
    "vision_model.pre_layrnorm": "ln_pre",
    "vision_model.post_layernorm": "ln_post",
    "visual_projection.weight": "proj",
}
_VISION_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def unet(name: str, config: Mapping[str, Any]) -> str:
    """The published name of a weight of the U-Net. config: as `configs` makes it."""
    layers = config["layers_per_block"] + 1
    stem, kind = name.rsplit(".", 1)
    if stem in _UNET_ENDS:
        return f"{UNET}{_UNET_ENDS[stem]}.{kind}"
    found = _LAYER.fullmatch(name)
    if found is None:
        raise KeyError(name)
    side, block, what, layer, rest = found[1], int(found[2] or 0), found[3], int(found[4]), found[5]
    inside = _unet_resnet(rest) if what == "resnets" else _unet_attention(rest)
    if side == "mid_block":
        return f"{UNET}middle_block.{1 if what == 'attentions' else 2 * layer}.{inside}"
    if what == "downsamplers":
        return f"{UNET}input_blocks.{(block + 1) * layers}.0.op.{kind}"
    if what == "upsamplers":
        place = 2 if "CrossAttn" in config["up_block_types"][block] else 1
        return f"{UNET}output_blocks.{block * layers + layers - 1}.{place}.conv.{kind}"
    place = 1 if what == "attentions" else 0
    if side == "down_blocks":
        return f"{UNET}input_blocks.{1 + block * layers + layer}.{place}.{inside}"
    return f"{UNET}output_blocks.{block * layers + layer}.{place}.{inside}"


def vae(name: str, config: Mapping[str, Any]) -> str:
    """The published name of a weight of the VAE: the conditioner's encoder and the first stage's decoder."""
    if name.startswith("quant_conv."):
        return ENCODER + name
    side, rest = name.split(".", 1)
    prefix = f"{ENCODER}encoder." if side == "encoder" else DECODER
    found = _LAYER.fullmatch(rest)
    if found is None:
        return prefix + rest.replace("conv_norm_out", "norm_out").replace("time_conv_out", "conv_out.time_mix_conv")
    place, block, what, layer, inside = found[1], int(found[2] or 0), found[3], int(found[4]), found[5]
    if what == "attentions":
        stem, kind = inside.rsplit(".", 1)
        return f"{prefix}mid.attn_1.{_VAE_ATTENTION[stem]}.{kind}"
    if place == "up_blocks":
        block = len(config["block_out_channels"]) - 1 - block
    level = {"down_blocks": f"down.{block}", "up_blocks": f"up.{block}", "mid_block": "mid"}[place]
    if what != "resnets":
        return f"{prefix}{level}.{'downsample' if place == 'down_blocks' else 'upsample'}.{inside}"
    number = f"mid.block_{layer + 1}" if place == "mid_block" else f"{level}.block.{layer}"
    return f"{prefix}{number}.{_vae_resnet(inside)}"


def image_encoder(name: str) -> tuple[str, int | None]:
    """The published name of a weight of CLIP, and which third of it (query, key or value) or None for all."""
    stem, kind = name.rsplit(".", 1)
    if name in _VISION_ENDS:
        return VISION + _VISION_ENDS[name], None
    if stem in _VISION_ENDS:
        return f"{VISION}{_VISION_ENDS[stem]}.{kind}", None
    found = re.fullmatch(r"vision_model\.encoder\.layers\.(\d+)\.(.+)", stem)
    if found is None:
        raise KeyError(name)
    layer = f"{VISION}transformer.resblocks.{found[1]}"
    third = {"self_attn.q_proj": 0, "self_attn.k_proj": 1, "self_attn.v_proj": 2}.get(found[2])
    if third is not None:
        return f"{layer}.attn.in_proj_{kind}", third
    return f"{layer}.{_VISION_LAYER[found[2]]}.{kind}", None


def configs(shapes: Shapes, frames: int) -> dict[str, dict[str, Any]]:
    """Configurations of unet, vae and image_encoder from the shapes in a single file.

    frames: trained length of clips, which no shape tells. Raises ModelError if it is no Stable Video Diffusion.
    """
    try:
        return {
            "unet": _unet_config(shapes, frames),
            "vae": _vae_config(shapes),
            "image_encoder": _vision_config(shapes),
        }
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise ModelError(
            f"The file is no Stable Video Diffusion: it lacks {error}.",
            advice="Choose svd.safetensors or svd_xt.safetensors as published, or a model tuned from them.",
        ) from error


def _unet_resnet(rest: str) -> str:
    if rest.startswith("time_mixer."):
        return rest
    part, inside = rest.split(".", 1)
    stem, kind = inside.rsplit(".", 1)
    return f"{'time_stack.' if part == 'temporal_res_block' else ''}{_RESNET[stem]}.{kind}"


def _unet_attention(rest: str) -> str:
    rest = rest.replace("temporal_transformer_blocks", "time_stack")
    return rest.replace("time_pos_embed.linear_1", "time_pos_embed.0").replace(
        "time_pos_embed.linear_2", "time_pos_embed.2"
    )


def _vae_resnet(inside: str) -> str:
    if inside == "time_mixer.mix_factor":
        return "mix_factor"
    part, _, rest = inside.partition(".")
    if part == "temporal_res_block":
        stem, kind = rest.rsplit(".", 1)
        return f"time_stack.{_RESNET[stem]}.{kind}"
    return (rest if part == "spatial_res_block" else inside).replace("conv_shortcut", "nin_shortcut")


def _unet_config(shapes: Shapes, frames: int) -> dict[str, Any]:
    def shape(name: str) -> tuple[int, ...]:
        return shapes[UNET + name]

    blocks = _count(shapes, UNET + "input_blocks.")
    layers = next(n for n in range(2, blocks) if f"{UNET}input_blocks.{n}.0.op.weight" in shapes)
    levels = blocks // layers
    first = [1 + level * layers for level in range(levels)]
    attends = [f"{UNET}input_blocks.{n}.1.norm.weight" in shapes for n in first]
    channels = [shape(f"input_blocks.{n}.0.out_layers.3.weight")[0] for n in first]
    attention = f"input_blocks.{first[attends.index(True)]}.1.transformer_blocks."
    cross, plain = "CrossAttn{}BlockSpatioTemporal", "{}BlockSpatioTemporal"
    time_ids = shape("label_emb.0.0.weight")[1]
    return {
        "_class_name": CLASSES["unet"],
        "in_channels": shape("input_blocks.0.0.weight")[1],
        "out_channels": shape("out.2.weight")[0],
        "down_block_types": [(cross if yes else plain).format("Down") for yes in attends],
        "up_block_types": [(cross if yes else plain).format("Up") for yes in reversed(attends)],
        "block_out_channels": channels,
        "layers_per_block": layers - 1,
        "transformer_layers_per_block": _count(shapes, UNET + attention),
        "num_attention_heads": [max(1, count // _UNET_HEAD) for count in channels],
        "cross_attention_dim": shape(f"{attention}0.attn2.to_k.weight")[1],
        "addition_time_embed_dim": time_ids // 3,
        "projection_class_embeddings_input_dim": time_ids,
        "num_frames": frames,
        "sample_size": 96,
    }


def _vae_config(shapes: Shapes) -> dict[str, Any]:
    down = f"{ENCODER}encoder.down."
    levels = _count(shapes, down)
    return {
        "_class_name": CLASSES["vae"],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "block_out_channels": [shapes[f"{down}{level}.block.0.conv1.weight"][0] for level in range(levels)],
        "layers_per_block": _count(shapes, f"{down}0.block."),
        "latent_channels": shapes[f"{DECODER}conv_in.weight"][1],
        "sample_size": 768,
        "scaling_factor": 0.18215,
        "force_upcast": True,
    }


def _vision_config(shapes: Shapes) -> dict[str, Any]:
    width, _, patch, _ = shapes[f"{VISION}conv1.weight"]
    return {
        "architectures": [CLASSES["image_encoder"]],
        "model_type": "clip_vision_model",
        "hidden_size": width,
        "intermediate_size": shapes[f"{VISION}transformer.resblocks.0.mlp.c_fc.weight"][0],
        "num_hidden_layers": _count(shapes, f"{VISION}transformer.resblocks."),
        "num_attention_heads": max(1, width // _VISION_HEAD),
        "patch_size": patch,
        "image_size": IMAGE_SIZE,
        "projection_dim": shapes[f"{VISION}proj"][1],
        "hidden_act": "gelu",
    }


def _count(shapes: Shapes, prefix: str) -> int:
    """How many numbered things begin with a prefix."""
    numbers = {name[len(prefix) :].split(".", 1)[0] for name in shapes if name.startswith(prefix)}
    if not numbers:
        raise KeyError(f"{prefix}0")
    return len(numbers)

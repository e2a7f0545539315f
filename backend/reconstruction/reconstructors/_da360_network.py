"""DA360's network: Depth Anything V2 that looks around the panorama, and knows the shift of its answer.

Jiang et al., "Depth Anything in 360°: Towards Scale Invariance in the Wild", 2025. Two things differ from Depth
Anything V2: 3x3 convolutions of the decoder see over the seam and over the poles instead of zeros, and a small
perceptron makes of the class token the shift that turns affine-invariant disparity into disparity up to a scale. The
rest is transformers' own Depth Anything. Tensors have upstream's names (networks/da360.py, networks/layers.py and
depth_anything_v2/ of https://github.com/antigravity-tech/DA360 at a0e9d33).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import torch
from torch import nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

PATCH = 14
_POSITIONS = 37
"""Patches a side of the pictures that DINOv2 was trained on."""
_OFFSET = 0.1
"""What DINOv2 adds to the wanted number of patches when it stretches their positions."""
_LAYERS = {12: [3, 6, 9, 12], 24: [5, 12, 18, 24], 40: [10, 20, 30, 40]}
"""Depth of the backbone -> after which of its blocks the decoder listens, counted from 1."""
_LEAST_SHIFT = 1e-4
_HEAD_WIDTH = 64  # of each of the backbone's attention heads

Tensors = Mapping[str, torch.Tensor]


class DA360(nn.Module):
    """Made for the shapes of upstream's tensors and filled with them.

    Raises KeyError, ValueError or RuntimeError if they are another network's.
    """

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        renamed = dict(_renamed(tensors))
        config = _config(renamed)
        with torch.device("meta"):
            self.depth = DepthAnythingForDepthEstimation(config)
        self.depth.load_state_dict(renamed, assign=True)
        _look_around(self.depth.neck)
        _look_around(self.depth.head)
        shifts = {name.removeprefix("shift_mlp."): each for name, each in tensors.items() if "shift_mlp." in name}
        self.shift = _shift(shifts)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, H, W) disparity up to a scale of panoramas (N, 3, H, W), normalised, with sides of multiples of PATCH."""
        rows, columns = pictures.shape[-2] // PATCH, pictures.shape[-1] // PATCH
        embeddings = self.depth.backbone.embeddings
        positions = _stretched(embeddings.position_embeddings, rows, columns)
        embeddings.interpolate_pos_encoding = lambda tokens, height, width: positions.to(tokens.dtype)
        features = self.depth.backbone(pictures).feature_maps
        disparity = self.depth.head(self.depth.neck(features, rows, columns), rows, columns)
        shift = self.shift(features[-1][:, 0].float()) + _LEAST_SHIFT
        return disparity.float() + shift[..., None]


def _config(tensors: Tensors) -> DepthAnythingConfig:
    """The sizes of a network with these tensors, by transformers' names."""
    width = tensors["backbone.embeddings.cls_token"].shape[-1]
    depth = sum(name.endswith("layer_scale1.lambda1") for name in tensors)
    backbone = Dinov2Config(
        hidden_size=width, num_hidden_layers=depth, num_attention_heads=max(1, width // _HEAD_WIDTH), mlp_ratio=4,
        image_size=_POSITIONS * PATCH, patch_size=PATCH, out_indices=_LAYERS.get(depth, [1, 2, 3, 4]),
        reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    stages = [tensors[f"neck.reassemble_stage.layers.{stage}.projection.weight"].shape[0] for stage in range(4)]
    return DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=width, neck_hidden_sizes=stages, patch_size=PATCH,
        fusion_hidden_size=tensors["neck.convs.0.weight"].shape[0],
        head_hidden_size=tensors["head.conv2.weight"].shape[0], depth_estimation_type="relative",
    )  # fmt: skip


def _renamed(tensors: Tensors) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of upstream's `depth_anything` by transformers' names; queries, keys and values apart."""
    for name, tensor in tensors.items():
        part, _, rest = name.removeprefix("module.").removeprefix("depth_anything.").partition(".")
        if part == "pretrained":
            if ".attn.qkv." in rest:
                _, block, _, _, kind = rest.split(".")
                for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                    yield f"backbone.encoder.layer.{block}.attention.{letter}_proj.{kind}", third
            else:
                yield _backbone_name(rest), tensor
        elif part == "depth_head":  # upstream names each convolution twice
            yield _head_name(rest.replace(".conv.", ".")), tensor


def _backbone_name(name: str) -> str:
    for upstream, ours in (
        ("cls_token", "embeddings.cls_token"),
        ("mask_token", "embeddings.mask_token"),
        ("pos_embed", "embeddings.position_embeddings"),
        ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
        ("norm.", "layernorm."),
        ("blocks.", "encoder.layer."),
    ):
        if name.startswith(upstream):
            name = ours + name.removeprefix(upstream)
            break
    for upstream, ours in ((".attn.proj.", ".attention.o_proj."), (".ls1.gamma", ".layer_scale1.lambda1")):
        name = name.replace(upstream, ours)
    return f"backbone.{name.replace('.ls2.gamma', '.layer_scale2.lambda1')}"


def _head_name(name: str) -> str:
    first, _, rest = name.partition(".")
    if first in ("projects", "resize_layers"):
        stage, _, kind = rest.partition(".")
        return f"neck.reassemble_stage.layers.{stage}.{'projection' if first == 'projects' else 'resize'}.{kind}"
    part, _, kind = rest.partition(".")
    if part.endswith("_rn"):  # layer1_rn to layer4_rn
        return f"neck.convs.{int(part[5]) - 1}.{kind}"
    if part.startswith("refinenet"):  # the deepest comes first
        kind = kind.replace("out_conv", "projection").replace("resConfUnit", "residual_layer")
        kind = kind.replace(".conv1.", ".convolution1.").replace(".conv2.", ".convolution2.")
        return f"neck.fusion_stage.layers.{4 - int(part[9])}.{kind}"
    heads = {"output_conv1": "head.conv1", "output_conv2.0": "head.conv2", "output_conv2.2": "head.conv3"}
    stem, _, last = rest.rpartition(".")
    return f"{heads[stem]}.{last}"


def _stretched(positions: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """DINOv2's position embeddings (1, 1 + n, C) for other numbers of patches, stretched as it stretches them."""
    patches = positions[:, 1:].float().reshape(1, _POSITIONS, _POSITIONS, -1).permute(0, 3, 1, 2)
    scale = ((rows + _OFFSET) / _POSITIONS, (columns + _OFFSET) / _POSITIONS)
    wide = nn.functional.interpolate(patches, scale_factor=scale, mode="bicubic")
    return torch.cat([positions[:, :1].float(), wide.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def _look_around(part: nn.Module) -> None:
    """Let a part's padded convolutions see the panorama's other side instead of zeros."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d) and module.padding == (1, 1):
            module.padding = (0, 0)
            module.register_forward_pre_hook(lambda _, given: (around(given[0]),))


def around(values: torch.Tensor) -> torch.Tensor:
    """Values (N, C, H, W) of a panorama with a pixel more on each side: over the seam, and over the poles."""
    half = values.shape[-1] // 2
    tall = torch.cat([values[:, :, :1].roll(half, -1), values, values[:, :, -1:].roll(half, -1)], dim=2)
    return torch.cat([tall[..., -1:], tall, tall[..., :1]], dim=3)


def _shift(tensors: Tensors) -> nn.Module:
    """The perceptron of a class token's shift: two hidden layers with batch norm, softplus at the end."""
    sizes = [tensors["layers.0.weight"].shape[1], *(tensors[f"layers.{each}.weight"].shape[0] for each in (0, 1)), 1]
    first, second, last = (nn.Linear(*pair) for pair in itertools.pairwise(sizes))
    norms = nn.BatchNorm1d(sizes[1]), nn.BatchNorm1d(sizes[2])
    for part, stem in zip(
        (first, second, last, *norms), ("layers.0", "layers.1", "output_layer", "norms.0", "norms.1"), strict=True
    ):
        part.load_state_dict(
            {name.removeprefix(f"{stem}."): each for name, each in tensors.items() if name.startswith(f"{stem}.")}
        )
    return nn.Sequential(first, norms[0], nn.ReLU(), second, norms[1], nn.ReLU(), last, nn.Softplus())

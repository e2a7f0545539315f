"""LPIPS with VGG's features, through which gradients flow. What was trained by it is never judged by it.

Source: as evaluation/metrics/lpips.py; the heads of its version 0.1 for VGG16.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional

from pantheon360_blender.core import inputs

from ...evaluation.metrics import weights
from . import settings

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
BLOCKS = ((0, 1), (2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12))
"""VGG16's convolutions between its poolings; what is compared is the end of each block that there are weights of."""


class Perceptual:
    """The distance of pictures (N, 3, H, W) in [-1, 1], a scalar, 0 if they are equal."""

    def __init__(self, folder: Path) -> None:
        self._weights = {
            name: tensor.float()
            for each in ("vgg16", "lpips-vgg")
            for name, tensor in weights.load(folder, each).items()
        }
        self._blocks = [block for block in BLOCKS if f"conv.{block[-1]}.weight" in self._weights]

    @classmethod
    def of(cls, chosen: settings.Perceptual) -> Perceptual | None:
        """As a recipe asks for it, if it does."""
        return cls(inputs.expanded(chosen.weights)) if chosen.weight else None

    def __call__(self, painted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        self._weights = {name: tensor.to(painted.device) for name, tensor in self._weights.items()}
        with torch.no_grad():
            wanted = self._features(truth)
        distances = [
            ((one - other).square() * self._weights[f"head.{index}"].view(1, -1, 1, 1)).sum(dim=1).mean()
            for index, (one, other) in enumerate(zip(self._features(painted), wanted, strict=True))
        ]
        return torch.stack(distances).sum()

    def _features(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """Unit vectors of each block, (N, C, h, w)."""
        shift, scale = (torch.tensor(values, device=pictures.device).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
        found: list[torch.Tensor] = []
        image = (pictures.float() - shift) / scale
        for block in self._blocks:
            image = functional.max_pool2d(image, 2) if found else image
            for index in block:
                weight, bias = (self._weights[f"conv.{index}.{kind}"] for kind in ("weight", "bias"))
                image = functional.conv2d(image, weight, bias, padding=1).relu()
            found.append(image / (image.square().sum(dim=1, keepdim=True) + 1e-10).sqrt())
        return found

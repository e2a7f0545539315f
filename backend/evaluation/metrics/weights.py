"""The weights of the networks that judge, read from safetensors; scripts/metric_weights.py makes the files."""

from __future__ import annotations

from pathlib import Path

import torch

from pantheon360_blender.core.errors import FileError

from ...diffusion.models import tensor_file

Tensors = dict[str, torch.Tensor]


def load(folder: Path, name: str) -> Tensors:
    """Tensors of `NAME.safetensors`. Raises FileError if there is no such file, ModelError if it is damaged."""
    path = Path(folder) / f"{name}.safetensors"
    if not path.is_file():
        raise FileError(
            f"{path} is missing: the measure needs weights.", advice="Make them with scripts/metric_weights.py."
        )
    with tensor_file.opened(path) as file:
        return {each: file.get_tensor(each) for each in file.keys()}  # noqa: SIM118


def pixels(images: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) float32 in [-1, 1] of (N, H, W, 3) uint8."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1

"""Painted segments on disk, so that a job goes on where it stopped: `segments/0001.safetensors` in its folder.

Each holds the segment's latents as they are decoded, and the pictures of its last frames if the next segment begins
with them. Its metadata holds a key of everything that decided it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from pantheon360_blender.core.errors import ModelError
from pantheon360_blender.core.output_folder import OutputFolder

from ..models import tensor_file

FOLDER = "segments"


@dataclass(frozen=True, eq=False)
class PaintedSegment:
    """latents: (F, C, h, w) float32 on the CPU. handover: (N, H, W, 3) uint8, the next segment's first frames, or None.

    Both are in the segment's own orientation.
    """

    latents: torch.Tensor
    handover: np.ndarray | None = None


class SegmentStore:
    """The segments of a job folder. A segment is known by its number from 0 and by its key."""

    def __init__(self, folder: OutputFolder) -> None:
        self._folder = folder

    def file(self, index: int) -> Path:
        """Where a segment is."""
        return self._folder.path / FOLDER / f"{index + 1:04d}.safetensors"

    def write(self, index: int, key: str, segment: PaintedSegment) -> None:
        """Keep a segment. Raises FileError."""
        tensors = {"latents": segment.latents.contiguous()}
        if segment.handover is not None:
            tensors["handover"] = torch.from_numpy(np.ascontiguousarray(segment.handover))
        self._folder.write_bytes(self.file(index), safetensors.torch.save(tensors, {"key": key}))

    def read(self, index: int, key: str) -> PaintedSegment | None:
        """A segment; None if it is not there, damaged, or was made of something else."""
        try:
            with tensor_file.opened(self.file(index)) as file:
                if (file.metadata() or {}).get("key") != key:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except ModelError:
            return None
        latents, handover = tensors.get("latents"), tensors.get("handover")
        if latents is None or latents.dtype != torch.float32 or latents.ndim != 4 or not tensor_file.is_finite(latents):
            return None
        if handover is not None and (handover.dtype != torch.uint8 or handover.ndim != 4):
            return None
        return PaintedSegment(latents, None if handover is None else handover.numpy())

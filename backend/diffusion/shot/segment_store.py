"""Painted segments on disk, so that a job goes on where it stopped: `segments/0001.safetensors` in its folder.

Each holds the segment's latents as they are decoded, and the next segment's first picture if no capture gives it. Its
metadata holds a key of everything that decided it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from pantheon360_blender.core.output_folder import OutputFolder

FOLDER = "segments"


@dataclass(frozen=True, eq=False)
class PaintedSegment:
    """latents: (F, 4, h, w) float32 on the CPU. handover: (H, W, 3) uint8, the next segment's first frame, or None."""

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
            with safe_open(str(self.file(index)), framework="pt") as file:
                if (file.metadata() or {}).get("key") != key:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):
            return None
        if "latents" not in tensors or not torch.isfinite(tensors["latents"]).all():
            return None
        handover = tensors.get("handover")
        return PaintedSegment(tensors["latents"], None if handover is None else handover.numpy())

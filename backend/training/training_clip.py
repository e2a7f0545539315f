"""What a painter is trained on: a clip whose truth is known, level and still as in `diffusion/shot/level_view`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class TrainingClip:
    """Pictures are equirectangular, sRGB, channels first, on one device.

    frames: (F, 3, H, W) uint8, the truth. geometry: (F, 3, H, W) uint8, the cache by the one-pixel rule of
    `core.render.splatting`, black where nothing is. depth: (F, H, W) float32, its range in metres, inf where
    nothing is.
    start, end: (3, H, W) uint8, what the captures show that stand at the first and the last frame: the truth there, but
    for their exposure; None if no capture stands there.
    filled: (F, 3, H, W) uint8, geometry as the draft fills it from all captures; None if nobody has made it.
    cameras: (F, 4, 4) float64 camera-to-world, all of one orientation. fps: frames a second.
    name: what it shows and by which seed, for people.
    """

    frames: torch.Tensor
    geometry: torch.Tensor
    depth: torch.Tensor
    start: torch.Tensor | None
    end: torch.Tensor | None
    cameras: np.ndarray
    fps: float
    name: str
    filled: torch.Tensor | None = None

    @property
    def coverage(self) -> torch.Tensor:
        """(F, H, W) bool: where geometry shows anything."""
        return torch.isfinite(self.depth)

    def __len__(self) -> int:
        return len(self.frames)


def anchors(start: torch.Tensor | None, end: torch.Tensor | None) -> list[tuple[int, torch.Tensor]]:
    """Those of a clip's ends that are known, each with its place among the frames: 0 and -1."""
    return [(place, anchor) for place, anchor in ((0, start), (-1, end)) if anchor is not None]


class ClipSource(Protocol):
    """Where training clips come from. The same seed gives the same clip, wherever it is asked for."""

    def clip(self, seed: int) -> TrainingClip: ...

"""A source of training clips that costs nothing: waves of colour that drift, of whose pixels the cache knows some."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from backend.training.trainer.settings import Clips
from backend.training.training_clip import TrainingClip


class MovingPatterns:
    """A ClipSource. asked: the seeds it was asked for, in their order."""

    def __init__(self, clips: Clips) -> None:
        self._frames, self._width = clips.frames, clips.width
        self.asked: list[int] = []

    def clip(self, seed: int) -> TrainingClip:
        self.asked.append(seed)
        random = np.random.default_rng(seed)
        width, height = self._width, self._width // 2
        columns = torch.arange(width) / width * 2 * math.pi
        rows = torch.arange(height)[:, None] / height * math.pi
        waves = random.integers(1, 4, (3, 2))
        phases = random.uniform(0, 2 * math.pi, 3)
        heights = [torch.sin(int(wave[1]) * rows) for wave in waves]

        def frame(time: int) -> torch.Tensor:
            drifts = zip(waves, heights, phases, strict=True)
            return torch.stack(
                [torch.sin(int(wave[0]) * columns + phase + 0.3 * time) * h for wave, h, phase in drifts]
            )

        frames = 0.5 + 0.4 * torch.stack([frame(time) for time in range(self._frames)])
        pictures = (frames * 255).round().to(torch.uint8)
        covered = torch.from_numpy(random.random((self._frames, height, width)) < 0.4)
        depth = torch.where(covered, torch.tensor(3.0), torch.inf)
        cameras = np.tile(np.eye(4), (self._frames, 1, 1))
        return TrainingClip(
            pictures, pictures * covered[:, None], depth, pictures[0], pictures[-1], cameras, 7.0, f"waves {seed}"
        )


def source(clips: Clips, device: str, *, held_out: bool = False) -> Any:
    """As sources.source."""
    return MovingPatterns(clips)

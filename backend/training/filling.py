"""Geometry as a model sees it: points alone, or filled by the draft painter from the captures, as in the product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pantheon360_blender.core.jobs.model_card import ModelCard
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.render.draft import DraftPainter
from pantheon360_blender.core.render.splatting import GeometryFrame

from .training_clip import TrainingClip, anchors

Placed = tuple[torch.Tensor, np.ndarray]
"""A capture's picture, (3, H, W) uint8, and its pose, (4, 4) camera-to-world."""


def shown(clip: TrainingClip, card: ModelCard) -> torch.Tensor:
    """What a model of that card sees of a clip's geometry, (F, 3, H, W) uint8.

    A clip that nobody has filled is filled from the captures at its ends.
    """
    if not card.sees_draft:
        return clip.geometry
    if clip.filled is not None:
        return clip.filled
    ends = [(end, clip.cameras[place]) for place, end in anchors(clip.start, clip.end)]
    return filled(clip.geometry, clip.depth, clip.cameras, ends)


def filled(
    geometry: torch.Tensor, depth: torch.Tensor, cameras: np.ndarray, captures: Sequence[Placed]
) -> torch.Tensor:
    """The draft of a clip: (F, 3, H, W) uint8, on geometry's device. Arrays are as of TrainingClip."""
    width = geometry.shape[-1]
    placed = [Capture(f"capture {index}", picture(taken), pose) for index, (taken, pose) in enumerate(captures)]
    painter = DraftPainter(placed, width)
    frames = [
        painter.paint(geometry_frame(colour, reach), pose)
        for colour, reach, pose in zip(geometry, depth, cameras, strict=True)
    ]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous().to(geometry.device)


def picture(tensor: torch.Tensor) -> np.ndarray:
    """(3, H, W) uint8 as (H, W, 3)."""
    return np.ascontiguousarray(tensor.permute(1, 2, 0).cpu().numpy())


def geometry_frame(colour: torch.Tensor, depth: torch.Tensor) -> GeometryFrame:
    """A frame of a clip's geometry, (3, H, W) uint8 and (H, W) float32 metres, as the product has it."""
    reach = depth.cpu().numpy()
    return GeometryFrame(picture(colour), reach, np.isfinite(reach), np.full(reach.shape, -1, np.int32))

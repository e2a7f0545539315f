"""Geometry as a model sees it: points alone, or filled by the draft painter from the captures, as in the product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pantheon360_blender.core.jobs.model_card import ModelCard
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.render import splatting
from pantheon360_blender.core.render.draft import DraftPainter
from pantheon360_blender.core.render.splatting import GeometryFrame

from .training_clip import TrainingClip, anchors


def shown(clip: TrainingClip, card: ModelCard) -> torch.Tensor:
    """What a model of that card sees of a clip's geometry, (F, 3, H, W) uint8.

    A clip that nobody has filled is filled from its geometry, whose points are a pixel each, and the captures at its
    ends.
    """
    if not card.sees_draft:
        return clip.geometry
    if clip.filled is not None:
        return clip.filled
    ends = [capture(end, clip.cameras[place]) for place, end in anchors(clip.start, clip.end)]
    surfaces = [geometry_frame(*each) for each in zip(clip.geometry, clip.depth, strict=True)]
    return filled(surfaces, clip.cameras, ends).to(clip.geometry.device)


def filled(surfaces: Sequence[GeometryFrame], cameras: np.ndarray, captures: Sequence[Capture]) -> torch.Tensor:
    """The draft of a clip: (F, 3, H, W) uint8.

    surfaces: of each frame; in the product footprint splats. cameras: (F, 4, 4) camera-to-world.
    """
    painter = DraftPainter(list(captures), surfaces[0].depth.shape[1])
    frames = [painter.paint(seen, pose) for seen, pose in zip(surfaces, cameras, strict=True)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


def of_cloud(
    points: np.ndarray,
    colours: np.ndarray,
    footprint: np.ndarray | float,
    cameras: np.ndarray,
    captures: Sequence[Capture],
    width: int,
) -> torch.Tensor:
    """The draft of points as large as they are, as the product makes it, (F, 3, H, W) uint8.

    points, colours, footprint: as of `splatting.splat_footprints`. cameras: (F, 4, 4) camera-to-world.
    """
    surfaces = [splatting.splat_footprints(points, colours, footprint, pose, width) for pose in cameras]
    return filled(surfaces, cameras, captures)


def capture(image: torch.Tensor, pose: np.ndarray) -> Capture:
    """A capture of a picture (3, H, W) uint8 at a pose, (4, 4) camera-to-world."""
    return Capture("capture", picture(image), pose)


def picture(tensor: torch.Tensor) -> np.ndarray:
    """(3, H, W) uint8 as (H, W, 3)."""
    return np.ascontiguousarray(tensor.permute(1, 2, 0).cpu().numpy())


def geometry_frame(colour: torch.Tensor, depth: torch.Tensor) -> GeometryFrame:
    """A frame of a clip's geometry, (3, H, W) uint8 and (H, W) float32 metres, as the product has it."""
    reach = depth.cpu().numpy()
    return GeometryFrame(picture(colour), reach, np.isfinite(reach), np.full(reach.shape, -1, np.int32))

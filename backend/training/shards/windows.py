"""Training clips cut out of a panorama video whose cameras and ranges are known: level, at the pace of the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.render import splatting

from ...diffusion.shot import level_view
from ...evaluation import caches
from ...evaluation.clips import EvaluationClip, KnownFrame
from .. import filling
from ..training_clip import TrainingClip


@dataclass(frozen=True)
class WindowSettings:
    """frames: of a training clip. fps: their pace. width: of the panoramas, pixels. step: frames of that pace between
    the beginnings of two clips. thinnest: least share of the cache's points that is kept, drawn log-uniformly up to 1.
    filled: whether clips keep the draft, too, for models that see it.
    """

    frames: int = 25
    fps: float = 7.0
    width: int = 512
    step: int = 13
    thinnest: float = 0.02
    filled: bool = False


def places(count: int, fps: float, settings: WindowSettings) -> Iterator[np.ndarray]:
    """Numbers of the frames of each training clip in a video of so many frames."""
    paced = np.round(np.arange(0, count, max(1.0, fps / settings.fps))).astype(int)
    paced = paced[paced < count]
    for first in range(0, len(paced) - settings.frames + 1, settings.step):
        yield paced[first : first + settings.frames]


def cut(video: EvaluationClip, numbers: np.ndarray, settings: WindowSettings, seed: int) -> TrainingClip:
    """The training clip of some frames of a video with cameras and ranges.

    Its captures are its first and its last frame; the cache is made of their pixels and of nobody else's.
    """
    if video.cameras is None or video.ranges is None:
        raise ValueError("the video has no cameras or no ranges")
    poses = video.cameras[numbers]
    (view,) = level_view.level_views([poses], settings.width, travel=0.0)
    level = np.stack([view.pose(pose) for pose in poses])
    pictures = [
        _turned(video.images[number], pose, view.world_from_view, settings.width)
        for number, pose in zip(numbers, poses, strict=True)
    ]
    ends = [
        KnownFrame(
            number, Capture(f"frame {number}", video.images[number], video.cameras[number]), video.ranges[number]
        )
        for number in (int(numbers[0]), int(numbers[-1]))
    ]
    random = np.random.default_rng(seed)
    cloud = caches.thinned(caches.dense(ends), float(np.exp(random.uniform(np.log(settings.thinnest), 0.0))), seed)
    geometry = [splatting.splat(cloud.points, cloud.colours, pose, settings.width) for pose in level]
    frames = _tensor(pictures)
    return TrainingClip(
        frames=frames,
        geometry=_tensor([frame.colour for frame in geometry]),
        depth=torch.from_numpy(np.stack([frame.depth for frame in geometry])),
        start=frames[0],
        end=frames[-1],
        cameras=level,
        fps=settings.fps,
        name=f"{video.name} {numbers[0]}-{numbers[-1]}",
        filled=_filled(cloud, ends, level, settings.width) if settings.filled else None,
    )


def _filled(cloud: PointCloud, ends: list[KnownFrame], level: np.ndarray, width: int) -> torch.Tensor:
    """The draft, of points as large as they are and of both captures."""
    footprint = 0.0 if cloud.footprint is None else cloud.footprint
    captures = [each.capture for each in ends]
    return filling.of_cloud(cloud.points, cloud.colours, footprint, level, captures, width)


def _turned(image: np.ndarray, pose: np.ndarray, world_from_view: np.ndarray, width: int) -> np.ndarray:
    """A frame as the level view sees it, antialiased."""
    wide = max(width, image.shape[1])
    return equirectangular.resize(equirectangular.rotate(image, pose[:3, :3].T @ world_from_view, wide), width)


def _tensor(pictures: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2)))

"""Worlds as a source of training clips: a seed becomes a place, a path through it, captures, and the cache of those."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as FilePath

import numpy as np
import torch

from pantheon360_blender.core.errors import CaptureError

from .. import filling
from ..training_clip import TrainingClip
from . import cache_faults, paths
from .cache_faults import CachePoints, CaptureView, Faults
from .paths import Path
from .photographer import Panorama, Photographer, exposure_of
from .place import Painter, Place
from .places.courtyards import courtyard
from .places.halls import hall, stairs
from .places.proxies import proxy
from .places.rooms import room
from .places.streets import street
from .rays import Directions
from .splatter import splat
from .textures import TRAIN, TextureSet

FAMILIES: dict[str, tuple[float, Callable[[Painter], Place]]] = {
    "room": (0.25, room),
    "street": (0.18, street),
    "courtyard": (0.1, courtyard),
    "hall": (0.08, hall),
    "stairs": (0.09, stairs),
    "proxy": (0.3, proxy),
}
"""What kinds of places there are: how often each is drawn, and what makes it."""


@dataclass(frozen=True)
class WorldSettings:
    """textures: the folder that scripts/training_textures.py prepared; split: "train" or "held-out".
    width: of the panoramas, pixels. families: those that are drawn from, None is all.
    faults: of every cache; None draws them. reconstructed: of clips with several captures, the share whose cache is
    this project's own reconstruction of these, from their true poses; that takes 3 to 7 s."""

    textures: FilePath
    split: str = TRAIN
    width: int = 256
    frames: int = 8
    fps: float = 7.0
    device: str = "cpu"
    families: tuple[str, ...] | None = None
    faults: Faults | None = None
    reconstructed: float = 0.0


class Worlds:
    """A ClipSource. Raises TexturesMissing if the textures are not there."""

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        self._textures = TextureSet.load(settings.textures, settings.split, settings.device)

    @torch.no_grad()
    def clip(self, seed: int) -> TrainingClip:
        """The clip of a seed: on one device always the same."""
        settings = self.settings
        random = np.random.default_rng((seed, 0x360))
        place, path = self._place_and_path(random)
        photographer = Photographer(
            place, self._textures, path.orientation, settings.width, path.positions.mean(axis=0)
        )
        times = np.arange(settings.frames) / settings.fps
        frames = [
            photographer.take(position, float(time)) for position, time in zip(path.positions, times, strict=True)
        ]
        captures = [photographer.take(*taken) for taken in zip(path.captures, path.seconds.tolist(), strict=True)]
        exposure = exposure_of(frames[0], float(random.uniform(0.14, 0.32)))
        gains = exposure * np.exp(random.normal(0, 0.05, len(captures)))
        gains[0] = exposure * float(np.exp(random.normal(0, 0.01)))
        cache = self._cache(captures, gains, path, random)
        pictures = [capture.picture(float(gain)) for capture, gain in zip(captures, gains, strict=True)]
        if len(captures) > 1 and np.random.default_rng((seed, 0x361)).random() < settings.reconstructed:
            cache = self._reconstructed(path, pictures) or cache
        geometry, depth = splat(cache.points, cache.colours, path.cameras, settings.width)
        return TrainingClip(
            frames=torch.stack([frame.picture(exposure) for frame in frames]),
            geometry=geometry,
            depth=depth,
            start=pictures[0],
            end=pictures[-1] if path.last_is_end else None,
            cameras=path.cameras,
            fps=settings.fps,
            name=f"{place.name} {seed}",
            filled=self._filled(cache, path, pictures),
        )

    def _place_and_path(self, random: np.random.Generator) -> tuple[Place, Path]:
        """A place that one can walk in: another is drawn if it is too full."""
        names = self.settings.families or tuple(FAMILIES)
        shares = np.array([FAMILIES[name][0] for name in names])
        while True:
            family = FAMILIES[str(random.choice(names, p=shares / shares.sum()))][1]
            place = family(Painter(random, self._textures))
            try:
                return place, paths.random_path(place, self.settings.frames, self.settings.fps, random)
            except paths.NoPath:
                continue

    def _cache(
        self, captures: list[Panorama], gains: np.ndarray, path: Path, random: np.random.Generator
    ) -> CachePoints:
        """The cache of the captures."""
        faults = self.settings.faults or cache_faults.random_faults(random)
        step = int(random.choice((1, 2)))
        views = [
            CaptureView(capture.colours(float(gain))[::step, ::step], capture.range[::step, ::step], position)
            for capture, gain, position in zip(captures, gains, path.captures, strict=True)
        ]
        grid = Directions(2 * self.settings.width, path.orientation, self.settings.device)
        return cache_faults.cache(views, grid, faults, random)

    def _reconstructed(self, path: Path, pictures: list[torch.Tensor]) -> CachePoints | None:
        """What this project's reconstruction makes of the captures; None where it finds nothing."""
        from ...evaluation import caches
        from ...evaluation.clips import KnownFrame

        known = [
            KnownFrame(index, filling.capture(*taken), None)
            for index, taken in enumerate(zip(pictures, path.poses, strict=True))
        ]
        try:
            cloud = caches.reconstructed(known)
        except CaptureError:
            return None
        if not len(cloud) or cloud.footprint is None:
            return None
        arrays = (cloud.points, cloud.colours, cloud.footprint)
        return CachePoints(*(torch.from_numpy(array).to(self.settings.device) for array in arrays))

    def _filled(self, cache: CachePoints, path: Path, pictures: list[torch.Tensor]) -> torch.Tensor:
        """The draft of the clip, from all captures."""
        points, colours, footprint = (values.cpu().numpy() for values in cache)
        captures = [filling.capture(*taken) for taken in zip(pictures, path.poses, strict=True)]
        draft = filling.of_cloud(points, colours, footprint, path.cameras, captures, self.settings.width)
        return draft.to(self.settings.device)

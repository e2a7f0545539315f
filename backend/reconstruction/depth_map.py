"""What one capture sees: the range map that every dense method hands on, in memory and in a job folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pantheon360_blender.core import budget
from pantheon360_blender.core.formats import npz
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.panorama import equirectangular

_LARGEST = 4 * budget.DEPTH.width * budget.DEPTH.height  # bytes
_SMOOTH = 1.15
"""Ratio of ranges between neighbours above which there is an edge."""


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Range and confidence of each pixel of an equirectangular image.

    range: (H, W) float32 metres, inf where nothing (sky) or nothing is known. confidence: (H, W) float32, 0 to 1.
    sky: (H, W) bool. support: (H, W) float32, 0 to 1, how far captures agree on a range that they do not prove, at
    least the confidence: what is guessed may go by that. None where it is the confidence.
    """

    range: np.ndarray
    confidence: np.ndarray
    sky: np.ndarray
    support: np.ndarray | None = None

    @property
    def agreement(self) -> np.ndarray:
        """(H, W) float32: the support, or the confidence where there is no other."""
        return self.confidence if self.support is None else self.support


def enlarged(depth: DepthMap, scale: int) -> DepthMap:
    """A map `scale` times as wide: surfaces go on smoothly between its pixels, edges stay where they are."""
    if scale == 1:
        return depth
    inverse = np.where(np.isfinite(depth.range) & (depth.range > 0), 1 / np.maximum(depth.range, 1e-9), 0)
    nearest = _repeated(inverse, scale)
    rows, columns = np.indices(nearest.shape, dtype=np.float32)
    between = equirectangular.sample(inverse.astype(np.float32), np.stack([columns + 0.5, rows + 0.5], -1) / scale)
    around = _neighbourhood(inverse)
    smooth = _repeated((around.min(axis=0) > 0) & (around.max(axis=0) < _SMOOTH * around.min(axis=0)), scale)
    inverse = np.where(smooth, between, nearest)
    ranges = np.where(inverse > 0, 1 / np.maximum(inverse, 1e-9), np.inf).astype(np.float32)
    return DepthMap(ranges, _repeated(depth.confidence, scale), _repeated(depth.sky, scale))


def looked_up(depth: DepthMap, map_from_camera: np.ndarray, width: int) -> DepthMap:
    """The map as a turned camera in the same place sees it, at a width of its own.

    map_from_camera: (3, 3) rotation. Surfaces go on smoothly between pixels; across edges the nearest pixel counts.
    """
    given = depth.range.shape[1]
    rays = equirectangular.directions(width).astype(np.float64) @ np.asarray(map_from_camera).T
    places = equirectangular.directions_to_pixels(rays, given).astype(np.float32)
    rows = np.clip(places[..., 1].astype(int), 0, given // 2 - 1)
    columns = places[..., 0].astype(int) % given
    inverse = np.where(np.isfinite(depth.range) & (depth.range > 0), 1 / np.maximum(depth.range, 1e-9), 0)
    around = _neighbourhood(inverse)
    smooth = ((around.min(axis=0) > 0) & (around.max(axis=0) < _SMOOTH * around.min(axis=0)))[rows, columns]
    between = equirectangular.sample(inverse.astype(np.float32), places)
    inverse = np.where(smooth, between, inverse[rows, columns])
    ranges = np.where(inverse > 0, 1 / np.maximum(inverse, 1e-9), np.inf).astype(np.float32)
    return DepthMap(ranges, depth.confidence[rows, columns], depth.sky[rows, columns])


def _repeated(values: np.ndarray, scale: int) -> np.ndarray:
    return values.repeat(scale, axis=0).repeat(scale, axis=1)


def _neighbourhood(values: np.ndarray) -> np.ndarray:
    """Each pixel of (H, W) and the eight around it, (9, H, W), over the seam and the poles."""
    half = values.shape[1] // 2
    tall = np.concatenate([np.roll(values[:1], half, axis=1), values, np.roll(values[-1:], half, axis=1)])
    return np.stack([np.roll(tall, u, axis=1)[1 + v : 1 + v + len(values)] for v in (-1, 0, 1) for u in (-1, 0, 1)])


def write(folder: OutputFolder, name: str, depth: DepthMap) -> None:
    """Write a map as .npz. Raises FileError."""
    support = {} if depth.support is None else {"support": depth.support}
    with folder.writing(name) as file:
        np.savez(file, range=depth.range, confidence=depth.confidence, sky=depth.sky, **support)


def read(path: Path) -> DepthMap | None:
    """Read a map back; None if the file is missing or damaged."""
    try:
        with npz.opened(path) as archive:
            ranges, confidence, sky = (npz.read(archive, name, _LARGEST) for name in ("range", "confidence", "sky"))
            supported = "support.npy" in archive.namelist()
            support = npz.read(archive, "support", _LARGEST).astype(np.float32) if supported else None
    except npz.DAMAGED:
        return None
    shapes = {each.shape for each in (ranges, confidence, sky, support) if each is not None}
    if ranges.ndim != 2 or ranges.shape[1] != 2 * len(ranges) or len(shapes) > 1:
        return None
    return DepthMap(ranges.astype(np.float32), confidence.astype(np.float32), sky.astype(np.bool_), support)

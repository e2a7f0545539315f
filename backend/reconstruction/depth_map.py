"""What one capture sees: the range map that every dense method hands on, in memory and in a job folder."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pantheon360_blender.core import files, npz


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Range and confidence of each pixel of an equirectangular image.

    range: (H, W) float32 metres, inf where nothing (sky) or nothing is known. confidence: (H, W) float32, 0 to 1.
    sky: (H, W) bool.
    """

    range: np.ndarray
    confidence: np.ndarray
    sky: np.ndarray


def write(path: Path, depth: DepthMap) -> None:
    """Write a map as .npz, atomically. Raises FileError."""
    with files.writing(path) as file:
        np.savez(file, range=depth.range, confidence=depth.confidence, sky=depth.sky)


def read(path: Path) -> DepthMap | None:
    """Read a map back; None where the file is missing or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            ranges, confidence, sky = (npz.read(archive, name) for name in ("range", "confidence", "sky"))
    except npz.DAMAGED:
        return None
    if ranges.ndim != 2 or ranges.shape[1] != 2 * len(ranges) or not ranges.shape == confidence.shape == sky.shape:
        return None
    return DepthMap(ranges.astype(np.float32), confidence.astype(np.float32), sky.astype(np.bool_))

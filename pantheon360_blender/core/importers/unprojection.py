"""From a range image to points: what depth images and ViPE's frames share."""

from __future__ import annotations

import numpy as np

from .. import equirectangular
from .imported import Gathering

_ROWS = 128
_EDGE = 1.1
"""Ratio of neighbouring ranges from which a pixel is on an edge: neither on what is in front nor on what is behind."""


def add_depth(
    gathering: Gathering, ranges: np.ndarray, colours: np.ndarray | None, pose: np.ndarray, source: int
) -> None:
    """Add the points of a range image (H, 2 H) float32, infinite where nothing is, seen from `pose` (Blender's axes).

    colours: (H, 2 H, 3) uint8 or None. source: index of the capture. Pixels that blend a foreground with what is behind
    it float between the two; they are left out.
    """
    width = ranges.shape[1]
    rays = equirectangular.directions(width)
    keep = np.isfinite(ranges) & ~_on_edges(ranges)
    rotation, position = pose[:3, :3], pose[:3, 3]
    for first in range(0, len(ranges), _ROWS):
        rows = slice(first, first + _ROWS)
        chosen = keep[rows]
        distance = ranges[rows][chosen].astype(np.float64)
        points = (rays[rows][chosen] * distance[:, None]) @ rotation.T + position
        gathering.add(
            points,
            None if colours is None else colours[rows][chosen],
            source=np.full(len(points), source, np.int32),
            footprint=(distance * (2 * np.pi / width)).astype(np.float32),
        )


def _on_edges(ranges: np.ndarray) -> np.ndarray:
    """(H, W) bool: farther than a neighbour by more than a slanted surface is, and nearer than the one opposite."""
    with np.errstate(invalid="ignore"):
        near = np.zeros(ranges.shape, bool)
        for axis in (0, 1):
            before, after = np.roll(ranges, 1, axis), np.roll(ranges, -1, axis)
            if axis == 0:
                before[0], after[-1] = ranges[0], ranges[-1]
            low, high = np.minimum(before, after), np.maximum(before, after)
            near |= (ranges > low * _EDGE) & (high > ranges * _EDGE)
    return near

"""From a range image to points: what depth images and ViPE's frames share."""

from __future__ import annotations

import numpy as np

from ..panorama.capture import Capture
from ..points.equirectangular_depth import cloud_from_depth
from .imported import Gathering


def add_depth(
    gathering: Gathering, ranges: np.ndarray, colours: np.ndarray | None, pose: np.ndarray, source: int
) -> None:
    """Add the points of a range image (H, 2 H) float32, infinite where nothing is, seen from `pose` (Blender's axes).

    colours: (h, 2 h, 3) uint8, white if None. source: index of the capture.
    """
    image = np.full((*ranges.shape, 3), 255, np.uint8) if colours is None else colours
    # About the camera first: a pose far from the origin would cost the points their last digits.
    local = cloud_from_depth(Capture("depth", image, np.eye(4)), ranges, source=source)
    gathering.add(
        local.points.astype(np.float64) @ pose[:3, :3].T + pose[:3, 3],
        local.colours,
        source=local.source,
        footprint=local.footprint,
    )

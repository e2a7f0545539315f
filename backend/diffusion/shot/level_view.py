"""The orientation in which a clip is painted: level, not turning, with the direction of travel where the model has it.

Models were trained on upright panoramas that hardly turn, in which far things stay at the same pixel. So geometry,
captures and painted frames of a clip are seen from the camera's places by axes of the clip's own, and what was painted
is turned into the camera afterwards. The headings of a path's clips differ by whole columns of latents: what one clip
has painted, the next one has exactly, by rolling it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import heading_from_rotation, rotation_from_heading
from pantheon360_blender.core.render import splatting
from pantheon360_blender.core.render.splatting import GeometryFrame

STANDING = 0.05
"""Metres below which a clip has no direction of travel."""

_OVERSAMPLING = 2


@dataclass(frozen=True, eq=False)
class LevelView:
    """A clip's orientation.

    world_from_view: (3, 3) float64, camera axes, upright. columns: latent columns to the right of the path's first.
    """

    world_from_view: np.ndarray
    columns: int = 0

    def pose(self, camera: np.ndarray) -> np.ndarray:
        """(4, 4) camera-to-world of this orientation at a camera's place."""
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = self.world_from_view, camera[:3, 3]
        return pose

    def geometry(self, frame: GeometryFrame, camera: np.ndarray) -> GeometryFrame:
        """A geometry frame of a camera, (4, 4) camera-to-world, in this orientation."""
        width = frame.depth.shape[1]
        camera_from_view = camera[:3, :3].T @ self.world_from_view
        columns = whole_columns(camera_from_view, width)
        if columns is not None:
            return splatting.rolled(frame, -columns)
        return splatting.turned(frame, camera_from_view)

    def into_camera(self, image: np.ndarray, camera: np.ndarray, width: int) -> np.ndarray:
        """A panorama (H, W, 3) uint8 of this orientation as the camera sees it, `width` pixels wide.

        Turned by whole columns it keeps its pixels; else it is sampled twice as finely and averaged.
        """
        view_from_camera = self.world_from_view.T @ camera[:3, :3]
        columns = whole_columns(view_from_camera, image.shape[1])
        if columns is not None:
            return equirectangular.resize(np.roll(image, -columns, axis=1), width)
        return equirectangular.resize(equirectangular.rotate(image, view_from_camera, _OVERSAMPLING * width), width)


def level_views(paths: Sequence[np.ndarray], columns: int, travel: float | None) -> list[LevelView]:
    """The orientation of each clip of a path.

    paths: of each clip, (F, 4, 4) camera-to-world of its frames. columns: of latents around the horizon.
    travel: where the direction of travel is to lie, degrees to the right of the middle; None keeps the first camera's
    heading throughout. A clip that stays in its place keeps the heading of the clip before.
    """
    first = math.radians(heading_from_rotation(paths[0][0][:3, :3]))
    step = math.tau / columns
    turned, views = 0, []
    for path in paths:
        way = path[-1][:2, 3] - path[0][:2, 3]
        if travel is not None and np.linalg.norm(way) >= STANDING:
            ahead = math.atan2(way[0], way[1]) - math.radians(travel)
            turned = round(_shortest(ahead - first) / step)
        views.append(LevelView(rotation_from_heading(math.degrees(first + turned * step)), turned))
    return views


def whole_columns(rotation: np.ndarray, width: int) -> int | None:
    """By how many columns of a panorama a rotation (3, 3) turns it to the right; None if it does anything else."""
    if abs(rotation[1, 1] - 1.0) > 1e-9:
        return None
    turned = math.atan2(-rotation[0, 2], rotation[2, 2]) * width / math.tau
    return round(turned) if abs(turned - round(turned)) < 1e-4 else None


def _shortest(angle: float) -> float:
    return math.remainder(angle, math.tau)

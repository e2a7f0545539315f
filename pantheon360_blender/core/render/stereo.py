"""Omni-directional stereo: one panorama for each eye, as if the head turned to every direction it looks in.

The eyes run on a circle around the camera's upward axis. A ray that leaves the middle in direction D is shifted
sideways to the eye; the panorama's pixel stays that of D (Ishiguro et al. 1992; Google, "Rendering Omni-directional
Stereo Content", 2015; Blender's Cycles, "spherical stereo"). Each point of a cloud is seen by exactly one such ray, so
that a cloud moved to where an eye sees it renders like any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..panorama.cameras import check_pose

_BLOCK = 1 << 18
_FADES = 4  # passes: an eye's offset depends on the elevation at which it sees a point, and that on the offset


@dataclass(frozen=True)
class Eye:
    """One eye of a head whose middle is the camera.

    offset: metres to the right of the middle; half of the distance between the eyes, negative for the left one.
    convergence: metres at which both eyes see a thing at the same pixel; infinite for parallel eyes.
    merge_from, merge_to: elevations in radians, up and down, between which the offset fades to nothing; None does not.
    """

    offset: float
    convergence: float = math.inf
    merge_from: float | None = None
    merge_to: float = math.pi / 2


def seen_by(eye: Eye, points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Move points to where a camera in the head's middle must see them for its panorama to be the eye's.

    points: (N, 3) float32, world. pose: (4, 4) camera-to-world of the middle.
    Returns (N, 3) float32, world: in the direction of the eye's pixel, at the range from the eye. A point within the
    circle of the eyes is seen by no ray and becomes NaN. Raises PoseError if the pose is no rigid transform.

    >>> import numpy as np
    >>> ahead = np.array([[0, 0, -2]], np.float32)  # two metres ahead is left of the middle for the right eye
    >>> bool(seen_by(Eye(offset=0.03), ahead, np.eye(4))[0, 0] < 0)
    True
    """
    pose = check_pose(pose)
    moved = np.empty((len(points), 3), np.float32)
    for start in range(0, len(points), _BLOCK):
        part = slice(start, start + _BLOCK)
        local = (points[part].astype(np.float64) - pose[:3, 3]) @ pose[:3, :3]
        moved[part] = _seen_locally(eye, local) @ pose[:3, :3].T + pose[:3, 3]
    return moved


def _seen_locally(eye: Eye, points: np.ndarray) -> np.ndarray:
    """`seen_by` in the camera's frame, (n, 3) float64: it looks along -Z with +Y up."""
    right, height, ahead = points[:, 0], points[:, 1], -points[:, 2]
    flat = np.hypot(right, ahead)
    offset = np.full(len(points), eye.offset)
    with np.errstate(all="ignore"):
        elevation = np.arctan2(height, flat)
        for _ in range(_FADES if eye.merge_from is not None else 1):
            faded = offset * _share(eye, elevation)
            along, sideways, distance = _ray(faded, 1.0 / eye.convergence, flat, height)
            elevation = np.arctan2(height, along)
        azimuth = np.arctan2(right, ahead) - np.arctan2(sideways, along)
        level = distance * np.cos(elevation)
        seen = (level * np.sin(azimuth), distance * np.sin(elevation), -level * np.cos(azimuth))
        return np.stack(seen, axis=1)


def _ray(
    offset: np.ndarray, vergence: float, flat: np.ndarray, height: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where on an eye's ray a point lies, (n,) each: how far along its pixel's azimuth, how far to the right of it, and
    the distance from the eye; metres.

    A ray in direction D starts at offset * side and runs along D - vergence * offset * side. The length s along D at
    which it meets the point solves |s D + offset (1 - vergence s) side| = |point|.
    """
    stretch = 1.0 + (offset * vergence) ** 2
    half = offset**2 * vergence
    length = (half + np.sqrt(half**2 - stretch * (offset**2 - height**2 - flat**2))) / stretch
    along = np.sqrt(length**2 - height**2)
    return along, offset * (1.0 - vergence * length), length * np.sqrt(stretch)


def _share(eye: Eye, elevation: np.ndarray) -> np.ndarray:
    """How much of its offset an eye keeps where it looks that far up or down, (n,) in 0...1."""
    if eye.merge_from is None:
        return np.ones(len(elevation))
    through = (np.abs(elevation) - eye.merge_from) / max(eye.merge_to - eye.merge_from, 1e-6)
    share: np.ndarray = np.cos(np.clip(through, 0.0, 1.0) * (math.pi / 2))
    return share

"""A panorama as six padded cube faces: straight lines stay straight, so that a patch is looked up by one homography.

Face f sees direction d of the camera at x = AXES[f] @ d, in pixel (focal * x[0] / x[2] + centre, the same for x[1]).
Faces reach beyond 90 degrees, so that a patch lies on the face that its centre's direction meets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pantheon360_blender.core.panorama import equirectangular

AXES = np.array(
    [
        [[1, 0, 0], [0, -1, 0], [0, 0, -1]],  # front
        [[0, 0, 1], [0, -1, 0], [1, 0, 0]],  # right
        [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],  # back
        [[0, 0, -1], [0, -1, 0], [-1, 0, 0]],  # left
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],  # up
        [[1, 0, 0], [0, 0, 1], [0, -1, 0]],  # down
    ],
    np.float32,
)
"""(6, 3, 3): right, down and forward of each face in the camera's frame."""

GREY = 256
"""Steps of a grey level in `CubeMap.faces`."""
_HALF_ANGLE = np.radians(57.0)


@dataclass(frozen=True, eq=False)
class CubeMap:
    """Faces in a form that is quick to look up: between pixels, one reading gives two of the four around.

    faces: (6, F, F) uint32: the pixel's grey, 0..255, in steps of 1 / GREY, and from bit 16 on that of the pixel to its
    right. valid: (6, F, F) bool. focal: pixels; the centre is at (F - 1) / 2.
    """

    faces: np.ndarray
    valid: np.ndarray
    focal: float


def cube_map(grey: np.ndarray, valid: np.ndarray) -> CubeMap:
    """Cube faces with the angular resolution of the panorama `grey`, (H, W) float32, at their centres.

    valid: (H, W) bool; a face pixel is valid where its nearest panorama pixel is.
    """
    width = grey.shape[1]
    focal = width / (2 * np.pi)
    half = int(np.ceil(focal * np.tan(_HALF_ANGLE)))
    steps = (np.arange(2 * half + 1) - half) / focal
    looking = np.stack([*np.meshgrid(steps, steps), np.ones((len(steps), len(steps)))], axis=-1)
    faces, usable = [], []
    for axes in AXES:
        pixels = equirectangular.directions_to_pixels(looking @ axes.astype(np.float64), width)
        faces.append(equirectangular.sample(grey, pixels))
        row = np.clip(pixels[..., 1].astype(np.intp), 0, len(grey) - 1)
        usable.append(valid[row, pixels[..., 0].astype(np.intp) % width])
    return CubeMap(_pairs(np.stack(faces)), np.stack(usable), focal)


def _pairs(faces: np.ndarray) -> np.ndarray:
    """Grey levels (6, F, F) as CubeMap has them."""
    fixed = np.rint(np.clip(faces, 0, 255) * GREY).astype(np.uint32)
    beside = np.concatenate([fixed[..., 1:], fixed[..., -1:]], axis=-1)
    return np.asarray(fixed | beside << np.uint32(16))

"""A 360° capture as every stage below the scene sees it: pixels, what of them is valid, and a pose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..errors import CaptureError, PoseError
from .cameras import check_pose


@dataclass(frozen=True)
class Capture:
    """An equirectangular photograph with a pose.

    name: what the artist calls it.
    image: (H, W, 3) uint8 sRGB, W == 2 H.
    pose: (4, 4) float64 camera-to-world, Blender world; image centre = camera -Z, top = camera +Y.
    valid: (H, W) bool, False on what is to be ignored (photographer, mask); None means all of it is valid.
    Raises CaptureError if shapes do not fit together, or the pose is not a finite rigid transform.
    """

    name: str
    image: np.ndarray
    pose: np.ndarray
    valid: np.ndarray | None = field(default=None)

    def __post_init__(self) -> None:
        shape = self.image.shape
        if self.image.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or shape[1] != 2 * shape[0]:
            raise CaptureError(
                f"Capture {self.name}: its image is {self.image.dtype} {shape}; (H, 2 H, 3) uint8 is wanted."
            )
        try:
            check_pose(self.pose)
        except PoseError as error:
            raise CaptureError(f"Capture {self.name}: {error.text}", advice=error.advice) from error
        if self.valid is not None and (self.valid.shape != shape[:2] or self.valid.dtype != np.bool_):
            raise CaptureError(f"Capture {self.name}: its mask is {self.valid.shape}, its image {shape[:2]}.")


@dataclass(frozen=True, eq=False)
class UnreadCapture:
    """A capture whose pixels are read when they are needed, for all of a scene's together may not fit into memory.

    name, pose: as of Capture. read: the capture itself; it raises what reading raises.
    """

    name: str
    pose: np.ndarray
    read: Callable[[], Capture]

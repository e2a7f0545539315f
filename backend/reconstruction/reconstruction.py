"""What a reconstructor hands back: poses of the captures and what each of them sees."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .depth_map import DepthMap

__all__ = ["DepthMap", "Reconstruction"]


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Poses and range maps of N captures, in one world.

    poses: (N, 4, 4) float64 camera-to-world, Blender's camera axes; as given if a capture did not register.
    maps: N range maps, None if a capture did not register.
    registered: N booleans.
    notes: sentences for the artist: what was assumed, left out or is worth checking.
    scale_known: whether lengths are metres; else everything may still be scaled by one factor.
    affine: whether inverse ranges may be off by a shift, too: that of networks which know them up to both.
    """

    poses: np.ndarray
    maps: list[DepthMap | None]
    registered: list[bool]
    notes: list[str] = field(default_factory=list)
    scale_known: bool = False
    affine: bool = False

"""What a video says of itself as a sphere, whatever its container."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_FULL_TURN = 180.0
_LIMITS = {"yaw": _FULL_TURN, "pitch": 90.0, "roll": _FULL_TURN}
"""Degrees to either side. Source: Spherical Video RFC, version 2, ProjectionPoseYaw and its neighbours."""


@dataclass(frozen=True)
class SphericalMetadata:
    """What a video says of itself as a sphere.

    projection: "equirectangular", "cubemap", "mesh", or another name as written.
    stereo: "mono", "top-bottom", "left-right", "right-left" or "custom".
    v1, v2: which versions of the metadata there are; where they contradict each other version 2 counts.
    heading: degrees clockwise, pitch: degrees up, roll: degrees clockwise: the pose of the projection in version 2,
        where only version 1 is there the first view's. Angles that cannot be are 0, with a warning.
    bounds: what the picture lacks of the full panorama, (left, top, right, bottom) as shares of its width and height.
    software: what stitched or tagged it.
    warnings: what is damaged or contradictory, in sentences.
    """

    projection: str = "equirectangular"
    stereo: str = "mono"
    v1: bool = False
    v2: bool = False
    heading: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    bounds: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    software: str = ""
    warnings: tuple[str, ...] = ()


def pose(angles: Sequence[float], warnings: list[str]) -> tuple[float, float, float]:
    """(heading, pitch, roll), see SphericalMetadata, of (yaw, pitch, roll) as version 2 has them, in degrees.

    One angle that cannot be makes all three worthless: Blender from 5.2 writes what happened to lie in memory.
    """
    named = dict(zip(_LIMITS, angles, strict=True))
    wrong = [name for name, angle in named.items() if not math.isfinite(angle) or abs(angle) > _LIMITS[name]]
    if wrong:
        told = ", ".join(f"{name} {named[name]:.6g}°" for name in wrong)
        warnings.append(f"It is turned by angles that cannot be ({told}), so players look the wrong way.")
        return 0.0, 0.0, 0.0
    # Yaw turns counter-clockwise as seen from above, a heading clockwise.
    return (-named["yaw"]) % 360.0, named["pitch"], named["roll"]

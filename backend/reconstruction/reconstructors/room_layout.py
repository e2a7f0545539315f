"""Room layout: ground, walls and ceiling of each photograph by itself, from its colours and the camera's height.

Poses must be known; what stands about is taken for a part of what is behind it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.plugins import Plugin
from pantheon360_blender.core.progress import Job, Progress

from ..depth_map import DepthMap, looked_up
from ..reconstruction import Reconstruction
from ..rig import Rig
from ._panoramic import level_from_capture

PLUGIN = {
    "title": "Room Layout",
    "summary": "Ground, walls and ceiling of a room or a street from each photograph alone, without a model",
    "needs": [("cv2", "opencv-python-headless", "colors"), ("scipy", "scipy", "smoothing")],
}
CAMERA_HEIGHT = 1.6
"""Metres, if nobody says how high the cameras stood."""


class RoomLayouts:
    """One range map a capture. Options: width of the maps, camera_height (None is CAMERA_HEIGHT)."""

    confidence = 0.25

    def __init__(self) -> None:
        self.plugin = Plugin.from_literal(__name__.rpartition(".")[2], PLUGIN)

    def missing(self, options: dict[str, Any] | None = None) -> str:
        """Empty if it can run, else what is missing and how to get it."""
        for need in self.plugin.needs:
            if importlib.util.find_spec(need.module) is None:
                return f"{self.plugin.title} needs the Python package {need.package}."
        return ""

    def reconstruct(self, rigs: Sequence[Rig], options: dict[str, Any]) -> Job[Reconstruction]:
        """Range maps of the rigs' captures, where they stand.

        Raises PantheonError, code "reconstructor-missing" if a package is not there.
        """
        lacking = self.missing()
        if lacking:
            raise PantheonError(f"{self.plugin.title} cannot run here.", advice=lacking, code="reconstructor-missing")
        height = options.get("camera_height")
        maps: list[DepthMap | None] = []
        for index, rig in enumerate(rigs):
            yield Progress("Finding ground and walls", index, len(rigs), text=rig.capture.name)
            maps.append(_seen(rig, float(height or CAMERA_HEIGHT), int(options["width"])))
        notes = ["Ground, walls and ceiling are guessed from each photograph alone: look at them first."]
        if height is None:
            notes.append(f"The cameras are taken to have stood {CAMERA_HEIGHT:g} m above the ground.")
        poses = np.stack([rig.capture.pose for rig in rigs])
        return Reconstruction(poses, maps, [True] * len(rigs), notes, scale_known=height is not None)


def _seen(rig: Rig, camera_height: float, width: int) -> DepthMap:
    """The range map of a capture, whichever way it is turned."""
    from ..room_layout import room_layout
    from ..sky import sky_mask

    capture = rig.capture
    level = level_from_capture(capture)
    image = equirectangular.rotate(capture.image, level.T)
    valid = None if capture.valid is None else equirectangular.rotate(capture.valid, level.T)
    layout = room_layout.estimate(image, camera_height, valid)
    made = layout.depth_map(sky_mask(equirectangular.resize(image, width)))
    return made if np.allclose(level, np.eye(3), atol=1e-6) else looked_up(made, level, width)


RECONSTRUCTOR = RoomLayouts()

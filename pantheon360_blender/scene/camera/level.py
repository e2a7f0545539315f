"""A level horizon: the scene's camera turned upright, where it stands and at the keyframes of its rotation."""

from __future__ import annotations

import math

import bpy
from mathutils import Matrix, Vector

from ...core import repairs
from ...core.errors import RenderError
from ..app import versions
from . import camera_path

TILTED = math.radians(1.0)
"""From this tilt on an artist is told."""

_STRAIGHT = 1e-3  # of the view direction's horizontal part: a camera that looks straight down has no heading of its own


def level(scene: bpy.types.Scene) -> float:
    """Turn the scene's camera about its own place until its upward axis is the world's; its heading stays.

    If its rotation is animated, each of its keyframes is levelled. Parents are honoured.
    Returns the largest tilt that there was, radians. Raises RenderError if the scene has no camera, if it is linked
    from another file, or if constraints or drivers hold it tilted.
    """
    camera = scene.camera
    if camera is None:
        raise RenderError(
            f"Scene {scene.name} has no camera.",
            advice="Let Set Path Ends make one.",
            code="no-camera",
            repair=repairs.SET_PATH_ENDS,
        )
    camera_path.refuse_linked(camera)
    path = camera_path.rotation_path(camera)
    keyed = sorted({point.co[0] for curve in versions.fcurves(camera, path) for point in curve.keyframe_points})
    tilt = 0.0
    with camera_path.frame_restored(scene):
        for frame in keyed or [scene.frame_current_final]:
            if keyed:
                camera_path.go_to(scene, frame)
            tilt = max(tilt, camera_path.tilt(camera))
            before = tuple(getattr(camera, path))
            camera.matrix_world = _upright(camera.matrix_world)
            camera_path.turn_the_short_way(camera, before)
            if keyed:
                camera.keyframe_insert(path, frame=frame)
    left = camera_path.tilt_now(scene)
    if left > TILTED:
        raise RenderError(
            f"{camera.name} is still tilted by {math.degrees(left):.0f}°: constraints or drivers turn it.",
            advice="Mute them, or let them hold it level.",
        )
    return tilt


def _upright(world_from_camera: Matrix) -> Matrix:
    """The same place, scale and heading, with the camera's +Y along the world's +Z."""
    place, turn, scale = world_from_camera.decompose()
    ahead = turn @ Vector((0.0, 0.0, -1.0))
    if ahead.xy.length < _STRAIGHT:  # looking straight down, its top edge points ahead; straight up, its lower one
        ahead = turn @ Vector((0.0, 1.0, 0.0)) * -math.copysign(1.0, ahead.z)
    heading = math.atan2(-ahead.x, ahead.y)
    upright = Matrix.Rotation(heading, 4, "Z") @ Matrix.Rotation(math.pi / 2, 4, "X")
    return Matrix.Translation(place) @ upright @ Matrix.Diagonal(scale).to_4x4()

"""Keyframes of the scene's own camera: poses of the world, written through its parents, as an artist would."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ...core.panorama import camera_moves
from ..app import access, versions
from . import camera_path


def stand_at(camera: bpy.types.Object, pose: np.ndarray, *, turned: bool) -> None:
    """Move the camera to a pose of the world, through its parents; its scale stays, its rotation if not `turned`."""
    untouched = ["scale"] if turned else ["scale", *camera_path.ROTATIONS.values()]
    kept = [(name, tuple(getattr(camera, name))) for name in untouched]
    before = tuple(getattr(camera, camera_path.rotation_path(camera)))
    axes = pose[:3, :3] if turned else np.array(camera.matrix_world.to_3x3().normalized())
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3], world_from_camera[:3, 3] = axes, pose[:3, 3]
    camera.matrix_world = Matrix(world_from_camera.tolist()) @ Matrix.Diagonal(camera.matrix_world.to_scale().to_4d())
    for name, value in kept:
        setattr(camera, name, value)
    if turned:
        camera_path.turn_the_short_way(camera, before)


def key(camera: bpy.types.Object, frame: float, *, turned: bool) -> None:
    """A keyframe of the camera as it stands: of its location, and of its rotation if `turned`."""
    camera.keyframe_insert("location", frame=frame)
    if turned:
        camera.keyframe_insert(camera_path.rotation_path(camera), frame=frame)


def new_camera(scene: bpy.types.Scene, places: Sequence[np.ndarray]) -> bpy.types.Object:
    """A camera as an artist would add it: level, looking from the first place, (3,), to the last."""
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    way = Vector(places[-1] - places[0])
    heading = math.atan2(-way.x, way.y) if way.xy.length > 1e-6 else 0.0
    camera.rotation_euler = (math.pi / 2, 0.0, heading)
    access.evaluated(scene)
    return camera


def lay(
    scene: bpy.types.Scene, frames: Sequence[int], poses: np.ndarray, *, turned: bool, eased: bool = False
) -> bpy.types.Object:
    """Make these poses the scene's camera's whole path, and its frame range theirs: older keyframes go.

    frames: growing, of the K poses (K, 4, 4) in the scene's units. turned: whether their rotation is keyframed; if not,
    the camera's own, keyframed or not, stays. eased: begin and end at rest. A scene without a camera gets one.
    Returns the camera. Raises RenderError if it is linked from another file.
    """
    camera_path.refuse_linked(scene.camera)
    camera = scene.camera or new_camera(scene, [pose[:3, 3] for pose in poses])
    paths = ["location", *([camera_path.rotation_path(camera)] if turned else [])]
    with camera_path.frame_restored(scene):
        for path in paths:
            _forget(camera, path)
        for frame, pose in zip(frames, poses, strict=True):
            camera_path.go_to(scene, frame)
            stand_at(camera, pose, turned=turned)
            key(camera, frame, turned=turned)
    for path in paths:
        _smooth_handles(camera, path, eased=eased)
    scene.frame_start, scene.frame_end = frames[0], frames[-1]
    scene.camera = camera
    return camera


def _forget(camera: bpy.types.Object, path: str) -> None:
    for curve in versions.fcurves(camera, path):
        for place in sorted({point.co[0] for point in curve.keyframe_points}, reverse=True):
            camera.keyframe_delete(path, index=curve.array_index, frame=place)


def _smooth_handles(camera: bpy.types.Object, path: str, *, eased: bool) -> None:
    """A steady pace through every keyframe: handles along the parabola of each one and its neighbours.

    Blender's automatic handles lie flat at both ends, so that every path would begin and end at rest.
    """
    for curve in versions.fcurves(camera, path):
        points: Any = curve.keyframe_points
        frames, values = np.array([point.co for point in points], np.float64).T
        slopes = camera_moves.parabolic_slopes(frames, values)
        if eased:
            slopes[[0, -1]] = 0.0
        before, after = np.diff(frames, prepend=frames[0] - 1) / 3, np.diff(frames, append=frames[-1] + 1) / 3
        for point, slope, left, right in zip(points, slopes, before, after, strict=True):
            point.interpolation = "BEZIER"
            point.handle_left_type = point.handle_right_type = "ALIGNED"
            frame, value = point.co
            point.handle_left = (frame - left, value - slope * left)
            point.handle_right = (frame + right, value + slope * right)
        curve.update()

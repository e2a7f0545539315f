"""The camera's path: poses of the scene's own camera, frame by frame, as the depsgraph evaluates it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import bpy
import numpy as np
from mathutils import Euler, Quaternion

from ...core import repairs
from ...core.errors import RenderError
from ...core.panorama import cameras
from ...core.progress import Job, Progress
from ..app.access import SceneReference, evaluated, scene_of

Reading = TypeVar("Reading")

BATCH_SECONDS = 0.1
"""How long frames are stepped through before the current frame is put back and the interface gets its turn."""

AT_A_CAPTURE = 0.01
"""Metres within which a camera stands at a capture, so that its frame is known to look like it."""


ROTATIONS = {
    "QUATERNION": "rotation_quaternion",
    "AXIS_ANGLE": "rotation_axis_angle",
    "XYZ": "rotation_euler",
}
"""Property that holds the rotation in each mode; every order of Euler angles shares one."""


def pose(depsgraph: bpy.types.Depsgraph) -> np.ndarray:
    """The pose of the scene's camera as this depsgraph has evaluated it.

    Constraints, parents, drivers, actions and NLA are in it; scale and shear of parents are taken out.
    Returns (4, 4) float64, camera-to-world, camera looks along -Z with +Y up.
    Raises RenderError if the scene has no camera.
    """
    camera = _camera(scene_of(depsgraph))
    return cameras.without_scale(np.array(camera.evaluated_get(depsgraph).matrix_world, dtype=np.float64))


def poses(scene: bpy.types.Scene, frames: Sequence[float]) -> Job[np.ndarray]:
    """Read the scene's camera at each of these frames, fractions allowed; see `visit`.

    Cameras bound to timeline markers are honoured.
    Returns (F, 4, 4) float64 poses as in `pose`. Raises RenderError if a frame has no camera.
    """
    _camera(scene)
    found = yield from visit(scene, frames, pose, "Camera path")
    return np.array(found, dtype=np.float64).reshape(-1, 4, 4)


def stands_at(camera: np.ndarray, captures: Sequence[np.ndarray], metre: float = 1.0) -> int | None:
    """Which of the captures a camera stands at, the nearest one; None if it stands at none.

    All are (4, 4) poses. metre: in their units.
    """
    distances = [float(np.linalg.norm(capture[:3, 3] - camera[:3, 3])) for capture in captures]
    nearest = min(distances, default=math.inf)
    return distances.index(nearest) if nearest <= AT_A_CAPTURE * metre else None


def visit(
    scene: bpy.types.Scene, frames: Sequence[float], read: Callable[[bpy.types.Depsgraph], Reading], phase: str
) -> Job[list[Reading]]:
    """Evaluate the scene at each of these frames and call `read` with the depsgraph.

    A job: between its steps, at its end and if it is cancelled the scene stands at its own current frame, so that
    an artist sees no flicker and edits made meanwhile are seen by the frames that follow.
    Returns what `read` returned, one a frame. Raises RenderError if the scene disappears meanwhile.
    """
    reference = SceneReference(scene)
    found: list[Reading] = []
    while len(found) < len(frames):
        yield Progress(phase, len(found), len(frames), text=f"frame {frames[len(found)]:g}")
        current = reference.scene
        with frame_restored(current):
            until = time.monotonic() + BATCH_SECONDS
            for frame in frames[len(found) :]:
                found.append(read(go_to(current, frame)))
                if time.monotonic() > until:
                    break
    yield Progress(phase, len(found), len(frames))
    return found


def tilt(camera: bpy.types.Object) -> float:
    """Angle in radians between a camera's own upward axis and the world's, as it stands: 0 is a level horizon."""
    return float(camera.matrix_world.to_3x3().col[1].angle((0.0, 0.0, 1.0), 0.0))


def tilt_now(scene: bpy.types.Scene) -> float:
    """The tilt of the scene's camera at the current frame, evaluated anew."""
    return tilt(_camera(scene).evaluated_get(evaluated(scene)))


def rotation_path(camera: bpy.types.Object) -> str:
    """The property that holds a camera's rotation in its rotation mode."""
    return ROTATIONS.get(camera.rotation_mode, "rotation_euler")


def turn_the_short_way(camera: bpy.types.Object, before: Sequence[float]) -> None:
    """Of the numbers that mean one rotation take those nearest to the ones before: interpolation is of numbers."""
    if camera.rotation_mode == "QUATERNION":
        if camera.rotation_quaternion.dot(Quaternion(before)) < 0:
            camera.rotation_quaternion.negate()
    elif camera.rotation_mode != "AXIS_ANGLE":
        euler = camera.rotation_euler.copy()
        euler.make_compatible(Euler(before, camera.rotation_mode))
        camera.rotation_euler = euler


def refuse_linked(camera: bpy.types.Object | None) -> None:
    """Raises RenderError if keyframes on this camera would be lost when this file is saved."""
    action = camera.animation_data.action if camera and camera.animation_data else None
    if camera and (camera.library or (action and action.library)):
        what = camera.name if camera.library else f"The action of {camera.name}"
        raise RenderError(
            f"{what} is linked from another file: keyframes would be lost when this one is saved.",
            advice="Make it local with Object > Relations > Make Local, or choose another camera.",
        )


def go_to(scene: bpy.types.Scene, frame: float) -> bpy.types.Depsgraph:
    """Make `frame`, fractions allowed, the scene's current frame and return its evaluated depsgraph."""
    whole = math.floor(frame)
    scene.frame_set(whole, subframe=float(frame - whole))
    return evaluated(scene)


@contextmanager
def frame_restored(scene: bpy.types.Scene) -> Iterator[None]:
    """Put the scene back to its current frame when the block ends, whichever way it ends."""
    frame, subframe, camera = scene.frame_current, scene.frame_subframe, scene.camera
    try:
        yield
    finally:
        if (scene.frame_current, scene.frame_subframe) != (frame, subframe):
            scene.frame_set(frame, subframe=subframe)
        if scene.camera != camera:  # timeline markers may have bound another one than the artist had chosen here
            scene.camera = camera


def frame_numbers(scene: bpy.types.Scene, step: int = 1) -> list[int]:
    """The whole frames of the scene's range, every `step`-th. Raises RenderError if the range is empty."""
    frames = list(range(scene.frame_start, scene.frame_end + 1, max(step, 1)))
    if not frames:
        raise RenderError(
            f"Scene {scene.name} ends at frame {scene.frame_end}, before it starts at {scene.frame_start}.",
            advice="Set the frame range in the Output properties.",
        )
    return frames


def _camera(scene: bpy.types.Scene) -> bpy.types.Object:
    if scene.camera is None:
        raise RenderError(
            f"Scene {scene.name} has no camera.",
            advice="Add one and animate it, or let Set Path Ends make one.",
            code="no-camera",
            repair=repairs.SET_PATH_ENDS,
        )
    return scene.camera

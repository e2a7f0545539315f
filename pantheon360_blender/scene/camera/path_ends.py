"""The ends of the camera's path: keyframes that put the scene's own camera into captures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np

from ...core.errors import CaptureError
from ...core.plain_text import filled
from ..app import access, units
from ..captures import capture_objects
from ..captures.capture_files import Warn, logged
from . import camera_path, keyframes


def set_path_ends(scene: bpy.types.Scene, warn: Warn = logged) -> list[int]:
    """Keyframe the scene's camera so that it starts at the start capture and ends at the end capture.

    An end without a chosen capture is left alone; with none chosen at all the first and the last capture are taken.
    Location is keyframed at the scene's first and last frame; with Match Orientation the rotation too, in the
    camera's own rotation mode. Without it the camera's rotation, keyframed or not, is left as it is. Parents of the
    camera are honoured. A scene without a camera gets one, level, looking along the way.
    warn: told if the keyframes have no effect because constraints or drivers hold the camera elsewhere.
    Returns the frames that got keyframes. Raises CaptureError if the scene has no capture to go to, RenderError
    if the camera is linked from another file.
    """
    ends = _ends(scene)
    camera_path.refuse_linked(scene.camera)
    match = bool(access.of_scene(scene).match_orientation)
    with camera_path.frame_restored(scene):
        poses = [(frame, capture_objects.pose(obj, camera_path.go_to(scene, frame))) for frame, obj in ends]
        camera = scene.camera or keyframes.new_camera(scene, [pose[:3, 3] for _, pose in poses])
        for frame, pose in poses:
            camera_path.go_to(scene, frame)
            keyframes.stand_at(camera, pose, turned=match)
            keyframes.key(camera, frame, turned=match)
        metre = units.per_metre(scene)
        missed = [
            frame for frame, pose in poses if not _stands_at(camera, camera_path.go_to(scene, frame), pose, metre)
        ]
    scene.camera = scene.camera or camera
    if missed:
        missing = filled(
            "{camera} does not stand at its capture at frame {frames}: "
            "constraints or drivers move it, too. Mute them, or let them lead it there.",
            camera=camera.name, frames=" and ".join(map(str, missed)),
        )  # fmt: skip
        warn(missing)
    return [frame for frame, _ in poses]


def begin_path(scene: bpy.types.Scene, posed: Sequence[bpy.types.Object]) -> str:
    """Give a scene whose camera does not move one that goes from the first of these captures to the last.

    A camera that moves, is held by a parent, constraints or markers, or renders panoramas already is left to lead; any
    other stays as it is, and is no longer the one that renders. Ends that were chosen are kept.
    Returns a sentence that says so, empty if nothing was done.
    """
    settings, found = access.of_scene(scene), scene.camera
    bound = any(marker.camera is not None for marker in scene.timeline_markers)
    if len(posed) < 2 or bound or (found is not None and _leads(found)):
        return ""
    settings.start_capture = settings.start_capture or posed[0]
    settings.end_capture = settings.end_capture or posed[-1]
    scene.camera = None
    try:
        set_path_ends(scene)
    except CaptureError:  # an end that was chosen is in another scene
        scene.camera = found
        return ""
    camera: Any = scene.camera
    camera.name = "Path Camera"
    begins, ends = settings.start_capture.name, settings.end_capture.name
    kept = filled(" {camera} is as it was.", camera=found.name) if found is not None else ""
    return filled(
        "{camera} renders, and goes from {begins} to {ends}: animate it as you like.{kept}",
        camera=camera.name, begins=begins, ends=ends, kept=kept,
    )  # fmt: skip


def _leads(camera: bpy.types.Object) -> bool:
    """Whether a person has decided where a camera stands."""
    data: Any = camera.data
    moved = camera.animation_data is not None or camera.parent is not None or len(camera.constraints) > 0
    return moved or camera.library is not None or getattr(data, "type", "PERSP") == "PANO"


def _ends(scene: bpy.types.Scene) -> list[tuple[int, bpy.types.Object]]:
    """Frame and capture of each end that is to be set."""
    settings = access.of_scene(scene)
    there = capture_objects.some_in_scene(scene)
    if settings.start_capture is None and settings.end_capture is None:
        settings.start_capture, settings.end_capture = there[0], there[-1]
    chosen = ((scene.frame_start, settings.start_capture), (scene.frame_end, settings.end_capture))
    ends = [(frame, obj) for frame, obj in chosen if obj is not None]
    for _, obj in ends:
        if obj not in there:
            raise CaptureError(f"Capture {obj.name} is not in scene {scene.name}.", advice="Choose another one.")
    return ends


def _stands_at(camera: bpy.types.Object, depsgraph: bpy.types.Depsgraph, pose: np.ndarray, metre: float) -> bool:
    return camera_path.stands_at(np.array(camera.evaluated_get(depsgraph).matrix_world), [pose], metre) is not None

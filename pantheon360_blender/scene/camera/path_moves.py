"""Moves that lay the scene's camera's path: through captures, round a point, along a curve, at eye height, smoothed.

All of them write ordinary keyframes and set the frame range to them; what an artist changes afterwards stays changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import bpy
import numpy as np

from ...core.errors import CaptureError, RenderError
from ...core.panorama import camera_moves
from ...core.plain_text import filled
from ...core.progress import Job
from ..app import access, meshes, units
from ..cache import cache_objects
from ..captures import capture_objects
from . import camera_path, keyframes

Facing = Literal["ALONG", "KEEP", "CAPTURES", "INWARD"]
"""Where a camera looks: along its way, as it does, as the captures do, at what it goes round."""

_KEYS_A_TURN = 24
_CURVE_STEP = 1.0  # metres between two keyframes on a curve, at most
_GROUND_REACH = 1.0  # metres in plan


def through_captures(scene: bpy.types.Scene, speed: float, facing: Facing, *, eased: bool) -> str:
    """A path through all captures of the scene in their order. speed: metres a second. facing: ALONG, CAPTURES or KEEP.

    Returns a sentence on it. Raises CaptureError if there are no two captures in different places.
    """
    depsgraph = access.evaluated(scene)
    poses = np.array([capture_objects.pose(obj, depsgraph) for obj in capture_objects.some_in_scene(scene)])
    moved = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) > 1e-4 * units.per_metre(scene)
    poses = poses[np.concatenate([[True], moved])]
    if len(poses) < 2:
        raise CaptureError(
            "A path needs two captures in different places.", advice="Build a 3D cache, which poses them, first."
        )
    if facing != "CAPTURES":
        places = camera_moves.through(poses[:, :3, 3], _CURVE_STEP * units.per_metre(scene))
        poses = _poses(places, camera_moves.along(places))
    return _lay(scene, poses, speed, turned=facing != "KEEP", eased=eased)


def orbit(scene: bpy.types.Scene, turns: float, speed: float, facing: Facing) -> str:
    """A path on a level circle round the 3D cursor, from where the camera stands. speed: metres a second.

    turns: rounds, anticlockwise. facing: INWARD, ALONG or KEEP. Returns a sentence on it.
    Raises RenderError if there is no camera, or if it stands above the cursor.
    """
    center = np.array(scene.cursor.location)
    start = camera_path.pose(access.evaluated(scene))[:3, 3]
    if np.hypot(*(start - center)[:2]) < 0.01 * units.per_metre(scene):
        raise RenderError("The camera stands above the 3D cursor.", advice="Move one of them aside: it goes round it.")
    places = camera_moves.around(center, start, turns, max(3, round(_KEYS_A_TURN * abs(turns)) + 1))
    axes = camera_moves.towards(places, center) if facing == "INWARD" else camera_moves.along(places)
    return _lay(scene, _poses(places, axes), speed, turned=facing != "KEEP", eased=False)


def follow_curve(scene: bpy.types.Scene, curve: bpy.types.Object, speed: float, facing: Facing, *, eased: bool) -> str:
    """A path along the first spline of a curve. speed: metres a second. facing: ALONG or KEEP.

    Returns a sentence on it. Raises RenderError if it is no line.
    """
    places = camera_moves.spaced(_line(scene, curve), _CURVE_STEP * units.per_metre(scene))
    return _lay(scene, _poses(places, camera_moves.along(places)), speed, turned=facing != "KEEP", eased=eased)


def walk(scene: bpy.types.Scene, eye_height: float) -> Job[str]:
    """The path as it is, at eye height above the ground of the 3D cache: a second lies between two keyframes.

    eye_height: in the scene's units. Where the cache has no ground below, the height comes from before and behind.
    Returns a sentence on it. Raises RenderError without a camera, or if no ground lies below any of its places.
    """
    frames = camera_path.frame_numbers(scene, max(1, round(scene.render.fps / scene.render.fps_base)))
    frames += [scene.frame_end] if frames[-1] != scene.frame_end else []
    reach = _GROUND_REACH * units.per_metre(scene)
    points = cache_objects.evaluated_points(access.evaluated(scene)).points
    poses = yield from camera_path.poses(scene, frames)
    ground = camera_moves.ground_below(poses[:, :3, 3], points, reach)
    known = np.isfinite(ground)
    if not known.any():
        raise RenderError(
            "No ground of the 3D cache lies below the camera's path.",
            advice="Move the path over the cache, or build one that reaches below it.",
        )
    poses[:, 2, 3] = eye_height + np.interp(frames, np.array(frames)[known], ground[known])
    camera = keyframes.lay(scene, frames, poses, turned=False)
    height = units.length(scene, eye_height)
    return filled(
        "{camera} walks {height} above the ground, with {count} keyframes",
        camera=camera.name, height=height, count=len(frames),
    )  # fmt: skip


def smooth(scene: bpy.types.Scene, seconds: float) -> Job[str]:
    """The path as it is without its jerks: what is shorter than `seconds` is evened out; both ends stay.

    Returns a sentence on it. Raises RenderError without a camera.
    """
    frames = camera_path.frame_numbers(scene)
    poses = yield from camera_path.poses(scene, frames)
    sigma = max(seconds * scene.render.fps / scene.render.fps_base, 1.0)
    poses = camera_moves.smoothed(poses, sigma)
    step = max(1, round(sigma / 2))
    kept = [*range(0, len(frames) - 1, step), len(frames) - 1]
    camera = keyframes.lay(scene, [frames[index] for index in kept], poses[kept], turned=True)
    return filled("{camera} moves smoothly, with {count} keyframes", camera=camera.name, count=len(kept))


def _lay(scene: bpy.types.Scene, poses: np.ndarray, speed: float, *, turned: bool, eased: bool) -> str:
    """Keyframes on whole frames from the scene's first one on, at a pace in metres a second."""
    fps, metre = scene.render.fps / scene.render.fps_base, units.per_metre(scene)
    seconds = camera_moves.seconds_along(poses[:, :3, 3], speed * metre)
    steps = np.maximum(np.diff(np.rint(seconds * fps)), 1)
    frames = (scene.frame_start + np.concatenate([[0], np.cumsum(steps)])).astype(int).tolist()
    camera = keyframes.lay(scene, frames, poses, turned=turned, eased=eased)
    way = units.length(scene, float(seconds[-1] * speed * metre))
    return filled(
        "{camera} goes {way} in {seconds:.1f} s, frames {first} to {last}",
        camera=camera.name, way=way, seconds=seconds[-1], first=frames[0], last=frames[-1],
    )  # fmt: skip


def _poses(places: np.ndarray, axes: np.ndarray) -> np.ndarray:
    poses = np.tile(np.eye(4), (len(places), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = axes, places
    return poses


def _line(scene: bpy.types.Scene, curve: bpy.types.Object) -> np.ndarray:
    """Places (N, 3) along the first spline of a curve as it is evaluated, in the world. Raises RenderError."""
    evaluated = curve.evaluated_get(access.evaluated(scene))
    mesh: Any = evaluated.to_mesh()
    try:
        edges = np.empty(2 * len(mesh.edges), np.int32)
        mesh.edges.foreach_get("vertices", edges)
        corners = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", corners)
        faces = len(mesh.polygons)
    finally:
        evaluated.to_mesh_clear()
    if faces:
        raise RenderError(
            f"Curve {curve.name} has a surface.", advice="Set its bevel depth and extrusion to 0: a path is a line."
        )
    order = _in_order(edges.reshape(-1, 2).tolist())
    if len(order) < 2:
        raise RenderError(f"Curve {curve.name} is no line.", advice="Give it a spline with two points or more.")
    return meshes.transformed(corners.reshape(-1, 3)[order], evaluated.matrix_world)


def _in_order(edges: Sequence[Sequence[int]]) -> list[int]:
    """Vertices of the first line among a curve's edges, which follow one another; a closed one ends where it began."""
    order: list[int] = []
    for first, second in edges:
        if order and first != order[-1]:
            break
        order += [second] if order else [first, second]
    return order

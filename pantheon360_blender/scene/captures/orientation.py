"""Up axis, ground and scale of a place: one similarity moves its captures, its 3D cache and its proxy together.

The camera and everything else of the artist's stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ...core import repairs
from ...core.errors import PoseError
from ...core.panorama import cameras
from ..app import access, units
from ..app.access import of_object
from ..app.meshes import transformed
from . import capture_objects

_ROUNDS = 10
_UP = np.array([0.0, 0.0, 1.0])


def level(scene: bpy.types.Scene) -> float:
    """Turn the place so that its captures stand upright in the mean, about their middle.

    A 360° camera is held more or less upright: the mean of the captures' upward axes, levelling included, is the way
    up. Returns the angle turned by, radians. Raises PoseError without captures.
    """
    depsgraph = access.evaluated(scene)
    poses = [capture_objects.pose(obj, depsgraph) for obj in capture_objects.in_scene(scene)]
    if not poses:
        raise PoseError(
            "The scene has no capture to be leveled by.",
            advice="Import 360° photographs first.",
            repair=repairs.IMPORT_CAPTURES,
        )
    up = np.mean([pose[:3, 1] for pose in poses], axis=0)
    if np.linalg.norm(up) < 0.1:
        raise PoseError("The captures do not agree which way is up.", advice="Level them one by one first.")
    return _turn_up(scene, up, np.mean([pose[:3, 3] for pose in poses], axis=0))


def scale(scene: bpy.types.Scene, first: np.ndarray, second: np.ndarray, distance: float) -> float:
    """Scale the place about `first` so that two points, (3,) metres, world, come to be `distance` metres apart.

    Returns the factor. Raises PoseError if the points coincide, or the distance is none.
    """
    apart = float(np.linalg.norm(np.asarray(second, np.float64) - first))
    if not apart > 1e-9 or not 0 < distance < np.inf:
        raise PoseError(
            f"A distance of {units.length(scene, apart)} cannot be scaled to {units.length(scene, distance)}.",
            advice="Select two points that are apart.",
        )
    factor = distance / apart
    move(scene, _about(first, np.eye(3) * factor))
    return factor


def floor(scene: bpy.types.Scene, points: np.ndarray) -> float:
    """Turn and lift the place so that the plane through points, (N, 3) metres, world, becomes z = 0.

    Points off the plane that most of them lie on, such as a kerb's, lose their say. The captures, or else the scene's
    upper half, are above it. Returns the angle turned by, radians. Raises PoseError if the points tell no plane.
    """
    middle, normal = plane(points)
    depsgraph = access.evaluated(scene)
    eyes = [capture_objects.pose(obj, depsgraph)[:3, 3] for obj in capture_objects.in_scene(scene)]
    above = float(np.median([(eye - middle) @ normal for eye in eyes])) if eyes else float(normal[2])
    normal = normal if above >= 0 else -normal
    angle = _turn_up(scene, normal, middle)
    lift = np.eye(4)
    lift[2, 3] = -middle[2]
    move(scene, lift)
    return angle


def plane(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a plane to (N, 3) points: a point on it and its unit normal, (3,) float64.

    Least squares, reweighted by the residual so that outliers lose their say. Raises PoseError if fewer than three
    are given, or all lie on a line.
    """
    points = np.asarray(points, np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    weight = np.ones(len(points))
    for _ in range(_ROUNDS):
        if len(points) < 3:
            break
        middle = weight @ points / weight.sum()
        _, spread, axes = np.linalg.svd((points - middle) * np.sqrt(weight)[:, None], full_matrices=False)
        if spread[1] < 1e-6 * max(spread[0], 1e-300):
            break
        residual = np.abs((points - middle) @ axes[2])
        usual = max(1.5 * float(np.median(residual)), 1e-6 * spread[0] / np.sqrt(len(points)))
        weight = 1.0 / (1.0 + (residual / usual) ** 2)
    else:
        return middle, axes[2]
    raise PoseError(
        f"{len(points)} points tell no plane.", advice="Select three or more points of the floor that are not in line."
    )


def move(scene: bpy.types.Scene, new_from_old: np.ndarray) -> list[bpy.types.Object]:
    """Apply a similarity (4, 4), world, to the scene's captures, caches and projection geometry.

    An object whose parent is moved follows it. Captures keep their scale, which says nothing about the photograph.
    Returns the objects that were moved.
    """
    place = [obj for obj in scene.objects if _belongs(obj)]
    roots = [obj for obj in place if not any(parent in place for parent in _parents(obj))]
    before = {obj: np.array(obj.matrix_world, np.float64) for obj in roots}
    for obj in roots:
        moved = new_from_old @ before[obj]
        if of_object(obj).is_capture:
            size = np.cbrt(abs(np.linalg.det(new_from_old[:3, :3])))
            moved[:3, :3] /= size
        obj.matrix_world = Matrix(moved.tolist())
    access.evaluated(scene)
    return roots


def held(scene: bpy.types.Scene) -> list[str]:
    """Names of the place's objects that keyframes, drivers or constraints hold where they are."""
    return [obj.name for obj in scene.objects if _belongs(obj) and _is_held(obj)]


def selected_points(objects: Iterable[bpy.types.Object], vertices: bool) -> np.ndarray:
    """(N, 3) float64 metres, world: the selected vertices of meshes, or the origins of the objects themselves."""
    found = [np.empty((0, 3))]
    for obj in objects:
        if not vertices:
            found.append(np.array(obj.matrix_world.translation, np.float64)[None])
        elif obj.type == "MESH":
            mesh: Any = obj.data
            selected = np.empty(len(mesh.vertices), np.bool_)
            place = np.empty(3 * len(mesh.vertices), np.float32)
            mesh.vertices.foreach_get("select", selected)
            mesh.vertices.foreach_get("co", place)
            found.append(transformed(place.reshape(-1, 3)[selected], obj.matrix_world))
    return np.concatenate(found)


def _turn_up(scene: bpy.types.Scene, up: np.ndarray, about: np.ndarray) -> float:
    """Turn the place about a point by the shortest way that brings `up` to the world's; radians."""
    up = up / np.linalg.norm(up)
    axis = np.cross(up, _UP)
    sine, cosine = float(np.linalg.norm(axis)), float(up @ _UP)
    angle = float(np.arctan2(sine, cosine))
    if angle < 1e-9:
        return 0.0
    axis = axis / sine if sine > 1e-9 else np.array([1.0, 0.0, 0.0])
    half = np.array([np.cos(angle / 2), *(np.sin(angle / 2) * axis)])
    move(scene, _about(about, cameras.matrix_from_quaternion(half)))
    return angle


def _about(point: np.ndarray, linear: np.ndarray) -> np.ndarray:
    new_from_old = np.eye(4)
    new_from_old[:3, :3] = linear
    new_from_old[:3, 3] = point - linear @ point
    return new_from_old


def _belongs(obj: bpy.types.Object) -> bool:
    settings = of_object(obj)
    return bool(settings.is_capture or settings.is_cache or settings.is_geometry)


def _parents(obj: bpy.types.Object) -> Iterable[bpy.types.Object]:
    parent = obj.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def _is_held(obj: bpy.types.Object) -> bool:
    data: Any = obj.animation_data
    animated = data is not None and (data.action is not None or any(data.drivers))
    return animated or any(constraint.enabled for constraint in obj.constraints)

"""What a camera's path and the cache around it look like, as a digest: whether something found of them still holds.

Nothing is evaluated, so that a panel may ask at every redraw. A digest tells of keyframes, parents, constraints and
their targets, of captures, of the frame range, and of each cache's transform, modifiers and the places of its points;
not of drivers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np

from ..app import versions
from ..app.access import of_object
from ..cache import content
from ..captures import capture_objects

_SAMPLES = 256
_TRANSFORM = ("location", "rotation_euler", "rotation_quaternion", "rotation_axis_angle", "scale")


def digest(scene: bpy.types.Scene) -> str:
    """Hexadecimal digits that change with the path, the captures or the cache."""
    mixed = hashlib.sha256()
    for part in _parts(scene):
        mixed.update(repr(part).encode("utf-8", "replace"))
    return mixed.hexdigest()[:16]


def _parts(scene: bpy.types.Scene) -> Iterator[Any]:
    render = scene.render
    yield scene.frame_start, scene.frame_end, render.fps, render.fps_base
    known: set[str] = set()
    if scene.camera is not None:
        yield from _movement(scene.camera, known)
    for marker in scene.timeline_markers:
        if marker.camera is not None:
            yield marker.frame, marker.camera.name
            yield from _movement(marker.camera, known)
    for capture in capture_objects.in_scene(scene):
        yield from _movement(capture, known)
    for obj in scene.objects:
        if of_object(obj).is_cache:
            yield from _movement(obj, known)
            yield from _points(obj)


def _movement(obj: bpy.types.Object, known: set[str]) -> Iterator[Any]:
    """What moves an object: itself, its parents and the targets of its constraints."""
    if obj.name in known:
        return
    known.add(obj.name)
    yield obj.name
    animated = set()
    for path in _TRANSFORM:
        for curve in versions.fcurves(obj, path):
            animated.add(path)
            places = np.empty(2 * len(curve.keyframe_points), np.float32)
            curve.keyframe_points.foreach_get("co", places)
            yield path, curve.array_index, places.tobytes()
    yield tuple(_rounded(getattr(obj, path)) for path in _TRANSFORM if path not in animated)
    if obj.parent is not None:
        yield _rounded(np.array(obj.matrix_parent_inverse).ravel())
        yield from _movement(obj.parent, known)
    for constraint in obj.constraints:
        yield constraint.type, constraint.mute
        target = getattr(constraint, "target", None)
        if target is not None:
            yield from _movement(target, known)


def _points(obj: Any) -> Iterator[Any]:
    vertices = obj.data.vertices
    yield len(vertices), obj.hide_viewport
    yield tuple((modifier.name, modifier.show_viewport) for modifier in obj.modifiers)
    yield content.positions(obj)
    for index in range(0, len(vertices), max(1, len(vertices) // _SAMPLES)):  # scripts may not tell of a change
        yield _rounded(vertices[index].co)


def _rounded(values: Any) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)

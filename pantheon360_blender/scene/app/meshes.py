"""Meshes as triangles in the world, as the depsgraph evaluates them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np


def world_triangles(meshes: Sequence[bpy.types.Object], depsgraph: bpy.types.Depsgraph) -> np.ndarray:
    """Triangles of the evaluated meshes, modifiers and shape keys included.

    Hidden meshes count, too: a proxy is hidden so that the cache it made can be seen.
    Returns (T, 3, 3) float64, metres, world; triangles that are not finite are left out.
    """
    with _shown(meshes):
        depsgraph.update()
        found = [_triangles(obj.evaluated_get(depsgraph)) for obj in meshes]
    depsgraph.update()
    triangles = np.concatenate([*found, np.empty((0, 3, 3))])
    return np.asarray(triangles[np.isfinite(triangles).all(axis=(1, 2))])


@contextmanager
def _shown(objects: Sequence[bpy.types.Object]) -> Iterator[None]:
    """Hidden objects are not evaluated: show them while their meshes are read."""
    hidden = [obj for obj in objects if obj.hide_viewport]
    closed = [obj for obj in objects if obj.hide_get()]
    for obj in hidden:
        obj.hide_viewport = False
    for obj in closed:
        obj.hide_set(False)
    try:
        yield
    finally:
        for obj in closed:
            obj.hide_set(True)
        for obj in hidden:
            obj.hide_viewport = True


def _triangles(evaluated: bpy.types.Object) -> np.ndarray:
    """(T, 3, 3) float64 world coordinates of an evaluated object's triangles."""
    mesh = evaluated.to_mesh()
    try:
        mesh.calc_loop_triangles()
        corners = np.empty(len(mesh.loop_triangles) * 3, np.int32)
        mesh.loop_triangles.foreach_get("vertices", corners)
        points = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", points)
    finally:
        evaluated.to_mesh_clear()
    return np.asarray(transformed(points.reshape(-1, 3), evaluated.matrix_world)[corners]).reshape(-1, 3, 3)


def transformed(points: np.ndarray, new_from_old: Any) -> np.ndarray:
    """Points (N, 3) moved by an affine (4, 4) matrix, an array or Blender's; (N, 3) float64."""
    affine = np.array(new_from_old, dtype=np.float64)
    return np.asarray(points.astype(np.float64) @ affine[:3, :3].T + affine[:3, 3])

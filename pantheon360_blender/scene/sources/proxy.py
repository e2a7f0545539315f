"""A starter proxy: ground and distant walls around the captures, ordinary meshes for the artist to move and model."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

from ...core import repairs
from ...core.errors import CaptureError
from ..app import units
from ..app.access import of_object, of_scene
from ..captures import capture_objects

COLLECTION = "Proxy"

WALL_HEIGHT = 1.0
"""In wall distances: the walls reach about 40° up, above that the sky stays at infinity."""


def create(
    scene: bpy.types.Scene,
    objects: Sequence[bpy.types.Object] | None = None,
    ground: float = 0.0,
    wall_distance: float | None = None,
) -> list[bpy.types.Object]:
    """Make a ground plane and four walls, open to the sky, along the line through the captures.

    objects: the captures; None takes all of the scene. ground: height of the ground.
    wall_distance: from the line of captures and from its ends; None takes the scene's.
    Lengths are in the scene's units. Returns the new meshes, marked as projection geometry. Raises CaptureError without
    captures.
    """
    objects = capture_objects.in_scene(scene) if objects is None else list(objects)
    if not objects:
        raise CaptureError(
            "The scene has no capture to build a proxy around.",
            advice="Import a 360° photograph first.",
            repair=repairs.IMPORT_CAPTURES,
        )
    units.adopt(scene)
    distance = of_scene(scene).wall_distance if wall_distance is None else wall_distance
    positions = np.array([capture_objects.pose(obj)[:3, 3] for obj in objects])
    centre, along, half = _footprint(positions[:, :2], distance)
    corners = _corners(centre, along, half)
    top = ground + WALL_HEIGHT * distance
    floor = _plane(scene, "Proxy Ground", np.column_stack([corners, np.full(4, ground)]))
    return [floor, *_walls(scene, corners, ground, top)]


def _footprint(positions: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rectangle around positions (N, 2): its centre, the unit vector along the captures, and half its sides."""
    middle = positions.mean(axis=0)
    _, spread, axes = np.linalg.svd(positions - middle)
    along = axes[0] if spread.max(initial=0.0) > 1e-3 else np.array([0.0, 1.0])
    across = np.array([along[1], -along[0]])
    local = (positions - middle) @ np.stack([along, across], axis=1)
    low, high = local.min(axis=0) - distance, local.max(axis=0) + distance
    centre = middle + (low + high) / 2 @ np.stack([along, across])
    return centre, along, (high - low) / 2


def _corners(centre: np.ndarray, along: np.ndarray, half: np.ndarray) -> np.ndarray:
    """(4, 2) corners, counter-clockwise seen from above."""
    across = np.array([along[1], -along[0]])
    signs = ((-1, -1), (-1, 1), (1, 1), (1, -1))
    return np.array([centre + s * half[0] * along + t * half[1] * across for s, t in signs])


def _walls(scene: bpy.types.Scene, corners: np.ndarray, bottom: float, top: float) -> list[bpy.types.Object]:
    """Four walls that face inward, each an object of its own so that it can be moved alone."""
    walls = []
    for left, right in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        outline = [(*right, bottom), (*left, bottom), (*left, top), (*right, top)]
        walls.append(_plane(scene, "Proxy Wall", np.array(outline)))
    return walls


def _plane(scene: bpy.types.Scene, name: str, outline: np.ndarray) -> bpy.types.Object:
    """A quadrilateral with its origin in its middle; outline (4, 3) metres, world."""
    return add(scene, name, outline, [(0, 1, 2, 3)])


def add(scene: bpy.types.Scene, name: str, vertices: np.ndarray, faces: Sequence[tuple[int, ...]]) -> bpy.types.Object:
    """A proxy mesh with its origin in its middle, marked as projection geometry. vertices: (V, 3), world."""
    middle = vertices.mean(axis=0)
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata((vertices - middle).tolist(), [], faces)
    obj = bpy.data.objects.new(name, mesh)
    obj.location = middle
    obj.matrix_world = obj.matrix_basis
    obj.display_type = "WIRE"  # the photograph's points show the place; the proxy must not hide them
    obj.hide_render = True
    of_object(obj).is_geometry = True
    capture_objects.collection_of(scene, COLLECTION).objects.link(obj)
    return obj

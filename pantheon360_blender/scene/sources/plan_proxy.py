"""Floor, walls and ceiling of what a capture sees of the 3D cache, as proxy meshes to be dragged and projected onto.

Whatever made the cache told ranges: a room layout of one photograph, several photographs, a model, or another program.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import bpy
import numpy as np

from ...core import repairs
from ...core.errors import CacheError, CaptureError
from ...core.panorama import equirectangular
from ...core.points import floor_plan
from ...core.points.floor_plan import FloorPlan
from ...core.progress import Job, Progress, in_thread
from ...core.render import coverage, splatting
from ..app import access, units
from ..app.access import ObjectReference, SceneReference, of_object
from ..cache import cache_objects
from ..cache.cache_objects import CachePoints
from ..captures import capture_objects
from . import proxy

MARK = "pantheon360_plan"
"""Custom property of meshes that are made here: those of one time go when others are made."""

WIDTH = 512
"""Pixels round the horizon at which the capture looks at the points: two for each direction of the plan."""


@dataclass(frozen=True)
class Built:
    """meshes: names of the new objects. walls: how many there are. ceiling: from the floor, in the scene's unit, or
    None. replaced: how many meshes of an earlier time went."""

    meshes: list[str]
    walls: int
    ceiling: float | None
    replaced: int


def create(scene: bpy.types.Scene, capture: bpy.types.Object) -> Job[Built]:
    """Make the meshes, marked as projection geometry, in place of those of an earlier time.

    The scene changes in the last step. Raises CaptureError if the capture is gone, CacheError without visible points,
    PointCloudError if no ground or no wall is seen.
    """
    home, stands = SceneReference(scene), ObjectReference(capture)
    depsgraph = access.evaluated(scene)
    pose = capture_objects.pose(capture, depsgraph)
    stored = cache_objects.stored_points(depsgraph)
    if not len(stored):
        raise _without_points()
    work = partial(_plan, stored, pose, units.per_metre(scene))
    plan = yield from in_thread(work, Progress("Finding walls", 0, 2))
    yield Progress("Making meshes", 1, 2)
    scene = home.scene
    if stands.find() is None:
        raise CaptureError(f"The capture {stands.name} is no longer there.", advice="Choose another one.")
    return _made(scene, plan)


def _plan(stored: CachePoints, pose: np.ndarray, metre: float) -> FloorPlan:
    """What is seen from a pose, in metres. metre: in the scene's unit."""
    cloud = stored.cloud()
    if not len(cloud):
        raise _without_points()
    footprint = 0.0 if cloud.footprint is None else cloud.footprint
    seen = splatting.splat_footprints(cloud.points, cloud.colours, footprint, pose, WIDTH)
    rays = equirectangular.directions(WIDTH)[seen.coverage].astype(np.float64) @ pose[:3, :3].T
    angles = np.broadcast_to(coverage.solid_angles(WIDTH // 2)[:, None] * (4 * np.pi / WIDTH), seen.depth.shape)
    eye = pose[:3, 3] / metre
    points = eye + rays * (seen.depth[seen.coverage, None] / metre)
    return floor_plan.floor_plan(points, angles[seen.coverage], eye)


def _made(scene: bpy.types.Scene, plan: FloorPlan) -> Built:
    metre = units.per_metre(scene)
    old = [obj for obj in scene.objects if obj.get(MARK) and of_object(obj).is_geometry]
    for obj in old:
        bpy.data.objects.remove(obj)
    made = []
    for name, surface in (("Plan Floor", plan.floor), ("Plan Walls", plan.sides), ("Plan Ceiling", plan.cover)):
        if surface is not None:
            obj = proxy.add(scene, name, surface.vertices * metre, surface.faces)
            obj[MARK] = True
            made.append(obj.name)
    height = None if plan.ceiling is None else (plan.ceiling - plan.ground) * metre
    return Built(made, len(plan.walls), height, len(old))


def _without_points() -> CacheError:
    return CacheError(
        "No points of a 3D cache are visible that walls could be found in.",
        advice="Build the 3D cache first: one capture is enough.",
        repair=repairs.BUILD_CACHE,
    )

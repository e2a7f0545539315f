"""Projecting captures onto geometry: where the ray of each pixel meets a mesh, a cache point takes its colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import bpy
import numpy as np
from mathutils.bvhtree import BVHTree

from ...core import repairs
from ...core.errors import CacheError, CaptureError
from ...core.panorama import equirectangular
from ...core.panorama.capture import Capture
from ...core.points.point_cloud import PointCloud
from ...core.progress import Job, Progress, in_thread, job_in_thread
from ..app.access import ObjectReference, SceneReference, of_object, of_scene
from ..app.meshes import world_triangles
from ..cache import attributes
from ..captures import capture_objects
from ..captures.decoding import Wanted

MOST_TESTED_DIRECTLY = 500_000
"""Triangles up to which tiles of rays are tested together; above, a tree is walked ray by ray."""

TILE, SMALLEST_TILE = 64, 8
"""Sides in pixels of the tiles whose rays are tested together, before and after they are quartered."""

FEW = 24
"""Triangles that a tile need not be quartered for."""

LARGEST_STRETCH = 4.0
"""Footprints grow on surfaces seen at a slant, but not beyond this: grazing hits would cover their neighbours."""

DEPTH_TOLERANCE = 0.01
"""Share of the range by which another capture's range may differ and still be the same surface."""

_NEIGHBOURS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)

NEAREST_HIT = 1e-4
"""Metres: a surface through the capture's very position is not hit."""


@dataclass(frozen=True)
class RangeMap:
    """What the rays of a capture meet.

    ranges: (H, W) float32, Euclidean metres, inf where nothing is met.
    cosines: (H, W) float32, of the angle between ray and surface normal, 0..1; front and back alike.
    """

    ranges: np.ndarray
    cosines: np.ndarray

    @property
    def pixel_size(self) -> np.ndarray:
        """(H, W) float32 metres: what a pixel spans across the ray where it meets the surface."""
        return self.ranges * np.float32(2 * np.pi / self.ranges.shape[1])


def geometry_in(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The meshes chosen for projection, hidden ones too, by name."""
    found = [obj for obj in scene.objects if of_object(obj).is_geometry and obj.type == "MESH"]
    return sorted(found, key=lambda obj: obj.name)


def cache_repair(scene: bpy.types.Scene) -> str:
    """What makes the scene a 3D cache: an artist with geometry to project onto means to project."""
    return repairs.PROJECT_CAPTURES if geometry_in(scene) else repairs.BUILD_CACHE


def project(
    scene: bpy.types.Scene,
    depsgraph: bpy.types.Depsgraph,
    meshes: Sequence[bpy.types.Object] | None = None,
) -> Job[PointCloud]:
    """Project the scene's captures onto meshes, as they are evaluated at the current frame.

    meshes: what to project onto; None is the scene's chosen geometry. Backs of faces are met like fronts.
    Returns points in world coordinates, capture by capture and row by row; confidence is the cosine of the angle of
    incidence, source the capture's place in captures.in_scene, footprint the metres a pixel spans on the surface.
    Raises CaptureError without captures; CacheError without geometry or if no ray meets any.
    """
    settings = of_scene(scene)
    width, nearest_only = settings.projection_width // 2 * 2, settings.nearest_capture_only
    captures = capture_objects.references(scene)
    if not captures:
        raise CaptureError(
            "The scene has no capture.", advice="Import a 360° photograph first.", repair=repairs.IMPORT_CAPTURES
        )
    chosen = geometry_in(scene) if meshes is None else list(meshes)
    if not chosen:
        raise CacheError(
            "There is no geometry to project onto.",
            advice="Make a proxy, or mark meshes as projection geometry.",
            repair=repairs.MAKE_PROXY,
        )
    triangles = world_triangles(chosen, depsgraph)
    poses = [capture_objects.pose(each.object, depsgraph) for each in captures.values()]
    home = SceneReference(scene)  # no reference to Blender's data outlives a step
    loaded = []
    for done, ((label, reference), pose) in enumerate(zip(captures.items(), poses, strict=True)):
        step = Progress("Reading captures", done, len(captures), text=label)
        yield step
        found = yield from capture_objects.reading(_capture(reference), Wanted(width), step)
        loaded.append(Capture(label, found.image, pose, found.valid))
    maps = []
    for index, capture in enumerate(loaded):
        rays = range_map(triangles, capture.pose, width, index, len(loaded))
        begin = Progress("Projecting captures", index, len(loaded))
        maps.append((yield from job_in_thread(rays, begin)))
    clouds = []
    for index in range(len(loaded)):
        step = Progress("Making points", index, len(loaded), text=loaded[index].name)
        yield step
        clouds.append((yield from in_thread(partial(_points, index, loaded, maps, nearest_only), step)))
    last = Progress("Making points", len(loaded), len(loaded))
    cloud = yield from in_thread(lambda: PointCloud.concatenate(clouds), last)
    if not len(cloud.points):
        raise CacheError(
            "No ray of any capture meets the geometry.", advice="Place the meshes around the captures' positions."
        )
    ready, places = cloud, None
    while (now := capture_objects.present_places(home.scene, list(captures.values()))) != places:
        ready, places = (yield from in_thread(partial(_numbered, cloud, now), last)), now
    return ready


def _numbered(cloud: PointCloud, places: Sequence[int]) -> PointCloud:
    """The points with their sources by those places, ready to be stored."""
    return attributes.prepare(cloud.renumbered(places))


def _capture(reference: ObjectReference) -> bpy.types.Object:
    """A capture. Raises CaptureError if the artist removed it meanwhile."""
    obj = reference.find()
    if obj is None:
        raise CaptureError(f"The capture {reference.name} is no longer there.", advice="Project the captures again.")
    return obj


def colours_of(
    points: np.ndarray, loaded: Sequence[Capture], maps: Sequence[RangeMap]
) -> tuple[np.ndarray, np.ndarray]:
    """Colours of points by the captures that see them.

    points: (N, 3) world. loaded, maps: captures, and what each sees of the surface that the points lie on, of one
    width. Each point takes its colour from the nearest capture that sees it, unmasked.
    Returns (N, 3) uint8 sRGB, and (N,) int32 index of that capture, -1 if none sees the point (and it is black).
    """
    places = np.asarray(points, np.float64)
    colours = np.zeros((len(places), 3), np.uint8)
    source = np.full(len(places), -1, np.int32)
    ranges = np.full(len(places), np.inf)
    # At a silhouette the pixel that a point falls on may show what is behind; then its neighbours tell.
    for near in (((0, 0),), _NEIGHBOURS):
        left = np.flatnonzero(source < 0)
        for index, (capture, seen) in enumerate(zip(loaded, maps, strict=True)):
            for shift in near:
                moved = RangeMap(*(np.roll(each, shift, axis=(0, 1)) for each in (seen.ranges, seen.cosines)))
                nearer = left[_seen_nearer(places[left], ranges[left], capture, moved, tie=False)]
                local = (places[nearer] - capture.pose[:3, 3]) @ capture.pose[:3, :3]
                pixels = equirectangular.directions_to_pixels(local, capture.image.shape[1])
                colours[nearer] = np.rint(equirectangular.sample(capture.image, pixels)).astype(np.uint8)
                ranges[nearer] = np.linalg.norm(local, axis=1)
                source[nearer] = index
    return colours, source


def range_map(triangles: np.ndarray, pose: np.ndarray, width: int, index: int = 0, count: int = 1) -> Job[RangeMap]:
    """Where the rays through the pixel centres of a panorama at `pose` first meet (T, 3, 3) `triangles`.

    index, count: which of how many maps that follow each other this is, for the progress.
    """
    rays = equirectangular.directions(width) @ pose[:3, :3].T.astype(np.float32)  # world axes
    ranges = np.full(rays.shape[:2], np.inf, np.float32)
    cosines = np.zeros(rays.shape[:2], np.float32)
    if len(triangles) > MOST_TESTED_DIRECTLY:
        rows = _through_tree(triangles, pose[:3, 3], rays, ranges, cosines)
    else:
        rows = _directly(triangles - pose[:3, 3], rays, ranges, cosines)
    for row in rows:
        yield Progress("Projecting captures", index * len(rays) + row, count * len(rays))
    return RangeMap(ranges, cosines)


def _directly(triangles: np.ndarray, rays: np.ndarray, ranges: np.ndarray, cosines: np.ndarray) -> Iterator[int]:
    """Test the rays of each tile with all triangles whose cone meets the tile's.

    All rays start in the origin. A ray d meets the triangle a, b, c where d.(b x c), d.(c x a) and d.(a x b) have one
    sign, at the range a.(b x c) / d.(their sum), whose normal is the sum as well: Möller and Trumbore's test (1997)
    with a common origin, one matrix product for a tile. Two triangles share an edge's plane up to its sign, so that
    no ray slips between them.
    triangles: (T, 3, 3) float64 relative to the rays' origin. Fills ranges and cosines; yields rows finished.
    """
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    planes = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)  # (T, 3 planes, 3)
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    volume = np.einsum("ij,ij->i", a, planes[:, 0])
    solid = (length > 0) & (np.abs(volume) > 0)
    planes, normals, volume, length = planes[solid], normals[solid], volume[solid], length[solid]
    # Scaled by powers of two, which round nothing: float32 does not hold the squares of far corners.
    _, exponents = np.frexp(np.abs(planes).max(axis=(1, 2), initial=1e-300))
    scene = _Planes(
        sides=np.ldexp(planes, -exponents[:, None, None]).astype(np.float32).transpose(1, 0, 2),
        distances=(volume / length).astype(np.float32),
        normals=(normals / length[:, None]).astype(np.float32),
        cones=_Cones.around(triangles[solid]),
    )
    every = np.arange(len(volume))
    height, width = ranges.shape
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            tile = np.s_[top : top + TILE, left : left + TILE]
            _test_tile(rays[tile], scene, every, ranges[tile], cosines[tile])
        yield min(top + TILE, height)


@dataclass(frozen=True)
class _Planes:
    """Triangles as the rays from one point test them.

    sides: (3, T, 3) float32, normals of the planes through the origin and each side, of any length.
    distances: (T,) float32, signed, of the triangles' planes from the origin. normals: (T, 3) float32, unit length.
    """

    sides: np.ndarray
    distances: np.ndarray
    normals: np.ndarray
    cones: _Cones


def _test_tile(
    rays: np.ndarray, scene: _Planes, candidates: np.ndarray, ranges: np.ndarray, cosines: np.ndarray
) -> None:
    """Nearest hits of a tile's rays (h, w, 3), into its views of ranges and cosines; quarters where much is near."""
    near = scene.cones.meeting(rays.reshape(-1, 3), candidates)
    if not len(near):
        return
    height, width = ranges.shape
    if len(near) <= FEW or max(height, width) <= SMALLEST_TILE:
        _test_rays(rays, scene, near, ranges, cosines)
        return
    for rows in (slice(0, height // 2), slice(height // 2, height)):
        for columns in (slice(0, width // 2), slice(width // 2, width)):
            part = (rows, columns)
            if ranges[part].size:
                _test_tile(rays[part], scene, near, ranges[part], cosines[part])


def _test_rays(rays: np.ndarray, scene: _Planes, near: np.ndarray, ranges: np.ndarray, cosines: np.ndarray) -> None:
    """Test each ray with each of the triangles `near`, a few of them at a time."""
    flat = rays.reshape(-1, 3)
    nearest, slant = ranges.reshape(-1), cosines.reshape(-1)  # copies: a tile's rows do not lie together
    rows = np.arange(len(flat))
    for first in range(0, len(near), FEW):
        part = near[first : first + FEW]
        one, two, three = (flat @ side[part].T for side in scene.sides)
        inside = np.minimum(np.minimum(one, two), three) >= 0
        inside |= np.maximum(np.maximum(one, two), three) <= 0
        towards = flat @ scene.normals[part].T
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = scene.distances[part] / towards
        reach[~(inside & (reach > NEAREST_HIT))] = np.inf
        best = reach.argmin(axis=1)
        closer = reach[rows, best] < nearest
        nearest[closer] = reach[rows, best][closer]
        slant[closer] = np.abs(towards[rows, best])[closer]
    ranges[...] = nearest.reshape(ranges.shape)
    cosines[...] = slant.reshape(cosines.shape)


@dataclass(frozen=True)
class _Cones:
    """Cones from the origin that hold triangles: axes (T, 3) and half angles (T,); pi where all directions count."""

    axes: np.ndarray
    angles: np.ndarray

    @classmethod
    def around(cls, triangles: np.ndarray) -> _Cones:
        """A cone of less than 90° that holds the corners holds the triangle, for it is convex."""
        length = np.linalg.norm(triangles, axis=2, keepdims=True)
        corners = triangles / np.maximum(length, 1e-300)
        axes = corners.mean(axis=1)
        size = np.linalg.norm(axes, axis=1, keepdims=True)
        axes = axes / np.maximum(size, 1e-300)
        cosines = np.einsum("tij,tj->ti", corners, axes).min(axis=1)
        angles = np.arccos(np.clip(cosines, -1, 1))
        wide = (angles > np.pi / 2 - 0.01) | (size[:, 0] < 1e-6) | (length[:, :, 0].min(axis=1) < 1e-12)
        return cls(axes.astype(np.float32), np.where(wide, np.pi, angles))

    def meeting(self, directions: np.ndarray, among: np.ndarray) -> np.ndarray:
        """Those of the cones `among` (indices) that meet the cone around `directions` (N, 3)."""
        axis = directions.mean(axis=0)
        size = np.linalg.norm(axis)
        if size < 1e-6:
            return among
        axis /= size
        spread = np.arccos(np.clip((directions @ axis).min(), -1, 1))
        apart = np.arccos(np.clip(self.axes[among] @ axis, -1, 1))
        return np.asarray(among[apart <= self.angles[among] + spread + 1e-3])


def _through_tree(
    triangles: np.ndarray, origin: np.ndarray, rays: np.ndarray, ranges: np.ndarray, cosines: np.ndarray
) -> Iterator[int]:
    """Walk a bounding volume hierarchy ray by ray. Fills ranges and cosines; yields rows finished."""
    # Relative to the origin, because the tree keeps 32 bits.
    corners = (triangles - origin).reshape(-1, 3)
    yield 0
    faces = np.arange(len(corners)).reshape(-1, 3)
    tree: Any = BVHTree.FromPolygons(corners.tolist(), faces.tolist(), all_triangles=True)
    start = (0.0, 0.0, 0.0)
    for row, directions in enumerate(rays):
        normals = np.zeros((len(directions), 3), np.float32)
        for column, direction in enumerate(directions.tolist()):
            _, normal, _, distance = tree.ray_cast(start, direction)
            if normal is not None and distance > NEAREST_HIT:
                ranges[row, column] = distance
                normals[column] = normal
        cosines[row] = np.abs(np.einsum("ij,ij->i", normals, directions))
        if row % 16 == 15:
            yield row + 1


def _points(index: int, loaded: Sequence[Capture], maps: Sequence[RangeMap], nearest_only: bool) -> PointCloud:
    """The cache points of one capture."""
    capture, seen = loaded[index], maps[index]
    hit = np.isfinite(seen.ranges)
    if capture.valid is not None:
        hit &= capture.valid
    ranges, cosines = seen.ranges[hit], seen.cosines[hit]
    width = seen.ranges.shape[1]
    directions = equirectangular.directions(width)[hit].astype(np.float64)
    points = (directions * ranges[:, None]) @ capture.pose[:3, :3].T + capture.pose[:3, 3]
    footprint = seen.pixel_size[hit] * np.minimum(1 / np.maximum(cosines, 1e-6), LARGEST_STRETCH)
    keep = np.ones(len(points), np.bool_)
    if nearest_only:
        for other in range(len(loaded)):
            if other != index:
                keep &= ~_seen_nearer(points, ranges, loaded[other], maps[other], tie=other < index)
    return PointCloud(
        points=points[keep].astype(np.float32),
        colours=capture.image[hit][keep],
        confidence=cosines[keep].astype(np.float32),
        source=np.full(int(keep.sum()), index, np.int32),
        footprint=footprint[keep].astype(np.float32),
    )


def _seen_nearer(points: np.ndarray, ranges: np.ndarray, capture: Capture, seen: RangeMap, tie: bool) -> np.ndarray:
    """(N,) bool: whether a capture is nearer to points than `ranges` and sees them, unmasked.

    It sees a point where its own range agrees, within what a pixel spans along the ray on the surface it meets.
    tie: whether it wins at equal distance.
    """
    local = (points - capture.pose[:3, 3]) @ capture.pose[:3, :3]
    distance = np.linalg.norm(local, axis=1)
    nearer = (distance < ranges) | (tie & (distance == ranges))
    nearer &= distance > NEAREST_HIT
    result = np.zeros(len(points), np.bool_)
    height, width = seen.ranges.shape
    pixels = equirectangular.directions_to_pixels(local[nearer], width)
    column = np.minimum(pixels[:, 0].astype(np.intp), width - 1)
    row = np.minimum(pixels[:, 1].astype(np.intp), height - 1)
    slope = 1 / np.maximum(seen.cosines[row, column], 0.02)
    with np.errstate(invalid="ignore"):
        tolerance = DEPTH_TOLERANCE * distance[nearer] + seen.pixel_size[row, column] * slope
        agrees = np.abs(seen.ranges[row, column] - distance[nearer]) < tolerance
    agrees &= np.isfinite(seen.ranges[row, column])
    if capture.valid is not None:
        agrees &= capture.valid[row, column]
    result[nearer] = agrees
    return result

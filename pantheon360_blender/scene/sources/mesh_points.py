"""Mesh objects as a source of the 3D cache: points spread evenly over their surface, in own colours or seen ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from ...core.errors import CacheError
from ...core.panorama.capture import Capture
from ...core.plain_text import filled
from ...core.points.point_cloud import MOST_POINTS, PointCloud
from ...core.progress import Job, Progress, job_in_thread
from ..app import access, units
from ..app.access import SceneReference, of_object, of_scene
from ..cache import cache_merge, cache_objects
from ..cache.cache_merge import MERGE, REPLACE
from ..captures import capture_objects, preview_sphere
from ..captures.decoding import Wanted
from . import mesh_surface, projection
from .mesh_surface import Surface

AUTO, OWN, SEEN = "AUTO", "OWN", "CAPTURES"
"""Where colours come from: the mesh's own if it has any, else captures; always its own; captures first."""

_BLOCK = 1 << 18
_PLASTIC = 1.32471795724474602596
"""The plastic number: its powers spread points over a square with the least gaps (Roberts 2018, "R2 sequence")."""


@dataclass(frozen=True)
class Sampled:
    """Name of the cache object, how many points are new, notes, and one sentence on it."""

    cache: str
    points: int
    notes: list[str]
    text: str


def sources(scene: bpy.types.Scene, selected: Sequence[bpy.types.Object]) -> list[bpy.types.Object]:
    """Of the selected objects, the meshes that can be sampled: no cache, no capture's preview."""
    known = {obj.name for obj in selected if obj.type == "MESH" and not _is_ours(obj)}
    return [obj for obj in scene.objects if obj.name in known and obj.data is not None]


def _is_ours(obj: bpy.types.Object) -> bool:
    return bool(of_object(obj).is_cache or obj.get(preview_sphere.MARK))


def sample(
    scene: bpy.types.Scene,
    objects: Sequence[bpy.types.Object],
    *,
    spacing: float = 0.02,
    colours: str = AUTO,
    result: str = REPLACE,
    limit: int = MOST_POINTS,
) -> Job[Sampled]:
    """Make cache points of mesh objects, as their modifiers leave them at the current frame.

    spacing: metres between neighbouring points; it becomes the points' footprint. colours: AUTO, OWN or SEEN.
    result: REPLACE or MERGE, of the cache's points. limit: most points; the spacing grows if there would be more.
    Own colours are, in this order: the picture of the material's base colour, a colour attribute, the plain base
    colour. A capture gives its colour to what it sees, the nearest one first; what none sees has its own.
    Raises CacheError if there is no surface or the cache is being edited, CaptureError if a capture cannot be
    read.
    """
    reference = SceneReference(scene)
    cache_objects.refuse_unchangeable(cache_objects.find(scene))
    depsgraph = access.evaluated(scene)
    notes: list[str] = []
    read = [mesh_surface.surface(obj, depsgraph, notes) for obj in objects]
    areas = [float(each.areas.sum()) for each in read]
    if not sum(areas) > 0:
        raise CacheError("The meshes have no faces to sample.", advice="Select mesh objects with faces.")
    if sum(areas) / spacing**2 > limit:
        spacing = float(np.sqrt(sum(areas) / limit))
        notes.append(f"So as to make no more than {limit:,} points, they are {units.length(scene, spacing)} apart.")
    clouds, coloured = [], []
    for surface, area in zip(read, areas, strict=True):
        if area > 0:
            cloud, own = yield from _spread(surface, spacing)
            clouds.append(cloud)
            coloured.append(own)
    cloud, own = PointCloud.concatenate(clouds), np.concatenate(coloured)
    wanted = np.ones(len(cloud), np.bool_) if colours == SEEN else ~own
    if colours != OWN and wanted.any():
        corners = np.concatenate([each.corners for each in read])
        cloud = yield from _as_seen(reference, cloud, wanted, corners)
    yield Progress("Bringing the points into the scene")
    scene = reference.scene
    obj = (cache_merge.merge if result == MERGE else cache_objects.replace)(scene, cloud)
    return Sampled(obj.name, len(cloud), notes, _told(cloud, len(objects)))


def _spread(surface: Surface, spacing: float) -> Job[tuple[PointCloud, np.ndarray]]:
    """Points over a surface, each standing for as much of it, and which of them (N,) have a colour of their own."""
    reached = np.cumsum(surface.areas)
    count = max(1, round(float(reached[-1]) / spacing**2))
    points, colours, own = [], [], []
    for start in range(0, count, _BLOCK):
        yield Progress("Sampling meshes", start, count)
        index = np.arange(start, min(start + _BLOCK, count))
        triangle = np.searchsorted(reached, (index + 0.5) / count * reached[-1], side="right")
        triangle = np.minimum(triangle, len(reached) - 1)
        weights = _barycentric(index)
        points.append(np.einsum("nc,ncd->nd", weights, surface.corners[triangle]).astype(np.float32))
        colours.append(surface.colours(triangle, weights))
        own.append(surface.coloured[triangle])
    cloud = PointCloud(
        np.concatenate(points),
        np.concatenate(colours),
        source=np.full(count, -1, np.int32),
        footprint=np.full(count, spacing, np.float32),
    )
    return cloud, np.concatenate(own)


def _barycentric(index: np.ndarray) -> np.ndarray:
    """(N, 3) places in a triangle, evenly spread for any run of indices; the square's far half is folded back."""
    u, v = ((0.5 + (index + 1) / _PLASTIC**power) % 1.0 for power in (1, 2))
    beyond = u + v > 1
    u, v = np.where(beyond, 1 - u, u), np.where(beyond, 1 - v, v)
    return np.stack([1 - u - v, u, v], axis=1)


def _as_seen(reference: SceneReference, cloud: PointCloud, wanted: np.ndarray, corners: np.ndarray) -> Job[PointCloud]:
    """The cloud with the wanted points (N,) in the colours that captures see, if one does."""
    captures = capture_objects.references(reference.scene)
    width = of_scene(reference.scene).projection_width // 2 * 2
    loaded: list[Capture] = []
    maps = []
    for index, (label, each) in enumerate(captures.items()):
        step = Progress("Reading captures", index, len(captures), text=label)
        yield step
        depsgraph = access.evaluated(reference.scene)
        read = capture_objects.reading(each.object, Wanted(width), step, depsgraph, label=label)
        loaded.append((yield from read))
        rays = projection.range_map(corners, loaded[-1].pose, width, index, len(captures))
        maps.append((yield from job_in_thread(rays, step)))
    seen, source = projection.colours_of(cloud.points[wanted], loaded, maps)
    colours = cloud.colours.copy()
    colours[wanted] = np.where(source[:, None] >= 0, seen, colours[wanted])
    sources = np.full(len(cloud), -1, np.int32)
    sources[wanted] = source
    made = PointCloud(cloud.points, colours, cloud.confidence, sources, cloud.footprint)
    return made.renumbered(capture_objects.present_places(reference.scene, list(captures.values())))


def _told(cloud: PointCloud, count: int) -> str:
    seen = 0 if cloud.source is None else int((cloud.source >= 0).sum())
    meshes = filled("1 mesh") if count == 1 else filled("{count} meshes", count=count)
    colours = filled(", {count:,} of them in the colors of captures", count=seen) if seen else ""
    return filled("{count:,} points of {meshes}{colors}", count=len(cloud), meshes=meshes, colors=colours)

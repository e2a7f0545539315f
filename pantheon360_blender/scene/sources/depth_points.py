"""A depth image that an artist brings for a capture, from a renderer or an estimator, as points of the 3D cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core.errors import CacheError, CaptureError
from ...core.formats import exr
from ...core.importers import MissingLibraryError, Options, depth
from ...core.plain_text import filled
from ...core.points.equirectangular_depth import cloud_from_depth
from ...core.points.point_cloud import PointCloud
from ...core.points.thinning import thin
from ...core.progress import Job, Progress
from ..app import access, paths, units
from ..app.access import ObjectReference, SceneReference, of_object
from ..cache import attributes, cache_edit, cache_merge, cache_objects
from ..cache.cache_merge import MERGE, REPLACE
from ..captures import capture_objects
from . import backend_import


@dataclass(frozen=True)
class DepthPoints:
    """What a depth image brought: name of the cache object, new points, notes, and one sentence on it."""

    cache: str
    points: int
    notes: list[str]
    text: str


def import_depth(
    scene: bpy.types.Scene,
    capture: bpy.types.Object,
    path: Path,
    *,
    result: str = REPLACE,
    voxel: float = 0.0,
    limit: int = Options.limit,
    **options: Any,
) -> Job[DepthPoints]:
    """Make cache points of what a capture sees, by a depth image with the same view.

    path: equirectangular depth, 16-bit PNG or OpenEXR, of any size; twice as wide as high.
    result: REPLACE makes them the whole cache; MERGE leaves the points of other captures, and exchanges those of this
    one. voxel: thin by voxels of this edge, metres; 0 does not. limit: most pixels of
    the depth image that are read. options: depth_scale, depth_inverse and depth_measure of importers.Options.
    The capture's mask, its nadir and depth edges give no points.
    Raises ImageError, SourceError and FileError if the depth cannot be read, CaptureError if the photograph
    cannot, CacheError if no point is left or the cache is being edited, BackendError.
    """
    reference, belongs, root = SceneReference(scene), ObjectReference(capture), paths.jobs_root(scene)
    if not of_object(capture).is_capture:
        raise CaptureError(f"{capture.name} is no capture.", advice="Choose the capture that the depth belongs to.")
    cache_objects.refuse_unchangeable(cache_objects.find(scene))
    yield Progress("Reading depth", 0, 3, text=path.name)
    ranges, notes = yield from _read_range(path, root, options)
    ranges = _at_most(ranges, limit, notes)
    yield Progress("Making points", 1, 3, text=path.name)
    scene, obj = reference.scene, belongs.find()
    there = capture_objects.labelled(scene)
    if obj is None or obj not in there.values():
        raise CaptureError(f"The capture {belongs.name} is gone.", advice="Import it, and its depth, again.")
    capture_name, metre = capture_objects.label_of(scene, obj), units.per_metre(scene)
    index = list(there).index(capture_name)
    seen = capture_objects.load(obj, ranges.shape[1], access.evaluated(scene), label=capture_name)
    cloud = cloud_from_depth(seen, ranges * np.float32(metre), source=index)
    if voxel:
        given, cloud = len(cloud), thin(cloud, voxel * metre)
        size = units.length(scene, voxel * metre)
        notes.append(f"{given:,} points were thinned to {len(cloud):,} by voxels of {size}.")
    if not len(cloud):
        raise CacheError(
            f"No point of {path.name} is left.", advice="Check the mask of the capture, and what the depth stands for."
        )
    yield Progress("Bringing the points into the scene", 2, 3)
    scene = reference.scene
    (place,) = capture_objects.present_places(scene, [belongs])
    cloud, index = cloud.renumbered([place] * (index + 1)), place
    obj = _exchange(scene, cloud, index) if result == MERGE else cache_objects.replace(scene, cloud)
    near, far = (float(value) for value in np.percentile(ranges[np.isfinite(ranges)], (2, 98)))
    text = filled(
        "{count:,} points of {capture}, most of them {near} to {far} away",
        count=len(cloud), capture=capture_name,
        near=units.length(scene, near * metre), far=units.length(scene, far * metre),
    )  # fmt: skip
    return DepthPoints(obj.name, len(cloud), notes, text)


def _read_range(path: Path, root: Path, options: dict[str, Any]) -> Job[tuple[np.ndarray, list[str]]]:
    bpy.utils.expose_bundled_modules()  # OpenImageIO
    try:
        return depth.read_range(path, Options(**options))
    except (exr.UnsupportedExrError, MissingLibraryError):
        return (yield from backend_import.read_range(path, root, **options))


def _at_most(ranges: np.ndarray, limit: int, notes: list[str]) -> np.ndarray:
    """The range image with at most `limit` pixels, each one as it was."""
    if ranges.size <= limit:
        return ranges
    height = max(1, int(np.sqrt(limit / 2)))
    places = ((np.arange(2 * height) + 0.5) * ranges.shape[0] / height).astype(np.intp)
    notes.append(f"Of {ranges.shape[1]} x {ranges.shape[0]} pixels of depth, {2 * height} x {height} were read.")
    return np.ascontiguousarray(ranges[places[:height, None], places[None, :]])


def _exchange(scene: bpy.types.Scene, cloud: PointCloud, index: int) -> bpy.types.Object:
    """Merge a cloud with the scene's cache, from which the points of one capture go."""
    found = cache_objects.find(scene)
    if found is None:
        return cache_objects.replace(scene, cloud)
    cache_objects.refuse_unchangeable(found)
    cache_merge.renumber(scene, found)
    source = attributes.read(found.data).source
    if source is not None and (source == index).all():
        return cache_objects.replace(scene, cloud)
    if source is not None:
        cache_edit.keep(found, source != index)
    return cache_merge.merge(scene, cloud)

"""The geometry pass: the cache's points and the loaded captures, as a frame is rendered from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import bpy
import numpy as np

from ...core.errors import CacheError
from ...core.panorama.capture import Capture
from ...core.points.point_cloud import PointCloud
from ...core.render import splatting
from ..app import access
from ..cache import cache_objects
from ..captures import capture_objects
from ..sources import projection

CAPTURE_WIDTH = 2048
"""Captures wider than this gain the draft nothing: they are reduced to it when loaded."""


def even_width(width: int) -> int:
    """Panoramas have an even width: an odd setting is taken one pixel wider."""
    return int(width) + int(width) % 2


def points(depsgraph: bpy.types.Depsgraph) -> PointCloud:
    """The scene's cache points, world coordinates. Raises CacheError if there are none."""
    cloud = cache_objects.evaluated_points(depsgraph)
    if not len(cloud.points):
        scene = access.scene_of(depsgraph)
        raise CacheError(
            f"The 3D cache of scene {scene.name} has no visible points.",
            advice="Make the cache object visible, or build or project one.",
            repair=projection.cache_repair(scene),
        )
    return cloud


def footprint_frame(cloud: PointCloud, pose: np.ndarray, width: int, near: float) -> splatting.GeometryFrame:
    """The cache as a preview shows it: every point covers its footprint, or a pixel if that is unknown."""
    footprint = cloud.footprint if cloud.footprint is not None else 0.0
    return splatting.splat_footprints(cloud.points, cloud.colours, footprint, pose, width, near=near)


def loaded_captures(depsgraph: bpy.types.Depsgraph, width: int = CAPTURE_WIDTH) -> list[Capture]:
    """The scene's captures at their evaluated poses; pixels come from memory while image and mask are unchanged.

    Raises CaptureError if the scene has none or an image is missing or damaged.
    """
    scene = access.scene_of(depsgraph)
    capture_objects.some_in_scene(scene)
    return LOADED_CAPTURES.load(capture_objects.labelled(scene), depsgraph, width)


class _LoadedCaptures:
    """Captures' pixels kept between frames, keyed by everything that can change them; no Blender data is held."""

    def __init__(self) -> None:
        self._kept: dict[tuple, Capture] = {}

    def load(self, objects: dict[str, bpy.types.Object], depsgraph: bpy.types.Depsgraph, width: int) -> list[Capture]:
        wanted = {}
        for label, obj in objects.items():
            key = _capture_key(label, obj, width)
            kept = self._kept.get(key) if key is not None else None
            wanted[key or (label,)] = kept or capture_objects.load(obj, width=_no_wider(obj, width), label=label)
        found = []
        for obj, (key, capture) in zip(objects.values(), wanted.items(), strict=True):
            pose = capture_objects.pose(obj, depsgraph)
            if not np.array_equal(capture.pose, pose):
                wanted[key] = capture = dataclasses.replace(capture, pose=pose)
            found.append(capture)
        self._kept = {key: capture for key, capture in wanted.items() if len(key) > 1}
        return found

    def clear(self) -> None:
        self._kept = {}


def _no_wider(obj: bpy.types.Object, width: int) -> int | None:
    """The width to load a capture at: enlarging would invent pixels. None lets the loader say what is wrong with it."""
    own = access.of_object(obj).image.size[0]
    return min(own, width) or None


def _capture_key(label: str, obj: bpy.types.Object, width: int) -> tuple | None:
    """All that decides a capture's pixels; None if an image is being painted on and so cannot be told apart."""
    settings = access.of_object(obj)
    key: tuple = (label, width, float(settings.nadir))
    for image in (settings.image, settings.mask):
        if image is None:
            key += (None,)
            continue
        if image.is_dirty or image.source not in {"FILE", "TILED"}:
            return None
        key += (image.session_uid, image.filepath, _file_state(image), image.colorspace_settings.name, image.alpha_mode)
    return key


def _file_state(image: bpy.types.Image) -> tuple:
    if image.packed_file is not None:
        return ("packed", image.packed_file.size)
    path = Path(bpy.path.abspath(image.filepath, library=image.library))
    try:
        state = path.stat()
    except OSError:
        return ("missing",)
    return (state.st_mtime_ns, state.st_size)


LOADED_CAPTURES = _LoadedCaptures()
"""Those of the render engine and of shots; it is emptied when the extension is disabled."""

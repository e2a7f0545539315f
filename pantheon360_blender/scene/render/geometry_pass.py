"""The geometry pass: the cache's points and the loaded captures, as a frame is rendered from them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ...core.errors import CacheError
from ...core.panorama.capture import Capture, UnreadCapture
from ...core.points.point_cloud import PointCloud
from ...core.progress import Job, Progress
from ...core.render import image_based, splatting
from ..app import access, registration
from ..app.access import ObjectReference
from ..cache import cache_objects
from ..captures import capture_objects
from ..captures.decoding import Wanted
from ..sources import projection

CAPTURE_WIDTH = 2048
"""Pixels that captures are reduced to when loaded, where frames are no wider."""


def even_width(width: int) -> int:
    """Panoramas have an even width: an odd setting is taken one pixel wider."""
    return int(width) + int(width) % 2


def points(depsgraph: bpy.types.Depsgraph) -> PointCloud:
    """The scene's cache points, world coordinates. Raises CacheError if there are none."""
    cloud = cache_objects.evaluated_points(depsgraph)
    if not len(cloud.points):
        raise without_points(access.scene_of(depsgraph))
    return cloud


def without_points(scene: bpy.types.Scene) -> CacheError:
    """That a scene has nothing to splat."""
    return CacheError(
        f"The 3D cache of scene {scene.name} has no visible points.",
        advice="Make the cache object visible, or build or project one.",
        repair=projection.cache_repair(scene),
    )


def geometry_frame(cloud: PointCloud, pose: np.ndarray, width: int, near: float) -> splatting.GeometryFrame:
    """The cache as a painter sees it: one pixel a point, with its confidence."""
    seen = splatting.splat(cloud.points, cloud.colours, pose, width, near=near)
    return splatting.with_confidence(seen, cloud.confidence)


def footprint_frame(cloud: PointCloud, pose: np.ndarray, width: int, near: float) -> splatting.GeometryFrame:
    """The cache as a preview shows it: every point covers its footprint, or a pixel if that is unknown."""
    footprint = cloud.footprint if cloud.footprint is not None else 0.0
    return splatting.splat_footprints(cloud.points, cloud.colours, footprint, pose, width, near=near)


def capture_width(width: int, own_pixels: bool) -> int:
    """Pixels round the horizon that captures are of use with in frames of `width`.

    own_pixels: whether surfaces show the captures' pixels: twice as fine ones are of use where the camera is nearer.
    """
    return max(CAPTURE_WIDTH, width * (2 if own_pixels else 1))


def capture_range(cloud: PointCloud, pose: np.ndarray, near: float) -> np.ndarray:
    """What the cache shows from a capture's pose, float32 metres, image_based.RANGE_WIDTH pixels wide."""
    return footprint_frame(cloud, pose, image_based.RANGE_WIDTH, near).depth


def unread_captures(depsgraph: bpy.types.Depsgraph, width: int = CAPTURE_WIDTH) -> list[SceneCapture]:
    """The scene's captures at their evaluated poses, to be read one by one; none becomes wider than it is.

    One is the same object again as long as neither it nor its image and mask changed: whoever read it may keep it.
    Raises CaptureError if the scene has none; reading one, if its image is missing or damaged.
    """
    scene = access.scene_of(depsgraph)
    capture_objects.some_in_scene(scene)
    return KNOWN_CAPTURES.find(capture_objects.labelled(scene), depsgraph, width)


@dataclass(frozen=True, eq=False)
class SceneCapture(UnreadCapture):
    """A capture of the scene, which can be read as a job, too. reading: the job, with what it tells."""

    reading: Callable[[Progress], Job[Capture]]


class _KnownCaptures:
    """The captures of the last frame, by everything that can change them; no pixels and no Blender data are held."""

    def __init__(self) -> None:
        self._known: dict[int, dict[tuple, SceneCapture]] = {}  # by the width they are read at

    def find(
        self, objects: dict[str, bpy.types.Object], depsgraph: bpy.types.Depsgraph, width: int
    ) -> list[SceneCapture]:
        found: list[SceneCapture] = []
        known = {}
        for label, obj in objects.items():
            pose = capture_objects.pose(obj, depsgraph)
            key = _capture_key(label, obj, pose, width)
            capture = self._known.get(width, {}).get(key) if key is not None else None
            if capture is None:
                given = ObjectReference(obj), label, pose, width
                capture = SceneCapture(label, pose, partial(_read, *given), partial(_reading, *given))
            if key is not None:
                known[key] = capture
            found.append(capture)
        self._known[width] = known
        return found

    def clear(self) -> None:
        self._known = {}


def _read(reference: ObjectReference, label: str, pose: np.ndarray, width: int) -> Capture:
    return replace(capture_objects.load(reference.object, width, enlarge=False), name=label, pose=pose)


def _reading(reference: ObjectReference, label: str, pose: np.ndarray, width: int, step: Progress) -> Job[Capture]:
    read = yield from capture_objects.reading(reference.object, Wanted(width, enlarge=False), step)
    return replace(read, name=label, pose=pose)


def _capture_key(label: str, obj: bpy.types.Object, pose: np.ndarray, width: int) -> tuple | None:
    """All that decides a capture; None if an image is being painted on and so cannot be told apart."""
    settings = access.of_object(obj)
    key: tuple = (label, obj.session_uid, pose.tobytes(), width, float(settings.nadir))
    for image in (settings.image, settings.mask):
        if image is None:
            key += (None,)
            continue
        if image.is_dirty or image.source not in {"FILE", "TILED"}:
            _PACKED.pop(image.session_uid, None)
            return None
        key += (image.session_uid, image.filepath, _file_state(image), image.colorspace_settings.name, image.alpha_mode)
    return key


def _file_state(image: bpy.types.Image) -> tuple:
    if image.packed_file is not None:
        if image.session_uid not in _PACKED:
            _PACKED[image.session_uid] = zlib.crc32(image.packed_file.data)
        return ("packed", image.packed_file.size, _PACKED[image.session_uid])
    path = Path(bpy.path.abspath(image.filepath, library=image.library))
    try:
        state = path.stat()
    except OSError:
        return ("missing",)
    return (state.st_mtime_ns, state.st_size)


KNOWN_CAPTURES = _KnownCaptures()
"""Those of the render engine and of shots; it is emptied when the extension is disabled."""

_PACKED: dict[int, int] = {}
"""Checksums of packed images by the session's number, for two pictures may be of one size: made once, and anew after
an image was painted on, and after undo."""


@persistent
def _forget_packed(*_: object) -> None:
    _PACKED.clear()


_HANDLERS = dict.fromkeys(("undo_post", "redo_post", "load_pre"), _forget_packed)


def register() -> None:
    registration.add_handlers(_HANDLERS)


def unregister() -> None:
    registration.remove_handlers(_HANDLERS)
    _PACKED.clear()
    KNOWN_CAPTURES.clear()

"""Coverage check: what the camera's path sees of the 3D cache, kept on the scene and marked on its timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import bpy
import numpy as np

from ...core.errors import CacheError
from ...core.progress import Job, Progress, job_in_thread
from ...core.render import coverage, splatting
from ...core.render.coverage import CoverageView, Limits, PathCoverage, PathWarning
from ..app import access, units
from ..app.access import SceneReference
from ..cache import cache_objects
from ..cache.cache_objects import CachePoints
from ..captures import capture_objects, images
from ..sources import projection
from . import camera_path, path_state

KEY = "pantheon360_coverage"
"""Custom property of the scene that holds the last check."""

MARKER = "360° "
"""What our timeline markers begin with; all others are the artist's."""

IMAGE = "Cache Coverage"

WIDTH = 256
"""Pixels round the horizon at which views are judged: finer ones see between the points of any cache."""

_TITLES = {"leaves": "leaves cache", "touches": "touches cache", "fast": "too fast"}
GUESS = (235, 140, 30)
"""sRGB in which half of a guess is painted in the picture of what the camera sees."""

_VERSION = 2  # 1 did not tell guesses


@dataclass(frozen=True)
class Checked:
    """The last check of a scene: the path and its warnings."""

    path: PathCoverage
    warnings: tuple[PathWarning, ...]


def check(
    scene: bpy.types.Scene, frames: Sequence[int] | None = None, limits: Limits | None = None, width: int = WIDTH
) -> Job[Checked]:
    """Check the path of the scene's camera against its cache, as the cache stands at the current frame.

    frames: numbers, ascending; None takes the scene's range. The reference is what the best of the captures sees.
    Points less sure than the scene's *Confidence* are guesses, as in the report of a reconstruction.
    Raises RenderError without camera or frames, CacheError without points.
    """
    limits, home = limits or Limits(), SceneReference(scene)
    numbers = list(frames) if frames is not None else camera_path.frame_numbers(scene)
    fps = scene.render.fps / scene.render.fps_base
    depsgraph = access.evaluated(scene)
    stored = cache_objects.stored_points(depsgraph)
    if not len(stored):
        raise _without_points(scene)
    eyes = [capture_objects.pose(obj, depsgraph) for obj in capture_objects.in_scene(scene)]
    poses = yield from camera_path.poses(scene, numbers)
    seen = _seen(stored, eyes, poses, numbers, fps, limits, width, _sure(home.scene))
    path = yield from job_in_thread(seen, Progress("Reading the 3D cache"))
    scene = home.scene
    if path is None:
        raise _without_points(scene)
    lengths, speeds = partial(units.length, scene), partial(units.speed, scene)
    return Checked(path, tuple(coverage.warnings(path, limits, lengths, speeds)))


def _seen(
    stored: CachePoints,
    eyes: Sequence[np.ndarray],
    poses: np.ndarray,
    numbers: Sequence[int],
    fps: float,
    limits: Limits,
    width: int,
    sure: float,
) -> Job[PathCoverage | None]:
    """What the poses see of the points; None if none of these is finite. Nothing here is Blender's."""
    cloud = stored.cloud()
    points, guesses = cloud.points, cloud.guesses(sure)
    if not len(points):
        return None
    reference, views = 0.0, []
    for index, eye in enumerate(eyes):
        yield Progress("Coverage of the captures", index, len(eyes))
        reference = max(reference, coverage.view(points, eye, width).covered)
    for index, pose in enumerate(poses):
        yield Progress("Checking coverage", index, len(poses), text=f"frame {numbers[index]}")
        views.append(coverage.view(points, pose, width, guesses))
    yield Progress("Checking the camera's way")
    clear = coverage.way_clear(points, poses, np.array([view.nearest for view in views]), limits.clearance)
    return coverage.path(numbers, poses, views, clear, fps, reference)


def store(scene: bpy.types.Scene, checked: Checked) -> None:
    """Keep a check on the scene, in place of the one before."""
    kept: dict[str, Any] = {"version": _VERSION, "reference": checked.path.reference}
    for field in fields(PathCoverage):
        values = getattr(checked.path, field.name)
        if isinstance(values, np.ndarray):
            kept[field.name] = np.nan_to_num(values, posinf=1e30).tolist()
    kept["warnings"] = [{"kind": each.kind, "first": each.first, "last": each.last} for each in checked.warnings]
    kept["of"] = _state(scene)
    scene[KEY] = kept


def outdated(scene: bpy.types.Scene) -> bool:
    """Whether the path, the captures, the cache or what counts as a guess have changed since the last check.

    Cheap enough for a panel.
    """
    kept: Any = scene.get(KEY)
    return kept is not None and kept.get("of") != _state(scene)


def stored(scene: bpy.types.Scene) -> Checked | None:
    """The last check of a scene; None if there is none that this version understands."""
    kept: Any = scene.get(KEY)
    try:
        if kept is None or kept["version"] != _VERSION:
            return None
        arrays = {
            each.name: np.array(kept[each.name][:], np.int64 if each.name == "frames" else np.float64)
            for each in fields(PathCoverage)
            if each.name != "reference"
        }
        if len({len(values) for values in arrays.values()}) != 1:
            return None
        for values in arrays.values():
            if values.dtype == np.float64:
                values[values >= 1e30] = np.inf
        path = PathCoverage(**arrays, reference=float(kept["reference"]))
        shown = (partial(units.length, scene), partial(units.speed, scene))
        runs = [(str(each["kind"]), int(each["first"]), int(each["last"])) for each in kept["warnings"]]
        return Checked(path, tuple(coverage.warning(kind, path, first, last, *shown) for kind, first, last in runs))
    except (KeyError, TypeError, ValueError):
        return None


def mark(scene: bpy.types.Scene, checked: Checked) -> None:
    """Mark the first frame of each warning on the timeline, in place of our markers of the check before."""
    unmark(scene)
    for warning in checked.warnings:
        scene.timeline_markers.new(f"{MARKER}{_TITLES[warning.kind]}", frame=warning.first)


def unmark(scene: bpy.types.Scene) -> None:
    """Remove our markers; cameras may be bound to the artist's only."""
    for marker in list(scene.timeline_markers):
        if marker.name.startswith(MARKER) and marker.camera is None:
            scene.timeline_markers.remove(marker)


def clear(scene: bpy.types.Scene) -> None:
    """Forget the last check and remove its markers."""
    unmark(scene)
    if scene.get(KEY) is not None:
        del scene[KEY]


def of_camera(scene: bpy.types.Scene, width: int = 1024) -> tuple[CoverageView, bpy.types.Image]:
    """What the scene's camera sees of the cache now, and a picture of it: points in their colours, holes in red,
    guesses in GUESS.

    The picture is one image of the file, exchanged each time; holes are judged at WIDTH, as in `check`.
    Raises RenderError without camera, CacheError without points.
    """
    depsgraph = access.evaluated(scene)
    pose = camera_path.pose(depsgraph)
    cloud = cache_objects.evaluated_points(depsgraph)
    if not len(cloud.points):
        raise _without_points(scene)
    guesses = cloud.guesses(_sure(scene))
    seen = coverage.view(cloud.points, pose, WIDTH, guesses)
    colours = _tinted(cloud.colours, guesses)
    frame = splatting.splat(cloud.points, colours, pose, width)
    coarse = splatting.splat(cloud.points, colours, pose, WIDTH)
    scale = max(width // WIDTH, 1)
    shown = np.where(coarse.coverage[..., None], coarse.colour, np.array([200, 30, 30], np.uint8))
    shown = np.repeat(np.repeat(shown, scale, axis=0), scale, axis=1)
    if shown.shape == frame.colour.shape:
        shown = np.where(frame.coverage[..., None], frame.colour, shown)
    return seen, _exchanged(shown.astype(np.uint8))


def _exchanged(pixels: np.ndarray) -> bpy.types.Image:
    old = bpy.data.images.get(IMAGE)
    made = images.from_array(IMAGE, pixels)
    if old is not None:
        old.user_remap(made)
        bpy.data.images.remove(old)
        made.name = IMAGE
    return made


def _tinted(colours: np.ndarray, guesses: np.ndarray | None) -> np.ndarray:
    """(N, 3) uint8 colours, those of guesses halfway to GUESS."""
    if guesses is None:
        return colours
    half = ((colours.astype(np.uint16) + np.array(GUESS, np.uint16)) // 2).astype(np.uint8)
    return np.where(guesses[:, None], half, colours)


def _sure(scene: bpy.types.Scene) -> float:
    """The confidence from which a point is no guess."""
    return float(access.of_scene(scene).reconstruction_confidence)


def _state(scene: bpy.types.Scene) -> str:
    """What decides a check."""
    return f"{path_state.digest(scene)} {_sure(scene):.4f}"


def _without_points(scene: bpy.types.Scene) -> CacheError:
    return CacheError(
        "No points of a 3D cache are visible.",
        advice="Build or project one, or show it in the viewport.",
        repair=projection.cache_repair(scene),
    )

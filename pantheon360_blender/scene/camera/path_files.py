"""The camera's path brought in from a file, as ordinary keyframes, and written for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ...core.importers import camera_paths
from ...core.importers.camera_paths import CameraPath
from ...core.plain_text import filled
from ...core.progress import Job
from ..app import units
from ..app.access import SceneReference
from . import camera_path, keyframes

KINDS = camera_paths.KINDS
"""What `export_path` can write, and the suffix of each."""


@dataclass(frozen=True)
class Laid:
    """What was brought in. text: a sentence. notes: what a person should know."""

    text: str
    notes: tuple[str, ...]


def import_path(scene: bpy.types.Scene, path: Path, scale: float = 1.0) -> Job[Laid]:
    """Make a file's poses the path of the scene's camera, and the frame range theirs; older keyframes go.

    scale: metres of a unit of the file. Frames of another rate than the scene's keep their time; frames that a file
    does not number begin at the scene's first one. Raises SourceError, FileError; RenderError if the camera is linked.
    """
    reference = SceneReference(scene)
    camera_path.refuse_linked(scene.camera)
    found = yield from camera_paths.read(path)
    scene = reference.scene
    frames, kept = _frames(scene, found)
    poses = found.poses[kept]
    poses[:, :3, 3] *= scale * units.per_metre(scene)
    camera = keyframes.lay(scene, frames, poses, turned=True)
    notes = list(found.notes)
    if left := len(found.poses) - len(frames):
        notes.append(f"{left:,} of its {len(found.poses):,} poses fell on frames of others and were left out.")
    text = filled(
        "{camera} has {count} keyframes, frames {first} to {last}",
        camera=camera.name, count=len(frames), first=frames[0], last=frames[-1],
    )  # fmt: skip
    return Laid(text, tuple(notes))


def export_path(scene: bpy.types.Scene, path: Path, kind: str) -> Job[str]:
    """Write the pose of the scene's camera at every frame of its range, in metres, as one of camera_paths.KINDS.

    Returns a sentence on it. Raises RenderError without a camera, FileError.
    """
    reference = SceneReference(scene)
    frames = camera_path.frame_numbers(scene)
    poses = yield from camera_path.poses(scene, frames)
    scene = reference.scene
    poses[:, :3, 3] /= units.per_metre(scene)
    camera_paths.write(path, kind, CameraPath(np.array(frames), poses, _rate(scene)))
    return filled("{count} poses are in {path}", count=len(frames), path=path)


def _frames(scene: bpy.types.Scene, found: CameraPath) -> tuple[list[int], list[int]]:
    """Whole frames of the scene, each once, and which pose each has."""
    pace = _rate(scene) / found.fps if found.fps else 1.0
    first = found.frames[0] if found.numbered else scene.frame_start
    wanted = np.rint(first + (found.frames - found.frames[0]) * pace).astype(int)
    frames, kept = np.unique(wanted, return_index=True)
    return frames.tolist(), kept.tolist()


def _rate(scene: bpy.types.Scene) -> float:
    """Frames a second."""
    return float(scene.render.fps / scene.render.fps_base)

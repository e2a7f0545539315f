"""Poses in a transforms.json, as nerfstudio and instant-ngp write them.

Both store camera-to-world matrices with OpenGL's camera axes, which are Blender's, in a world with Z up; nerfstudio's
points (ply_file_path) lie in the same world. Neither is metric unless its maker made it so.
Sources: nerfstudio documentation, "Data conventions"; instant-ngp, docs/nerf_dataset_tips.md.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import budget, inputs
from ..budget import FARTHEST
from ..points.point_cloud import PointCloud
from ..progress import Job, Progress
from .imported import Gathering, Imported, ImportedCapture, Options, Source, SourceError, field_of_view

_SUFFIXES = (".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG")
_PANORAMIC = ("EQUIRECTANGULAR", "SPHERICAL")
_LONGEST_MODEL = 64
_NAME = "transforms.json"
_BLOCK = 1 << 20


def _read(path: Path, options: Options) -> Job[Imported]:
    file = path / _NAME if path.is_dir() else path
    content = _content(file)
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise SourceError(f"{file} has no frames.", advice="Choose a transforms.json of nerfstudio or instant-ngp.")
    if len(frames) > budget.PICTURES:
        raise SourceError(f"{file} has {len(frames):,} frames; {budget.PICTURES:,} are the most.", advice="Divide it.")
    gathering = Gathering(path, options)
    poses = [_pose(frame, index, file) for index, frame in enumerate(frames)]
    cloud = _points(content, file, gathering)
    gathering.settle(np.array([pose[:3, 3] for pose in poses]))
    captures = []
    for index, (frame, pose) in enumerate(zip(frames, poses, strict=True)):
        captures.append(_capture(frame, index, pose, content, file, gathering))
        if index % 256 == 0:
            yield Progress("Reading poses", index, len(frames))
    if options.scale is None:
        gathering.notes.append("A transforms.json says nothing of meters: set the scale by two points you know.")
    gathering.note_pictures(captures, "the file")
    for start in range(0, len(cloud), _BLOCK):
        block = cloud.selected(slice(start, start + _BLOCK))
        gathering.add(block.points, block.colours, confidence=block.confidence, footprint=block.footprint)
        yield Progress("Reading points", start, len(cloud))
    return gathering.finish(captures)


def _content(file: Path) -> dict[str, Any]:
    try:
        content = inputs.read_json(file, budget.LIST_FILE)
    except ValueError as error:
        raise SourceError(f"{file} is no JSON, or cut short: {error}.", advice="Export it again.") from error
    if not isinstance(content, dict):
        raise SourceError(f"{file} is not a list of cameras.", advice="Choose a transforms.json.")
    return content


def _pose(frame: Any, index: int, file: Path) -> np.ndarray:
    given = frame.get("transform_matrix", frame.get("transform_matrix_start")) if isinstance(frame, dict) else None
    try:
        rows = np.array(given, np.float64)
    except (TypeError, ValueError, OverflowError):
        rows = np.zeros(0)
    if rows.shape not in ((4, 4), (3, 4)) or not (np.abs(rows) <= FARTHEST).all():
        raise SourceError(f"{file}: frame {index} has no transform_matrix of 4 x 4 numbers.", advice="Export it again.")
    pose = np.eye(4)
    pose[: len(rows)] = rows
    return _orthonormal(pose)


def _orthonormal(pose: np.ndarray) -> np.ndarray:
    """Matrices written with few digits are rigid again; those that scale or mirror stay as they are, to be refused."""
    u, scales, vt = np.linalg.svd(pose[:3, :3])
    if np.abs(scales - 1).max() < 1e-2 and np.linalg.det(u @ vt) > 0:
        pose[:3, :3] = u @ vt
    return pose


def _capture(
    frame: dict[str, Any], index: int, pose: np.ndarray, content: dict[str, Any], file: Path, gathering: Gathering
) -> ImportedCapture:
    named = frame.get("file_path")
    named = named if isinstance(named, str) and named else f"frame {index}"
    model = frame.get("camera_model", content.get("camera_model"))
    model = model[:_LONGEST_MODEL].upper() if isinstance(model, str) else ""
    mask = frame.get("mask_path")
    return ImportedCapture(
        Path(named).stem or named,
        picture_at(file.parent, named),
        gathering.pose(pose, named),
        model in _PANORAMIC,
        picture_at(file.parent, mask) if isinstance(mask, str) else None,
        None if model in _PANORAMIC or "FISHEYE" in model else _field_of_view(ChainMap(frame, content)),
    )


def _field_of_view(intrinsics: Mapping[str, Any]) -> float | None:
    """Angle across the picture by its focal length in pixels, else as instant-ngp states the angle itself."""
    width, focal, angle = (_number(intrinsics.get(name)) for name in ("w", "fl_x", "camera_angle_x"))
    return field_of_view(width, focal) or field_of_view(2 * math.tan(angle / 2), 1.0)


def _number(value: Any) -> float:
    """A number of a JSON file; 0 if there is none."""
    try:
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0
    except OverflowError:
        return 0.0


def picture_at(folder: Path, name: str) -> Path | None:
    """The picture that a file calls `name`, below `folder`; the suffix may be missing. None if there is none."""
    relative = Path(name.replace("\\", "/"))
    if "\0" in name or relative.is_absolute() or ".." in relative.parts or len(name) > 4096:
        return None
    try:
        for candidate in (folder / relative, *(folder / f"{relative}{suffix}" for suffix in _SUFFIXES)):
            if candidate.is_file():
                return candidate
    except OSError:  # a name too long for the file system
        pass
    return None


def _points(content: dict[str, Any], file: Path, gathering: Gathering) -> PointCloud:
    named = content.get("ply_file_path")
    if not isinstance(named, str) or not named:
        return PointCloud.empty()
    place = picture_at(file.parent, named)
    if place is None or place.suffix.lower() != ".ply":
        gathering.notes.append(f"Its points were not found: {named[:200]} is missing.")
        return PointCloud.empty()
    return PointCloud.load(place)


def _is_transforms(path: Path, start: bytes) -> bool:
    if not start:
        return (path / _NAME).is_file()
    return path.suffix.lower() == ".json" and start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


SOURCE = Source("transforms", "nerfstudio and instant-ngp poses (transforms.json or its folder)", _is_transforms, _read)

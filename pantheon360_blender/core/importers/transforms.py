"""Poses in a transforms.json, as nerfstudio and instant-ngp write them.

Both store camera-to-world matrices with OpenGL's camera axes, which are Blender's, in a world with Z up; nerfstudio's
points (ply_file_path) lie in the same world. Its applied_transform has been applied to both, and is what brought Z up;
its applied_scale is taken back. Neither is metric unless its maker made it so.
Sources: nerfstudio documentation, "Data conventions"; instant-ngp, docs/nerf_dataset_tips.md.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from .. import budget, inputs
from ..budget import FARTHEST
from ..errors import PantheonError
from ..formats import image_headers
from ..formats.media_files import reading
from ..points import vertices
from ..points.vertices import Vertices
from ..progress import Job, Progress
from . import picture_paths
from .clouds import add_points
from .imported import Gathering, Imported, ImportedCapture, Options, Source, SourceError, field_of_view

_PANORAMIC = ("EQUIRECT", "SPHERICAL", "PANORAM")
_MODEL_KEYS = ("camera_model", "camera_type", "projection_type", "projection", "model")
NO_PINHOLE = ("FISHEYE", "FOV", "EUCM", "OMNIDIRECTIONAL", "VR180", "ORTHO", *_PANORAMIC)
"""In names of cameras whose focal length does not tell the field of view as that of a pinhole camera does."""

_LONGEST_MODEL = 64
_NAME = "transforms.json"


def _read(path: Path, options: Options) -> Job[Imported]:
    file = path / _NAME if path.is_dir() else path
    content = _content(file)
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise SourceError(f"{file} has no frames.", advice="Choose a transforms.json of nerfstudio or instant-ngp.")
    if len(frames) > budget.PICTURES:
        raise SourceError(f"{file} has {len(frames):,} frames; {budget.PICTURES:,} are the most.", advice="Divide it.")
    applied = _number(content.get("applied_scale"))
    gathering = Gathering(path, options, scale=1 / applied if applied > 0 else 1.0)
    poses = [_pose(frame, index, file) for index, frame in enumerate(frames)]
    cloud = _points(content, file, gathering)
    gathering.settle(np.array([pose[:3, 3] for pose in poses]))
    captures = []
    for index, (frame, pose) in enumerate(zip(frames, poses, strict=True)):
        captures.append(_capture(frame, index, pose, content, file, gathering))
        if index % 256 == 0:
            yield Progress("Reading poses", index, len(frames))
    named = (str(frame.get("file_path")) for frame, each in zip(frames, captures, strict=True) if each.image is None)
    gathering.note_pictures(captures, "the file", next((_why(file, each) for each in named), ""))
    if options.scale is None:
        gathering.notes.append("A transforms.json says nothing of meters: set the scale by two points you know.")
    if cloud is not None:
        gathering.notes += cloud.notes
        shares = {name: share for name, share in cloud.shares.items() if name != "source"}  # of captures unknown here
        yield from add_points(gathering, cloud.positions, cloud.colours, shares)
    return gathering.finish(captures)


def read_json(file: Path) -> Any:
    """What a JSON file with a list of poses holds. Raises SourceError if it is no JSON."""
    try:
        return inputs.read_json(file, budget.LIST_FILE)
    except ValueError as error:
        raise SourceError(f"{file} is no JSON, or cut short: {error}.", advice="Export it again.") from error


def _content(file: Path) -> dict[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise SourceError(f"{file} is not a list of cameras.", advice="Choose a transforms.json.")
    return content


def _pose(frame: Any, index: int, file: Path) -> np.ndarray:
    given = frame.get("transform_matrix", frame.get("transform_matrix_start")) if isinstance(frame, dict) else None
    try:
        rows = np.array(given if _is_of_numbers(given) else (), np.float64)
    except (TypeError, ValueError, OverflowError):
        rows = np.zeros(0)
    if rows.shape not in ((4, 4), (3, 4)) or not (np.abs(rows) <= FARTHEST).all():
        raise SourceError(f"{file}: frame {index} has no transform_matrix of 4 x 4 numbers.", advice="Export it again.")
    pose = np.eye(4)
    pose[: len(rows)] = rows
    return _orthonormal(pose)


def _is_of_numbers(given: Any) -> bool:
    """Whether the rows of a matrix hold nothing but numbers; true and false are none."""
    if not isinstance(given, list) or not all(isinstance(row, list) for row in given):
        return False
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for row in given for value in row)


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
    mask = frame.get("mask_path")
    picture = picture_paths.near(file.parent, named)
    intrinsics = content | frame
    model = _model(intrinsics)
    angle = None if any(part in model for part in NO_PINHOLE) else _field_of_view(intrinsics)
    panoramic = _is_panoramic(model, intrinsics, picture, angle)
    return ImportedCapture(
        PureWindowsPath(named).stem or named,
        picture,
        gathering.pose(pose, named),
        panoramic,
        picture_paths.near(file.parent, mask) if isinstance(mask, str) else None,
        None if panoramic else angle,
    )


def _model(intrinsics: dict[str, Any]) -> str:
    """What a frame calls its camera, in capital letters; programs agree neither on the key nor on the words."""
    if intrinsics.get("is_equirectangular") is True:
        return _PANORAMIC[0]
    told = (intrinsics.get(key) for key in _MODEL_KEYS)
    return next((each[:_LONGEST_MODEL].upper() for each in told if isinstance(each, str) and each), "")


def _is_panoramic(model: str, intrinsics: dict[str, Any], picture: Path | None, angle: float | None) -> bool:
    """Whether a picture shows the whole sphere: by its camera's name, else by its shape if nothing else is told."""
    if model or angle is not None:
        return any(part in model for part in _PANORAMIC)
    width, height = _number(intrinsics.get("w")), _number(intrinsics.get("h"))
    if not width and picture is not None:
        with suppress(PantheonError), reading(picture) as (file, length):
            width, height = image_headers.read(file, length, picture).size or (0, 0)
    return width == 2 * height > 0


def _why(file: Path, named: str) -> str:
    """Why a file that a name stands for was not found."""
    if picture_paths.leaves_project(file.parent, named):
        return f"{named[:200]} lies outside of the file's folder and the two above it, and is not followed"
    return f"{named[:200]} is missing"


def _field_of_view(intrinsics: dict[str, Any]) -> float | None:
    """Angle across the picture by its focal length in pixels, else as instant-ngp states the angle itself."""
    width, focal, angle = (_number(intrinsics.get(name)) for name in ("w", "fl_x", "camera_angle_x"))
    return field_of_view(width, focal) or field_of_view(2 * math.tan(angle / 2), 1.0)


def _number(value: Any) -> float:
    """A number of a JSON file; 0 if there is none."""
    try:
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0
    except OverflowError:
        return 0.0


def _points(content: dict[str, Any], file: Path, gathering: Gathering) -> Vertices | None:
    named = content.get("ply_file_path")
    if not isinstance(named, str) or not named:
        return None
    place = picture_paths.near(file.parent, named)
    if place is None or place.suffix.lower() != ".ply":
        gathering.notes.append(f"Its points were not found: {_why(file, named)}.")
        return None
    return vertices.read(place)


def _is_transforms(path: Path, start: bytes) -> bool:
    if not start:
        return (path / _NAME).is_file()
    return path.suffix.lower() == ".json" and start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


SOURCE = Source("transforms", "nerfstudio and instant-ngp poses (transforms.json or its folder)", _is_transforms, _read)

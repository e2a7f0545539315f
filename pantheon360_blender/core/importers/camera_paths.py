"""Camera paths in files, one pose for each of some frames: read and written for other programs.

    json        this project's own: {"pantheon360_camera_path": 1, "fps": 24, "frames": [{"frame": 1, "pose": 4 x 4}]}
    csv         a row for each frame: frame,x,y,z,qw,qx,qy,qz; or heading,pitch,roll in degrees instead of qw to qz
    nerfstudio  the camera path of its viewer, which `ns-render camera-path` reads: camera_to_world, row by row
    colmap      a folder with a sparse model as text: cameras.txt, images.txt and a points3D.txt without points

Poses are camera-to-world, in metres, in a world with Z up, with Blender's camera axes (x right, y up, -z forward),
which are nerfstudio's, too; COLMAP's images hold world-to-camera with OpenCV's. Whatever else has poses, as a
transforms.json or a model of COLMAP, is read by its importer, and its pictures' order is the path.
Sources: nerfstudio, `cameras/camera_paths.py` and `scripts/render.py`; COLMAP documentation, "Output Format".
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import budget, files, inputs, json_values
from ..errors import PoseError
from ..panorama import cameras
from ..progress import Job
from . import open_source, transforms
from .imported import SourceError

MARK = "pantheon360_camera_path"
VERSION = 1
KINDS = {"json": ".json", "csv": ".csv", "nerfstudio": ".json", "colmap": ""}
"""Kind of file -> its suffix; a folder has none."""
_PLACE, _QUATERNION, _ANGLES = ("x", "y", "z"), ("qw", "qx", "qy", "qz"), ("heading", "pitch", "roll")
_WIDTH = 2048
"""Pixels of the panorama that nerfstudio and COLMAP are told of."""
_WHOLE_SPHERE = 50.0
"""Degrees that nerfstudio's files give as the field of view of cameras that have none."""


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Poses of a camera.

    frames: (K,) int64, growing. poses: (K, 4, 4) float64, see above. fps: frames a second, None if the file does not
    tell. numbered: whether the file numbers its frames; else they count from 0. notes: for people.
    """

    frames: np.ndarray
    poses: np.ndarray
    fps: float | None
    numbered: bool = True
    notes: tuple[str, ...] = ()


def read(path: Path) -> Job[CameraPath]:
    """Read a camera path of any kind above, recognised by its content.

    Raises SourceError that names the file and what is wrong with it; FileError if it cannot be opened.
    """
    if path.suffix.lower() == ".csv":
        return _from_table(path)
    if path.suffix.lower() == ".json" and not inputs.is_folder(path):
        content = transforms.read_json(path)
        if isinstance(content, dict) and MARK in content:
            return _own(content, path)
        if isinstance(content, dict) and "camera_path" in content:
            return _from_nerfstudio(content, path)
    return (yield from _from_captures(path))


def write(path: Path, kind: str, path_: CameraPath) -> None:
    """Write a camera path as one of KINDS; of colmap `path` is a folder. Raises FileError."""
    _WRITERS[kind](path, path_)


# Read


def _own(content: dict[str, Any], path: Path) -> CameraPath:
    if content[MARK] != VERSION:
        raise SourceError(
            f"{path} is a camera path of version {content[MARK]!r}; this extension reads {VERSION}.",
            advice="Update the Pantheon360 extension.",
        )
    rows = content.get("frames")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceError(f"{path} has no list of frames.", advice="Export it again.")
    frames = [row.get("frame") for row in rows]
    if not all(json_values.is_integer(frame) for frame in frames):
        raise SourceError(f"{path} has a frame without a whole number.", advice="Export it again.")
    return _path(frames, [row.get("pose") for row in rows], _rate(content.get("fps"), path), path)


def _from_nerfstudio(content: dict[str, Any], path: Path) -> CameraPath:
    rows = content["camera_path"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceError(f"{path} has no list of cameras.", advice="Export it again.")
    poses = []
    for index, row in enumerate(rows):
        given = row.get("camera_to_world")
        if not isinstance(given, list) or len(given) not in (12, 16):
            raise SourceError(
                f"{path}: camera {index} has no camera_to_world of 16 numbers.", advice="Export it again."
            )
        flat = [*given, 0, 0, 0, 1] if len(given) == 12 else given
        poses.append([flat[row : row + 4] for row in range(0, 16, 4)])
    rate = content.get("fps")
    if rate is None and json_values.is_number(content.get("seconds")) and content["seconds"] > 0:
        rate = len(rows) / content["seconds"]
    note = "A path of nerfstudio is in the units of the model that it was made in; scale it if that is not in meters."
    return _path(range(len(rows)), poses, _rate(rate, path), path, numbered=False, notes=(note,))


def _from_table(path: Path) -> CameraPath:
    text = inputs.read_bytes(path, budget.LIST_FILE).decode("utf-8-sig", "replace")
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    has = set(reader.fieldnames)
    if not {"frame", *_PLACE} <= has or not (has.issuperset(_QUATERNION) or has.issuperset(_ANGLES)):
        raise SourceError(
            f"{path} lacks columns of a camera path: it has {', '.join(reader.fieldnames)[:200] or 'none'}.",
            advice=f"Let its first line be frame,{','.join(_PLACE)},{','.join(_QUATERNION)}, or with "
            f"{','.join(_ANGLES)} in degrees.",
        )
    frames: list[float] = []
    poses = []
    for row in reader:
        if len(frames) >= budget.CLIP_FRAMES:
            raise _too_long(path)
        frames.append(_cell(row, "frame", reader.line_num, path))
        place = [_cell(row, name, reader.line_num, path) for name in _PLACE]
        turned = [_cell(row, name, reader.line_num, path) for name in (_QUATERNION if "qw" in has else _ANGLES)]
        poses.append(_turned(turned, place, f"{path}, line {reader.line_num}"))
    if any(frame != int(frame) for frame in frames):
        raise SourceError(f"{path} has frames between frames.", advice="Number its rows with whole numbers.")
    return _path([int(frame) for frame in frames], poses, None, path)


def _cell(row: dict[str, Any], name: str, line: int, path: Path) -> float:
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = math.nan
    if not abs(value) <= budget.FARTHEST:
        raise SourceError(f"{path}, line {line}: {name} is {row[name]!r}, no number.", advice="Correct that line.")
    return value


def _turned(turned: Sequence[float], place: Sequence[float], where: str) -> np.ndarray:
    """A pose of a quaternion or of heading, pitch and roll in degrees."""
    try:
        if len(turned) == len(_ANGLES):
            return cameras.pose_matrix(cameras.rotation_from_heading(*turned), np.array(place))
        return cameras.pose_matrix(cameras.matrix_from_quaternion(np.array(turned)), np.array(place))
    except PoseError as error:
        raise SourceError(f"{where}: {error.text}", advice="Correct that line.") from error


def _from_captures(path: Path) -> Job[CameraPath]:
    found = yield from open_source(path, limit=1000)
    if len(found.captures) < 2:
        raise SourceError(
            f"{path} has no camera path.",
            advice="Choose a JSON or CSV file with the poses of some frames, nerfstudio's or COLMAP's among them.",
        )
    poses = [capture.pose for capture in found.captures]
    return _path(range(len(poses)), poses, None, path, numbered=False, notes=found.notes)


def _path(
    frames: Any, poses: Sequence[Any], fps: float | None, path: Path, *, numbered: bool = True,
    notes: tuple[str, ...] = (),
) -> CameraPath:  # fmt: skip
    """Checked and in the order of the frames."""
    if len(poses) > budget.CLIP_FRAMES:
        raise _too_long(path)
    if not poses:
        raise SourceError(f"{path} holds no frame.", advice="Export it again.")
    numbers = np.array(list(frames), np.int64)
    checked = np.empty((len(poses), 4, 4))
    for index, pose in enumerate(poses):
        try:
            checked[index] = cameras.check_pose(pose)
        except PoseError as error:
            raise SourceError(f"{path}: the pose of frame {numbers[index]} is damaged. {error.text}") from error
    order = np.argsort(numbers, kind="stable")
    numbers, checked = numbers[order], checked[order]
    if (twice := numbers[1:][np.diff(numbers) == 0]).size:
        raise SourceError(f"{path} has frame {twice[0]} twice.", advice="Remove one of them.")
    if not (np.abs(numbers) < 1 << 20).all():  # as far as Blender's frames go
        raise SourceError(f"{path} has frames beyond {1 << 20:,}.", advice="Number them from 1 on.")
    return CameraPath(numbers, checked, fps, numbered, notes)


def _too_long(path: Path) -> SourceError:
    return SourceError(f"{path} has more than {budget.CLIP_FRAMES:,} frames.", advice="Divide it.")


def _rate(value: Any, path: Path) -> float | None:
    """Frames a second, as a file gives it, or None if it gives none."""
    if value is None:
        return None
    if not json_values.is_number(value) or not 0.01 <= value <= 1000:
        raise SourceError(f"{path} has {value!r} frames a second.", advice="Correct it, or leave it out.")
    return float(value)


# Write


def _write_own(path: Path, given: CameraPath) -> None:
    rows = [{"frame": int(frame), "pose": pose.tolist()} for frame, pose in zip(given.frames, given.poses, strict=True)]
    told = {"units": "meters", "world": "Z up", "camera": "x right, y up, -z forward; camera to world"}
    files.write_json(path, {MARK: VERSION, "fps": given.fps, **told, "frames": rows})


def _write_table(path: Path, given: CameraPath) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("frame", *_PLACE, *_QUATERNION))
    for frame, pose in zip(given.frames, given.poses, strict=True):
        numbers = (*pose[:3, 3], *cameras.quaternion_from_matrix(pose[:3, :3]))
        writer.writerow((int(frame), *(f"{number:.9g}" for number in numbers)))
    files.write_bytes(path, text.getvalue().encode())


def _write_nerfstudio(path: Path, given: CameraPath) -> None:
    fps = given.fps or 24.0
    rows = [
        {"camera_to_world": pose.ravel().tolist(), "fov": _WHOLE_SPHERE, "aspect": 2.0} for pose in given.poses
    ]  # fmt: skip
    size = {"render_width": _WIDTH, "render_height": _WIDTH // 2}
    timing = {"fps": fps, "seconds": len(rows) / fps, "is_cycle": False, "smoothness_value": 0}
    files.write_json(path, {"camera_type": "equirectangular", **size, **timing, "keyframes": [], "camera_path": rows})


def _write_colmap(path: Path, given: CameraPath) -> None:
    lines = [
        "# Image list with two lines of data per image: IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, and no points"
    ]
    for frame, pose in zip(given.frames, given.poses, strict=True):
        camera_from_world = cameras.invert(cameras.blender_to_opencv(pose))
        rotation = cameras.quaternion_from_matrix(camera_from_world[:3, :3])
        numbers = " ".join(f"{number:.12g}" for number in (*rotation, *camera_from_world[:3, 3]))
        lines += [f"{len(lines) // 2 + 1} {numbers} 1 frame_{int(frame):06d}.png", ""]
    camera = f"1 EQUIRECTANGULAR {_WIDTH} {_WIDTH // 2} {_WIDTH} {_WIDTH // 2}"
    files.write_bytes(path / "cameras.txt", f"{camera}\n".encode())
    files.write_bytes(path / "images.txt", ("\n".join(lines) + "\n").encode())
    files.write_bytes(path / "points3D.txt", b"")


_WRITERS = {"json": _write_own, "csv": _write_table, "nerfstudio": _write_nerfstudio, "colmap": _write_colmap}

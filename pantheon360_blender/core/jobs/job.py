"""What a job is: the contents of `job.json`, checked field by field.

Schema 1, two kinds: "paint" makes the frames of a shot, "reconstruct" a 3D cache from captures. A validator is a pure
function of the JSON value that returns what is wrong with it, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np

from ..errors import JobError, PoseError
from ..panorama.cameras import check_pose
from . import reconstruct_settings
from .json_values import is_integer, is_number, is_unicode, object_error

SCHEMA = 1
PAINT, RECONSTRUCT = "paint", "reconstruct"
KINDS = (PAINT, RECONSTRUCT)
MAXIMUM_WIDTH = 32768
MAXIMUM_FRAMES = 1_000_000
MAXIMUM_SEED = 2**64 - 1


class CaptureEntry(TypedDict):
    """A capture in the folder. Paths are relative to the folder; mask is white where the capture is to be ignored."""

    name: str
    image: str
    mask: str | None
    pose: list[list[float]]


class Anchor(TypedDict):
    """A frame at which the camera stands in a capture, so that the frame is known to look like it."""

    frame: int
    capture: str


class Input(TypedDict):
    """A file the result depends on: path relative to the folder, SHA-256 in lower-case hexadecimal."""

    path: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be painted or reconstructed, and everything that decides how it will look.

    Width, frame rate, frames, cameras, anchors and painter are a shot's; a reconstruction has none of them.

    name: what the artist calls the shot.
    width: panorama width in pixels; the height is width / 2.
    fps: frames a second of the shot, for models that are told the frame rate.
    frames: Blender's frame numbers in the order of the path; may be negative.
    cameras: (F, 4, 4) float64 camera-to-world, one a frame; Blender world, metres, camera looks along -Z.
    captures, anchors, inputs: see CaptureEntry, Anchor, Input.
    painter: name of the backend's painter.
    settings: the painter's settings, any JSON object; a reconstruction's are in reconstruction_job.
    seed: 0 to 2^64 - 1 as decimal text: JSON readers that use doubles would round a number.
    software: name -> version of whatever took part.
    """

    name: str
    width: int = 0
    fps: float = 0.0
    frames: list[int] = field(default_factory=list)
    cameras: np.ndarray = field(default_factory=lambda: np.zeros((0, 4, 4)))
    captures: list[CaptureEntry] = field(default_factory=list)
    anchors: list[Anchor] = field(default_factory=list)
    painter: str = "draft"
    settings: dict[str, Any] = field(default_factory=dict)
    seed: str = "0"
    software: dict[str, str] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)
    id: str = ""
    kind: str = PAINT
    schema: int = SCHEMA

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its panoramas in pixels."""
        return self.width, self.width // 2

    def camera(self, frame: int) -> np.ndarray:
        """(4, 4) float64 camera-to-world of a frame. Raises JobError where the job has no such frame."""
        if frame not in self.frames:
            raise JobError(f"Job {self.name} has no frame {frame}.")
        return np.asarray(self.cameras[self.frames.index(frame)], dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        """The object written to `job.json`."""
        record = {key: getattr(self, key) for key in fields_of(self.kind)}
        if "frames" in record:
            record["cameras"] = np.asarray(self.cameras, dtype=np.float64).tolist()
            record["frames"] = [int(frame) for frame in self.frames]
        return record

    @classmethod
    def from_json(cls, record: Any) -> Job:
        """Read the object of a `job.json`. Raises JobError that names the first field that is wrong."""
        problem = job_error(record)
        if problem is not None:
            raise JobError(f"This is not a usable job: {problem}.", advice="Prepare the shot again.")
        values = dict(record)
        values["cameras"] = np.array(record.get("cameras", []), dtype=np.float64).reshape(-1, 4, 4)
        return cls(**values)


def version_error(record: Any) -> str | None:
    """Why this version of the extension cannot read the record; None where it can."""
    if not isinstance(record, dict) or not is_integer(record.get("schema")):
        return "it has no schema version"
    if record["schema"] > SCHEMA:
        return f"it has schema {record['schema']}, and this version reads up to {SCHEMA}"
    return None if record["schema"] == SCHEMA else f"schema {record['schema']} never existed"


def job_error(record: Any) -> str | None:
    """What is wrong with the object of a `job.json`, field by field and then between fields; None where nothing is."""
    problem = version_error(record)
    if problem is not None:
        return problem
    fields = fields_of(record.get("kind"))
    for name in record:
        if name not in FIELDS:
            return f"unknown field {name!r}"
        if name not in fields:
            return f"field {name!r} is a shot's, and this is a reconstruction"
    for name, validator in fields.items():
        if name not in record:
            return f"field {name!r} is missing"
        problem = validator(record[name])
        if problem is not None:
            return f"field {name!r} {problem}"
    return _reconstruction_error(record) if record["kind"] == RECONSTRUCT else _consistency_error(record)


def fields_of(kind: Any) -> dict[str, Callable[[Any], str | None]]:
    """The fields a job of this kind has, in the order they are written, each with its validator."""
    if kind != RECONSTRUCT:
        return FIELDS
    own = {name: validator for name, validator in FIELDS.items() if name not in SHOT_FIELDS}
    return own | {"settings": reconstruct_settings.settings_error}


def path_error(value: Any) -> str | None:
    """Why a text cannot be a path inside the job folder on any system: absolute, climbing, or with odd characters.

    >>> path_error("captures/hall.png") is None
    True
    >>> path_error("../hall.png")
    "leaves the job folder: '../hall.png'"
    """
    if not isinstance(value, str) or not value:
        return "is not a path"
    if re.search(r'[\\:*?"<>|\x00-\x1f]', value) or not is_unicode(value):
        return f"holds characters that paths cannot have everywhere: {value!r}"
    if value.startswith("/") or any(part in ("", ".", "..") for part in value.split("/")):
        return f"leaves the job folder: {value!r}"
    return None


def seed_error(value: Any) -> str | None:
    """Why a value cannot be a seed."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,20}", value) or int(value) > MAXIMUM_SEED:
        return f"is not a whole number from 0 to {MAXIMUM_SEED} written as text"
    return None


def pose_error(value: Any) -> str | None:
    """Why a value cannot be a camera-to-world matrix: not 4 x 4 finite numbers, or not rigid."""
    rows_fit = (
        isinstance(value, list) and len(value) == 4 and all(isinstance(row, list) and len(row) == 4 for row in value)
    )
    if not rows_fit or not all(is_number(number) for row in value for number in row):
        return "is not a 4 x 4 matrix of finite numbers"
    try:
        check_pose(np.array(value, dtype=np.float64))
    except PoseError as error:
        return f"is not a rotation and a position. {error.text}"
    return None


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str | None]:
    return lambda value: None if value in choices else f"is {value!r}, known are: {', '.join(choices)}"


def _text_error(value: Any) -> str | None:
    return None if isinstance(value, str) and value and is_unicode(value) else "is not a text, or empty"


def _slug_error(value: Any) -> str | None:
    fits = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value)
    return None if fits else "is not 1 to 64 letters, digits, hyphens or underscores"


def _width_error(value: Any) -> str | None:
    fits = is_integer(value) and 2 <= value <= MAXIMUM_WIDTH and value % 2 == 0
    return None if fits else f"is not an even number from 2 to {MAXIMUM_WIDTH}"


def _fps_error(value: Any) -> str | None:
    return None if is_number(value) and 0 < value <= 100_000 else "is not a frame rate"


def _frames_error(value: Any) -> str | None:
    if not isinstance(value, list) or not 1 <= len(value) <= MAXIMUM_FRAMES:
        return f"is not a list of 1 to {MAXIMUM_FRAMES} frames"
    if not all(is_integer(frame) and abs(frame) <= MAXIMUM_FRAMES for frame in value):
        return "holds something that is not a frame number"
    return None if len(set(value)) == len(value) else "names a frame twice"


def _cameras_error(value: Any) -> str | None:
    if not isinstance(value, list):
        return "is not a list of matrices"
    for index, matrix in enumerate(value):
        problem = pose_error(matrix)
        if problem is not None:
            return f"holds a matrix (number {index + 1}) that {problem}"
    return None


def _captures_error(value: Any) -> str | None:
    problem = _records_error(value, {"name": _text_error, "image": path_error, "mask": _mask_error, "pose": pose_error})
    if problem is not None:
        return problem
    names = [capture["name"] for capture in value]
    return None if len(set(names)) == len(names) else "names a capture twice"


def _mask_error(value: Any) -> str | None:
    return None if value is None else path_error(value)


def _anchors_error(value: Any) -> str | None:
    return _records_error(
        value, {"frame": lambda frame: None if is_integer(frame) else "is not a frame number", "capture": _text_error}
    )


def _inputs_error(value: Any) -> str | None:
    return _records_error(value, {"path": path_error, "sha256": _digest_error})


def _digest_error(value: Any) -> str | None:
    fits = isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value)
    return None if fits else "is not a SHA-256 in lower-case hexadecimal"


def _versions_error(value: Any) -> str | None:
    if not isinstance(value, dict) or not all(isinstance(version, str) for version in value.values()):
        return "is not an object of version texts"
    return object_error(value)


def _records_error(value: Any, validators: dict[str, Callable[[Any], str | None]]) -> str | None:
    """Check a list of objects that have exactly these keys."""
    if not isinstance(value, list):
        return "is not a list"
    for index, record in enumerate(value):
        if not isinstance(record, dict) or record.keys() != validators.keys():
            return f"holds an entry (number {index + 1}) that does not have exactly: {', '.join(validators)}"
        for name, validator in validators.items():
            problem = validator(record[name])
            if problem is not None:
                return f"holds an entry (number {index + 1}) whose {name} {problem}"
    return None


def _reconstruction_error(record: dict[str, Any]) -> str | None:
    names = {capture["name"] for capture in record["captures"]}
    if not names:
        return "it has no captures to reconstruct"
    unknown = sorted(reconstruct_settings.names_in(record["settings"]) - names)
    return f"its settings name the capture {unknown[0]!r}, which is not one of its captures" if unknown else None


def _consistency_error(record: dict[str, Any]) -> str | None:
    if len(record["cameras"]) != len(record["frames"]):
        return f"it has {len(record['frames'])} frames and {len(record['cameras'])} cameras"
    frames = set(record["frames"])
    captures = {capture["name"] for capture in record["captures"]}
    for anchor in record["anchors"]:
        if anchor["frame"] not in frames:
            return f"an anchor is at frame {anchor['frame']}, which is not one of its frames"
        if anchor["capture"] not in captures:
            return f"an anchor names the capture {anchor['capture']!r}, which is not one of its captures"
    return None


FIELDS: dict[str, Callable[[Any], str | None]] = {
    "schema": lambda value: None,
    "kind": _one_of(KINDS),
    "id": _slug_error,
    "name": _text_error,
    "width": _width_error,
    "fps": _fps_error,
    "frames": _frames_error,
    "cameras": _cameras_error,
    "captures": _captures_error,
    "anchors": _anchors_error,
    "painter": _slug_error,
    "settings": object_error,
    "seed": seed_error,
    "software": _versions_error,
    "inputs": _inputs_error,
}
"""Every field of `job.json`, in the order it is written, with its validator."""

SHOT_FIELDS = ("width", "fps", "frames", "cameras", "anchors", "painter")
"""Fields that a reconstruction does not have."""

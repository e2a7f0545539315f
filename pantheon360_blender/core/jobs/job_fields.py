"""What may stand in the fields of `job.json`.

A validator is a pure function of the JSON value. It returns what is wrong with it, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import PoseError
from ..json_values import is_integer, is_number, is_unicode, object_error
from ..panorama.cameras import check_pose

MAXIMUM_WIDTH = 32768
MAXIMUM_FRAMES = 100_000
_LARGEST_FRAME = 1_000_000  # Blender has no more
MAXIMUM_SEED = 2**64 - 1
_LONGEST_PATH = 250  # of those inside a folder, as every file system takes them

Validator = Callable[[Any], str | None]


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
    if len(value) > _LONGEST_PATH:
        return f"is longer than {_LONGEST_PATH} characters"
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


def exactly(text: str) -> Validator:
    """A check that a value is this text."""
    return lambda value: None if value == text else f"is {value!r} instead of {text!r}"


def text_error(value: Any) -> str | None:
    fits = isinstance(value, str) and value and is_unicode(value) and "\0" not in value
    return None if fits else "is not a text, or empty"


def slug_error(value: Any) -> str | None:
    fits = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value)
    return None if fits else "is not 1 to 64 letters, digits, hyphens or underscores"


def width_error(value: Any) -> str | None:
    fits = is_integer(value) and 2 <= value <= MAXIMUM_WIDTH and value % 2 == 0
    return None if fits else f"is not an even number from 2 to {MAXIMUM_WIDTH}"


def fps_error(value: Any) -> str | None:
    return None if is_number(value) and 0 < value <= 100_000 else "is not a frame rate"


def frames_error(value: Any) -> str | None:
    if not isinstance(value, list) or not 1 <= len(value) <= MAXIMUM_FRAMES:
        return f"is not a list of 1 to {MAXIMUM_FRAMES} frames"
    if not all(is_integer(frame) and abs(frame) <= _LARGEST_FRAME for frame in value):
        return "holds something that is not a frame number"
    return None if len(set(value)) == len(value) else "names a frame twice"


def cameras_error(value: Any) -> str | None:
    if not isinstance(value, list):
        return "is not a list of matrices"
    for index, matrix in enumerate(value):
        problem = pose_error(matrix)
        if problem is not None:
            return f"holds a matrix (number {index + 1}) that {problem}"
    return None


def captures_error(value: Any) -> str | None:
    problem = _records_error(value, {"name": text_error, "image": path_error, "mask": _mask_error, "pose": pose_error})
    if problem is not None:
        return problem
    names = [capture["name"] for capture in value]
    return None if len(set(names)) == len(names) else "names a capture twice"


def _mask_error(value: Any) -> str | None:
    return None if value is None else path_error(value)


def near_error(value: Any) -> str | None:
    """Why a value cannot be the settings of a job that asks for `near` alone."""
    if not isinstance(value, dict) or value.keys() != {"near"}:
        return "is not an object with `near` alone"
    return None if is_number(value["near"]) and value["near"] >= 0 else "holds a near that is no distance"


def anchors_error(value: Any) -> str | None:
    return _records_error(
        value, {"frame": lambda frame: None if is_integer(frame) else "is not a frame number", "capture": text_error}
    )


def inputs_error(value: Any) -> str | None:
    return _records_error(value, {"path": path_error, "sha256": _digest_error})


def _digest_error(value: Any) -> str | None:
    fits = isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value)
    return None if fits else "is not a SHA-256 in lower-case hexadecimal"


def versions_error(value: Any) -> str | None:
    if not isinstance(value, dict) or not all(isinstance(version, str) for version in value.values()):
        return "is not an object of version texts"
    return object_error(value)


def _records_error(value: Any, validators: Mapping[str, Validator]) -> str | None:
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

"""What a job of kind "reconstruct" is asked, and the files in its folder that answer.

    poses.json   where each capture stands, or why it could not be posed
    sparse.npz   the points that posing found, if poses were solved
    depth/*.npz  what each posed capture sees: range, confidence, sky
    guesses/*.npz  the same as a reconstructor guesses it, if one does
    steps/*.npz  how far the maps of the sweep have come, until they are written
    look.npz     the points as far as they are known while the sweep goes on, as cache.npz has them; removed at the end
    cache.npz    the points (core.point_cloud)
    report.json  what was found, for people (`text`) and for programs

Each is written when its stage is finished; one that is damaged or missing is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from .. import budget, inputs
from ..errors import JobError, PoseError
from ..json_values import is_integer, is_number, is_place, is_unicode, object_error
from ..output_folder import OutputFolder
from ..panorama.cameras import check_pose
from .job_fields import slug_error

SOLVE, GIVEN, MODEL = "solve", "given", "model"
POSES = (SOLVE, GIVEN, MODEL)
SWEEP, NONE = "sweep", "none"
"""Ways to dense points that are no learned reconstructor."""
PLANES = "planes"
"""What guesses surfaces without a model: they go on as planes."""
DEFAULT_WIDTH = 1024
DEFAULT_CONFIDENCE = 0.5
_SMALLEST, _LARGEST = 64, 8192
_LARGEST_HEADING = 1e6  # degrees: many turns, and still no digits lost

POSES_FILE, SPARSE_FILE, DEPTH_FOLDER, GUESSES_FOLDER = "poses.json", "sparse.npz", "depth", "guesses"
CACHE_FILE, REPORT_FILE = "cache.npz", "report.json"
LOOK_FILE = "look.npz"
"""What a reconstruction shows of itself: messages.Preview names it whenever it is new."""
RESULT_FILES = (REPORT_FILE, CACHE_FILE, LOOK_FILE, SPARSE_FILE, POSES_FILE)
"""Those beside DEPTH_FOLDER, the last one first."""


@dataclass(frozen=True)
class ReconstructionSettings:
    """How captures become points.

    poses: "solve" from what the captures have in common, "given" as the captures stand, "model" by the reconstructor.
    dense: "sweep" without a model, "none" for the sparse points alone, or the name of a learned reconstructor.
    width: working width of the dense stage in pixels, a multiple of 64.
    confidence: 0 to 1; points below it are left out, or guessed.
    complete: whether surfaces are guessed where the sweep is not sure; such points have less than `confidence`.
    guess_by: what guesses them: "planes", or the name of a learned reconstructor.
    nearest_only: if several captures see the same surface, keep the points of the one that sees it best.
    camera_height: metres of the cameras above the ground, for the scale if nothing better tells it, or None.
    distance: [name, name, metres] between two captures, which decides the scale, or None.
    priors: capture's name -> {"position": [east, north, up] metres in the world or None, "heading": degrees clockwise
    from world +Y of the image centre or None}.
    options: the reconstructor's own, any JSON object.
    """

    poses: str = SOLVE
    dense: str = SWEEP
    width: int = DEFAULT_WIDTH
    confidence: float = DEFAULT_CONFIDENCE
    complete: bool = True
    guess_by: str = PLANES
    nearest_only: bool = True
    camera_height: float | None = None
    distance: list[Any] | None = None
    priors: dict[str, dict[str, Any]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def guesses(self) -> bool:
        """Whether surfaces are guessed: a sweep leaves some open, a reconstructor guesses by itself."""
        return self.complete and self.dense == SWEEP

    @property
    def reconstructor(self) -> str:
        """Name of the learned reconstructor, empty if there is none."""
        return "" if self.dense in (SWEEP, NONE) else self.dense

    @property
    def guesser(self) -> str:
        """Name of the learned reconstructor that guesses surfaces, empty if none does."""
        return self.guess_by if self.guesses and self.guess_by != PLANES else ""

    @property
    def learned(self) -> str:
        """Name of the learned reconstructor that takes part, whatever it does; empty if none does."""
        return self.reconstructor or self.guesser

    def to_json(self) -> dict[str, Any]:
        """The object that stands under `settings` in `job.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Any) -> ReconstructionSettings:
        """Read the settings of a job. Raises JobError that names the first one that is wrong."""
        problem = settings_error(record)
        if problem is not None:
            raise JobError(f"These are no settings of a reconstruction: the object {problem}.")
        return cls(**{"complete": False, **record})  # a job of a version that did not guess does not begin to


@dataclass(frozen=True, eq=False)
class PosedCapture:
    """Where a capture stands. pose: (4, 4) float64 camera-to-world; reason: why it was not registered, or empty."""

    name: str
    pose: np.ndarray
    registered: bool
    reason: str = ""


def settings_error(value: Any) -> str | None:
    """What is wrong with a reconstruction's settings; None if nothing is."""
    problem = object_error(value)
    if problem is not None:
        return problem
    for name in value:
        if name not in _VALIDATORS:
            return f"holds the unknown setting {name!r}"
    for name, validator in _VALIDATORS.items():
        if name in value and (problem := validator(value[name])) is not None:
            return f"holds a {name} that {problem}"
    chosen = {item.name: value.get(item.name, item.default) for item in fields(ReconstructionSettings)}
    if chosen["dense"] == NONE and chosen["poses"] != SOLVE:
        return "asks neither for poses nor for dense points"
    if chosen["guess_by"] in (SWEEP, NONE):
        return f"lets {chosen['guess_by']} guess surfaces, which is no reconstructor"
    if chosen["poses"] == MODEL and chosen["dense"] in (SWEEP, NONE):
        return "asks for a model's poses and names no model"
    return None


def names_in(settings: dict[str, Any]) -> set[str]:
    """The captures that checked settings speak of."""
    return {*settings.get("priors", {}), *(settings.get("distance") or [])[:2]}


# Results


def write_poses(folder: OutputFolder, posed: Sequence[PosedCapture], solution: dict[str, Any]) -> None:
    """Write `poses.json`. solution: how the poses came to be, any JSON object. Raises FileError."""
    captures = [
        {"name": one.name, "pose": one.pose.tolist(), "registered": one.registered, "reason": one.reason}
        for one in posed
    ]
    folder.write_json(POSES_FILE, {"captures": captures, "solution": solution})


def read_poses(folder: Path) -> tuple[list[PosedCapture], dict[str, Any]]:
    """Read `poses.json` back. Raises JobError if it is missing or damaged."""
    path = folder / POSES_FILE
    record = _read_object(path)
    captures, solution = record.get("captures"), record.get("solution")
    if not isinstance(captures, list) or not isinstance(solution, dict):
        raise JobError(f"{path} is damaged: it has no captures.", advice="Build the 3D cache again.")
    return [_posed(path, entry) for entry in captures], solution


def read_report(folder: Path) -> dict[str, Any]:
    """Read `report.json`; its `text` is for people. Raises JobError if it is missing or damaged."""
    report = _read_object(folder / REPORT_FILE)
    if not isinstance(report.get("text"), str):
        raise JobError(f"{folder / REPORT_FILE} is damaged: it has no text.", advice="Build the 3D cache again.")
    return report


def _read_object(path: Path) -> dict[str, Any]:
    try:
        record = inputs.read_json(path, budget.RECORD_FILE)
    except FileNotFoundError as error:
        raise JobError(f"{path} is missing.", advice="Build the 3D cache again.") from error
    except OSError as error:
        raise JobError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise JobError(f"{path} is damaged: {error}.", advice="Build the 3D cache again.") from error
    if not isinstance(record, dict):
        raise JobError(f"{path} is damaged: it is no JSON object.", advice="Build the 3D cache again.")
    return record


def _posed(path: Path, entry: Any) -> PosedCapture:
    try:
        pose = check_pose(entry["pose"])
        name, registered, reason = entry["name"], entry["registered"], entry["reason"]
        if not (isinstance(name, str) and isinstance(registered, bool) and isinstance(reason, str)):
            raise TypeError("a field is of another type")
        return PosedCapture(name, pose, registered, reason)
    except (KeyError, TypeError, ValueError, PoseError) as error:
        raise JobError(f"{path} is damaged: {error}.", advice="Build the 3D cache again.") from error


# Validators


def _poses_error(value: Any) -> str | None:
    return None if value in POSES else f"is {value!r}, known are: {', '.join(POSES)}"


def _width_error(value: Any) -> str | None:
    fits = is_integer(value) and _SMALLEST <= value <= _LARGEST and value % 64 == 0
    return None if fits else f"is not a multiple of 64 from {_SMALLEST} to {_LARGEST}"


def _share_error(value: Any) -> str | None:
    return None if is_number(value) and 0 <= value <= 1 else "is not a number from 0 to 1"


def _flag_error(value: Any) -> str | None:
    return None if isinstance(value, bool) else "is neither true nor false"


def _metres_error(value: Any) -> str | None:
    return None if value is None or (is_place(value) and value > 0) else "is not a length in meters"


def _distance_error(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3 or not all(_is_name(name) for name in value[:2]):
        return "is not two captures and the meters between them"
    return "is not between two captures" if value[0] == value[1] else _metres_error(value[2] or -1)


def _priors_error(value: Any) -> str | None:
    if not isinstance(value, dict):
        return "is not an object"
    for name, prior in value.items():
        if not isinstance(prior, dict) or prior.keys() != {"position", "heading"}:
            return f"has for {name!r} something else than position and heading"
        position, heading = prior["position"], prior["heading"]
        at_place = isinstance(position, list) and len(position) == 3 and all(is_place(metres) for metres in position)
        if position is not None and not at_place:
            return f"has for {name!r} a position that is not three numbers"
        if heading is not None and not (is_number(heading) and abs(heading) <= _LARGEST_HEADING):
            return f"has for {name!r} a heading that is not a number"
    return None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and is_unicode(value)


_VALIDATORS: dict[str, Callable[[Any], str | None]] = {
    "poses": _poses_error,
    "dense": slug_error,
    "width": _width_error,
    "confidence": _share_error,
    "complete": _flag_error,
    "guess_by": slug_error,
    "nearest_only": _flag_error,
    "camera_height": _metres_error,
    "distance": _distance_error,
    "priors": _priors_error,
    "options": object_error,
}

"""What a job is: the contents of `job.json`, schema 1.

A `PaintJob` makes the frames of a shot, a `ReconstructJob` a 3D cache from captures, an `ExtendJob` more points of a
cache from frames that were painted of it. Each has its table of fields.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypedDict

import numpy as np

from ..errors import JobError
from ..json_values import is_integer, object_error
from . import job_fields, reconstruct_settings
from .job_fields import Validator

SCHEMA = 1


class CaptureEntry(TypedDict):
    """A capture in the folder. Paths are relative to the folder. mask is white where the capture is to be ignored."""

    name: str
    image: str
    mask: str | None
    pose: list[list[float]]


def range_file(capture: CaptureEntry) -> str:
    """Where a folder has what its cache shows from a capture's pose, if it has that."""
    return f"{capture['image'].removesuffix('.png')}.range.npz"


class Anchor(TypedDict):
    """A frame at which the camera stands in a capture, so that the frame is known to look like it."""

    frame: int
    capture: str


class Input(TypedDict):
    """A file the result depends on: path relative to the folder, SHA-256 in lower-case hexadecimal."""

    path: str
    sha256: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Job(ABC):
    """What every job has: what it is made from, and everything that decides how the result will look.

    name: what the artist calls it.
    captures, inputs: see CaptureEntry, Input.
    settings: a JSON object; each kind of job says what is in it.
    seed: 0 to 2^64 - 1 as decimal text. JSON readers that use doubles would round a number.
    software: name -> version of whatever took part.
    """

    kind: ClassVar[str]
    fields: ClassVar[Mapping[str, Validator]]
    """Every field of its `job.json`, in the order it is written, with its validator."""

    name: str
    captures: list[CaptureEntry] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    seed: str = "0"
    software: dict[str, str] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)
    id: str = ""
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """The object written to `job.json`."""
        return {name: getattr(self, name) for name in self.fields}

    @classmethod
    def from_json(cls, record: Any) -> Self:
        """Read the object of a `job.json` of this kind. Raises JobError that names the first field that is wrong."""
        problem = cls._error(record)
        if problem is not None:
            raise JobError(f"This is not a usable job: {problem}.", advice="Prepare the shot again.")
        return cls(**cls._values(record))

    @classmethod
    def check(cls, **known: Any) -> None:
        """Check some of the fields before the work that makes the others. Raises JobError that names the wrong one."""
        for name, value in known.items():
            problem = cls.fields[name](value)
            if problem is not None:
                raise JobError(f"The job's {name} {problem}.", advice="Set it right in the Pantheon360 panel.")

    @classmethod
    def _values(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that make the job of a checked record."""
        return {name: value for name, value in record.items() if name != "kind"}

    @classmethod
    def _error(cls, record: Any) -> str | None:
        """What is wrong with a record, field by field and then between fields. None if nothing is."""
        problem = version_error(record)
        if problem is not None:
            return problem
        for name in record:
            if name not in cls.fields:
                return f"a job of kind {cls.kind} has no field {name!r}"
        for name, validator in cls.fields.items():
            if name not in record:
                return f"field {name!r} is missing"
            problem = validator(record[name])
            if problem is not None:
                return f"field {name!r} {problem}"
        return cls._contradiction(record)

    @classmethod
    @abstractmethod
    def _contradiction(cls, record: Mapping[str, Any]) -> str | None:
        """Which fields of a record do not fit together, though each is right by itself. None if all do."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _PathJob(Job):
    """A job that knows frames of a camera path.

    width: panorama width in pixels; the height is width / 2.
    frames: Blender's frame numbers in the order of the path; may be negative.
    cameras: (F, 4, 4) float64 camera-to-world, one a frame; Blender world, metres, camera looks along -Z.
    """

    width: int
    frames: list[int]
    cameras: np.ndarray

    def to_json(self) -> dict[str, Any]:
        cameras = np.asarray(self.cameras, dtype=np.float64).tolist()
        return super().to_json() | {"frames": [int(frame) for frame in self.frames], "cameras": cameras}

    @classmethod
    def _values(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        return super()._values(record) | {"cameras": np.array(record["cameras"], dtype=np.float64)}

    @classmethod
    def _contradiction(cls, record: Mapping[str, Any]) -> str | None:
        if len(record["cameras"]) != len(record["frames"]):
            return f"it has {len(record['frames'])} frames and {len(record['cameras'])} cameras"
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class PaintJob(_PathJob):
    """The panoramas of a shot.

    width, frames, cameras: of all of it, as of _PathJob.
    fps: frames a second of the shot, for models that are told the frame rate.
    anchors: see Anchor.
    painter: name of the backend's painter.
    settings: those of any painter, and the painter's own under its name.
    """

    kind = "paint"
    fields = {
        "schema": lambda value: None,
        "kind": job_fields.exactly(kind),
        "id": job_fields.slug_error,
        "name": job_fields.text_error,
        "width": job_fields.width_error,
        "fps": job_fields.fps_error,
        "frames": job_fields.frames_error,
        "cameras": job_fields.cameras_error,
        "captures": job_fields.captures_error,
        "anchors": job_fields.anchors_error,
        "painter": job_fields.slug_error,
        "settings": object_error,
        "seed": job_fields.seed_error,
        "software": job_fields.versions_error,
        "inputs": job_fields.inputs_error,
    }

    fps: float
    anchors: list[Anchor] = field(default_factory=list)
    painter: str = "draft"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its panoramas in pixels."""
        return self.width, self.width // 2

    def camera(self, frame: int) -> np.ndarray:
        """(4, 4) float64 camera-to-world of a frame. Raises JobError if the job has no such frame."""
        if frame not in self.frames:
            raise JobError(f"Job {self.name} has no frame {frame}.")
        return np.asarray(self.cameras[self.frames.index(frame)], dtype=np.float64)

    @classmethod
    def _contradiction(cls, record: Mapping[str, Any]) -> str | None:
        if (problem := super()._contradiction(record)) is not None:
            return problem
        frames = set(record["frames"])
        captures = {capture["name"] for capture in record["captures"]}
        for anchor in record["anchors"]:
            if anchor["frame"] not in frames:
                return f"an anchor is at frame {anchor['frame']}, which is not one of its frames"
            if anchor["capture"] not in captures:
                return f"an anchor names the capture {anchor['capture']!r}, which is not one of its captures"
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class ReconstructJob(Job):
    """A 3D cache from captures. settings: as of reconstruct_settings.ReconstructionSettings."""

    kind = "reconstruct"
    fields = {
        "schema": lambda value: None,
        "kind": job_fields.exactly(kind),
        "id": job_fields.slug_error,
        "name": job_fields.text_error,
        "captures": job_fields.captures_error,
        "settings": reconstruct_settings.settings_error,
        "seed": job_fields.seed_error,
        "software": job_fields.versions_error,
        "inputs": job_fields.inputs_error,
    }

    @classmethod
    def _contradiction(cls, record: Mapping[str, Any]) -> str | None:
        names = {capture["name"] for capture in record["captures"]}
        if not names:
            return "it has no captures to reconstruct"
        unknown = sorted(reconstruct_settings.names_in(record["settings"]) - names)
        return f"its settings name the capture {unknown[0]!r}, which is not one of its captures" if unknown else None


@dataclass(frozen=True, eq=False, kw_only=True)
class ExtendJob(_PathJob):
    """Points that a 3D cache lacks, from frames that were painted of it.

    frames: some of the shot's; width and cameras are theirs, as of _PathJob.
    settings: "near", metres from a camera within which no point is seen.
    """

    kind = "extend"
    fields = {
        "schema": lambda value: None,
        "kind": job_fields.exactly(kind),
        "id": job_fields.slug_error,
        "name": job_fields.text_error,
        "width": job_fields.width_error,
        "frames": job_fields.frames_error,
        "cameras": job_fields.cameras_error,
        "captures": job_fields.captures_error,
        "settings": job_fields.near_error,
        "seed": job_fields.seed_error,
        "software": job_fields.versions_error,
        "inputs": job_fields.inputs_error,
    }


AnyKind = PaintJob | ReconstructJob | ExtendJob


def job_from_json(record: Any) -> AnyKind:
    """Read the object of a `job.json`. Raises JobError that names the first field that is wrong."""
    kind = record.get("kind") if isinstance(record, dict) else None
    if kind == ReconstructJob.kind:
        return ReconstructJob.from_json(record)
    return ExtendJob.from_json(record) if kind == ExtendJob.kind else PaintJob.from_json(record)


def version_error(record: Any) -> str | None:
    """Why this version of the extension cannot read the record. None if it can."""
    if not isinstance(record, dict) or not is_integer(record.get("schema")):
        return "it has no schema version"
    if record["schema"] > SCHEMA:
        return f"it has schema {record['schema']}, and this version reads up to {SCHEMA}"
    return None if record["schema"] == SCHEMA else f"schema {record['schema']} never existed"

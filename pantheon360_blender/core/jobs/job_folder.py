"""The folder of a job: everything a painter needs, everything it makes, and how far it is.

    <jobs>/<name>-<id>/
        job.json             what is to be made (job.py); written last, so a folder that has it is complete
        captures/NAME.png    the captures, NAME.mask.png white where they are to be ignored
        state.json, log.txt  how far it is, and what happened

of a PaintFolder besides

        geometry/000001.png  what the model sees: colour, alpha = coverage
        geometry/000001.npz  its depth, and its confidence if the cache's points have any
        footprint/...        the same with footprint splats, for drafts
        frames/000001.png    the result, and in it what it is made of (made_of.py)
        preview.png          a glimpse of the newest result
        painting.json        which model painted it, and how (painting_record.py)

of a ReconstructFolder besides what reconstruct_settings.py says, and made_of.json, what it is made of (made_of.py);

of an ExtendFolder besides

        painted/000001.png   frames of a take, alpha 255 where the painter was shown no surface
        known/cache.npz      the 3D cache, metres
        invented.npz         the points that it lacks; made_of.json

Every path in it is relative: the folder can be moved to another machine and run there. Files are written to a
temporary name and renamed, and so is the folder itself: until it is complete it has a temporary name. Whatever is
written goes through `output`, which no link leads out of the folder.
"""

from __future__ import annotations

import hashlib
import io
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar, get_args

import numpy as np

from .. import budget, files, inputs, json_values, output_folder, plain_text, progress, temporary
from ..budget import PictureBudget
from ..errors import FileError, ImageError, JobError, PantheonError
from ..formats import npz, png
from ..os_errors import translate_os_errors
from ..output_folder import OutputFolder
from ..panorama.capture import Capture, UnreadCapture
from ..points.point_cloud import PointCloud
from ..render.image_based import RANGE_WIDTH
from ..render.splatting import GeometryFrame
from . import made_of, painting_record, reconstruct_settings
from .job import (
    AnyKind,
    CaptureEntry,
    ExtendJob,
    Input,
    Job,
    PaintJob,
    ReconstructJob,
    job_from_json,
    range_file,
    version_error,
)

Kind = Literal["geometry", "footprint"]
Status = Literal["new", "running", "done", "failed", "cancelled"]
AnyJob = TypeVar("AnyJob", bound=Job)

JOB_FILE = "job.json"
STATE_FILE = "state.json"
LOG_FILE = "log.txt"
PREVIEW_WIDTH = 512
_PREVIEW = "preview.png"
_LONGEST_HASHES = 200
"""Characters of a frame's text that are looked at; two hashes have 129."""
_KNOWN = "known/cache.npz"
INPUT_FOLDERS = ("captures", "geometry", "footprint", "painted", "known")


@dataclass(frozen=True)
class State:
    """How far a job is, for people and panels; which frames are finished is judged by the files themselves.

    finished: frame numbers.
    error: {"code", "text", "advice"} of the last failure, or None.
    started, updated: UTC, ISO 8601; None before the first run.
    """

    status: Status = "new"
    finished: list[int] = field(default_factory=list)
    error: dict[str, str] | None = None
    started: str | None = None
    updated: str | None = None


class JobFolder(Generic[AnyJob]):
    """What the folders of all jobs have. Make that of a kind with `new` and `seal`, or `open` one that is there."""

    def __init__(self, path: Path, name: str, identity: str, job: AnyJob | None = None) -> None:
        """output: what is written into the folder, and removed from it, goes this way."""
        self.path = path
        self.name = name
        self.id = identity
        self.output = OutputFolder(path) if job is None else OutputFolder(path).recognised_by(JOB_FILE)
        self._job = job
        self._written: dict[str, str] = {}
        self._digests = _digests(job)
        self._made_of: str | None = None

    # Making and opening

    @classmethod
    def new(cls, root: Path, name: str) -> Self:
        """Make an empty folder with a temporary name; `seal` it when its inputs are in it, or `discard` it.

        What processes that are gone left half-made in `root` is removed. Raises FileError if it cannot be made.
        """
        root = Path(root).absolute()
        with translate_os_errors(root):
            root.mkdir(parents=True, exist_ok=True)
        identity = uuid.uuid4().hex[:8]
        return cls(temporary.make_directory(root, f"{file_name(name)}-{identity}"), name, identity)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a sealed folder as what it is, of the kind of its job. Its inputs are not read: see `verify`.

        Raises JobError if there is no job, it is of the other kind, its schema is newer than this extension, or a field
        is damaged.
        """
        path = Path(path).absolute()
        job = _read_job(path)
        folder: JobFolder
        if isinstance(job, PaintJob):
            folder = PaintFolder(path, job.name, job.id, job)
        elif isinstance(job, ReconstructJob):
            folder = ReconstructFolder(path, job.name, job.id, job)
        else:
            folder = ExtendFolder(path, job.name, job.id, job)
        if not isinstance(folder, cls):
            raise JobError(
                f"{path} holds a job of kind {job.kind}, which is of no use here.", advice="Choose another folder."
            )
        return folder

    def seal(self, job: AnyJob) -> None:
        """Write `job.json` and name the folder `<name>-<id>`: it is complete. Its name, id and the hashes of its input
        files are filled in.

        Raises JobError if the job is not usable; FileError if it cannot be written.
        """
        record = replace(job, name=self.name, id=self.id, inputs=self._hashed_inputs()).to_json()
        sealed = type(job).from_json(record)
        OutputFolder(self.path).write_json(JOB_FILE, record)
        self._written.clear()  # whoever seals it again means its files as they are then
        if self._job is None:
            self.keep()
        self._job, self._digests, self._made_of = sealed, _digests(sealed), None
        self.output = OutputFolder(self.path).recognised_by(JOB_FILE)

    def keep(self) -> None:
        """Give a new folder the name that lasts, `<name>-<id>`. Raises FileError."""
        path = self.kept_path
        output_folder.rename(self.path, path)
        self.path, self.output = path, OutputFolder(path)

    def discard(self) -> None:
        """Remove the folder with all that is in it, as far as that can be done."""
        temporary.remove(self.path)

    @property
    def job(self) -> AnyJob:
        """What is to be made. Raises JobError while the folder is not sealed."""
        if self._job is None:
            raise JobError(f"{self.path} is not complete: it has no job.json yet.", advice="Prepare the shot again.")
        return self._job

    @property
    def made_of(self) -> str:
        """What the job's results are made of (made_of.py). Raises JobError while the folder is not sealed."""
        if self._made_of is None:
            self._made_of = made_of.whole(self.job)
        return self._made_of

    # Where things are

    @property
    def kept_path(self) -> Path:
        """Where a new folder will lie once it is sealed."""
        return self.path.with_name(f"{file_name(self.name)}-{self.id}")

    @property
    def log_file(self) -> Path:
        return self.path / LOG_FILE

    def inside(self, relative: str) -> Path:
        """The file at a relative path of `job.json`. Raises JobError if links lead it out of the folder."""
        path = self.path / relative
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise JobError(
                f"{relative} of {self.path} is a link that leaves the job folder.", advice="Copy the file in."
            )
        return path

    # Inputs

    def write_capture(self, capture: Capture) -> CaptureEntry:
        """Put a capture into the folder and return its entry for `job.captures`. Raises FileError."""
        stem = self._unused_stem(file_name(capture.name))
        image = f"captures/{stem}.png"
        self._write_input(image, png.encode(capture.image))
        mask = None
        if capture.valid is not None:
            mask = f"captures/{stem}.mask.png"
            self._write_input(mask, png.encode(np.where(capture.valid, 0, 255).astype(np.uint8)))
        return CaptureEntry(name=capture.name, image=image, mask=mask, pose=capture.pose.tolist())

    def captures(self) -> list[Capture]:
        """The job's captures; errors as of `read_capture`."""
        return [self.read_capture(entry) for entry in self.job.captures]

    def unread_captures(self) -> list[UnreadCapture]:
        """The job's captures, none of which is read yet; reading raises as `read_capture`."""
        return [
            UnreadCapture(entry["name"], np.array(entry["pose"], dtype=np.float64), partial(self.read_capture, entry))
            for entry in self.job.captures
        ]

    def read_capture(self, entry: CaptureEntry) -> Capture:
        """One of `job.captures`.

        Raises JobError if a file is missing or damaged, CaptureError if shapes do not fit.
        """
        image = self._read_image(entry["image"], budget.PANORAMA)
        valid = None
        if entry["mask"] is not None:
            mask = self._read_image(entry["mask"], budget.exactly(image.shape[1], image.shape[0]))
            valid = (mask if mask.ndim == 2 else mask[..., 0]) < 128
        return Capture(entry["name"], image, np.array(entry["pose"], dtype=np.float64), valid)

    def _unused_stem(self, stem: str) -> str:
        """Two captures may have names that differ only by characters that no file can have, by case, or by ".mask"."""
        taken = {path.name.lower() for path in (self.path / "captures").glob("*.png")}
        candidates = (stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3)))
        return next(name for name in candidates if not {f"{name}.png".lower(), f"{name}.mask.png".lower()} & taken)

    def _read_image(self, name: str, most: PictureBudget) -> np.ndarray:
        try:
            return png.decode(self._read_input(name, most.bytes), str(self.path / name), most)
        except ImageError as error:
            raise JobError(error.text, advice=error.advice or "Prepare the shot again.") from error

    def _read_input(self, name: str, most: int) -> bytes:
        """An input as the job was made with it, looked at when it is used: files change while a job runs.

        name: its path in the folder. most: bytes that it may have. Raises JobError if it is missing, another file, or
        none of the job's inputs.
        """
        path = self.inside(name)
        if self._job is not None and name not in self._digests:
            raise JobError(f"{path} is none of the job's inputs.", advice="Prepare the shot again.")
        with self._input_errors(path):
            data = inputs.read_bytes(path, most)
        if self._job is not None and hashlib.sha256(data).hexdigest() != self._digests[name]:
            raise _changed(path)
        return data

    @contextmanager
    def _input_errors(self, path: Path) -> Iterator[None]:
        """Say in words why an input cannot be read."""
        try:
            yield
        except FileNotFoundError as error:
            self.output.require()
            advice = "Copy the whole job folder, or prepare the shot again."
            raise JobError(f"{path} is missing.", advice=advice) from error
        except OSError as error:
            raise JobError(f"{path} cannot be read: {error.strerror or error}.") from error

    def _write_input(self, name: str, data: bytes | memoryview) -> None:
        """Write an input, and hash it now: reading gigabytes back when the folder is sealed would stop Blender."""
        self.output.write_bytes(name, data)
        self._written[name] = hashlib.sha256(data).hexdigest()

    def _hashed_inputs(self) -> list[Input]:
        paths = [
            path
            for folder in INPUT_FOLDERS
            for path in sorted((self.path / folder).glob("*"))
            if path.is_file() and not path.name.startswith(".")
        ]
        names = [path.relative_to(self.path).as_posix() for path in paths]
        return [
            Input(path=name, sha256=self._written.get(name) or files.sha256(path))
            for name, path in zip(names, paths, strict=True)
        ]

    def verify(self) -> None:
        """Compare every input with its hash. Raises JobError that names the first file that differs or is missing."""
        progress.run_to_end(self.verification())

    def verification(self) -> progress.Job[None]:
        """`verify` as a long job."""
        inputs = self.job.inputs
        for index, entry in enumerate(inputs):
            yield progress.Progress("Checking inputs", index, len(inputs), text=entry["path"])
            self._verify_input(entry)

    def _verify_input(self, entry: Input) -> None:
        path = self.inside(entry["path"])
        with self._input_errors(path):
            digest = files.sha256(path)
        if digest != entry["sha256"]:
            raise _changed(path)

    # How far it is

    def finished_frames(self) -> list[int]:
        """Frames that are finished, in the order of the path. A job without a path has none."""
        return []

    def state(self) -> State:
        """How far the job is; a new state if `state.json` is missing or damaged, for it decides nothing."""
        try:
            state = State(**inputs.read_json(self.path / STATE_FILE, budget.RECORD_FILE))
        except (OSError, ValueError, TypeError):
            return State()
        return state if _is_sound(state) else State()

    def write_state(
        self,
        status: Status,
        finished: Iterable[int] = (),
        error: dict[str, str] | None = None,
        started: str | None = None,
    ) -> None:
        """Write `state.json`, stamped with the present time. Raises FileError."""
        state = State(status, sorted(finished), error, started or self.state().started, now())
        self.output.write_json(STATE_FILE, asdict(state))

    def log(self, text: str) -> None:
        """Append one line to `log.txt`; a log that cannot be written never stops a job."""
        with suppress(PantheonError):
            self.output.append(LOG_FILE, f"{now()} {plain_text.one_line(text.rstrip())}\n".encode())


class PaintFolder(JobFolder[PaintJob]):
    """The folder of a shot: geometry and footprint frames in, panoramas out."""

    def __init__(self, path: Path, name: str, identity: str, job: PaintJob | None = None) -> None:
        super().__init__(path, name, identity, job)
        self._decoded: dict[int, tuple[tuple[int, int], list[str]]] = {}
        self._frames_of: tuple[PaintJob, dict[int, str]] | None = None

    # Where things are

    def geometry_file(self, frame: int) -> Path:
        """What the model sees: RGBA PNG, alpha = coverage."""
        return self.path / _geometry("geometry", frame, "png")

    def geometry_depth_file(self, frame: int) -> Path:
        """Its depth: npz of `depth`, (H, W) float32, metres, inf where nothing.

        Beside it `confidence`, (H, W) uint8, how sure the point seen is in 255ths, 0 where nothing. A file without it
        is of points that all are as sure as can be; a version that does not know it does not read it.
        """
        return self.path / _geometry("geometry", frame, "npz")

    def footprint_file(self, frame: int) -> Path:
        """The frame with footprint splats, as `geometry_file`; not every job has it."""
        return self.path / _geometry("footprint", frame, "png")

    def frame_file(self, frame: int) -> Path:
        """The finished panorama: RGB PNG, sRGB."""
        return self.path / "frames" / f"{frame:06d}.png"

    def origin_file(self, frame: int) -> Path:
        """Where the finished panorama's pixels are from: gray PNG, as `render/origin.py` says; not every job has it."""
        return self.path / "origins" / f"{frame:06d}.png"

    @property
    def preview_file(self) -> Path:
        return self.path / _PREVIEW

    @property
    def painting_file(self) -> Path:
        """What painted it: a record that painters with a model write."""
        return self.path / painting_record.FILE

    # Inputs

    def write_geometry(self, kind: Kind, frame: int, geometry: GeometryFrame) -> None:
        """Write a rendered frame: RGBA PNG with alpha = coverage, its depth and its confidence. Raises FileError."""
        arrays = {"depth": geometry.depth.astype(np.float32, copy=False)}
        if geometry.confidence is not None:
            arrays["confidence"] = np.rint(geometry.confidence * 255).astype(np.uint8)
        packed = io.BytesIO()
        npz.write_arrays(packed, arrays)
        with packed.getbuffer() as data:  # let go even if writing fails, or `packed` cannot be freed
            self._write_input(_geometry(kind, frame, "npz"), data)
        self._write_input(_geometry(kind, frame, "png"), png.encode(geometry.rgba()))

    def read_geometry(self, kind: Kind, frame: int) -> GeometryFrame:
        """Read a rendered frame back; source is -1 everywhere. Raises JobError if it is missing, damaged or changed."""
        picture, depths = _geometry(kind, frame, "png"), _geometry(kind, frame, "npz")
        width, height = self.job.size
        image = self._read_image(picture, budget.exactly(width, height))
        if image.shape != (height, width, 4) or image.dtype != np.uint8:
            raise JobError(
                f"{self.path / picture} is not {width} x {height} RGBA but {image.dtype} {image.shape}.",
                advice="Prepare the shot again.",
            )
        depth, confidence = self._depth(depths)
        return GeometryFrame(
            colour=np.ascontiguousarray(image[..., :3]),
            depth=depth,
            coverage=image[..., 3] > 0,
            source=np.full((height, width), -1, dtype=np.int32),
            confidence=confidence,
        )

    def _depth(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Ranges and confidence of a rendered frame, (H, W) float32, or None if all of it is sure.

        Raises JobError if they are missing, damaged or changed.
        """
        width, height = self.job.size
        most = budget.exactly(width, height).bytes
        return _depth(self._read_input(name, most), (height, width), self.path / name)

    def read_surfaces(self, frame: int) -> GeometryFrame:
        """What is known of a frame's surfaces, as `read_geometry`: footprint splats, which leave fewer holes than one
        pixel a point, if the folder has them.
        """
        has_footprint = _geometry("footprint", frame, "png") in self._digests
        return self.read_geometry("footprint" if has_footprint else "geometry", frame)

    def write_range(self, capture: CaptureEntry, depth: np.ndarray) -> None:
        """Write what the cache shows from a capture's pose, (RANGE_WIDTH / 2, RANGE_WIDTH) float32 metres.

        Raises FileError.
        """
        data = io.BytesIO()
        npz.write(data, "depth", depth.astype(np.float32, copy=False))
        self._write_input(range_file(capture), data.getvalue())

    def read_range(self, capture: CaptureEntry) -> np.ndarray:
        """What `write_range` wrote. Raises JobError if it is missing, damaged or changed."""
        shape, name = (RANGE_WIDTH // 2, RANGE_WIDTH), range_file(capture)
        most = budget.exactly(RANGE_WIDTH, RANGE_WIDTH // 2).bytes
        depth, _ = _depth(self._read_input(name, most), shape, self.path / name)
        return depth

    @property
    def has_ranges(self) -> bool:
        """Whether the job knows how far away is what each of its captures sees."""
        captures = self.job.captures
        return bool(captures) and all(range_file(capture) in self._digests for capture in captures)

    def verification(self) -> progress.Job[None]:
        """`verify` as a long job: no frame may lack its geometry, either."""
        yield from super().verification()
        for index, frame in enumerate(self.job.frames):
            yield progress.Progress("Checking the geometry", index, len(self.job.frames))
            for path in (self.geometry_file(frame), self.geometry_depth_file(frame)):
                if not path.is_file():
                    raise JobError(
                        f"The geometry of frame {frame} is missing: {path}.", advice="Prepare the shot again."
                    )
            self._depth(_geometry("geometry", frame, "npz"))

    # Results

    def write_frame(self, frame: int, image: np.ndarray, painter: str = "") -> None:
        """Write a finished panorama, (H, W, 3) uint8 sRGB of the job's size, and in it what it is made of.

        painter: a hash of what decides the frame besides the job, such as the model's weights; no spaces.
        Raises ValueError if it is of another size or type, FileError if it cannot be written.
        """
        width, height = self.job.size
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise ValueError(f"a frame of this job is ({height}, {width}, 3) uint8, not {image.shape} {image.dtype}")
        text = f"{self._made_of_frames()[frame]} {painter}".rstrip()
        self.output.write_bytes(self.frame_file(frame), png.encode(image, {made_of.KEYWORD: text}))

    def write_origin(self, frame: int, origin: np.ndarray) -> None:
        """Write where a finished panorama's pixels are from, (H, W) uint8 of the job's size. Raises FileError."""
        self.output.write_bytes(self.origin_file(frame), png.encode(origin))

    def read_origin(self, frame: int) -> np.ndarray:
        """What `write_origin` wrote. Raises OSError if it is missing, ImageError if it is damaged."""
        file, (width, height) = self.origin_file(frame), self.job.size
        most = budget.exactly(width, height)
        origin = png.decode(inputs.read_bytes(file, most.bytes), str(file), most)
        if origin.shape != (height, width) or origin.dtype != np.uint8:
            raise ImageError(f"{file} is {origin.dtype} {origin.shape}.", advice="Paint the frame again.")
        return origin

    def write_preview(self, image: np.ndarray) -> None:
        """Show (H, W, 3) uint8 sRGB as the newest result, made small by leaving pixels out. Raises FileError."""
        step = max(1, image.shape[1] // PREVIEW_WIDTH)
        self.output.write_bytes(self.preview_file, png.encode(np.ascontiguousarray(image[::step, ::step])))

    def is_finished(self, frame: int, painter: str = "") -> bool:
        """Whether the frame's file decodes, has the job's size and is made of what the job is.

        painter: as of write_frame; if empty, what the painter keeps of it is not looked at.
        """
        return self.lack(frame, painter) is None

    def lack(self, frame: int, painter: str = "") -> str | None:
        """Why a frame is not finished, as a clause; None if it is. painter: as of is_finished.

        A file is decoded once as long as it does not change.
        """
        try:
            told = self._texts_of(frame)
        except FileNotFoundError:
            return "is missing"
        except (ImageError, FileError, OSError):
            return "is damaged or of another size"
        wanted = [self._made_of_frames()[frame], *filter(None, [painter])]
        if any(said != meant for said, meant in zip(told, wanted, strict=False)):  # what it does not say, it may be
            return "was made of other inputs or settings"
        return None

    def finished_frames(self) -> list[int]:
        """The job's frames that are finished."""
        return [frame for frame in self.job.frames if self.is_finished(frame)]

    def _texts_of(self, frame: int) -> list[str]:
        """What a frame's file says that it is made of: the job's hash and the painter's, as far as it does.

        Raises OSError, ImageError if it is damaged or of another size.
        """
        width, height = self.job.size
        file, most = self.frame_file(frame), budget.exactly(width, height)
        status = file.stat()
        version = status.st_mtime_ns, status.st_size
        if frame not in self._decoded or self._decoded[frame][0] != version:
            self._decoded.pop(frame, None)
            data = inputs.read_bytes(file, most.bytes)
            shape = png.decode(data, str(file), most).shape
            if shape != (height, width, 3):
                raise ImageError(f"{file} is {shape}.")
            told = png.texts(data, str(file)).get(made_of.KEYWORD, "")[:_LONGEST_HASHES]
            self._decoded[frame] = version, told.split()
        return self._decoded[frame][1]

    def _made_of_frames(self) -> dict[int, str]:
        """What each frame is made of, hashed once for each job."""
        if self._frames_of is None or self._frames_of[0] is not self.job:
            self._frames_of = self.job, made_of.frames(self.job)
        return self._frames_of[1]


class _PointsFolder(JobFolder[AnyJob]):
    """The folder of a job whose results are files of points, and what these are made of."""

    def has_results_of_another_job(self) -> bool:
        """Whether the folder was sealed with other inputs or settings when its results were begun."""
        record = json_values.read(self.path / made_of.FILE, budget.RECORD_FILE)
        told = record.get(made_of.FIELD) if isinstance(record, dict) else None
        return told is not None and told != self.made_of

    def begin(self) -> None:
        """Note what the results are made of; those of another job are removed before. Raises FileError."""
        if self.has_results_of_another_job():
            for path in self._results():
                self.output.remove(path)
        self.output.write_json(made_of.FILE, {made_of.FIELD: self.made_of})

    def _results(self) -> Iterable[Path]:
        """Files of results that may be there."""
        raise NotImplementedError


class ReconstructFolder(_PointsFolder[ReconstructJob]):
    """The folder of a 3D cache that is made from captures: reconstruct_settings.py says what else is in it."""

    def _results(self) -> Iterable[Path]:
        folders = (reconstruct_settings.DEPTH_FOLDER, reconstruct_settings.GUESSES_FOLDER)
        ranges = [path for name in folders for path in (self.path / name).glob("*.npz")]
        return [*(self.path / name for name in reconstruct_settings.RESULT_FILES), *ranges]


class ExtendFolder(_PointsFolder[ExtendJob]):
    """The folder of points that a 3D cache lacks: painted frames and the cache in, more points out."""

    @property
    def invented_file(self) -> Path:
        """The points, world coordinates, metres."""
        return self.path / "invented.npz"

    def write_painted(self, frame: int, image: np.ndarray, made_up: np.ndarray) -> None:
        """Write a frame, (H, W, 3) uint8 sRGB, and which of it, (H, W) bool, the painter saw no surface of.

        Raises FileError.
        """
        alpha = made_up.astype(np.uint8) * np.uint8(255)
        self._write_input(_painted(frame), png.encode(np.concatenate([image, alpha[..., None]], axis=2)))

    def read_painted(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """What `write_painted` wrote. Raises JobError if it is missing, damaged, changed or of another size."""
        width, height = self.job.width, self.job.width // 2
        image = self._read_image(_painted(frame), budget.exactly(width, height))
        if image.shape != (height, width, 4) or image.dtype != np.uint8:
            raise JobError(
                f"{self.path / _painted(frame)} is not {width} x {height} RGBA but {image.dtype} {image.shape}.",
                advice="Add the take again.",
            )
        return np.ascontiguousarray(image[..., :3]), image[..., 3] > 0

    def write_known(self, cloud: PointCloud) -> None:
        """Write the cache as stages see it, world coordinates, metres. Raises FileError."""
        data = io.BytesIO()
        cloud.write_npz(data)
        with data.getbuffer() as written:  # let go even if writing fails, or `data` cannot be freed
            self._write_input(_KNOWN, written)

    def read_known(self) -> PointCloud:
        """Read the cache back. Raises JobError if it is missing or another one, PointCloudError if it is damaged."""
        self._verify_input(Input(path=_KNOWN, sha256=_digests(self.job).get(_KNOWN, "")))
        return PointCloud.load(self.path / _KNOWN)

    def _results(self) -> Iterable[Path]:
        return [self.invented_file]


def previews(folder: Path) -> tuple[Path, ...]:
    """The files by which a job in this folder shows how far its result has come."""
    return folder / _PREVIEW, folder / reconstruct_settings.LOOK_FILE


def now() -> str:
    """The present time, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read_job(path: Path) -> AnyKind:
    file = path / JOB_FILE
    try:
        record = inputs.read_json(file, budget.JOB_FILE, constants=_refuse_constant)
    except FileNotFoundError as error:
        if not path.exists():
            raise JobError(
                f"{path} is not there: it was moved or deleted.", advice="Put it back, or prepare the shot again."
            ) from error
        raise JobError(
            f"{path} is not a complete job folder: it has no job.json.",
            advice="Choose a folder made by Generate, or prepare the shot again.",
        ) from error
    except OSError as error:
        raise JobError(f"{file} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise JobError(f"{file} is damaged: it is not JSON ({error}).", advice="Prepare the shot again.") from error
    problem = version_error(record)
    if problem is not None and isinstance(record, dict) and "schema" in record:
        raise JobError(f"{file}: {problem}.", advice="Update the Pantheon360 extension.", code="job-version")
    try:
        return job_from_json(record)
    except JobError as error:
        raise JobError(f"{file} is damaged. {error.text}", advice=error.advice) from error


def _is_sound(state: State) -> bool:
    """Whether what a `state.json` held is of the types that are wanted: it is shown, and written again."""
    texts = [value for value in (state.started, state.updated) if value is not None]
    if state.error is not None:
        texts += state.error.values() if isinstance(state.error, dict) else [None]
    frames = isinstance(state.finished, list) and all(map(json_values.is_integer, state.finished))
    return state.status in get_args(Status) and frames and all(isinstance(text, str) for text in texts)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def file_name(name: str) -> str:
    """A name that every file system takes, as like the artist's as possible."""
    cleaned = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f\ud800-\udfff]+', "-", name)
    cleaned = cleaned.strip(" .-")[:48].strip(" .-")
    if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", cleaned):
        cleaned = f"_{cleaned}"
    return cleaned or "shot"


def _geometry(kind: Kind, frame: int, suffix: str) -> str:
    """Where a rendered frame is in the folder."""
    return f"{kind}/{frame:06d}.{suffix}"


def _painted(frame: int) -> str:
    """Where a frame of a take is in the folder."""
    return f"painted/{frame:06d}.png"


def _depth(data: bytes, shape: tuple[int, int], path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The ranges and the confidence, (H, W) float32 or None, of the bytes of an .npz."""
    confidence = None
    try:
        with npz.opened_bytes(data) as archive:
            depth = npz.read(archive, "depth", largest=4 * shape[0] * shape[1])
            if "confidence.npy" in archive.namelist():
                confidence = npz.read(archive, "confidence", largest=shape[0] * shape[1])
        if depth.shape != shape or depth.dtype != np.float32:
            raise ValueError(f"{depth.dtype} {depth.shape} where float32 {shape} is wanted")
        if confidence is not None and (confidence.shape != shape or confidence.dtype != np.uint8):
            raise ValueError(f"{confidence.dtype} {confidence.shape} where uint8 {shape} is wanted")
    except npz.DAMAGED as error:
        raise JobError(f"{path} is damaged: {inputs.why(error)}.", advice="Prepare the shot again.") from error
    if not (depth >= 0).all():
        raise JobError(f"{path} holds ranges that are no numbers, or negative.", advice="Prepare the shot again.")
    return depth, None if confidence is None else confidence.astype(np.float32) / np.float32(255)


def _digests(job: Job | None) -> dict[str, str]:
    """SHA-256 of each of a job's inputs, by its path in the folder."""
    return {} if job is None else {entry["path"]: entry["sha256"] for entry in job.inputs}


def _changed(path: Path) -> JobError:
    return JobError(
        f"{path} is not the file the job was made with (its SHA-256 differs).",
        advice="Copy it again, or prepare the shot again.",
        code="input-changed",
    )

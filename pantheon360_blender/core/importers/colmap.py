"""COLMAP's sparse models: cameras, images and points3D, as text or binary.

Source: COLMAP documentation, "Output Format": images hold world-to-camera rotations (quaternion w x y z) and
translations with OpenCV's camera axes; binary files are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .. import budget, inputs
from ..errors import PoseError
from ..panorama import cameras
from ..progress import Job, Progress
from . import picture_paths
from .imported import Gathering, Imported, ImportedCapture, Options, Source, SourceError, field_of_view
from .transforms import NO_PINHOLE

_MODELS = (
    ("SIMPLE_PINHOLE", 3), ("PINHOLE", 4), ("SIMPLE_RADIAL", 4), ("RADIAL", 5), ("OPENCV", 8), ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12), ("FOV", 5), ("SIMPLE_RADIAL_FISHEYE", 4), ("RADIAL_FISHEYE", 5), ("THIN_PRISM_FISHEYE", 12),
    ("RAD_TAN_THIN_PRISM_FISHEYE", 16), ("SIMPLE_DIVISION", 4), ("DIVISION", 5), ("SIMPLE_FISHEYE", 3), ("FISHEYE", 4),
    ("EUCM", 6), ("EQUIRECTANGULAR", 2),
)  # fmt: skip
"""Names of camera models and how many parameters they have, by their number in binary files."""
_PANORAMIC = ("EQUIRECTANGULAR", "SPHERICAL")

_FOLDERS = ("", "sparse/0", "sparse", "0", "colmap/sparse/0")
_LONGEST_LINE = 1 << 24
_LONGEST_NAME = 4096
_MOST_COLUMNS = 32  # of a camera
_BLOCK = 1 << 24  # bytes of points looked at together
_LONGEST_RECORD = 1 << 23  # bytes: a point that a million pictures see
_POINT = struct.Struct("<Q3d3BdQ")
_MARK = b"\xef\xbb\xbf"  # of UTF-8, by editors of Windows
_BROKEN = "Export the model again, all of its files."


@dataclass(frozen=True)
class _Camera:
    model: str
    field_of_view: float | None

    @staticmethod
    def from_model(model: str, width: float, focal: float) -> _Camera:
        known = not any(part in model for part in NO_PINHOLE)
        return _Camera(model, field_of_view(width, focal) if known else None)


@dataclass(frozen=True)
class _Image:
    number: int
    name: str
    camera: int
    pose: np.ndarray


@dataclass(frozen=True)
class _Points:
    points: np.ndarray
    colours: np.ndarray
    images: np.ndarray
    """(N,) int64 number of the first image of each track, -1 without one."""


def _read(path: Path, options: Options) -> Job[Imported]:
    folder = _model(path)
    if folder is None:
        raise SourceError(f"{path} is no COLMAP model.", advice=_BROKEN)
    suffix = _kind(folder)
    cameras_by_number = _cameras(folder / f"cameras{suffix}")
    yield Progress("Reading poses", 1, 3)
    images = sorted(islice(_images(folder / f"images{suffix}"), budget.PICTURES + 1), key=lambda image: image.name)
    if len(images) > budget.PICTURES:
        raise SourceError(f"{folder} holds more than {budget.PICTURES:,} pictures.", advice="Export a smaller model.")
    if unknown := [image.name for image in images if image.camera not in cameras_by_number]:
        raise SourceError(f"{folder}: the camera of {unknown[0]} is missing.", advice=_BROKEN)
    gathering = Gathering(path, options, default_up=None)
    poses = np.array([image.pose for image in images]).reshape(-1, 4, 4)
    gathering.judge_up(poses, "-y", "the model")
    gathering.settle(poses[:, :3, 3])
    if options.scale is None:
        gathering.notes.append("A COLMAP model has no meters of its own: set the scale by two points you know.")
    roots = [root for root in (folder, *folder.resolve().parents[:3]) if (root / "images").is_dir()]
    captures = [_capture(image, cameras_by_number[image.camera], roots, gathering) for image in images]
    gathering.note_pictures(captures, "the model")
    numbers = np.array([image.number for image in images], np.int64)
    place = folder / f"points3D{suffix}"
    if place.is_file():
        for part, done, of in (_binary_points if suffix == ".bin" else _text_points)(place):
            gathering.add(part.points, part.colours, source=_sources(part.images, numbers))
            yield Progress("Reading points", done, of)
    return gathering.finish(captures)


def _capture(image: _Image, camera: _Camera, roots: Sequence[Path], gathering: Gathering) -> ImportedCapture:
    """roots: folders whose `images` may have the picture."""
    place = None
    for root in roots:
        place = place or picture_paths.below(root / "images", image.name)
    return ImportedCapture(
        Path(image.name).stem or image.name,
        place,
        gathering.pose(image.pose, image.name),
        camera.model in _PANORAMIC,
        field_of_view=camera.field_of_view,
    )


def _sources(images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(N,) int32 index into the captures of each point's first image, -1 where it is none of them."""
    if not len(numbers):
        return np.full(len(images), -1, np.int32)
    order = np.argsort(numbers)
    place = order[np.clip(np.searchsorted(numbers, images, sorter=order), 0, len(numbers) - 1)]
    return np.where(numbers[place] == images, place, -1).astype(np.int32)


def _pose(quaternion: list[float], translation: list[float], name: str, file: Path) -> np.ndarray:
    """Camera-to-world with Blender's camera axes of a world-to-camera rotation and translation."""
    camera_from_world = np.eye(4)
    try:
        with np.errstate(over="ignore"):
            camera_from_world[:3, :3] = cameras.matrix_from_quaternion(np.array(quaternion))
    except PoseError as error:
        raise SourceError(f"{file}: the rotation of {name} is damaged. {error.text}", advice=_BROKEN) from error
    if not (np.abs(translation) <= budget.FARTHEST).all():
        raise SourceError(f"{file}: the position of {name} is not finite, or no place.", advice=_BROKEN)
    camera_from_world[:3, 3] = translation
    return cameras.opencv_to_blender(cameras.invert(camera_from_world))


def _cameras(file: Path) -> dict[int, _Camera]:
    """Cameras by their number. The first parameter of every perspective model is its focal length along the width."""
    if file.suffix == ".txt":
        return {_whole(row[0], file): _text_camera(row, file) for row in _rows(file, 3)}
    found = {}
    with inputs.open_regular(file) as stream:
        for _ in range(_count(stream, file, 24)):
            number, kind, width, _ = struct.unpack("<IiQQ", _exactly(stream, 24, file))
            if not 0 <= kind < len(_MODELS):
                raise SourceError(f"{file} has a camera of unknown model {kind}.", advice="Export the model as text.")
            name, parameters = _MODELS[kind]
            (focal,) = struct.unpack_from("<d", _exactly(stream, 8 * parameters, file))
            found[number] = _Camera.from_model(name, width, focal)
    return found


def _text_camera(row: list[str], file: Path) -> _Camera:
    width, focal = (_number(each, file) for each in (row[2], row[4])) if len(row) > 4 else (0.0, 0.0)
    return _Camera.from_model(row[1], width, focal)


def _images(file: Path) -> Iterator[_Image]:
    return _binary_images(file) if file.suffix == ".bin" else _text_images(file)


def _binary_images(file: Path) -> Iterator[_Image]:
    with inputs.open_regular(file) as stream:
        length = file.stat().st_size
        for _ in range(_count(stream, file, 73)):
            number, *values, camera = struct.unpack("<I7dI", _exactly(stream, 64, file))
            name = _name(stream, file)
            observed = int.from_bytes(_exactly(stream, 8, file), "little")
            if observed * 24 > length - stream.tell():
                raise _short(file)
            stream.seek(observed * 24, 1)
            yield _Image(number, name, camera, _pose(values[:4], values[4:], name, file))


def _text_images(file: Path) -> Iterator[_Image]:
    """Each image has a line; another one with its observations, perhaps an empty one, may or may not follow it."""
    for line in _lines(file):
        if not line.strip() or _is_observed(line):
            continue
        row = line.split(None, 9)
        if len(row) < 10:
            raise _short(file)
        values = [_number(each, file) for each in row[1:8]]
        name = row[9].strip()
        yield _Image(_whole(row[0], file), name, _whole(row[8], file), _pose(values[:4], values[4:], name, file))


def _is_observed(line: str) -> bool:
    """Whether a line of images.txt holds observations: threes of numbers, the third a whole one, -1 if it is no point.

    Lines are long and many, so that both ends tell; an image's line ends with a name, which is no number.
    """
    row = line.split()
    return len(row) % 3 == 0 and all(_is_number(each) for each in (*row[:9], *row[-3:]))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _binary_points(file: Path) -> Iterator[tuple[_Points, int, int]]:
    """Parts of the points, with how many are done and how many there are.

    Records differ in length by their tracks: a walk finds where each starts, numpy does the rest.
    """
    with inputs.open_regular(file) as stream:
        count = _count(stream, file, _POINT.size)
        done, kept = 0, b""
        while done < count:
            block = kept + stream.read(_BLOCK)
            starts, end = _starts(block, count - done)
            if not starts:
                if len(block) == len(kept) or len(block) > _LONGEST_RECORD:
                    raise _short(file)
                kept = block
                continue
            done += len(starts)
            yield _records(block, np.array(starts)), done, count
            kept = block[end:]


def _starts(block: bytes, most: int) -> tuple[list[int], int]:
    """Where whole records start in a block, at most so many, and where the last of them ends."""
    starts: list[int] = []
    at, length = 0, len(block)
    track = struct.Struct("<Q").unpack_from
    while len(starts) < most and at + _POINT.size <= length:
        end = at + _POINT.size + 8 * track(block, at + 43)[0]
        if end > length:
            break
        starts.append(at)
        at = end
    return starts, at


def _records(block: bytes, starts: np.ndarray) -> _Points:
    data = np.frombuffer(block + bytes(4), np.uint8)
    head = data[starts[:, None] + np.arange(8, 35)]
    tracked = np.ascontiguousarray(data[starts[:, None] + np.arange(43, 55)])
    images = np.where(
        tracked[:, :8].copy().view("<u8")[:, 0] > 0, tracked[:, 8:].copy().view("<u4")[:, 0].astype(np.int64), -1
    )
    return _Points(head[:, :24].copy().view("<f8"), np.ascontiguousarray(head[:, 24:]), images)


def _text_points(file: Path) -> Iterator[tuple[_Points, int, int]]:
    rows: list[list[float]] = []
    done, length = 0, file.stat().st_size
    for line in _lines(file):
        fields = line.split(None, 9)
        if not fields:
            continue
        if len(fields) < 8:
            raise _short(file)
        done += len(line)
        rows.append([_number(each, file) for each in (*fields[1:7], *fields[8:9])] + [-1.0] * (len(fields) < 9))
        if len(rows) == 1 << 16:
            yield _from_rows(rows), done, length
            rows = []
    if rows:
        yield _from_rows(rows), length, length


def _from_rows(rows: list[list[float]]) -> _Points:
    table = np.array(rows)
    colours = np.clip(np.nan_to_num(table[:, 3:6]), 0, 255).astype(np.uint8)
    return _Points(table[:, :3], colours, np.clip(np.nan_to_num(table[:, 6], nan=-1), -1, 2**62).astype(np.int64))


def _rows(file: Path, least: int) -> Iterator[list[str]]:
    for line in _lines(file):
        row = line.split(None, _MOST_COLUMNS)
        if row and len(row) < least:
            raise _short(file)
        if row:
            yield row


def _lines(file: Path) -> Iterator[str]:
    """Lines without comments."""
    with inputs.open_regular(file) as stream:
        while line := stream.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE:
                raise SourceError(f"{file} is no COLMAP text: a line of it is too long.", advice=_BROKEN)
            if not line.removeprefix(_MARK).lstrip().startswith(b"#"):
                yield line.removeprefix(_MARK).decode("utf-8", "replace")


def _number(text: str, file: Path) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise SourceError(f"{file} has {text[:40]!r} where a number belongs.", advice=_BROKEN) from error


def _whole(text: str, file: Path) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise SourceError(f"{file} has {text[:40]!r} where the number of a record belongs.", advice=_BROKEN)
    return int(text)


def _count(stream: BinaryIO, file: Path, smallest: int) -> int:
    """How many records follow, each of `smallest` bytes or more; checked against the length of the file."""
    length = file.stat().st_size
    count = int.from_bytes(_exactly(stream, 8, file), "little")
    if count * smallest > length - 8:
        raise SourceError(
            f"{file} says that it holds {count:,} records, but has only {length:,} bytes: it is cut short, or no "
            "little-endian COLMAP file.",
            advice=_BROKEN,
        )
    return count


def _exactly(stream: BinaryIO, count: int, file: Path) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise _short(file)
    return data


def _name(stream: BinaryIO, file: Path) -> str:
    name = bytearray()
    while (letter := _exactly(stream, 1, file)) != b"\0":
        name += letter
        if len(name) > _LONGEST_NAME:
            raise SourceError(f"{file} is damaged: the name of a picture does not end.", advice=_BROKEN)
    return name.decode("utf-8", "replace")


def _short(file: Path) -> SourceError:
    return SourceError(f"{file} is cut short or damaged.", advice=_BROKEN)


def _model(path: Path) -> Path | None:
    """The folder of a model: `path` itself, or where COLMAP and its users put it below; of a file, its folder."""
    base = path if path.is_dir() else path.parent
    for below in _FOLDERS if path.is_dir() else ("",):
        if _kind(base / below):
            return base / below
    return None


def _kind(folder: Path) -> str:
    for suffix in (".bin", ".txt"):
        if all((folder / f"{part}{suffix}").is_file() for part in ("cameras", "images")):
            return suffix
    return ""


def _is_model(path: Path, start: bytes) -> bool:
    if start and path.name.removesuffix(path.suffix) not in ("cameras", "images", "points3D"):
        return False
    return _model(path) is not None


SOURCE = Source("colmap", "COLMAP models (a folder with cameras, images and points3D, .bin or .txt)", _is_model, _read)

"""Scans in E57 files, read by pye57 a part at a time: points with colours, and pictures with poses.

Source: ASTM E2807-11, "Standard Specification for 3D Imaging Data Exchange". A scan's points are in its own frame, its
pose brings them into the file's, Z up, metres. A spherical picture looks along its frame's +X in its centre, +Z is up
and +Y to the left (8.5.4); a pinhole picture has the axes of OpenGL's camera, which are Blender's (8.5.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from pantheon360_blender.core import inputs
from pantheon360_blender.core.errors import ImageError, PoseError
from pantheon360_blender.core.formats import crop_packet
from pantheon360_blender.core.importers.imported import (
    PICTURES,
    Gathering,
    Imported,
    ImportedCapture,
    Options,
    Source,
    SourceError,
    field_of_view,
)
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.panorama import cameras
from pantheon360_blender.core.points.vertices import WHITE, grey_of, white_of
from pantheon360_blender.core.progress import Job, Progress

from . import missing

_PART = 1 << 19  # points
_PAGE = 1024
_CHECKSUM = 4
_LARGEST_XML = 1 << 26
_DEEPEST, _MOST_ELEMENTS, _MOST_NAMES = 64, 1_000_000, 1000
_LARGEST_PICTURE = 1 << 29
_CARTESIAN = ("cartesianX", "cartesianY", "cartesianZ")
_SPHERICAL = ("sphericalRange", "sphericalAzimuth", "sphericalElevation")
_COLOURS = ("colorRed", "colorGreen", "colorBlue")
_INTENSITY, _COLOURLESS = "intensity", "isColorInvalid"
_BYTE, _SHORT = 255.0, 65535.0
_MOST_SAMPLED = 1_000_000  # intensities that tell which grey is white
_SAME_ANGLE = 0.005  # share of the sphere by which a whole one may be said to be more or less
_SMALLEST_PIXEL = 1e-5  # radians
_AGAIN = "Copy or export it again."
_SPHERE_FROM_CAMERA = np.array([[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]])
"""Columns: a panorama camera's right, up and back in the frame of a spherical picture."""


def _read(path: Path, options: Options) -> Job[Imported]:
    library = missing.imported("pye57.libe57", "E57 files need pye57", "pye57")
    _check(path)
    gathering = Gathering(path, options)
    try:
        file = library.ImageFile(str(path), "r")
        try:
            root = file.root()
            scans = root["data3D"] if root.isDefined("data3D") else []
            for index in range(len(scans)):
                yield from _add_scan(library, file, scans[index], index, gathering)
            captures = yield from _captures(root, path, options, gathering)
        finally:
            file.close()
    except AttributeError as error:
        if not type(error.obj).__module__.startswith("pye57"):
            raise
        raise SourceError(f"{path} is damaged: {_text(error)}.", advice=_AGAIN) from error  # a node of another kind
    except (library.E57Exception, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise SourceError(f"{path} is damaged or cut short: {_text(error)}.", advice=_AGAIN) from error
    return gathering.finish(captures)


def _add_scan(library: Any, file: Any, scan: Any, index: int, gathering: Gathering) -> Job[None]:
    points = _Points(library, file, scan["points"])
    axes = _CARTESIAN if set(_CARTESIAN) <= points.fields.keys() else _SPHERICAL
    if not points.count or not set(axes) <= points.fields.keys():
        return gathering.notes.append(f"Scan {index + 1} has no points.")
    kind = "cartesianInvalidState" if axes is _CARTESIAN else "sphericalInvalidState"
    pose = _pose(scan, f"scan {index + 1}")
    shades = yield from _shades(scan, points, index)
    done = uncoloured = 0
    for part in points.parts([*axes, *_COLOURS, _INTENSITY, kind, _COLOURLESS]):
        sound = part[kind] == 0 if kind in part else np.ones(len(part[axes[0]]), bool)
        positions = np.column_stack([part[name][sound] for name in axes])
        if axes is _SPHERICAL:
            positions = _from_spherical(positions)
        colours, without = shades.bytes_of({name: column[sound] for name, column in part.items()}, len(positions))
        uncoloured += without
        gathering.add(positions @ pose[:3, :3].T + pose[:3, 3], colours, source=np.full(len(colours), -1, np.int32))
        done += len(sound)
        yield Progress(f"Reading scan {index + 1}", done, points.count)
    if done < points.count:
        raise SourceError(
            f"Scan {index + 1} is cut short: {done:,} of its {points.count:,} points are there.", advice=_AGAIN
        )
    if uncoloured:
        gathering.notes.append(
            f"{uncoloured:,} points of scan {index + 1} have no valid color; they are gray or white."
        )
    if shades.note:
        gathering.notes.append(f"Scan {index + 1} {shades.note}")


class _Points:
    """The points of a scan. fields: what is stored of each point, and the largest value it may have."""

    def __init__(self, library: Any, file: Any, vector: Any) -> None:
        self._library, self._file, self._vector = library, file, vector
        self.count = int(vector.childCount())
        prototype = library.StructureNode(vector.prototype())
        nodes = [prototype.get(place) for place in range(prototype.childCount())]
        self.fields = {node.elementName(): self._largest(node) for node in nodes}

    def parts(self, names: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """Yield the fields of these names that there are, (N,) float64 each, a part at a time."""
        columns = {name: np.zeros(min(_PART, self.count)) for name in names if name in self.fields}
        buffers = self._library.VectorSourceDestBuffer()
        for name, column in columns.items():
            buffers.append(self._library.SourceDestBuffer(self._file, name, column, len(column), True, True))
        reader = self._vector.reader(buffers)
        try:
            while got := int(reader.read()):
                yield {name: column[:got] for name, column in columns.items()}
        finally:
            reader.close()

    def _largest(self, node: Any) -> float:
        kind = node.type()
        if kind == self._library.NodeType.E57_INTEGER:
            return float(self._library.IntegerNode(node).maximum())
        if kind == self._library.NodeType.E57_SCALED_INTEGER:
            return float(self._library.ScaledIntegerNode(node).scaledMaximum())
        return np.inf


@dataclass(frozen=True)
class _Shades:
    """How a scan's values become bytes.

    colours: darkest and brightest value of each channel, None without colours. grey: the same of intensity.
    note: what the artist should know, the rest of a sentence.
    """

    colours: tuple[np.ndarray, np.ndarray] | None
    grey: tuple[np.ndarray, np.ndarray] | None
    note: str = ""

    def bytes_of(self, part: dict[str, np.ndarray], count: int) -> tuple[np.ndarray, int]:
        """(N, 3) uint8: the scan's colours, else its intensity as grey, else white; how many colours are invalid."""
        if self.colours is None:
            return self._greys(part, count), 0
        low, high = self.colours
        share = (np.nan_to_num(np.column_stack([part[name] for name in _COLOURS])) - low) / (high - low)
        coloured = np.clip(np.rint(share * 255), 0, 255).astype(np.uint8)
        invalid = part[_COLOURLESS] != 0 if _COLOURLESS in part else np.zeros(count, np.bool_)
        if invalid.any():
            coloured[invalid] = self._greys(part, count)[invalid]
        return coloured, int(invalid.sum())

    def _greys(self, part: dict[str, np.ndarray], count: int) -> np.ndarray:
        if self.grey is None or _INTENSITY not in part:
            return np.full((count, 3), WHITE, np.uint8)
        return grey_of(part[_INTENSITY], float(self.grey[0][0]), float(self.grey[1][0]))


def _shades(scan: Any, points: _Points, index: int) -> Job[_Shades]:
    """Judge a scan's colours and intensity: by the limits it states, or by all of its values."""
    coloured, shaded = set(_COLOURS) <= points.fields.keys(), _INTENSITY in points.fields
    between = _limits(scan, "colorLimits", _COLOURS) if coloured else None
    grey = _limits(scan, "intensityLimits", (_INTENSITY,)) if shaded else None
    largest = max((points.fields[name] for name in _COLOURS), default=0.0) if coloured else 0.0
    if largest > _BYTE or (shaded and grey is None):
        brightest, some = yield from _surveyed(points, f"Looking at the colors of scan {index + 1}")
        if grey is None and len(some):
            low, high = np.percentile(some, (2, 98))
            grey = np.array([min(low, 0.0)]), np.array([high])
        # Limits are those of the type at times, and bytes lie in fields of 16 bits.
        if between is None or brightest > between[1].max() or between[1].max() >= _SHORT:
            between = np.zeros(3), np.full(3, white_of(brightest, whole=np.isfinite(largest)))
    if coloured:
        return _Shades(between or (np.zeros(3), np.full(3, _BYTE)), grey)
    shade = "shaded by intensity" if shaded else "white"
    return _Shades(None, grey, f"has no colors: its points are {shade}.")


def _surveyed(points: _Points, phase: str) -> Job[tuple[float, np.ndarray]]:
    """The brightest colour of a scan, and some of its intensities, (M,)."""
    brightest, some, done = 0.0, [np.zeros(0)], 0
    for part in points.parts([*_COLOURS, _INTENSITY]):
        brightest = max([brightest, *(float(np.nan_to_num(part[name]).max()) for name in _COLOURS if name in part)])
        values = part.get(_INTENSITY, some[0])[:: max(1, points.count // _MOST_SAMPLED)]
        some.append(values[np.isfinite(values)])
        done += len(next(iter(part.values())))
        yield Progress(phase, done, points.count)
    return brightest, np.concatenate(some)


def _from_spherical(values: np.ndarray) -> np.ndarray:
    distance, azimuth, elevation = values.T
    level = distance * np.cos(elevation)
    return np.column_stack([level * np.cos(azimuth), level * np.sin(azimuth), distance * np.sin(elevation)])


def _limits(scan: Any, group: str, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """Darkest and brightest value of each channel as the scan states them; None if it does not, or they lie."""
    ends = [f"{name}{end}" for end in ("Minimum", "Maximum") for name in names]
    if not scan.isDefined(group) or not all(scan[group].isDefined(end) for end in ends):
        return None
    low, high = np.array([float(scan[group][end].value()) for end in ends]).reshape(2, -1)
    return (low, high) if np.isfinite([low, high]).all() and (high > low).all() else None


def _pose(node: Any, what: str) -> np.ndarray:
    """(4, 4) float64 of a scan's or picture's frame in the file's; identity if none is given."""
    pose = np.eye(4)
    if not node.isDefined("pose"):
        return pose
    stated = node["pose"]
    try:
        if stated.isDefined("rotation"):
            rotation = stated["rotation"]
            pose[:3, :3] = cameras.matrix_from_quaternion(
                np.array([float(rotation[axis].value()) for axis in ("w", "x", "y", "z")])
            )
        if stated.isDefined("translation"):
            pose[:3, 3] = [float(stated["translation"][axis].value()) for axis in ("x", "y", "z")]
        return cameras.check_pose(pose)
    except PoseError as error:
        raise SourceError(f"The pose of {what} is damaged. {error.text}", advice=_AGAIN) from error


def _captures(root: Any, path: Path, options: Options, gathering: Gathering) -> Job[list[ImportedCapture]]:
    captures: list[ImportedCapture] = []
    unposed = 0
    images = root["images2D"] if root.isDefined("images2D") else []
    for index in range(len(images)):
        node = images[index]
        yield Progress("Reading pictures", index, len(images))
        name = str(node["name"].value())[:200] if node.isDefined("name") else f"picture {index + 1}"
        panoramic = node.isDefined("sphericalRepresentation")
        if not panoramic and not node.isDefined("pinholeRepresentation"):
            unposed += 1
            continue
        pose = _pose(node, name)
        if panoramic:
            pose[:3, :3] = pose[:3, :3] @ _SPHERE_FROM_CAMERA
        picture = node["sphericalRepresentation" if panoramic else "pinholeRepresentation"]
        part = _part_of_sphere(picture, name, gathering.notes) if panoramic else None
        place = _extracted(picture, path, index, options, part)
        angle = None if panoramic else _field_of_view(picture)
        mask = _mask(picture, path, index, options, part, gathering.notes) if panoramic else None
        captures.append(ImportedCapture(name, place, gathering.pose(pose, name), panoramic, mask, field_of_view=angle))
    if unposed:
        gathering.notes.append(f"{unposed} pictures are neither spherical nor perspective, and were left out.")
    if captures and options.pictures is None:
        gathering.notes.append(f"{len(captures)} pictures lie inside the file: name a folder to take them out.")
    if flat := sum(not capture.panoramic for capture in captures):
        gathering.notes.append(f"{flat} of {len(captures)} pictures are perspective: their poses came, no captures.")
    return captures


def _field_of_view(pinhole: Any) -> float | None:
    """Angle across a pinhole picture: its focal length and the width of its pixels are in metres."""
    names = ("imageWidth", "pixelWidth", "focalLength")
    if not all(pinhole.isDefined(name) for name in names):
        return None
    width, pixel, focal = (float(pinhole[name].value()) for name in names)
    return field_of_view(width * pixel, focal)


@dataclass(frozen=True)
class _Part:
    """A part of a sphere: (width, height) in pixels of itself and of the sphere, and where it lies, (left, top)."""

    size: tuple[int, int]
    full_size: tuple[int, int]
    offset: tuple[int, int]


def _part_of_sphere(sphere: Any, name: str, notes: list[str]) -> _Part | None:
    """What part of the sphere a spherical picture shows, round its +X; None if it is all of it, or not told.

    Source: E2807, 8.5.4: columns and rows are counted from the middle, in angles.
    """
    names = ("imageWidth", "imageHeight", "pixelWidth", "pixelHeight")
    if not all(sphere.isDefined(each) for each in names):
        return None
    width, height, across, down = (float(sphere[each].value()) for each in names)
    angles = np.array([width * across / (2 * np.pi), height * down / np.pi])
    sound = np.isfinite(angles).all() and (angles > 0).all() and (angles < 1 + _SAME_ANGLE).all()
    if not sound or min(across, down) < _SMALLEST_PIXEL:
        notes.append(f"{name} states angles that no picture has: it was taken for a whole sphere.")
        return None
    if (angles > 1 - _SAME_ANGLE).all():
        return None
    size = round(width), round(height)
    full_size = max(round(2 * np.pi / across), size[0]), max(round(np.pi / down), size[1])
    notes.append(f"{name} shows {np.degrees(width * across):.0f} x {np.degrees(height * down):.0f} degrees.")
    return _Part(size, full_size, ((full_size[0] - size[0]) // 2, (full_size[1] - size[1]) // 2))


def _mask(picture: Any, path: Path, index: int, options: Options, part: _Part | None, notes: list[str]) -> Path | None:
    """The mask of a spherical picture, black where it shows nothing. That of a part of a sphere is told, not used."""
    if options.pictures is None or not picture.isDefined("imageMask"):
        return None
    if part is not None:
        notes.append(f"The mask of picture {index + 1} was not used, since it shows a part of the sphere only.")
        return None
    return _written(picture["imageMask"], f"{path.stem}_{index + 1:03d}_mask.png", path, index, options.pictures, None)


def _extracted(picture: Any, path: Path, index: int, options: Options, part: _Part | None) -> Path | None:
    for element, suffix in (("jpegImage", ".jpg"), ("pngImage", ".png")):
        if options.pictures is not None and picture.isDefined(element):
            name = f"{path.stem}_{index + 1:03d}{suffix}"
            return _written(picture[element], name, path, index, options.pictures, part)
    return None


def _written(blob: Any, name: str, path: Path, index: int, pictures: OutputFolder, part: _Part | None) -> Path:
    """A picture of the file as a file of its own, that says which part of a sphere it is."""
    size = int(blob.byteCount())
    if not 0 < size <= min(_LARGEST_PICTURE, path.stat().st_size):
        raise SourceError(f"{path}: picture {index + 1} says that it is {size:,} bytes large.", advice=_AGAIN)
    data = np.zeros(size, np.uint8)
    blob.read(data, 0, size)
    held = data.tobytes()
    try:
        told = held if part is None else crop_packet.with_crop(held, part.size, part.full_size, part.offset)
    except ImageError as error:
        raise SourceError(f"{path}: picture {index + 1} cannot be read. {error.text}", advice=_AGAIN) from error
    pictures.write_bytes(f"{PICTURES}/{name}", told)
    return pictures.path / PICTURES / name


def _check(path: Path) -> None:
    """Check the header and the XML part before a library in C++ sees them. Source: E2807, 7 and 9.2."""
    length = path.stat().st_size
    with inputs.open_regular(path) as file:
        head = file.read(48)
        if len(head) < 48:
            raise SourceError(f"{path} is cut short in its header.", advice=_AGAIN)
        claimed, place, size, page = (int.from_bytes(head[at : at + 8], "little") for at in (16, 24, 32, 40))
        if page != _PAGE or place + size > length or not 0 < size <= _LARGEST_XML:
            raise SourceError(f"{path} has a header that makes no sense, or is cut short.", advice=_AGAIN)
        if claimed != length:
            raise SourceError(f"{path} is {length:,} bytes long, but says {claimed:,}.", advice=_AGAIN)
        first = place // _PAGE * _PAGE
        file.seek(first)
        pages = file.read(((place - first + size) // (_PAGE - _CHECKSUM) + 2) * _PAGE)
    data = b"".join(pages[at : at + _PAGE - _CHECKSUM] for at in range(0, len(pages), _PAGE))
    xml = data[place - first :][:size]
    # Entities can swell to any size, and name files of this machine; no program writes them into an E57.
    if re.search(rb"<!\s*(?:DOCTYPE|ENTITY)", xml) or xml[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SourceError(f"{path} declares XML entities, which no scanner does.", advice="Export it again.")
    try:
        _Shape().check(xml)
    except (expat.ExpatError, LookupError, ValueError) as error:  # also of an unknown encoding
        raise SourceError(f"{path} is damaged in its XML: {_text(error)}.", advice=_AGAIN) from error


class _Shape:
    """The shape of the XML part: the library takes the square of the time for what nests deep or has many names."""

    def __init__(self) -> None:
        self._elements = 0
        self._open: list[int] = []
        """Elements that may still come in each one that is open; lists may have any number."""

    def check(self, xml: bytes) -> None:
        """Raises ExpatError if it is not well-formed, ValueError if it is out of proportion."""
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = lambda _: self._open.pop()
        parser.Parse(xml, True)

    def _start(self, _name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._open:
            self._open[-1] -= 1
        if len(self._open) >= _DEEPEST or self._elements > _MOST_ELEMENTS or (self._open and self._open[-1] < 0):
            raise ValueError("it nests absurdly deep, or has absurdly many elements")
        self._open.append(_MOST_ELEMENTS if attributes.get("type") == "Vector" else _MOST_NAMES)


def _text(error: BaseException) -> str:
    return (str(error) or type(error).__name__).split("\n")[0].rstrip(".")[:300]


SOURCE = Source("e57", "Scans with pictures (.e57)", lambda path, start: start.startswith(b"ASTM-E57"), _read)

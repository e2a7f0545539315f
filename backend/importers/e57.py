"""Scans in E57 files, read by pye57 a part at a time: points with colours, and pictures with poses.

Source: ASTM E2807-11, "Standard Specification for 3D Imaging Data Exchange". A scan's points are in its own frame, its
pose brings them into the file's, Z up, metres. A spherical picture looks along its frame's +X in its centre, +Z is up
and +Y to the left (8.5.4); a pinhole picture has the axes of OpenGL's camera, which are Blender's (8.5.3).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core.errors import PoseError
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
from pantheon360_blender.core.panorama import cameras
from pantheon360_blender.core.progress import Job, Progress

from . import missing

_PART = 1 << 19  # points
_PAGE = 1024
_CHECKSUM = 4
_LARGEST_XML = 1 << 27
_LARGEST_PICTURE = 1 << 29
_CARTESIAN = ("cartesianX", "cartesianY", "cartesianZ")
_SPHERICAL = ("sphericalRange", "sphericalAzimuth", "sphericalElevation")
_COLOURS = ("colorRed", "colorGreen", "colorBlue")
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
    except (library.E57Exception, RuntimeError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise SourceError(f"{path} is damaged or cut short: {_text(error)}.", advice=_AGAIN) from error
    return gathering.finish(captures)


def _add_scan(library: Any, file: Any, scan: Any, index: int, gathering: Gathering) -> Job[None]:
    vector = scan["points"]
    prototype = library.StructureNode(vector.prototype())
    fields = {prototype.get(place).elementName() for place in range(prototype.childCount())}
    count = int(vector.childCount())
    axes = _CARTESIAN if set(_CARTESIAN) <= fields else _SPHERICAL
    phase = f"Reading scan {index + 1}"
    if not count or not set(axes) <= fields:
        return gathering.notes.append(f"Scan {index + 1} has no points.")
    kind = "cartesianInvalidState" if axes is _CARTESIAN else "sphericalInvalidState"
    wanted = [*axes, *(name for name in (*_COLOURS, "intensity", kind, "isColorInvalid") if name in fields)]
    columns = {name: np.zeros(min(_PART, count), np.float64) for name in wanted}
    buffers = library.VectorSourceDestBuffer()
    for name, column in columns.items():
        buffers.append(library.SourceDestBuffer(file, name, column, len(column), True, True))
    pose = _pose(scan, f"scan {index + 1}")
    limits = _limits(scan, "colorLimits", _COLOURS, 255.0)
    brightest = _limits(scan, "intensityLimits", ("intensity",), 1.0)
    reader = vector.reader(buffers)
    done = 0
    try:
        while got := int(reader.read()):
            part = {name: column[:got] for name, column in columns.items()}
            sound = part[kind] == 0 if kind in part else np.ones(got, bool)
            positions = np.column_stack([part[name][sound] for name in axes])
            if axes is _SPHERICAL:
                positions = _from_spherical(positions)
            colours = _colours(part, sound, limits, brightest)
            gathering.add(positions @ pose[:3, :3].T + pose[:3, 3], colours, source=np.full(len(colours), -1, np.int32))
            done += got
            yield Progress(phase, done, count)
    finally:
        reader.close()
    if done < count:
        raise SourceError(f"Scan {index + 1} is cut short: {done:,} of its {count:,} points are there.", advice=_AGAIN)


def _colours(part: dict[str, np.ndarray], sound: np.ndarray, limits: Any, brightest: Any) -> np.ndarray:
    """(N, 3) uint8: the scan's colours, else its intensity as grey, else white."""
    if set(_COLOURS) <= part.keys():
        shades = np.column_stack([part[name][sound] for name in _COLOURS])
        low, high = limits
    elif "intensity" in part:
        shades = np.repeat(part["intensity"][sound][:, None], 3, axis=1)
        low, high = brightest
    else:
        return np.full((int(sound.sum()), 3), 255, np.uint8)
    share = (np.nan_to_num(shades) - low) / np.maximum(high - low, 1e-12)
    return np.asarray(np.clip(np.rint(share * 255), 0, 255).astype(np.uint8))


def _from_spherical(values: np.ndarray) -> np.ndarray:
    distance, azimuth, elevation = values.T
    level = distance * np.cos(elevation)
    return np.column_stack([level * np.cos(azimuth), level * np.sin(azimuth), distance * np.sin(elevation)])


def _limits(scan: Any, group: str, names: tuple[str, ...], largest: float) -> tuple[np.ndarray, np.ndarray]:
    """Darkest and brightest value of each channel, as the scan states them."""
    low, high = np.zeros(len(names)), np.full(len(names), largest)
    if scan.isDefined(group):
        stated = scan[group]
        for place, name in enumerate(names):
            if stated.isDefined(f"{name}Minimum") and stated.isDefined(f"{name}Maximum"):
                low[place], high[place] = (float(stated[name + end].value()) for end in ("Minimum", "Maximum"))
    if not np.isfinite([low, high]).all() or (high <= low).any():
        return np.zeros(len(names)), np.full(len(names), largest)
    return low, high


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
    images = root["images2D"] if root.isDefined("images2D") else []
    for index in range(len(images)):
        node = images[index]
        yield Progress("Reading pictures", index, len(images))
        name = str(node["name"].value())[:200] if node.isDefined("name") else f"picture {index + 1}"
        panoramic = node.isDefined("sphericalRepresentation")
        if not panoramic and not node.isDefined("pinholeRepresentation"):
            continue
        pose = _pose(node, name)
        if panoramic:
            pose[:3, :3] = pose[:3, :3] @ _SPHERE_FROM_CAMERA
        kind = "sphericalRepresentation" if panoramic else "pinholeRepresentation"
        place = _extracted(node[kind], path, index, options)
        angle = None if panoramic else _field_of_view(node[kind])
        captures.append(ImportedCapture(name, place, gathering.pose(pose, name), panoramic, field_of_view=angle))
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


def _extracted(picture: Any, path: Path, index: int, options: Options) -> Path | None:
    for element, suffix in (("jpegImage", ".jpg"), ("pngImage", ".png")):
        if options.pictures is not None and picture.isDefined(element):
            blob = picture[element]
            size = int(blob.byteCount())
            if not 0 < size <= min(_LARGEST_PICTURE, path.stat().st_size):
                raise SourceError(f"{path}: picture {index + 1} says that it is {size:,} bytes large.", advice=_AGAIN)
            data = np.zeros(size, np.uint8)
            blob.read(data, 0, size)
            name = f"{PICTURES}/{path.stem}_{index + 1:03d}{suffix}"
            options.pictures.write_bytes(name, data.tobytes())
            return options.pictures.path / name
    return None


def _check(path: Path) -> None:
    """Check the header and the XML part before a library in C++ sees them. Source: E2807, 7 and 9.2."""
    length = path.stat().st_size
    with open(path, "rb") as file:
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


def _text(error: BaseException) -> str:
    return (str(error) or type(error).__name__).split("\n")[0].rstrip(".")[:300]


SOURCE = Source("e57", "Scans with pictures (.e57)", lambda path, start: start.startswith(b"ASTM-E57"), _read)

"""An import as a folder: what the process that has the libraries hands to Blender.

cache.npz holds the points if there are any, import.json the captures, notes and the offset. A depth image alone
becomes range.npz.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import budget, inputs
from ..errors import PoseError
from ..formats import npz
from ..output_folder import OutputFolder
from ..panorama.cameras import check_pose
from ..points.point_cloud import PointCloud
from .imported import Imported, ImportedCapture, SourceError

CACHE, LIST, RANGE = "cache.npz", "import.json", "range.npz"
_SCHEMA = 1


def write(imported: Imported, folder: OutputFolder) -> None:
    """Write an import into a folder; import.json comes last. Pictures that lie in it are named relative to it.

    Raises FileError.
    """
    if imported.cloud is not None:
        with folder.writing(CACHE) as file:
            imported.cloud.write_npz(file)
    content = {
        "schema": _SCHEMA,
        "points": 0 if imported.cloud is None else len(imported.cloud),
        "captures": [
            {
                "name": capture.name,
                "image": _written(capture.image, folder.path),
                "mask": _written(capture.mask, folder.path),
                "panoramic": capture.panoramic,
                "field_of_view": capture.field_of_view,
                "pose": capture.pose.tolist(),
            }
            for capture in imported.captures
        ],
        "notes": list(imported.notes),
        "offset": imported.offset.tolist(),
    }
    folder.write_json(LIST, content)


def read(folder: Path) -> Imported:
    """Read what `write` wrote. Raises SourceError and PointCloudError if it is incomplete or damaged."""
    place = folder / LIST
    try:
        content = inputs.read_json(place, budget.LIST_FILE)
        if content["schema"] != _SCHEMA:
            raise SourceError(f"{place} is of another version.", advice="Import again.")
        cloud = PointCloud.load(folder / CACHE) if content["points"] else None
        captures = tuple(_capture(each, folder) for each in content["captures"])
        notes = tuple(str(note) for note in content["notes"])
        offset = np.array(content["offset"], np.float64).reshape(3)
    except OSError as error:
        raise SourceError(f"{place} cannot be read: {inputs.why(error)}.", advice="Import again.") from error
    except (ValueError, TypeError, LookupError, OverflowError, PoseError) as error:
        raise SourceError(f"{place} is damaged: {error}.", advice="Import again.") from error
    return Imported(cloud, captures, notes, offset)


def write_range(ranges: np.ndarray, folder: OutputFolder) -> None:
    """Write a range image, (H, 2 H) float32 metres, into a folder. Raises FileError."""
    with folder.writing(RANGE) as file:
        np.savez(file, range=np.ascontiguousarray(ranges, np.float32))


def read_range(folder: Path) -> np.ndarray:
    """Read what `write_range` wrote. Raises SourceError if it is missing or damaged."""
    place = folder / RANGE
    try:
        with npz.opened(place) as archive:
            ranges = npz.read(archive, "range", 4 * budget.DEPTH.width * budget.DEPTH.height)
    except npz.DAMAGED as error:
        raise SourceError(f"{place} cannot be read: {inputs.why(error)}.", advice="Import again.") from error
    if ranges.ndim != 2 or ranges.dtype != np.float32 or ranges.shape[1] != 2 * ranges.shape[0]:
        raise SourceError(f"{place} holds no range image: {ranges.dtype} {ranges.shape}.", advice="Import again.")
    return ranges


def _written(picture: Path | None, folder: Path) -> str | None:
    if picture is None:
        return None
    return picture.relative_to(folder).as_posix() if picture.is_relative_to(folder) else str(picture)


def _capture(each: dict[str, Any], folder: Path) -> ImportedCapture:
    image, mask = (None if each[name] is None else folder / each[name] for name in ("image", "mask"))
    angle = None if each["field_of_view"] is None else float(each["field_of_view"])
    pose = check_pose(each["pose"])
    return ImportedCapture(str(each["name"]), image, pose, bool(each["panoramic"]), mask, angle)

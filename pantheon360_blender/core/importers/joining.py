"""Several imports of one call, joined into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..points.point_cloud import INVENTED, PointCloud
from ..points.thinning import thin_to
from . import Imported, ImportedCapture, SourceError

TOGETHER = 10_000.0
"""Metres between two files, one of them near the origin, up to which they share their coordinates."""


def joined(parts: Sequence[Imported], limit: int) -> Imported:
    """Several imports as one, in the coordinates of the first one that was moved to the origin, thinned to `limit`.

    Raises PointCloudError if `limit` makes no sense.
    """
    offset = next((part.offset for part in parts if part.offset.any()), np.zeros(3))
    moved = [at_offset(part, offset) for part in parts]
    clouds: list[PointCloud] = []
    captures: list[ImportedCapture] = []
    notes: list[str] = []
    for part in moved:
        if part.cloud is not None:
            known = part.cloud.source
            if known is not None:
                others = np.where(known == INVENTED, INVENTED, -1)
                known = np.where(known >= 0, known + len(captures), others).astype(np.int32)
            clouds.append(replace(part.cloud, source=known))
        captures += part.captures
        notes += [note for note in part.notes if note not in notes]
    cloud = PointCloud.concatenate(clouds) if clouds else None
    if cloud is not None:
        cloud = thin_to(cloud, limit)
    return Imported(cloud, tuple(captures), tuple(notes), offset)


def at_offset(imported: Imported, offset: np.ndarray) -> Imported:
    """An import moved by another offset than its own, which brought it near the origin.

    It stays as it is if only one of the two offsets is zero and they are further apart than TOGETHER: then nothing
    tells that both files share their coordinates.
    """
    shift = imported.offset - offset
    surveyed = imported.offset.any() and offset.any()
    if not shift.any() or not (surveyed or np.abs(shift).max() <= TOGETHER):
        return imported
    new_from_old = np.eye(4)
    new_from_old[:3, 3] = shift
    cloud = None if imported.cloud is None else imported.cloud.transformed(new_from_old)
    moved = tuple(replace(each, pose=new_from_old @ each.pose) for each in imported.captures)
    return replace(imported, cloud=cloud, captures=moved, offset=offset)


def without_captures(imported: Imported) -> Imported:
    if imported.cloud is None:
        raise SourceError("There are no points in it, only poses.", advice="Bring its captures in, too.")
    return replace(imported, cloud=replace(imported.cloud, source=None), captures=())

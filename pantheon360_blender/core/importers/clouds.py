"""Point clouds in PLY files and in this project's own npz files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..formats import ply
from ..points.point_cloud import PointCloud
from ..progress import Job, Progress
from .imported import FAR, Gathering, Imported, Options, Source

_AXES = ("x", "y", "z")
_BLOCK = 1 << 20


def _read(path: Path, options: Options) -> Job[Imported]:
    gathering = Gathering(path, options)
    cloud = PointCloud.load(path)
    exact = _exact_positions(path, cloud)
    yield Progress("Reading points", 0, len(cloud))
    gathering.settle(exact[:: max(1, len(cloud) // 100_000)])
    for start in range(0, len(cloud), _BLOCK):
        block = cloud.selected(slice(start, start + _BLOCK))
        shares = {"confidence": block.confidence, "source": block.source, "footprint": block.footprint}
        gathering.add(exact[start : start + _BLOCK], block.colours, **shares)
        yield Progress("Reading points", start + len(block), len(cloud))
    return gathering.finish(wanted=True)


def _exact_positions(path: Path, cloud: PointCloud) -> np.ndarray:
    """(N, 3) positions as the file has them: a survey's doubles lose centimetres where a cloud rounds them."""
    near = np.abs(cloud.points[np.isfinite(cloud.points).all(axis=1)]).max(initial=0.0) <= FAR
    if near or path.suffix.lower() != ".ply":
        return cloud.points
    columns = ply.read(path, _AXES)
    return np.column_stack([columns[axis] for axis in _AXES])


PLY = Source("ply", "PLY point clouds (.ply)", lambda path, start: start.startswith((b"ply\n", b"ply\r")), _read)
NPZ = Source(
    "npz",
    "Pantheon360 point clouds (.npz)",
    lambda path, start: start.startswith(b"PK") and path.suffix.lower() == ".npz",
    _read,
)

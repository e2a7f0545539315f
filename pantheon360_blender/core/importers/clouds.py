"""Point clouds in PLY files and in this project's own npz files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..points import vertices
from ..points.point_cloud import PointCloud
from ..points.vertices import SHARES
from ..progress import Job, Progress
from .imported import Gathering, Imported, Options, Source

_BLOCK = 1 << 20


def _read_ply(path: Path, options: Options) -> Job[Imported]:
    gathering = Gathering(path, options)
    found = vertices.read(path)
    gathering.notes += found.notes
    yield from add_points(gathering, found.positions, found.colours, found.shares)
    return gathering.finish(wanted=True)


def _read_npz(path: Path, options: Options) -> Job[Imported]:
    gathering = Gathering(path, options)
    cloud = PointCloud.load(path)
    shares = {name: share for name, _ in SHARES if (share := getattr(cloud, name)) is not None}
    yield from add_points(gathering, cloud.points, cloud.colours, shares)
    return gathering.finish(wanted=True)


def add_points(
    gathering: Gathering, positions: np.ndarray, colours: np.ndarray, shares: Mapping[str, np.ndarray]
) -> Job[None]:
    """Add points of one cloud, (N, 3) of any float type, block by block. shares: (N,) each, as Gathering.add names."""
    yield Progress("Reading points", 0, len(positions))
    gathering.settle(positions[:: max(1, len(positions) // 100_000)])
    for start in range(0, len(positions), _BLOCK):
        block = slice(start, start + _BLOCK)
        some = {name: share[block] for name, share in shares.items()}
        gathering.add(positions[block], colours[block], **some)
        yield Progress("Reading points", min(start + _BLOCK, len(positions)), len(positions))


PLY = Source("ply", "PLY point clouds (.ply)", lambda path, start: start.startswith((b"ply\n", b"ply\r")), _read_ply)
NPZ = Source(
    "npz",
    "Pantheon360 point clouds (.npz)",
    lambda path, start: start.startswith(b"PK") and path.suffix.lower() == ".npz",
    _read_npz,
)

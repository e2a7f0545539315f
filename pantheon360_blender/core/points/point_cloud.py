"""Coloured points: what the 3D cache is made of, in memory and in files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .. import budget, files, inputs
from ..errors import PointCloudError
from ..formats import npz, ply
from . import vertices

_SHARES = (("confidence", np.float32, 1.0), ("source", np.int32, -1), ("footprint", np.float32, 0.0))
"""Optional arrays, their types, and what stands for "not known" where clouds with and without them meet."""

MOST_POINTS = 5_000_000
"""Points that a source brings unless told otherwise: more are thinned, and told."""

INVENTED = -2
"""Source of points that no capture saw: a painter made them up."""
INVENTED_CONFIDENCE = 0.05
"""Theirs; what a reconstruction guesses has more."""

_COORDINATES = ("x", "y", "z")
_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True, eq=False)
class PointCloud:
    """N points of a place, in metres.

    points: (N, 3) float32, world (Z up) unless said otherwise; may hold NaN, see finite().
    colours: (N, 3) uint8 sRGB.
    confidence: (N,) float32, 0 to 1, or None.
    source: (N,) int32, index of the capture a point comes from, -1 if unknown, INVENTED if from none; or None.
    footprint: (N,) float32, diameter in metres of what a point stands for, 0 if unknown, or None.
    Raises PointCloudError if a shape or type is another.
    """

    points: np.ndarray
    colours: np.ndarray
    confidence: np.ndarray | None = None
    source: np.ndarray | None = None
    footprint: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.points) if np.ndim(self.points) else 0
        _check("points", self.points, (count, 3), np.float32)
        _check("colours", self.colours, (count, 3), np.uint8)
        for name, dtype, _ in _SHARES:
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), (count,), dtype)

    def __len__(self) -> int:
        return len(self.points)

    @staticmethod
    def empty() -> PointCloud:
        """A cloud of no points."""
        return PointCloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8))

    @staticmethod
    def concatenate(clouds: Sequence[PointCloud]) -> PointCloud:
        """The points of all `clouds` in their order.

        An optional array is kept if any cloud has it; the others' points get confidence 1, source -1, footprint 0.

        >>> one = PointCloud(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.uint8))
        >>> two = PointCloud(np.ones((1, 3), np.float32), np.zeros((1, 3), np.uint8), confidence=np.float32([0.5]))
        >>> PointCloud.concatenate([one, two]).confidence
        array([1. , 0.5], dtype=float32)
        """
        if not clouds:
            return PointCloud.empty()
        shares: dict[str, np.ndarray | None] = {}
        for name, dtype, unknown in _SHARES:
            given = [getattr(cloud, name) for cloud in clouds]
            known = any(each is not None for each in given)
            filled = [
                np.full(len(cloud), unknown, dtype) if each is None else each
                for cloud, each in zip(clouds, given, strict=True)
            ]
            shares[name] = np.concatenate(filled) if known else None
        return PointCloud(
            np.concatenate([cloud.points for cloud in clouds]),
            np.concatenate([cloud.colours for cloud in clouds]),
            **shares,
        )

    def guesses(self, sure: float) -> np.ndarray | None:
        """(N,) bool, points of less confidence than `sure`; None if the cloud has no confidences: all are sure."""
        return None if self.confidence is None else np.asarray(self.confidence < sure)

    def selected(self, which: np.ndarray | slice) -> PointCloud:
        """The points that `which` names: (N,) bool, indices, or a slice."""
        shares = {name: None if (given := getattr(self, name)) is None else given[which] for name, _, _ in _SHARES}
        return PointCloud(self.points[which], self.colours[which], **shares)

    def finite(self) -> PointCloud:
        """The points without NaN and infinity in their position; itself if there are none."""
        finite = np.isfinite(self.points)
        return self if finite.all() else self.selected(finite.all(axis=1))

    def renumbered(self, numbers: Sequence[int]) -> PointCloud:
        """The points with the captures that they come from renumbered; INVENTED stays.

        numbers: the new one of each old one; all others become -1.
        """
        if self.source is None:
            return self
        places = np.array([INVENTED, -1, *numbers, -1], np.int32)
        known = np.where(self.source < INVENTED, -1, self.source)
        return replace(self, source=places.take(np.clip(known, INVENTED, len(numbers)) - INVENTED))

    def transformed(self, new_from_old: np.ndarray) -> PointCloud:
        """The points moved by an affine (4, 4) matrix; footprints grow with the cube root of its determinant.

        Raises PointCloudError if the matrix has another shape or is not finite.
        """
        new_from_old = np.asarray(new_from_old, dtype=np.float64)
        if new_from_old.shape != (4, 4) or not np.isfinite(new_from_old).all():
            raise PointCloudError("Points cannot be moved: the matrix is not a finite 4x4 matrix.")
        linear, offset = new_from_old[:3, :3], new_from_old[:3, 3]
        moved = (self.points.astype(np.float64) @ linear.T + offset).astype(np.float32)
        footprint = self.footprint
        if footprint is not None:
            footprint = footprint * np.float32(np.cbrt(abs(np.linalg.det(linear))))
        return PointCloud(moved, self.colours, self.confidence, self.source, footprint)

    @staticmethod
    def load(path: Path) -> PointCloud:
        """Read a cloud from a .ply or .npz file.

        PLY: as vertices.read understands it, whose notes are left out. npz: the arrays by their names, as save()
        writes.
        Raises PointCloudError if the file cannot be read, is damaged, or is of another kind.
        """
        path = Path(path)
        return _from_vertices(path) if _kind(path) == ".ply" else _from_npz(path)

    def save(self, path: Path) -> None:
        """Write the cloud to a .ply (binary little-endian, float, uchar) or .npz file, atomically.

        Raises PointCloudError for another suffix, FileError if the file cannot be written.
        """
        path = Path(path)
        if _kind(path) == ".ply":
            ply.write(path, self._columns(), comments=["Pantheon360 for Blender: metres, Z up, sRGB"])
            return
        with files.writing(path) as file:
            self.write_npz(file)

    def write_npz(self, file: BinaryIO) -> None:
        """Write the cloud as an .npz archive, its arrays by their names, into an open file."""
        shares = {name: getattr(self, name) for name, _, _ in _SHARES if getattr(self, name) is not None}
        np.savez(file, points=self.points, colours=self.colours, **shares)

    def _columns(self) -> dict[str, np.ndarray]:
        columns = {name: self.points[:, axis] for axis, name in enumerate(_COORDINATES)}
        columns |= {name: self.colours[:, channel] for channel, name in enumerate(_COLOURS)}
        return columns | {name: getattr(self, name) for name, _, _ in _SHARES if getattr(self, name) is not None}


def _from_vertices(path: Path) -> PointCloud:
    found = vertices.read(path)
    with np.errstate(over="ignore", invalid="ignore"):
        return PointCloud(found.positions.astype(np.float32), found.colours, **found.shares)


def _from_npz(path: Path) -> PointCloud:
    try:
        with npz.opened(path) as archive:
            there = archive.namelist()
            shares = [name for name, _, _ in _SHARES if f"{name}.npy" in there]
            left = budget.points(path.stat().st_size)
            arrays = {}
            for name in ("points", "colours", *shares):
                arrays[name] = npz.read(archive, name, left)
                left -= arrays[name].nbytes
            return PointCloud(**arrays)
    except PointCloudError as error:
        raise PointCloudError(f"{path} is not a point cloud: {error.text}") from error
    except npz.DAMAGED as error:
        raise PointCloudError(
            f"{path} cannot be read: {inputs.why(error)}.", advice="Save it again, unpacked."
        ) from error
    except MemoryError as error:
        raise PointCloudError(f"{path} does not fit into memory.", advice="Thin it out first.") from error


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".ply", ".npz"):
        raise PointCloudError(f"{path} is neither a .ply nor a .npz file.", advice="Give it one of these suffixes.")
    return suffix


def _check(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    found = f"{getattr(array, 'dtype', type(array).__name__)} {np.shape(array)}"
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
        raise PointCloudError(f"The {name} of a point cloud are {found}; {np.dtype(dtype)} {shape} is wanted.")

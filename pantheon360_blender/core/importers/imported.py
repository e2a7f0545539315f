"""What comes in from other programs' files, and the way all of it takes: finite, upright, near the origin, thinned.

Blender keeps coordinates as float32, which at 500 km (UTM) tells no less than 3 cm apart; what lies far out is
therefore moved to the origin before it is rounded, and the offset is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .. import budget
from ..budget import FARTHEST, PictureBudget
from ..errors import ImageError, PantheonError, PoseError, printable
from ..formats import appearance, exr, png
from ..output_folder import OutputFolder
from ..panorama import cameras
from ..points.point_cloud import MOST_POINTS, PointCloud
from ..points.thinning import Thinner
from ..progress import Job

PICTURES = "pictures"
"""Folder, in the one that is imported into, of pictures that lay inside a file."""
FAR = 1000.0
"""Metres from the origin beyond which an axis is re-centred."""
_ROUND = 100.0  # metres: offsets that a person can remember
_NO_COLOUR = 255
_LONGEST_NAME = 200
_NARROWEST, _WIDEST = 0.007, 3.0  # radians across a perspective picture that Blender's cameras know
_BALANCED = 0.3  # length of the mean of unit vectors below which cameras do not agree about up

UP_AXES: dict[str, np.ndarray] = {
    "z": np.eye(3),
    "-z": np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]]),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "x": np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]),
    "-x": np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]),
}
"""Rotations (3, 3) that bring the named axis of a file to Blender's +Z."""


class SourceError(PantheonError):
    """A file or folder of another program is damaged, incomplete, or of a kind that is not read."""

    code = "source"


class MissingLibraryError(SourceError):
    """A file or folder is sound, but this Python lacks the library that reads its kind."""

    code = "missing-package"


@dataclass(frozen=True, eq=False)
class ImportedCapture:
    """A picture with a pose from another program.

    name: as the file calls it, in characters that can be shown.
    image: where the picture lies, or None if it could not be found.
    pose: (4, 4) float64 camera-to-world, Blender's axes and world, metres if the source is metric.
    panoramic: False for perspective pictures, which cannot be captures but tell where the path went.
    mask: a picture, black = ignore (as nerfstudio has it; a capture's own mask has it the other way), or None.
    field_of_view: angle in radians that a perspective picture sees across its width; None if that is not told.
    """

    name: str
    image: Path | None
    pose: np.ndarray
    panoramic: bool = True
    mask: Path | None = None
    field_of_view: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", printable(self.name)[:_LONGEST_NAME])


@dataclass(frozen=True, eq=False)
class Imported:
    """What a source holds, in Blender's world: Z up, metres if the source is metric.

    cloud: its points, or None if it has none; their `source` counts `captures`.
    captures: its pictures with poses.
    notes: what was changed, left out or assumed, for people; one sentence each.
    offset: (3,) float64, metres; add it to the coordinates here to get the file's, turned upright.
    """

    cloud: PointCloud | None
    captures: tuple[ImportedCapture, ...] = ()
    notes: tuple[str, ...] = ()
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(map(printable, self.notes)))


def field_of_view(width: float, focal: float) -> float | None:
    """Angle in radians across a perspective picture by its width and focal length, both in pixels or both in metres.

    None if they are no sensible numbers.
    """
    angle = 2 * math.atan2(width, 2 * focal) if 0 < width < math.inf and 0 < focal < math.inf else 0.0
    return angle if _NARROWEST <= angle <= _WIDEST else None


def png_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB, upright, of a PNG file; the only kind of picture that needs nothing but numpy."""
    if path.suffix.lower() != ".png":
        raise ImageError(f"{path} is no PNG image.", advice="Save it as PNG, or import it with the backend.")
    return appearance.read(path).shown(png.read(path, budget.PANORAMA))


@dataclass(frozen=True)
class Decoders:
    """How files that numpy alone cannot decode are read; whoever has a library passes its own.

    picture: path -> (H, W, 3) uint8 sRGB, upright, raising ImageError.
    video: path -> frames (H, W, 3) uint8 in their order, raising ImageError; None if videos cannot be read here.
    exr: bytes, name for messages, sizes it may have -> channels by name, (H, W) float32 each, raising ImageError.
    """

    picture: Callable[[Path], np.ndarray] = png_picture
    video: Callable[[Path], Iterator[np.ndarray]] | None = None
    exr: Callable[[bytes, str, PictureBudget], dict[str, np.ndarray]] = exr.decode


@dataclass(frozen=True)
class Options:
    """How to bring a source in.

    limit: points above which a cloud is thinned on the way, by voxels as large as they must be.
    voxel: edge in metres of voxels to thin by whatever the size; 0 does not.
    up: the file's axis that points up, "x" "-x" "y" "-y" "z" "-z"; None takes the format's own rule.
    scale: metres that one unit of the file's coordinates stands for; None takes the format's own rule (else 1).
    offset: (x, y, z) metres to take off every coordinate (after `up` and `scale`), so that several files stay
    together; None takes off what brings a far source near the origin.
    image: the panorama of a depth image. pose: (4, 4) camera-to-world of it; None is 2 m up, looking along +Y.
    depth_scale: metres that one step of a depth image's values stands for (for an inverse depth: 1/m); None is 0.001
    for integers and 1 for floats. depth_inverse: values are 1 / depth.
    depth_measure: "range" along the ray, "cube" along the axis of the cube face the ray meets, "horizontal" from the
    vertical axis.
    every: of a sequence of frames with depth, take every n-th.
    pictures: folder in whose PICTURES those go that lie inside a file; None leaves them there.
    decoders: see Decoders.
    """

    limit: int = MOST_POINTS
    voxel: float = 0.0
    up: str | None = None
    scale: float | None = None
    offset: Sequence[float] | None = None
    image: Path | None = None
    pose: np.ndarray | None = None
    depth_scale: float | None = None
    depth_inverse: bool = False
    depth_measure: str = "range"
    every: int = 1
    pictures: OutputFolder | None = None
    decoders: Decoders = field(default_factory=Decoders)

    def __post_init__(self) -> None:
        if self.up is not None and self.up not in UP_AXES:
            raise SourceError(f"{self.up!r} is no up axis.", advice=f"Give one of {', '.join(UP_AXES)}.")
        for name in ("scale", "depth_scale"):
            value = getattr(self, name)
            if value is not None and not 1 / FARTHEST <= value <= FARTHEST:
                raise SourceError(f"A {name.replace('_', ' ')} of {value} makes no sense.", advice="Give more than 0.")
        if self.offset is not None and (len(self.offset) != 3 or not (np.abs(self.offset) <= FARTHEST).all()):
            raise SourceError(f"An offset is three numbers of at most {FARTHEST:g}.")
        if not 0 <= self.voxel <= FARTHEST:
            raise SourceError(f"A voxel of {self.voxel} m makes no sense.", advice="Give 0 or more.")
        if self.every < 1:
            raise SourceError(f"Every {self.every}-th frame makes no sense.", advice="Give 1 or more.")


@dataclass(frozen=True)
class Source:
    """A kind of file or folder that can be brought in.

    name: a short slug. title: what people call it, with its suffixes.
    recognises: (path, its first bytes; empty for a folder) -> whether it is of this kind, judged by content.
    read: the job that reads it.
    """

    name: str
    title: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path, Options], Job[Imported]]


class Gathering:
    """Collects a source's points and poses in its own coordinates and gives them in Blender's.

    default_up: the format's rule for the axis that points up; None judges by the cameras.
    scale: metres of a unit by the format's rule, of all axes or (3,) of each, unless the options state another.
    """

    def __init__(
        self, path: Path, options: Options, default_up: str | None = "z", scale: float | np.ndarray = 1.0
    ) -> None:
        self._path, self._options = path, options
        self.notes: list[str] = []
        self._up = options.up or default_up
        self._scale = np.broadcast_to(np.float64(scale if options.scale is None else options.scale), 3)
        self._offset = None if options.offset is None else np.asarray(options.offset, np.float64)
        self._thinner = Thinner(options.limit, options.voxel)
        self._rounded = self._lost = 0

    def judge_up(self, poses: np.ndarray, fallback: str, what: str) -> None:
        """Choose the axis that points up as the cameras do; poses: (F, 4, 4), Blender's camera axes, file's world."""
        if self._up is not None:
            return
        mean = poses[:, :3, 1].mean(axis=0) if len(poses) else np.zeros(3)
        if np.linalg.norm(mean) < _BALANCED:
            self._up = fallback
            return
        axis = int(np.argmax(np.abs(mean)))
        self._up = ("-" if mean[axis] < 0 else "") + "xyz"[axis]
        self.notes.append(f"By its cameras, {self._up.upper()} points up in {what}; it became Blender's +Z.")

    def settle(self, points: np.ndarray) -> None:
        """Fix the offset by a sample of positions (N, 3) in the file's coordinates; later calls change nothing."""
        if self._offset is not None:
            return
        sound = points[(np.abs(points) <= FARTHEST).all(axis=1)]
        if len(sound):
            centre = np.median(self._turned(sound), axis=0)
            self._offset = np.where(np.abs(centre) > FAR, np.round(centre / _ROUND) * _ROUND, 0.0)

    def add(
        self,
        points: np.ndarray,
        colours: np.ndarray | None = None,
        *,
        confidence: np.ndarray | None = None,
        source: np.ndarray | None = None,
        footprint: np.ndarray | None = None,
    ) -> None:
        """Take (N, 3) points of the file, any float type, and (N, 3) uint8 colours, white if None."""
        if not len(points):
            return
        self.settle(points)
        with np.errstate(over="ignore", invalid="ignore"):
            moved = self._turned(points)
            if self._offset is not None:
                moved -= self._offset
            near = moved.astype(np.float32)
            near[~(np.abs(near) <= FARTHEST)] = np.nan
        self._lost += len(near) - int(np.isfinite(near).all(axis=1).sum())
        if colours is None:
            colours = np.full((len(near), 3), _NO_COLOUR, np.uint8)
        if footprint is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                footprint = (footprint * np.cbrt(np.abs(self._scale.prod()))).astype(np.float32)
            footprint[~(np.abs(footprint) <= FARTHEST)] = 0.0
        self._thinner.add(PointCloud(near, np.ascontiguousarray(colours), confidence, source, footprint))

    def pose(self, pose: np.ndarray, name: str) -> np.ndarray:
        """A camera-to-world (4, 4) with Blender's camera axes, brought from the file's world into Blender's.

        Raises SourceError if it is no finite rigid transform.
        """
        try:
            checked = cameras.check_pose(pose)
        except PoseError as error:
            raise SourceError(f"{self._path}: the pose of {name} is damaged. {error.text}") from error
        moved = np.eye(4)
        moved[:3, :3] = self._world_from_file @ checked[:3, :3]
        moved[:3, 3] = self._turned(checked[None, :3, 3])[0]
        if self._offset is not None:
            moved[:3, 3] -= self._offset
        return moved

    def note_pictures(self, captures: Sequence[ImportedCapture], what: str, why: str = "") -> None:
        """Note how many pictures cannot be captures, and how many were not found beside `what`. why: of the first."""
        if flat := sum(not capture.panoramic for capture in captures):
            self.notes.append(f"{flat:,} of {len(captures):,} pictures are no panoramas: their poses alone came.")
        if missing := sum(capture.image is None for capture in captures):
            reason = f" ({why})" if why else ""
            self.notes.append(f"{missing:,} of {len(captures):,} pictures were not found beside {what}{reason}.")

    def finish(self, captures: Sequence[ImportedCapture] = (), *, wanted: bool = False) -> Imported:
        """All that was gathered, with notes.

        wanted: points are what the source is for. Raises SourceError if there are none then, or neither points nor
        captures.
        """
        cloud = self._thinner.cloud()
        if not len(cloud) and (wanted or not captures):
            lost = f"; {self._lost:,} had no finite position" if self._lost else ""
            raise SourceError(f"{self._path} holds no points{lost}.", advice="Export it again.")
        return Imported(
            cloud if len(cloud) else None,
            tuple(captures),
            (*self.notes, *self._own_notes(len(cloud))),
            np.zeros(3) if self._offset is None else self._offset,
        )

    def _own_notes(self, kept: int) -> list[str]:
        notes = []
        if self._up not in (None, "z") and not any("points up" in note for note in self.notes):
            notes.append(f"{str(self._up).upper()} points up in the file; it became Blender's +Z.")
        if self._offset is not None and self._offset.any():
            x, y, z = self._offset
            notes.append(
                f"It lies far from the origin and was moved there: add ({x:.12g}, {y:.12g}, {z:.12g}) m to get back."
            )
        if self._lost:
            notes.append(f"{self._lost:,} points without a finite position were left out.")
        if self._thinner.thinned and kept:
            notes.append(f"{self._thinner.given:,} points were thinned to {kept:,} by voxels of {self._edge()}.")
        return notes

    def _edge(self) -> str:
        size = self._thinner.size
        return f"{size:.3g} m" if size >= 1 else f"{size * 100:.3g} cm" if size >= 0.01 else f"{size * 1000:.3g} mm"

    @property
    def _world_from_file(self) -> np.ndarray:
        return UP_AXES[self._up or "z"]

    def _turned(self, points: np.ndarray) -> np.ndarray:
        return np.asarray((np.asarray(points, np.float64) * self._scale) @ self._world_from_file.T)

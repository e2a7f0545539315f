"""Crop layouts and rigs: a panorama as perspective views with exact rotations, one intrinsics and one shared centre.

A rotation of a layout maps directions of the crop's camera to directions of the panorama's camera, both with Blender's
axes (x right, y up, -z forward). Crops are square, pixel centres at .5, angles radians.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import blender_to_opencv, check_rotation, rotation_from_angles
from pantheon360_blender.core.panorama.capture import Capture

_GOLDEN = (1 + 5**0.5) / 2


@dataclass(frozen=True)
class Layout:
    """Where the crops of a panorama look.

    name: as in LAYOUTS.
    rotations: (V, 3, 3) float64, crop camera to panorama camera.
    fov: field of view of every crop, horizontally and vertically, radians, between 0 and pi.
    size: pixels of a crop's side.
    Raises ValueError if there is no view, no camera has that fov or the size is not positive; PoseError if a
    rotation is none.
    """

    name: str
    rotations: np.ndarray
    fov: float
    size: int

    def __post_init__(self) -> None:
        rotations = np.array(self.rotations, dtype=np.float64)
        if rotations.ndim != 3 or not len(rotations):
            raise ValueError(f"Layout {self.name}: rotations of shape {rotations.shape}; (V, 3, 3) is wanted.")
        if not 0 < self.fov < np.pi or self.size < 1:
            raise ValueError(f"Layout {self.name}: {np.degrees(self.fov):g}° at {self.size} pixels is no camera.")
        for rotation in rotations:
            check_rotation(rotation)
        rotations.flags.writeable = False
        object.__setattr__(self, "rotations", rotations)

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def intrinsics(self) -> np.ndarray:
        """(3, 3) float64 OpenCV matrix in pixels, for pixel centres at .5.

        Models that put the first pixel's centre at 0 want the principal point half a pixel lower.
        """
        focal = self.size / 2 / np.tan(self.fov / 2)
        return np.array([[focal, 0, self.size / 2], [0, focal, self.size / 2], [0, 0, 1.0]])

    def resized(self, size: int) -> Layout:
        """The same views at `size` pixels a side."""
        return replace(self, size=size)

    def directions(self) -> np.ndarray:
        """Unit directions of all pixels in the panorama's frame; (V, size, size, 3) float64."""
        looking = equirectangular.perspective_directions((self.size, self.size), self.fov).astype(np.float64)
        looking /= np.linalg.norm(looking, axis=-1, keepdims=True)
        return np.asarray(np.einsum("vij,hwj->vhwi", self.rotations, looking))

    def project(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where directions of the panorama's frame fall in each crop.

        directions: (..., 3). Returns pixels (V, ..., 2) float64, centres at .5, NaN behind the crop's camera, and
        whether each lies within the crop, (V, ...) bool.
        """
        local = np.einsum("vji,...j->v...i", self.rotations, np.asarray(directions, dtype=np.float64))
        ahead = -local[..., 2] > 1e-9
        depth = np.where(ahead, -local[..., 2], np.nan)
        focal = self.size / 2 / np.tan(self.fov / 2)
        pixels = np.stack([local[..., 0] / depth, -local[..., 1] / depth], axis=-1) * focal + self.size / 2
        with np.errstate(invalid="ignore"):
            inside = ahead & (pixels >= 0).all(axis=-1) & (pixels <= self.size).all(axis=-1)
        return pixels, inside


def horizon(count: int = 8, fov: float = np.pi / 2, size: int = 512) -> Layout:
    """`count` crops round the horizon, the first along -Z, each next one further to the right."""
    return _layout("horizon", [(2 * np.pi * index / count, 0.0) for index in range(count)], fov, size)


def bands(fov: float = np.pi / 2, size: int = 512) -> Layout:
    """Four yaws at pitches -35, 0 and 35 degrees; the outer bands are half a step further.

    Source of the pitches: COLMAP's panorama example.
    """
    angles = [
        (np.pi / 2 * (yaw + offset), np.radians(pitch))
        for pitch, offset in ((-35, 0.5), (0, 0.0), (35, 0.5))
        for yaw in range(4)
    ]
    return _layout("bands", angles, fov, size)


def icosahedron(of: str = "faces", fov: float = np.pi / 2, size: int = 512) -> Layout:
    """Directions of an icosahedron's 20 `faces` or 12 `vertices`: the sphere covered evenly, poles included.

    Raises ValueError if `of` is something else.
    """
    if of not in ("faces", "vertices"):
        raise ValueError(f"An icosahedron has faces and vertices, no {of!r}.")
    return _layout("icosahedron", [_angles(direction) for direction in _icosahedron(of)], fov, size)


def cube(overlap: float = 0.0, size: int = 512) -> Layout:
    """The six faces of a cube: ahead, right, back, left, up, down; each reaches `overlap` radians over its edges."""
    angles = [(np.pi / 2 * index, 0.0) for index in range(4)] + [(0.0, np.pi / 2), (0.0, -np.pi / 2)]
    return _layout("cube", angles, np.pi / 2 + 2 * overlap, size)


@dataclass(frozen=True)
class Rig:
    """The crops of one capture as cameras that share a centre."""

    capture: Capture
    layout: Layout

    @property
    def centre(self) -> np.ndarray:
        """(3,) float64 world position of all crops, metres."""
        return np.array(self.capture.pose[:3, 3], dtype=np.float64)

    @property
    def poses_blender(self) -> np.ndarray:
        """(V, 4, 4) float64 camera-to-world, Blender's camera axes (x right, y up, -z forward)."""
        poses = np.tile(np.eye(4), (len(self.layout), 1, 1))
        poses[:, :3, :3] = np.asarray(self.capture.pose, dtype=np.float64)[:3, :3] @ self.layout.rotations
        poses[:, :3, 3] = self.centre
        return poses

    @property
    def poses_opencv(self) -> np.ndarray:
        """(V, 4, 4) float64 camera-to-world, OpenCV's camera axes (x right, y down, z forward)."""
        return blender_to_opencv(self.poses_blender)

    def crops(self) -> np.ndarray:
        """(V, size, size, 3) uint8 sRGB, antialiased where the panorama is finer than the crops."""
        return crop(self.capture.image, self.layout)

    def valid(self) -> np.ndarray:
        """(V, size, size) bool: no masked pixel of the capture took part in the crop's pixel."""
        if self.capture.valid is None:
            return np.ones((len(self.layout), self.layout.size, self.layout.size), np.bool_)
        return np.asarray(crop(self.capture.valid.astype(np.float32), self.layout) > 0.999)


def crop(image: np.ndarray, layout: Layout) -> np.ndarray:
    """The views of `layout` into a panorama.

    image: (H, W) or (H, W, C), W = 2 H. Where it is finer than the crops it is resized first.
    Returns (V, size, size) or (V, size, size, C) of the image's type, integers rounded.
    Raises ImageError if the image is not twice as wide as high.
    """
    return equirectangular.perspective_crops(image, layout.rotations, layout.fov, (layout.size, layout.size))


def _layout(name: str, angles: list[tuple[float, float]], fov: float, size: int) -> Layout:
    return Layout(name, np.stack([rotation_from_angles(yaw, pitch) for yaw, pitch in angles]), fov, size)


def _icosahedron(of: str) -> np.ndarray:
    """Unit directions (12 or 20, 3) of an icosahedron's vertices, or of its faces: a dodecahedron's vertices."""
    signs = [(a, b) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    if of == "vertices":
        base = [(0.0, a, b * _GOLDEN) for a, b in signs]
        points = [np.roll(point, turn) for point in base for turn in range(3)]
    else:
        base = [(0.0, a / _GOLDEN, b * _GOLDEN) for a, b in signs]
        points = [np.roll(point, turn) for point in base for turn in range(3)]
        points += [np.array((a, b, c)) for a, b in signs for c in (-1.0, 1.0)]
    directions = np.stack(points)
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))


def _angles(direction: np.ndarray) -> tuple[float, float]:
    """Yaw to the right and pitch up of a unit direction, radians."""
    return float(np.arctan2(direction[0], -direction[2])), float(np.arcsin(np.clip(direction[1], -1, 1)))


LAYOUTS: dict[str, Layout] = {
    "horizon": horizon(),
    "bands": bands(),
    "icosahedron": icosahedron(),
    "cube": cube(overlap=np.radians(5.0)),
}
"""The layouts to choose from, at 512 pixels."""

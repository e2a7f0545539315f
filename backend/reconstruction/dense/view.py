"""One panorama while its range is being estimated, and what it is matched against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import invert

from .cube_map import CubeMap, cube_map
from .matching import Sources

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_TRUSTED = 0.3  # margin of a labelled plane from which propagation prefers it
_ON_PLANE = 0.02  # relative inverse range
CARRIED = ("planes", "prior", "trust", "photometric_cost", "reliable")  # what is known of pixels, at every width


class DenseView:
    """One capture at one width, and its estimate. Only its pose is set before at() gives it a width.

    pose: (4, 4) camera-to-world. colour: (H, W, 3) uint8. grey: (H, W) float32, 0..255. cube: the cube map of grey.
    valid, sky: (H, W) bool. active: valid and not sky. rays: (H, W, 3) float32.
    planes: (H, W, 3) float32, the plane of each pixel's surface (see `matching`).
    costs: (H, W) float32, what propagation last found these planes to cost.
    prior: (H, W, 3) float32, the plane each pixel was last labelled with, 0 where it kept its own.
    trust: (H, W) float32, the margin of that label.
    photometric_cost: (H, W) float32 of the estimate, 0 is perfect.
    reliable: (H, W) bool, where the pictures tell the range and other views confirm it.
    """

    def __init__(self, colour: np.ndarray, valid: np.ndarray, sky: np.ndarray, pose: np.ndarray) -> None:
        """colour (H, W, 3) uint8, valid and sky (H, W) bool at the largest width that is wanted."""
        self.pose = pose
        self._full = (colour, valid, sky)
        self.planes = np.zeros((0, 0, 3), np.float32)
        self.prior = np.zeros((0, 0, 3), np.float32)
        self.trust = np.zeros((0, 0), np.float32)
        self.photometric_cost = np.zeros((0, 0), np.float32)
        self.reliable = np.zeros((0, 0), np.bool_)

    def at(self, width: int) -> None:
        """Go to another width, even, taking the estimate along; costs are to be computed again."""
        self._draw(width)
        if not self.planes.size:
            self.prior = np.zeros((*self.active.shape, 3), np.float32)
            self.trust = np.zeros(self.active.shape, np.float32)
            self.photometric_cost = np.ones(self.active.shape, np.float32)
            self.reliable = np.zeros(self.active.shape, np.bool_)
            return
        for name in CARRIED:
            setattr(self, name, taken(getattr(self, name), width))
        self._keep_in_front()

    def _draw(self, width: int) -> None:
        colour, valid, sky = self._full
        self.colour = equirectangular.resize(colour, width)
        self.valid = equirectangular.resize(valid, width)
        self.sky = equirectangular.resize(sky, width)
        self.grey = (self.colour.astype(np.float32) @ _LUMINANCE).astype(np.float32)
        self.active = self.valid & ~self.sky
        self.cube: CubeMap = cube_map(self.grey, self.valid)
        self.rays = equirectangular.directions(width)
        self.costs = np.full(self.active.shape, 2.0, np.float32)

    def carried(self) -> dict[str, np.ndarray]:
        """What is known of pixels, to go on with elsewhere by `carry_on`."""
        return {name: getattr(self, name) for name in CARRIED}

    def carry_on(self, known: Mapping[str, np.ndarray]) -> None:
        """Take up what another view of this capture has carried; at() is to be called next."""
        for name in CARRIED:
            setattr(self, name, known[name])

    def smaller(self, width: int) -> DenseView:
        """A copy at a smaller width; each of its pixels keeps the estimate of one of the pixels it covers."""
        other = DenseView(*self._full, self.pose)
        other.carry_on(self.carried())
        other.at(width)
        return other

    def _keep_in_front(self) -> None:
        """A plane taken to a neighbouring ray may lie behind it: turn it to face the ray."""
        behind = self.rho() <= 0
        size = np.linalg.norm(self.planes, axis=-1)
        self.planes[behind] = (self.rays * np.maximum(size, 1e-6)[..., None])[behind]

    def preferred(self) -> np.ndarray:
        """The planes that propagation is to prefer, (H, W, 3), 0 for none."""
        return np.where((self.trust > _TRUSTED)[..., None], self.prior, 0).astype(np.float32)

    def adopt(self) -> None:
        """Take the labelled plane where the pixel's own estimate is not reliable."""
        filled = ~self.reliable & (self.prior != 0).any(axis=-1)
        self.planes[filled] = self.prior[filled]

    def as_labelled(self) -> np.ndarray:
        """Where the estimate lies on the plane it was labelled with, or was labelled to keep its own; (H, W) bool."""
        expected = np.einsum("hwc,hwc->hw", self.prior, self.rays)
        own = (self.prior == 0).all(axis=-1)
        return np.asarray(own | ((expected > 0) & (np.abs(expected - self.rho()) < _ON_PLANE * expected)))

    def rho(self) -> np.ndarray:
        """Inverse range of the planes, (H, W) float32."""
        return np.asarray(np.einsum("hwc,hwc->hw", self.planes, self.rays))

    def known_rho(self) -> np.ndarray:
        """Inverse range where this view is active, 0 elsewhere."""
        return np.where(self.active, np.maximum(self.rho(), 0), 0).astype(np.float32)


def taken(values: np.ndarray, width: int) -> np.ndarray:
    """(H, W, ...) values at another width, a copy; each pixel takes what its centre lies on."""
    rows, columns = _picked(values.shape[0], width // 2), _picked(values.shape[1], width)
    return np.ascontiguousarray(values[rows[:, None], columns])


def _picked(given: int, wanted: int) -> np.ndarray:
    """Of `given` pixels in a row those that the centres of `wanted` pixels lie on, (wanted,) int64."""
    return np.asarray((2 * np.arange(wanted) + 1) * given // (2 * wanted))


def relative_poses(views: Sequence[DenseView], index: int, others: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (S, 3, 3) and offsets (S, 3), float32, from one view into others: X_other = R X + t."""
    other_from_view = np.stack([invert(views[other].pose) @ views[index].pose for other in others]).astype(np.float32)
    return np.ascontiguousarray(other_from_view[:, :3, :3]), np.ascontiguousarray(other_from_view[:, :3, 3])


def sources(
    views: Sequence[DenseView], index: int, others: Sequence[int], *, geometric: float = 0.0, plain: float = 0.0
) -> Sources:
    """What one view is matched against; see Sources for the weights."""
    rotations, offsets = relative_poses(views, index, others)
    return Sources(
        np.concatenate([views[other].cube.faces.ravel() for other in others]),
        views[index].cube.faces.shape[-1],
        np.stack([views[other].cube.valid for other in others]),
        rotations,
        offsets,
        np.stack([views[other].known_rho() if geometric else np.zeros((1, 1), np.float32) for other in others]),
        np.float32(views[index].cube.focal),
        np.float32(geometric),
        np.float32(plain),
    )

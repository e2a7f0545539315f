"""Frames between two painted ones, warped from both with the known depth and cameras.

Each pixel of the frame is a point. Both painted panoramas are sampled where it falls, and the one that sees it counts.
A pixel without a range has four guesses: the farthest and the nearest range closely around (a side without any counts
as open sky), a smooth surface through all known ranges, and level ground. Both panoramas agree on a right guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import check_pose, invert
from pantheon360_blender.core.render.pull_push import pull_push

_FULL = 5.0  # points that a quadrant holds on a surface; so many that few quadrants hold none
_WINDOWS = (2, 4, 8, 16)  # pixels: sides of the quadrants in which a pixel's surroundings are looked for
_BEHIND = 1.15  # ratio of ranges from which on one point lies behind another, not beside it on a surface
_BELOW = 0.2  # sine of the angle below the horizon from which on a point may be of the ground
_NEARER = (1.05, 1.2)  # ratio of ranges at which what a panorama sees begins to hide a point, and hides it
_TINY = 1e-6  # 1 / metres: nothing farther hides the sky
_UNSEEN = 1e-3  # weight of a panorama that does not see a point: it decides only where neither does
_AGREEMENT = 3  # pixels: reach of the window in which the panoramas are compared
_NOISE = 2.0  # grey levels by which painted panoramas differ anyway
_HALF_SEEN = 8.0  # grey levels that speak against a guess where one panorama alone sees it, as behind a silhouette
_NOT_SEEN = 40.0  # and where none does
_DECISION = 4  # power of the difference with which a guess loses weight


@dataclass(frozen=True, eq=False)
class PaintedView:
    """A painted panorama and its geometry.

    image: (H, W, 3) uint8 sRGB.
    depth: (H, W) float32, Euclidean range in metres, inf where nothing is known.
    camera: (4, 4) float64, camera-to-world.
    """

    image: np.ndarray
    depth: np.ndarray
    camera: np.ndarray


class Pair:
    """Two painted panoramas and the frames between them. Reversed time gives the same frames."""

    def __init__(self, before: PaintedView, after: PaintedView) -> None:
        """Raises ValueError if shapes, types or depths are impossible, PoseError if a camera is no pose."""
        if before.image.shape != after.image.shape:
            raise ValueError(
                f"The painted frames differ in size: {before.image.shape} before and {after.image.shape} after."
            )
        self._shape = before.image.shape[:2]
        self._before, self._after = _Painted.from_view(before, "before"), _Painted.from_view(after, "after")

    def frame(self, depth: np.ndarray, camera: np.ndarray, share: float) -> np.ndarray:
        """Warp both panoramas to a camera between them.

        depth: (H, W), Euclidean range in metres of the geometry seen from the camera, inf where nothing is known.
        camera: (4, 4) camera-to-world.
        share: 0 at `before`, 1 at `after`.
        Returns (H, W, 3) uint8 sRGB.
        Raises ValueError if the depth has another shape, is NaN, zero or negative, or the share is outside 0...1;
        PoseError if the camera is no pose.
        """
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"A frame cannot lie at {share} between two others: 0 to 1 can.")
        camera = check_pose(camera)
        surface = _Surface.from_depth(_checked_depth(depth, self._shape, "in-between"))
        warp = _Warp(self._before, self._after, camera, float(share))
        colour = np.empty((depth.size, 3), np.float32)
        sure, unsure = np.flatnonzero(~surface.ambiguous), np.flatnonzero(surface.ambiguous)
        colour[sure] = warp.colour(sure, surface.smooth.reshape(-1)[sure])
        colour[unsure] = _best_guess(warp, unsure, [surface.far, surface.near, surface.smooth, surface.ground(camera)])
        return np.clip(np.rint(colour), 0, 255).astype(np.uint8).reshape(*self._shape, 3)


@dataclass(frozen=True, eq=False)
class _Surface:
    """What a sparse range map says about every pixel, as inverse ranges (H, W) float32, 0 = infinitely far.

    smooth: a surface through all known ranges. far, near: the farthest and the nearest range closely around.
    known: (H, W) bool. solid: (H, W) bool, where a range is known or ranges lie closely on all sides.
    ambiguous: (H, W) bool, where nothing is known and the limits differ.
    """

    smooth: np.ndarray
    far: np.ndarray
    near: np.ndarray
    known: np.ndarray
    solid: np.ndarray
    ambiguous: np.ndarray

    @staticmethod
    def from_depth(depth: np.ndarray) -> _Surface:
        inverse = np.float32(1.0) / depth.astype(np.float32)
        windows = _windows(inverse > 0)
        inverse[_seen_through(inverse, windows[-1])] = 0.0
        far, near = _limits(inverse, windows)
        known = inverse > 0
        smooth = pull_push(inverse[..., None], known.astype(np.float32))[..., 0]
        return _Surface(smooth, far, near, known, far > 0, ~known & ((far == 0) | (near > far * np.float32(_BEHIND))))

    def ground(self, camera: np.ndarray) -> np.ndarray:
        """Inverse range (H, W) of level ground at the median height of what lies below; 0 above the horizon.

        Unseen ground under a camera is nearer than everything round it.
        """
        width = self.known.shape[1]
        down = -(equirectangular.directions(width).reshape(-1, 3) @ camera[2, :3].astype(np.float32))
        down = down.reshape(self.known.shape)
        told = self.known & (down > np.float32(_BELOW))
        if not told.any():
            return np.zeros_like(self.smooth)
        return np.asarray(np.maximum(down, np.float32(0.0)) * np.median(self.smooth[told] / down[told]))

    def occluding(self) -> np.ndarray:
        """Inverse range (H, W) of what certainly hides things behind it, with edges moved outwards by a pixel.

        Painted edges are blurred: their mixed colours belong to neither side. A slope does not change, as its nearest
        neighbour is as much nearer as its farthest is farther.
        """
        inverse = np.where(self.solid, self.smooth, np.float32(0.0))
        around = _padded(inverse, 1)
        highest = np.maximum(np.maximum(around[:-2], around[1:-1]), around[2:])
        lowest = np.minimum(np.minimum(around[:-2], around[1:-1]), around[2:])
        highest = np.maximum(np.maximum(highest[:, :-2], highest[:, 1:-1]), highest[:, 2:])
        lowest = np.minimum(np.minimum(lowest[:, :-2], lowest[:, 1:-1]), lowest[:, 2:])
        return np.maximum(inverse, highest + lowest - inverse)


def _windows(known: np.ndarray) -> tuple[int, ...]:
    """Sides of the quadrants that tell what surrounds a pixel: so large that on a surface each holds a point."""
    density = known.mean(dtype=np.float64)
    if density > 0:
        density = _box_sum(known.astype(np.float32), _AGREEMENT)[known].mean() / (2 * _AGREEMENT + 1) ** 2
    enough = next((index for index, side in enumerate(_WINDOWS) if side * side * density >= _FULL), len(_WINDOWS) - 1)
    return _WINDOWS[: enough + 1]


def _seen_through(inverse: np.ndarray, side: int) -> np.ndarray:
    """Points (H, W) bool that show through between the points of a nearer surface: it is on all sides of them."""
    lowest, _ = next(_quadrants(inverse, (side,)))
    return (inverse > 0) & (lowest > inverse * np.float32(_BEHIND))


def _limits(inverse: np.ndarray, windows: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Farthest and nearest inverse range (H, W) in the closest surroundings that lie on all sides.

    Each quadrant counts with its nearest point, as infinitely far if it has none.
    """
    far, near = inverse.copy(), inverse.copy()
    for lowest, highest in _quadrants(inverse, windows):
        open_side = far == 0
        np.copyto(near, highest, where=open_side)
        np.copyto(far, lowest, where=open_side)
    return far, near


def _quadrants(inverse: np.ndarray, windows: tuple[int, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each window, smallest and largest over the four quadrants round a pixel of their largest value, (H, W) each.

    windows: sides of the quadrants in pixels, powers of two, rising. A pixel belongs to its own quadrants.
    """
    height, width = inverse.shape
    reach = windows[-1] - 1
    largest, side = _padded(inverse, reach), 1
    for wanted in windows:
        while side < wanted:
            largest = np.maximum(largest[:-side], largest[side:])
            largest = np.maximum(largest[:, :-side], largest[:, side:])
            side *= 2
        ends = [slice(reach - side + 1, reach - side + 1 + length) for length in (height, width)]
        starts = [slice(reach, reach + length) for length in (height, width)]
        parts = [largest[rows, columns] for rows in (ends[0], starts[0]) for columns in (ends[1], starts[1])]
        lower = np.minimum(np.minimum(parts[0], parts[1]), np.minimum(parts[2], parts[3]))
        yield lower, np.maximum(np.maximum(parts[0], parts[1]), np.maximum(parts[2], parts[3]))


@dataclass(frozen=True, eq=False)
class _Painted:
    """A painted panorama ready to be sampled: texels (H, W, 4) float32, colour and occluding inverse range."""

    texels: np.ndarray
    camera: np.ndarray

    @staticmethod
    def from_view(view: PaintedView, name: str) -> _Painted:
        shape = view.image.shape
        if len(shape) != 3 or shape[1:] != (2 * shape[0], 3) or view.image.dtype != np.uint8 or not shape[0]:
            raise ValueError(f"The frame {name} is {view.image.dtype} {shape}; (H, 2 H, 3) uint8 is wanted.")
        depth = _checked_depth(view.depth, shape[:2], name)
        texels = np.empty((*shape[:2], 4), np.float32)
        texels[..., :3] = view.image
        texels[..., 3] = _Surface.from_depth(depth).occluding()
        return _Painted(texels, check_pose(view.camera))

    def look(self, camera: np.ndarray, rays: np.ndarray, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colours (n, 3) of points and how far they are seen, (n,) in 0...1.

        rays: (n, 3) float32, directions in the frame of `camera`, (4, 4). inverse: (n,) inverse ranges along them.
        """
        painted_from_camera = (invert(self.camera) @ camera).astype(np.float32)
        points = painted_from_camera[:3, :3] @ rays.T  # (3, n): numpy is fast along the last axis
        points += painted_from_camera[:3, 3:] * inverse
        length = np.sqrt((points * points).sum(axis=0))
        points[1, length == 0.0] = 1.0  # where the panorama itself stands, any direction will do
        values = equirectangular.sample(
            self.texels, equirectangular.directions_to_pixels(points.T, self.texels.shape[1])
        )
        least, most = np.float32(_NEARER[0]), np.float32(_NEARER[1])
        expected = inverse / np.maximum(length, np.float32(_TINY))
        hidden = (values[:, 3] - expected * least) / np.maximum(expected * (most - least), np.float32(_TINY))
        return values[:, :3], 1.0 - np.clip(hidden, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class _Warp:
    """Two panoramas seen from a camera between them."""

    before: _Painted
    after: _Painted
    camera: np.ndarray
    share: float

    def colour(self, pixels: np.ndarray, inverse: np.ndarray) -> np.ndarray:
        """Colours (n, 3) float32 of points at inverse ranges (n,) in some pixels, (n,)."""
        return self._blend(*self._looks(pixels, inverse))

    def compared(self, pixels: np.ndarray, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same, and what speaks against such points, in grey levels, (n,): how much the panoramas differ there."""
        looks = self._looks(pixels, inverse)
        (first, first_seen), (last, last_seen) = looks
        differing = np.abs(first - last).mean(axis=1) - np.float32(_HALF_SEEN)
        doubt = np.float32(_HALF_SEEN) + first_seen * last_seen * differing
        doubt += (1.0 - first_seen) * (1.0 - last_seen) * np.float32(_NOT_SEEN - _HALF_SEEN)
        return self._blend(*looks), doubt

    def _looks(self, pixels: np.ndarray, inverse: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        rays = equirectangular.directions(self.before.texels.shape[1]).reshape(-1, 3)[pixels]
        return [painted.look(self.camera, rays, inverse) for painted in (self.before, self.after)]

    def _blend(self, first: tuple[np.ndarray, np.ndarray], last: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        early = np.float32(1.0 - self.share) * (first[1] + np.float32(_UNSEEN))
        late = np.float32(self.share) * (last[1] + np.float32(_UNSEEN))
        return np.asarray(first[0] + (last[0] - first[0]) * (late / (early + late))[:, None])


def _best_guess(warp: _Warp, pixels: np.ndarray, guesses: Sequence[np.ndarray]) -> np.ndarray:
    """Colours (n, 3) of pixels (n,) of unknown range. A guess weighs more, the better the panoramas agree on it.

    guesses: inverse ranges (H, W), the farthest first. The others count only if they are clearly nearer.
    """
    farthest = guesses[0].reshape(-1)[pixels]
    colours, total = np.zeros((len(pixels), 3), np.float32), np.zeros(len(pixels), np.float32)
    for guess in guesses:
        inverse = guess.reshape(-1)[pixels]
        told = np.flatnonzero((inverse > farthest * np.float32(_BEHIND)) | (guess is guesses[0]))
        colour, doubt = warp.compared(pixels[told], inverse[told])
        weight = (_smoothed(doubt, pixels[told], guess.shape) + np.float32(_NOISE)) ** -_DECISION
        colours[told] += colour * weight[:, None]
        total[told] += weight
    return colours / total[:, None]


def _smoothed(values: np.ndarray, pixels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Mean (n,) of values (n,) in pixels (n,) over those in the window round each."""
    planes = np.zeros((2, *shape), np.float32)
    planes[0].reshape(-1)[pixels], planes[1].reshape(-1)[pixels] = values, 1.0
    total, count = (_box_sum(plane, _AGREEMENT).reshape(-1)[pixels] for plane in planes)
    return np.asarray(total / count)


def _box_sum(image: np.ndarray, reach: int) -> np.ndarray:
    """Sum over (2 reach + 1)^2 pixels of (H, W) float32, across the seam and over the poles."""
    padded = _padded(image, reach)
    rows = padded[: image.shape[0]].copy()
    for first in range(1, 2 * reach + 1):
        rows += padded[first : first + image.shape[0]]
    total = rows[:, : image.shape[1]].copy()
    for first in range(1, 2 * reach + 1):
        total += rows[:, first : first + image.shape[1]]
    return total


def _padded(image: np.ndarray, reach: int) -> np.ndarray:
    """(H, W) with `reach` more pixels on each side, from beyond the seam and the poles."""
    over = equirectangular.rows_over_poles(image, -reach, len(image) + reach)
    return np.pad(over, ((0, 0), (reach, reach)), mode="wrap")


def _checked_depth(depth: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    if depth.shape != shape:
        raise ValueError(f"The {name} depth is {depth.shape} where the painted frames are {shape}.")
    if not (depth > 0).all():
        raise ValueError(f"The {name} depth has ranges that are NaN, zero or negative: inf says that nothing is known.")
    return depth

"""Ranges for what the captures leave open: surfaces go on as planes to where the colour changes.

A sweep tells some pixels surely, some doubtfully, and of plain or far ones nothing. Each pixel gets a plane of its own:
a vector m whose product with the pixel's ray is the inverse range. Planes are wanted that meet what the sweep tells,
by its confidence, and that change little between neighbours of one colour. Both count robustly: a range that its
surroundings contradict is let go, and so is a neighbour across a step. What is not sure is then guessed by its plane,
or by what a network has learned to see, once that is aligned to what is sure.

Sources: planes per pixel as in Ranftl et al., "Pushing the Limits of Stereo Using Variational Stereo Estimation", IV
2012; reweighting as in Black and Rangarajan, "On the Unification of Line Processes, Outlier Rejection, and Robust
Statistics", IJCV 1996.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import LinearOperator, cg

from pantheon360_blender.core.panorama import equirectangular

from . import alignment
from .depth_map import DepthMap
from .edges import row_widths

GUESSED = 0.1
"""Confidence of a range that is guessed."""

_WIDTHS = (128, 256, 512)  # pixels, from one level to the next
_ROUNDS = 5  # at the finest level: the others are where it begins
_LEAST = 0.1  # confidence of ranges that are listened to
_SMOOTH = 1.5  # what neighbours count against a sure range
_EDGE, _LEAST_WEIGHT = 8.0, 0.01  # grey levels between neighbours at which they count half, and the least they count
_NARROWEST = 0.25  # share of the equator's width, of pixels near the poles
_WRONG, _OTHER = 0.12, 0.15  # relative differences of range and of planes at which trust falls to a quarter, to half
_WEAK = 1e-4  # what stays of a pixel's last guess where nothing is known at all
_SAME = 0.15  # natural log of range within which a doubtful range is what its surroundings say
_SURFACE = 0.1  # natural log of range between neighbours on one surface
_ACCURACY, _STEPS = 1e-4, 100  # of the solver: more of them go astray where nothing is told


def completed(
    depth: DepthMap, colour: np.ndarray, valid: np.ndarray | None, sure: float, learned: DepthMap | None = None
) -> DepthMap:
    """The map with a range for each valid pixel that is not sky.

    colour: (h, w, 3) uint8 and valid: (h, w) bool of the capture, of any size; None is all of it. sure: confidence from
    which on a range is left as it is. learned: what a network makes of the capture, of the map's size and in any unit:
    it guesses where it knows a range and the map is sure of enough to tell its unit; planes guess everywhere else.
    A range less sure keeps range and confidence if the guess says the same, and so does one on which captures agree
    that far without proof (DepthMap.support); every other one is guessed, with a confidence of GUESSED, or of half of
    `sure` if that is less. A map that knows nothing at all stays as it is.
    """
    guessed = None if learned is None else _learned(depth, learned, sure)
    if guessed is None or not (np.isfinite(guessed) | depth.sky).all():
        planes = _planes(depth, colour)
        if planes is None:
            return depth
        guessed = planes if guessed is None else np.where(np.isfinite(guessed), guessed, planes)
    with np.errstate(divide="ignore", invalid="ignore"):
        agreed = np.abs(np.log(depth.range / guessed)) < _SAME
    trusted = (depth.agreement >= sure) | ((depth.agreement >= _LEAST) & agreed)
    guess = ~trusted & ~depth.sky
    if valid is not None:
        guess &= equirectangular.resize(valid, depth.range.shape[1])
    least = min(GUESSED, sure / 2)
    at_least = np.maximum(depth.confidence, np.minimum(least, depth.agreement))
    return DepthMap(
        np.where(guess, guessed, depth.range).astype(np.float32),
        np.where(guess, least, np.where(trusted, at_least, depth.confidence)).astype(np.float32),
        depth.sky,
    )


def _learned(depth: DepthMap, learned: DepthMap, sure: float) -> np.ndarray | None:
    """What is learned, made to fit what the map is sure of, (H, W) metres, inf where unknown; None if too little is."""
    trust = np.where((depth.confidence >= sure) & ~depth.sky, depth.confidence, 0)
    ranges = np.where(learned.sky, np.inf, learned.range)
    return alignment.to_measured(ranges, depth.range, trust)


def _planes(depth: DepthMap, colour: np.ndarray) -> np.ndarray | None:
    """Ranges as surfaces go on, (H, W) metres; None if the map knows nothing."""
    told = np.isfinite(depth.range) & (depth.range > 0) & (depth.agreement >= _LEAST)
    if not told.any():
        return None
    typical = float(1 / np.median(depth.range[told]))
    full = depth.range.shape[1]
    widths = [width for width in _WIDTHS if width <= full] or [full]
    planes = equirectangular.directions(widths[0]) * typical
    for width in widths:
        level = _Level.of(depth, colour, width)
        if not level.seen.any():
            return None
        planes = level.solved(_enlarged(planes, width), _ROUNDS if width == widths[-1] else 1)
    return np.asarray(1 / np.maximum(_at_width(level.inverse_range(planes), full), 1e-6))


@dataclass(frozen=True, eq=False)
class _Level:
    """The n pixels of a panorama that are no sky.

    seen: (H, W) bool, which they are. rays: (n, 3). told: (n,) the inverse ranges that are told, 0 where none is;
    trust: (n,) how much they count. first, second: (e,) the pixels of each pair of neighbours; alike: (e,) how much
    they are expected to show one surface.
    """

    seen: np.ndarray
    rays: np.ndarray
    told: np.ndarray
    trust: np.ndarray
    first: np.ndarray
    second: np.ndarray
    alike: np.ndarray

    @classmethod
    def of(cls, depth: DepthMap, colour: np.ndarray, width: int) -> _Level:
        ranges, confidence, sky = _reduced(depth, width)
        confidence = np.where(confidence >= _LEAST, confidence, 0)
        seen = ~sky
        numbers = np.full(seen.shape, -1)
        numbers[seen] = np.arange(int(seen.sum()))
        picture = equirectangular.resize(colour, width).astype(np.float32)
        narrow = np.maximum(row_widths(len(seen)), _NARROWEST)[:, None]
        across = _pairs(numbers, picture, axis=1, weight=1 / narrow)
        down = _pairs(numbers, picture, axis=0, weight=np.ones_like(narrow))
        first, second, alike = (np.concatenate(both) for both in zip(across, down, strict=True))
        told = np.where(confidence > 0, 1 / np.maximum(ranges, 1e-6), 0)
        rays = equirectangular.directions(width)[seen].astype(np.float64)
        return cls(seen, rays, told[seen], confidence[seen], first, second, alike)

    def solved(self, planes: np.ndarray, rounds: int) -> np.ndarray:
        """The planes, (H, W, 3) float64, 0 at the sky. planes: where they begin."""
        trust, alike, found = self.trust, self.alike, planes[self.seen]
        for _ in range(rounds):
            found = self._step(found, trust, alike)
            trust, alike = self._reweighted(found)
        out = np.zeros((*self.seen.shape, 3))
        out[self.seen] = found
        return out

    def inverse_range(self, planes: np.ndarray) -> np.ndarray:
        """(H, W) 1/m of planes (H, W, 3), 0 at the sky."""
        out = np.zeros(self.seen.shape)
        out[self.seen] = self._known(planes[self.seen])
        return out

    def _known(self, planes: np.ndarray) -> np.ndarray:
        return np.asarray(np.maximum((planes * self.rays).sum(axis=1), 1e-3))

    def _step(self, planes: np.ndarray, trust: np.ndarray, alike: np.ndarray) -> np.ndarray:
        """Least squares with weights that stay: errors of inverse range are relative to it."""
        count = len(self.rays)
        scale = 1 / self._known(planes) ** 2
        told_scale = 1 / np.maximum(self.told, 1e-9) ** 2  # of a range told much too far it would be huge
        data = np.where(self.told > 0, trust * np.minimum(scale, told_scale), 0)
        between = _SMOOTH * alike * np.minimum(scale[self.first], scale[self.second])
        sums = np.bincount(self.first, between, count) + np.bincount(self.second, between, count)
        rows, columns = np.concatenate([self.first, self.second]), np.concatenate([self.second, self.first])
        links = sparse.coo_matrix((-np.tile(between, 2), (rows, columns)), (count, count))
        smooth = (links + sparse.diags(sums + _WEAK * scale)).tocsr()
        guess = self.rays * self._known(planes)[:, None]

        def applied(values: np.ndarray) -> np.ndarray:
            each = values.reshape(count, 3)
            along = data * (each * self.rays).sum(axis=1)
            return np.asarray(smooth @ each + along[:, None] * self.rays).ravel()

        wanted = (data * self.told)[:, None] * self.rays + (_WEAK * scale)[:, None] * guess
        diagonal = (smooth.diagonal()[:, None] + data[:, None] * self.rays**2).ravel()
        shape = (3 * count, 3 * count)
        found, _ = cg(
            LinearOperator(shape, applied, dtype=np.float64), wanted.ravel(), planes.ravel(), rtol=_ACCURACY,
            maxiter=_STEPS, M=LinearOperator(shape, lambda values: values.ravel() / diagonal, dtype=np.float64),
        )  # fmt: skip
        return np.asarray(found).reshape(count, 3)

    def _reweighted(self, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How much ranges and neighbours count beside planes that were found."""
        known = np.where(self.told > 0, self.told, 1)
        wrong = np.where(self.told > 0, np.log(self._known(planes) / known), 0)
        size = np.linalg.norm(planes, axis=1)
        step = np.linalg.norm(planes[self.first] - planes[self.second], axis=1)
        step /= np.maximum(np.minimum(size[self.first], size[self.second]), 1e-6)
        return self.trust / (1 + (wrong / _WRONG) ** 2) ** 2, self.alike / (1 + (step / _OTHER) ** 2)


def _pairs(
    numbers: np.ndarray, picture: np.ndarray, axis: int, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neighbours along an axis, of which neither is sky, and how alike their colours are; columns wrap.

    numbers: (H, W) of the pixels, -1 at the sky. weight: (H, 1).
    """
    beside = np.roll(numbers, -1, axis=axis)
    both = (numbers >= 0) & (beside >= 0)
    if axis == 0:
        both[-1] = False
    step = np.abs(np.roll(picture, -1, axis=axis) - picture).max(axis=-1)
    alike = np.maximum(1 / (1 + (step / _EDGE) ** 2), _LEAST_WEIGHT) * weight
    return numbers[both], beside[both], alike[both]


def _reduced(depth: DepthMap, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Range and agreement of the surest pixel of each block, and whether most of it is sky, (width / 2, width)."""
    full = depth.range.shape[1]
    places = (np.arange(width + 1) * full) // width
    rows = (np.arange(width // 2 + 1) * (full // 2)) // (width // 2)
    confidence = np.where(np.isfinite(depth.range) & (depth.range > 0), depth.agreement, 0)
    if full % width:  # blocks of different sizes: the pixel in the middle of each
        middle = np.ix_((rows[1:] + rows[:-1]) // 2, (places[1:] + places[:-1]) // 2)
        return depth.range[middle], confidence[middle], depth.sky[middle]
    block = full // width

    def blocks(values: np.ndarray) -> np.ndarray:
        return values.reshape(width // 2, block, width, block).swapaxes(1, 2).reshape(width // 2, width, -1)

    surest = blocks(confidence).argmax(axis=-1)[..., None]
    ranges, sureness = (np.take_along_axis(blocks(each), surest, -1)[..., 0] for each in (depth.range, confidence))
    return ranges, sureness, blocks(depth.sky).mean(axis=-1) > 0.5


def _enlarged(planes: np.ndarray, width: int) -> np.ndarray:
    """Planes (H, W, 3) at another width; a pixel that was sky takes the plane beside it."""
    rows = (np.arange(width // 2) * len(planes)) // (width // 2)
    columns = (np.arange(width) * planes.shape[1]) // width
    return np.asarray(_over_sky(planes, ~planes.any(axis=-1))[np.ix_(rows, columns)])


def _over_sky(values: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Values (H, W[, C]), at the sky those of the nearest pixel that is none."""
    nearest = ndimage.distance_transform_edt(sky, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)])


def _at_width(inverse: np.ndarray, width: int) -> np.ndarray:
    """Inverse range (H, W) at another width: smooth on surfaces, with steps where they are."""
    given = inverse.shape[1]
    if given == width:
        return inverse
    rows, columns = np.indices((width // 2, width), dtype=np.float32)
    places = np.stack([columns + 0.5, rows + 0.5], axis=-1) * np.float32(given / width)
    filled = _over_sky(inverse, inverse <= 0).astype(np.float32)
    taken = filled[places[..., 1].astype(int), places[..., 0].astype(int)]
    between = equirectangular.sample(filled, places)
    with np.errstate(divide="ignore", invalid="ignore"):
        smooth = np.abs(np.log(between / taken)) < _SURFACE
    return np.asarray(np.where(smooth, between, taken), np.float64)

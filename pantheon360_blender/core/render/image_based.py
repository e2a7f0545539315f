"""View-dependent colours: where a frame's range is known, the captures' own pixels as they are seen from the new place.

Each pixel is carried to its point in space and from there into every capture. A capture has a say if nothing that it
sees stands in between, by how nearly it looks the same way (the angle between the two rays) and whether it is as near;
the best of them decides almost alone, for two that are a pixel apart would blur each other. Weights are continuous
functions of the camera's place: nothing pops, and a camera that stands on a capture sees its pixels alone.

A capture is kept at several sizes, each half of the one before, and looked at in the one whose pixels are as large as
the frame's. Captures are mixed in linear light.
Source: C. Buehler et al., "Unstructured Lumigraph Rendering", SIGGRAPH 2001 (penalties); L. Williams, "Pyramidal
Parametrics", SIGGRAPH 1983 (sizes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import PointCloudError
from ..panorama import equirectangular
from ..panorama.capture import Capture
from ..points import colour_match
from ..progress import run_to_end
from ..srgb import srgb_to_linear
from .projection import places
from .pull_push import pull_push

RANGE_WIDTH = 1024
"""Pixels of the range maps that say what a capture sees."""
WHOLE = np.float32(0.999)
"""Share from which on a resized pixel is all valid: weights of a filter sum to 1 but for rounding."""
_FINEST = 4  # times the frame's width: what a camera four times nearer than the capture can use
_SMALLEST = 64  # pixels of the last level
_BAND = 1 << 15  # pixels worked on at a time
_GAP = 64  # numbers between rows of memory
_EDGE = np.float32(1.4)  # ratio of inverse ranges of neighbours that lie on two surfaces
_SAME = np.float32(1.08)  # ratio of ranges within which two are one surface
_COARSE = np.float32(0.03)  # penalty of a capture twice as far as the camera, as square of an angle in radians
_LEAST = np.float32(1e-7)  # penalty from which on a capture looks the very same way
_FADING = 3  # power of the inverse distance by which a moving camera fades from one capture to the next
_FADING_FAR = 8  # of what is not known to be near: two captures at a time would show it twice
_MILD = 3  # of what stands in for a part that the nearest does not show
_AROUND = 4  # pixels round what is known to stand somewhere that are not taken for infinitely far
_PARALLAX = np.float32(2.8)  # pixels, 1 degree: what stands elsewhere from here is not at infinity
_SHARE = np.float32(0.02)  # of the best capture's weight, below which another has none
_BORDER = 1 / 128  # of the width, over which a capture fades out beside what is not valid
_PAIR = np.dtype("V6")  # two neighbours of a row, which are fetched together
_COMPARED = 128  # pixels round the horizon at which captures' exposures are compared
_SAME_POINT = 1e-4  # metres
_LIGHT = np.polynomial.Polynomial([0.0, 0.012522878, 0.682171111, 0.305306011])
"""Linear light of sRGB values 0 ... 1, nearly: less work than a table, and its inverse is a table."""

_ENCODED = np.interp(
    np.square(np.arange(8193) / 8192.0), _LIGHT(np.arange(1 << 15) / (1 << 15)), np.arange(1 << 15) * (255 / (1 << 15))
).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Photograph:
    """A capture made ready: what it sees at several sizes, and how far away that is.

    wide: (H, 2 H + 1, 3) uint8 each, by their width in falling order, the first column once more behind the last one;
    what is not valid is filled from around.
    validity: (h, w) float32 0 ... 1, None if all of it is valid. inverse: (h, w) float32 1/m, what hides points behind
    it, 0 where nothing is known to stand. near: the largest of it around: what is beside something known is seldom at
    infinity. pose: (4, 4) camera-to-world.
    gain: (3,) factors on linear light.
    """

    wide: tuple[np.ndarray, ...]
    validity: np.ndarray | None
    inverse: np.ndarray
    near: np.ndarray
    pose: np.ndarray
    gain: np.ndarray

    @property
    def levels(self) -> tuple[np.ndarray, ...]:
        """The sizes, (H, 2 H, 3) uint8 each."""
        return tuple(each[:, :-1] for each in self.wide)

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        arrays = (*self.wide, self.inverse, self.near) + (() if self.validity is None else (self.validity,))
        return sum(array.nbytes for array in arrays)

    def some_points(self) -> np.ndarray:
        """Points (n, 3) float64 of the surfaces that it sees, in the world: some thousands."""
        step = max(1, self.inverse.shape[1] // _COMPARED)
        inverse = self.inverse[step // 2 :: step, step // 2 :: step]
        rays = equirectangular.directions(self.inverse.shape[1])[step // 2 :: step, step // 2 :: step]
        known = inverse > 0
        local = rays[known].astype(np.float64) / inverse[known, None]
        return np.asarray(local @ self.pose[:3, :3].T + self.pose[:3, 3])

    def light(self, pixels: np.ndarray) -> np.ndarray:
        """Linear light (n, 3) that it shows at pixels of an image of RANGE_WIDTH, each the mean of its surroundings."""
        level = min(self.levels, key=lambda each: abs(each.shape[1] - 2 * _COMPARED))
        scaled = pixels * np.float32(level.shape[1] / RANGE_WIDTH)
        return np.asarray(srgb_to_linear(equirectangular.sample(level, scaled) / 255))

    def rays_to(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unit directions (3, n) float32 in its axes to points (n, 3) in the world, and their ranges (n,) float32."""
        local = (points - self.pose[:3, 3]) @ self.pose[:3, :3]
        ranges = np.linalg.norm(local, axis=1)
        return (local / ranges[:, None]).T.astype(np.float32), ranges.astype(np.float32)

    def colours(self, u: np.ndarray, v: np.ndarray, level: np.ndarray, width: int) -> list[np.ndarray]:
        """Three channels (n,) float32 of light for frames of `width`.

        u, v: (n,) places in an image of RANGE_WIDTH. level: (n,) as of _Sight.
        """
        level = self._index_of(level, width)
        first, last = int(level.min(initial=0)), int(np.ceil(level.max(initial=0)))
        if first == last:
            return self._light(_bilinear(self.wide[first], u, v))
        found = [np.zeros(len(u), np.float32) for _ in range(3)]
        for index in range(first, last + 1):
            part = np.clip(np.float32(1.5) - 2 * np.abs(level - np.float32(index)), 0.0, 1.0)  # mostly one level alone
            here = np.flatnonzero(part > 0)
            channels = _bilinear(self.wide[index], u[here], v[here])
            for total, channel in zip(found, channels, strict=True):
                channel *= part[here]
                total[here] += channel
        return self._light(found)

    def _index_of(self, level: np.ndarray, width: int) -> np.ndarray:
        """Which of the levels is meant, with fractions; all but the first are halves of each other."""
        if len(self.wide) == 1:
            return np.zeros_like(level)
        first, second = (float(np.log2(width / (each.shape[1] - 1))) for each in self.wide[:2])
        index = level - np.float32(second - 1)
        if second - first < 0.999:
            index = np.where(index < 1, (level - np.float32(first)) * np.float32(1 / (second - first)), index)
        return np.clip(index, 0, len(self.wide) - 1)

    def _light(self, colour: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Light, by the gains, of channels (n,) of sRGB 0 ... 255."""
        light = []
        for channel, gain in zip(colour, self.gain, strict=True):
            one, two, three = (np.float32(c * gain / 255.0**k) for k, c in enumerate(_LIGHT.coef) if k)
            sum_ = channel * three
            sum_ += two
            sum_ *= channel
            sum_ += one
            sum_ *= channel
            light.append(sum_)
        return light

    @staticmethod
    def of(capture: Capture, depth: np.ndarray, width: int, gain: np.ndarray | None = None) -> Photograph:
        """Make a capture ready for frames of `width`.

        depth: (h, w) float32 metres, what the cache shows from the capture's pose, inf where nothing.
        """
        image, validity = capture.image, None
        if capture.valid is not None and not capture.valid.all():
            image = _without_invalid(image, capture.valid)
            validity = _softened(capture.valid)
        with np.errstate(divide="ignore"):
            inverse = np.where(depth > 0, np.float32(1) / depth, np.float32(0)).astype(np.float32)
        gains = np.ones(3, np.float32) if gain is None else np.asarray(gain, np.float32)
        wide = tuple(map(_paired, _levels(image, width)))
        occluders = near = _occluders(inverse)
        for _ in range(_AROUND):
            near = _nearest(near)
        return Photograph(wide, validity, occluders, near, capture.pose, gains)


@dataclass(frozen=True, eq=False)
class Seen:
    """What captures say of a frame's pixels, or of some rows of them.

    colour: (H, W, 3) float32 sRGB, 0 ... 255. trust: (H, W) float32, 0 where no capture sees the point ... 1.
    """

    colour: np.ndarray
    trust: np.ndarray


def matched(photographs: Sequence[Photograph]) -> list[Photograph]:
    """The photographs with gains that make their colours of the same surfaces agree; unchanged if none is shared."""
    points, light, source = [], [], []
    for one in photographs:
        place = one.some_points()
        for index, other in enumerate(photographs):
            sight = _Sight.of(other, one.pose, *one.rays_to(place))
            u, v, visible = sight.project(slice(None))
            sure = visible == 1.0
            points.append(place[sure])
            light.append(other.light(np.stack([u[sure], v[sure]], axis=1)))
            source.append(np.full(int(sure.sum()), index))
    try:
        job = colour_match.estimating(
            np.concatenate(points), np.concatenate(light), np.concatenate(source), _SAME_POINT
        )
        gains = run_to_end(job).gains
    except PointCloudError:
        return list(photographs)
    return [replace(each, gain=gain.astype(np.float32)) for each, gain in zip(photographs, gains, strict=True)]


def seen(depth: np.ndarray, pose: np.ndarray, photographs: Sequence[Photograph], rows: slice = slice(None)) -> Seen:
    """The colours of a frame whose ranges are known, or of some of its rows.

    depth: (H, W) float32 metres, inf where nothing is known; smooth, as `filled_range.filled` makes it.
    pose: (4, 4) camera-to-world.
    The frame is as bright as the captures that the camera is near to: at a capture, as that one.
    """
    first, last, _ = rows.indices(len(depth))
    ranges = depth[rows].reshape(-1)
    light, trust = _planes(len(ranges)), np.zeros(len(ranges), np.float32)
    if photographs:
        ordered = _as_bright_as_here(photographs, pose)
        rays = equirectangular.directions_of_rows(depth.shape[1], first, last).reshape(-1, 3)
        known = np.flatnonzero(np.isfinite(ranges) & (ranges > 0))
        for place in _parts(known):
            toward = np.ascontiguousarray(rays.take(place, axis=0).T)
            found, trust[place] = _mixed(ordered, pose, toward, ranges.take(place), depth.shape[1])
            for plane, channel in zip(light, found, strict=True):
                plane[place] = channel
    shape = (last - first, depth.shape[1])
    return Seen(light.T.reshape(*shape, 3), trust.reshape(shape))


def at_infinity(rays: np.ndarray, pose: np.ndarray, photographs: Sequence[Photograph], width: int) -> Seen:
    """What captures show in directions (n, 3) float32 of a camera at `pose`, as if it were infinitely far away.

    A capture does so only where it shows nothing that is known to stand elsewhere from here. The nearest one decides
    nearly alone, since whatever is not infinitely far away would stand twice; the others show what it does not.
    width: of the frame. Returns colours (n, 3) and trust (n,).
    """
    light, trust = _planes(len(rays)), np.zeros(len(rays), np.float32)
    if photographs:
        ordered = _as_bright_as_here(photographs, pose)
        for start in range(0, len(rays), _BAND):
            part = slice(start, start + _BAND)
            light[:, part], trust[part] = _mixed_far(ordered, pose, np.ascontiguousarray(rays[part].T), width)
    return Seen(light.T, trust)


def _planes(count: int) -> np.ndarray:
    """Three rows of zeros (3, count) float32 that do not touch: numpy 1.26 takes ones that do for ones that overlap."""
    return np.zeros((3, count + _GAP), np.float32)[:, :count]


def _as_bright_as_here(photographs: Sequence[Photograph], pose: np.ndarray) -> list[Photograph]:
    """The photographs, the nearest first, with gains to what those near the camera are exposed like."""
    distances = _distances(photographs, pose)
    level = np.exp(nearness(distances) @ np.log([each.gain for each in photographs]))
    ordered = [photographs[index] for index in np.argsort(distances, kind="stable")]
    return [replace(each, gain=(each.gain / level).astype(np.float32)) for each in ordered]


def _distances(photographs: Sequence[Photograph], pose: np.ndarray) -> np.ndarray:
    return np.array([np.linalg.norm(pose[:3, 3] - each.pose[:3, 3]) for each in photographs])


def _parts(places: np.ndarray) -> Iterator[np.ndarray]:
    return (places[start : start + _BAND] for start in range(0, len(places), _BAND))


def _mixed_far(
    photographs: Sequence[Photograph], pose: np.ndarray, rays: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (3, n) float32 sRGB 0 ... 255 and trust (n,) in directions (3, n), of photographs, the nearest first.

    Each paints by its weight times its validity. What that leaves open, all of them fill by milder weights: a nearly
    invisible capture alone would decide else.
    """
    distances = _distances(photographs, pose)
    weights = np.maximum(nearness(distances, _FADING_FAR) - float(_SHARE), 0.0)
    weights = (weights / weights.sum()).astype(np.float32)
    mild = (((distances.min() + 1.0) / (distances + 1.0)) ** _MILD).astype(np.float32)
    light, trust, total = _planes(rays.shape[1]), *np.zeros((2, rays.shape[1]), np.float32)

    def add(photograph: Photograph, place: np.ndarray, u: np.ndarray, v: np.ndarray, share: np.ndarray) -> None:
        here = np.flatnonzero(share > 0)
        if here.size:
            place, share = place.take(here), share.take(here)
            total[place] += share
            colours = photograph.colours(u.take(here), v.take(here), np.zeros(len(here), np.float32), width)
            for channel, found in zip(light, colours, strict=True):
                found *= share
                channel[place] += found

    everywhere = np.arange(rays.shape[1])
    for photograph, weight in zip(photographs, weights, strict=True):
        if weight > 0:
            u, v, valid = _sky_of(photograph, pose, rays)
            np.maximum(trust, valid, out=trust)
            add(photograph, everywhere, u, v, valid * weight)
    open_ = np.flatnonzero(total < np.float32(0.999))
    if open_.size:
        looks = [_sky_of(photograph, pose, rays.take(open_, axis=1)) for photograph in photographs]
        behind = sum(fallback * seen_by[2] for fallback, seen_by in zip(mild, looks, strict=True))
        share = (1 - total.take(open_)) / np.maximum(behind, np.float32(1e-6))
        for photograph, fallback, (u, v, valid) in zip(photographs, mild, looks, strict=True):
            trust[open_] = np.maximum(trust.take(open_), valid)
            add(photograph, open_, u, v, valid * fallback * share)
    light /= np.maximum(total, np.float32(1e-9))
    return _encoded(light), trust


def _sky_of(photograph: Photograph, pose: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places u, v (n,) in a capture of what is infinitely far in directions (3, n); how far it shows that, 0 ... 1."""
    x, y, z = _rotated((photograph.pose[:3, :3].T @ pose[:3, :3]).astype(np.float32), rays)
    u, v = places(x, y, z, RANGE_WIDTH)
    valid = _far(photograph.near, u, v, float(np.linalg.norm(pose[:3, 3] - photograph.pose[:3, 3])))
    if photograph.validity is not None:
        valid *= _smooth_at(photograph.validity, u, v)
    return u, v, valid


def _far(inverse: np.ndarray, u: np.ndarray, v: np.ndarray, baseline: float) -> np.ndarray:
    """Whether what a capture shows at places u, v (n,) is where it is for a camera at `baseline` metres, 0 ... 1."""
    moved = _at(inverse, u, v)
    moved *= np.float32(baseline * RANGE_WIDTH / (2 * np.pi)) / _PARALLAX
    np.clip(moved, np.float32(0.5), np.float32(1.0), out=moved)
    return np.asarray(np.float32(2) - 2 * moved)


def _mixed(
    photographs: Sequence[Photograph], pose: np.ndarray, rays: np.ndarray, ranges: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (3, n) float32 sRGB 0 ... 255 and trust (n,) of some pixels of a camera at `pose`.

    A capture is looked at only where it may have a share beside those before it.
    """
    best = np.zeros(len(ranges), np.float32)
    found = []
    for photograph in photographs:
        sight = _Sight.of(photograph, pose, rays, ranges)
        most = sight.penalty
        most += _LEAST
        most *= most
        np.reciprocal(most, out=most)
        chosen = np.flatnonzero(most > _SHARE * best)
        u, v, visible = sight.project(chosen)
        weight = visible * visible
        weight *= visible
        weight *= most[chosen]
        best[chosen] = np.maximum(best[chosen], weight)
        found.append((photograph, chosen, u, v, sight.level[chosen], visible, weight))
    light = _planes(len(ranges))
    trust, total = np.zeros(len(ranges), np.float32), np.zeros(len(ranges), np.float32)
    np.maximum(best, np.float32(1e-30), out=best)
    for photograph, chosen, u, v, level, visible, weight in found:
        share = weight / best[chosen]
        share -= _SHARE
        here = np.flatnonzero(share > 0)
        place = chosen[here]
        share = share[here]
        total[place] += share
        trust[place] += share * visible[here]
        for channel, seen_light in zip(light, photograph.colours(u[here], v[here], level[here], width), strict=True):
            seen_light *= share
            channel[place] += seen_light
    np.maximum(total, np.float32(1e-9), out=total)
    light /= total
    trust /= total
    return _encoded(light), trust


@dataclass(frozen=True, eq=False)
class _Sight:
    """Some points of a frame as a capture sees them.

    outward: three of (n,) float32 metres from the capture, in its axes. distance: (n,) metres. baseline: metres
    between both. penalty: (n,) of the angle between the two rays and of the distance. level: (n,) by how many halvings
    a capture as wide as the frame is finer there.
    """

    photograph: Photograph
    outward: tuple[np.ndarray, ...]
    distance: np.ndarray
    baseline: float
    penalty: np.ndarray
    level: np.ndarray

    @staticmethod
    def of(photograph: Photograph, pose: np.ndarray, rays: np.ndarray, ranges: np.ndarray) -> _Sight:
        """rays: (3, n) float32 unit directions of a camera at `pose`. ranges: (n,) float32 metres."""
        axes = photograph.pose[:3, :3].T
        apart = axes @ (pose[:3, 3] - photograph.pose[:3, 3])
        turned = _rotated((axes @ pose[:3, :3]).astype(np.float32), rays)
        outward = tuple(each * ranges for each in turned)
        for each, moved in zip(outward, apart.astype(np.float32), strict=True):
            each += moved
        distance = np.sqrt(_squared(*outward))
        np.maximum(distance, np.float32(1e-6), out=distance)
        level = _halvings(ranges / distance)
        inverse = np.reciprocal(distance)
        for ray, each in zip(turned, outward, strict=True):
            ray -= each * inverse
        penalty = _squared(*turned)
        farther = np.minimum(level, np.float32(0.0))
        farther *= farther
        farther *= _COARSE
        penalty += farther
        return _Sight(photograph, outward, distance, float(np.linalg.norm(apart)), penalty, level)

    def project(self, chosen: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places u, v (m,) float32 of some of the points in an image of RANGE_WIDTH; how far they are seen, 0 ... 1."""
        x, y, z = (each[chosen] for each in self.outward)
        u, v = places(x, y, z, RANGE_WIDTH)
        visible = _visible(self.photograph.inverse, u, v, self.distance[chosen], self.baseline)
        if self.photograph.validity is not None:
            visible *= _smooth_at(self.photograph.validity, u, v)
        return u, v, visible


def _rotated(rotation: np.ndarray, vectors: np.ndarray) -> list[np.ndarray]:
    """Vectors (3, n) turned, as three arrays that do not touch: numpy takes arrays that do for ones that overlap."""
    turned = []
    for row in rotation:
        along = vectors[0] * row[0]
        along += vectors[1] * row[1]
        along += vectors[2] * row[2]
        turned.append(along)
    return turned


def _squared(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    total: np.ndarray = x * x
    total += y * y
    total += z * z
    return total


def _halvings(ratio: np.ndarray) -> np.ndarray:
    """About the binary logarithm (n,) of ratios (n,) float32: exact at powers of two, straight between them."""
    bits = ratio.view(np.int32) - np.int32(127 << 23)
    return np.asarray(bits * np.float32(1 / (1 << 23)), np.float32)


def _visible(inverse: np.ndarray, u: np.ndarray, v: np.ndarray, distance: np.ndarray, baseline: float) -> np.ndarray:
    """Whether a capture sees points, (n,) float32: 0 behind what stands a pixel or more beside them from the camera.

    What stands in between hides nothing from a camera that is at the capture: it would stand there before the camera,
    too. The farther the two are apart, the farther what is near moves before what is far.
    """
    moved = _at(inverse, u, v)
    moved -= _SAME / distance
    moved *= np.float32(baseline * RANGE_WIDTH / (2 * np.pi))
    np.clip(moved, np.float32(0.5), np.float32(1.5), out=moved)
    return np.asarray(np.float32(1.5) - moved)


def _at(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Values (n,) of an image (H, W) at places in one of RANGE_WIDTH: those of the pixels that they fall in."""
    height, width = image.shape
    scale = np.float32(width / RANGE_WIDTH)
    column, row = (u * scale).astype(np.int32), (v * scale).astype(np.int32)
    np.minimum(column, width - 1, out=column)
    np.clip(row, 0, height - 1, out=row)
    row *= width
    row += column
    return image.reshape(-1).take(row, mode="clip")


def _smooth_at(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Values (n,) float32 of an image (RANGE_WIDTH / 2, RANGE_WIDTH) at places in it, between its pixels."""
    flat = image.reshape(-1)
    across, down = u - np.float32(0.5), np.clip(v - np.float32(0.5), 0, RANGE_WIDTH // 2 - 1)
    np.add(across, RANGE_WIDTH, out=across, where=across < 0)
    column, row = across.astype(np.int32), down.astype(np.int32)
    across -= column
    down -= row
    column &= RANGE_WIDTH - 1
    following = column + 1
    following &= RANGE_WIDTH - 1
    row *= RANGE_WIDTH
    above, below = (
        _mix(flat.take(first + column, mode="clip"), flat.take(first + following, mode="clip"), across)
        for first in (row, np.minimum(row + RANGE_WIDTH, flat.size - RANGE_WIDTH))
    )
    return _mix(above, below, down)


def _mix(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    """one + (other - one) * share; both are overwritten."""
    other -= one
    other *= share
    one += other
    return one


def nearness(distances: np.ndarray, power: int = _FADING) -> np.ndarray:
    """Weights (n,) of captures at distances (n,), summing to 1: inverse powers, in their limit at distance 0."""
    scaled = np.maximum(distances / max(distances.min(), 1e-9), 1.0)
    if distances.min() == 0.0:
        scaled = np.where(distances == 0.0, 1.0, np.inf)
    weights = scaled ** -float(power)
    return np.asarray(weights / weights.sum())


def _paired(image: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) uint8 as (H, W + 1, 3), its first column once more behind its last one."""
    return np.concatenate([image, image[:, :1]], axis=1)


def _bilinear(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
    """Three channels (n,) float32 of an image (H, W + 1, 3) uint8 as of `_paired`; it ends at the poles.

    u, v: (n,) places in an image of RANGE_WIDTH.
    """
    height, width = image.shape[0], image.shape[1] - 1
    scale, half = np.float32(width / RANGE_WIDTH), np.float32(0.5)
    across, down = u * scale, v * scale
    across -= half
    np.add(across, width, out=across, where=across < 0)
    down -= half
    np.clip(down, 0, height - 1, out=down)
    column, row = across.astype(np.int32), down.astype(np.int32)
    np.minimum(column, width - 1, out=column)
    across -= column
    down -= row
    pairs: np.ndarray = np.ndarray((height * (width + 1) - 1,), _PAIR, image, 0, (3,))
    upper = row * np.int32(width + 1)
    upper += column
    lower = upper + (row < height - 1) * np.int32(width + 1)
    above, below = (pairs[each].view(np.uint8).reshape(-1, 6) for each in (upper, lower))
    return [_mix(_between(above, channel, across), _between(below, channel, across), down) for channel in range(3)]


def _between(pairs: np.ndarray, channel: int, across: np.ndarray) -> np.ndarray:
    """A channel (n,) float32 between the two neighbours of pairs (n, 6) uint8."""
    left, right = (pairs[:, each].astype(np.float32) for each in (channel, 3 + channel))
    return _mix(left, right, across)


def _encoded(light: np.ndarray) -> np.ndarray:
    """sRGB 0 ... 255 of light."""
    roots = np.sqrt(light)  # nearly as sRGB is: a table of them is as fine in the dark as in light
    roots *= np.float32(8192.0)
    roots += np.float32(0.5)
    return np.asarray(_ENCODED.take(roots.astype(np.int32), mode="clip"))


def _levels(image: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """The image in falling size: itself, if it is no finer than is of use, then the frame's width times powers of 2."""
    given, wide, level = image.shape[1], _FINEST * width, image
    if given <= wide:
        yield image
    while wide >= _SMALLEST and wide % 4 == 0:
        if wide < given:
            level = equirectangular.resize(image if wide >= width else level, wide)
            yield level
        wide //= 2


def _without_invalid(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The image with what is not valid in the colours around it, so that no size of it mixes them in."""
    width = min(256, image.shape[1])
    share = equirectangular.resize(valid.astype(np.float32), width)
    light = equirectangular.resize(np.where(valid[..., None], image, 0).astype(np.float32), width)
    around = pull_push(light / np.maximum(share, np.float32(1e-3))[..., None], (share > 0.01).astype(np.float32))
    row, column = np.nonzero(~valid)
    scale = width / image.shape[1]
    result = image.copy()
    result[row, column] = np.clip(around[(row * scale).astype(np.intp), (column * scale).astype(np.intp)], 0, 255)
    return result


def _softened(valid: np.ndarray) -> np.ndarray:
    """Validity at RANGE_WIDTH: 0 in and beside every pixel in which anything is not valid, rising to 1."""
    width = min(RANGE_WIDTH, valid.shape[1])
    share = equirectangular.resize(valid.astype(np.float32), width)
    if width != RANGE_WIDTH:
        share = equirectangular.resize(share, RANGE_WIDTH)
    return -_nearest(-(share > WHOLE).astype(np.float32))


def _occluders(inverse: np.ndarray) -> np.ndarray:
    """Inverse range of what hides points behind each pixel.

    At an edge it is that of the near surface, for a capture's pixels are mixed there. Elsewhere it is the farthest
    of the neighbourhood: splats have a range each, and on a surface seen at a grazing angle they hide one another.
    """
    most, least = _nearest(inverse), -_nearest(-inverse)
    return np.where(most > _EDGE * least, most, least)


def _nearest(inverse: np.ndarray) -> np.ndarray:
    """Largest value among each pixel and those around it, over the seam and the poles."""
    rows = equirectangular.rows_over_poles(inverse, -1, len(inverse) + 1)
    tall = np.maximum(np.maximum(rows[:-2], rows[1:-1]), rows[2:])
    return np.asarray(np.maximum(np.maximum(np.roll(tall, 1, axis=1), tall), np.roll(tall, -1, axis=1)))

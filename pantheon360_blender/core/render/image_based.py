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
from ..srgb import LINEAR_OF_BYTE, linear_to_srgb, srgb_to_linear
from .pull_push import pull_push

RANGE_WIDTH = 1024
"""Pixels of the range maps that say what a capture sees."""
WHOLE = np.float32(0.999)
"""Share from which on a resized pixel is all valid: weights of a filter sum to 1 but for rounding."""
_FINEST = 4  # times the frame's width: what a camera four times nearer than the capture can use
_SMALLEST = 64  # pixels of the last level
_BAND = 1 << 15  # pixels worked on at a time
_EDGE = np.float32(1.4)  # ratio of inverse ranges of neighbours that lie on two surfaces
_SAME = np.float32(1.08)  # ratio of ranges within which two are one surface
_COARSE = np.float32(0.03)  # penalty of a capture twice as far as the camera, as square of an angle in radians
_LEAST = np.float32(1e-7)  # penalty from which on a capture looks the very same way
_FADING = 3  # of the inverse distance by which a moving camera fades from one capture to the next
_SHARE = np.float32(0.02)  # of the best capture's weight, below which another has none
_BORDER = 1 / 128  # of the width, over which a capture fades out beside what is not valid
_TEXEL = np.dtype("V3")  # moving the three bytes of a colour together is twice as fast as moving each
_COMPARED = 128  # pixels round the horizon at which captures' exposures are compared
_SAME_POINT = 1e-4  # metres
_STEPS = 128  # of a byte in the table of linear light

_LINEAR = np.interp(np.arange(255 * _STEPS + 1) / _STEPS, np.arange(256), LINEAR_OF_BYTE).astype(np.float32)
_ENCODED = (255.0 * linear_to_srgb(np.square(np.arange(8193) / 8192.0))).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Photograph:
    """A capture made ready: what it sees at several sizes, and how far away that is.

    levels: (H, 2 H, 3) uint8 each, by their width in falling order; what is not valid is filled from around.
    validity: (h, w) float32 0 ... 1, None if all of it is valid. inverse: (h, w) float32 1/m, what hides points behind
    it, 0 where nothing is known to stand. pose: (4, 4) camera-to-world.
    gain: (3,) factors on linear light.
    """

    levels: tuple[np.ndarray, ...]
    validity: np.ndarray | None
    inverse: np.ndarray
    pose: np.ndarray
    gain: np.ndarray

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        arrays = (*self.levels, self.inverse) + (() if self.validity is None else (self.validity,))
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

    def colours(self, pixels: np.ndarray, level: np.ndarray, width: int) -> np.ndarray:
        """Linear light (3, n) float32 for frames of `width`.

        pixels: (2, n) of an image of RANGE_WIDTH. level: (n,) as of _Sight.
        """
        sizes = np.log2([width / each.shape[1] for each in self.levels])
        level = np.interp(level, sizes, np.arange(len(sizes))).astype(np.float32)
        whole = np.floor(level)
        share = np.clip((level - whole) * 2 - np.float32(0.5), 0.0, 1.0)  # mostly one level alone
        lower = whole.astype(np.int8)
        colour = np.zeros((3, len(level)), np.float32)
        for index, image in enumerate(self.levels):
            part = np.where(lower == index, 1 - share, np.where(lower == index - 1, share, np.float32(0.0)))
            here = np.flatnonzero(part)
            if here.size:
                u, v = pixels[:, here] * np.float32(image.shape[1] / RANGE_WIDTH)
                found = _bilinear(image, u, v) * part[here]
                if here.size == colour.shape[1]:
                    colour += found
                else:
                    for channel, values in zip(colour, found, strict=True):
                        channel[here] += values
        colour *= np.float32(_STEPS)
        light = _LINEAR.take(colour.astype(np.int16), mode="clip")
        light *= self.gain[:, None]
        return np.asarray(light)

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
        return Photograph(tuple(_levels(image, width)), validity, _occluders(inverse), capture.pose, gains)


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
            pixels, visible = sight.project(np.arange(len(place)))
            sure = visible == 1.0
            points.append(place[sure])
            light.append(other.light(pixels[:, sure].T))
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
    height, width = last - first, depth.shape[1]
    colour, trust = np.zeros((height * width, 3), np.float32), np.zeros(height * width, np.float32)
    if photographs:
        distances = np.array([np.linalg.norm(pose[:3, 3] - each.pose[:3, 3]) for each in photographs])
        level = np.exp(nearness(distances) @ np.log([each.gain for each in photographs]))
        ordered = [photographs[index] for index in np.argsort(distances, kind="stable")]
        ordered = [replace(each, gain=(each.gain / level).astype(np.float32)) for each in ordered]
        ranges = depth[rows].reshape(-1)
        rays = equirectangular.directions_of_rows(width, first, last).reshape(-1, 3)
        known = np.flatnonzero(np.isfinite(ranges) & (ranges > 0))
        for start in range(0, len(known), _BAND):
            place = known[start : start + _BAND]
            toward = np.ascontiguousarray(rays[place].T)
            colour[place], trust[place] = _mixed(ordered, pose, toward, ranges[place], width)
    return Seen(colour.reshape(height, width, 3), trust.reshape(height, width))


def _mixed(
    photographs: Sequence[Photograph], pose: np.ndarray, rays: np.ndarray, ranges: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (n, 3) float32 sRGB 0 ... 255 and trust (n,) of some pixels of a camera at `pose`.

    A capture is looked at only where it may have a share beside those before it.
    """
    best = np.zeros(len(ranges), np.float32)
    found = []
    for photograph in photographs:
        sight = _Sight.of(photograph, pose, rays, ranges)
        most = np.reciprocal(np.square(sight.penalty + _LEAST))
        chosen = np.flatnonzero(most > _SHARE * best)
        if chosen.size:
            pixels, visible = sight.project(chosen)
            weight = most[chosen] * (visible * visible * visible)
            best[chosen] = np.maximum(best[chosen], weight)
            found.append((photograph, chosen, pixels, sight.level[chosen], visible, weight))
    light, trust, total = (np.zeros((count, len(ranges)), np.float32) for count in (3, 1, 1))
    least = _SHARE * best
    for photograph, chosen, pixels, level, visible, weight in found:
        share = weight - least[chosen]
        some = np.flatnonzero(share > 0)
        place = chosen[some]
        share = share[some] / best[place]
        total[0, place] += share
        trust[0, place] += share * visible[some]
        for channel, seen_light in zip(light, photograph.colours(pixels[:, some], level[some], width), strict=True):
            channel[place] += share * seen_light
    light /= np.maximum(total, np.float32(1e-9))
    trust /= np.maximum(total, np.float32(1e-9))
    return _encoded(light).T, trust[0]


@dataclass(frozen=True, eq=False)
class _Sight:
    """Some points of a frame as a capture sees them.

    outward: (3, n) float32 metres from the capture, in its axes. distance: (n,) metres. baseline: metres between both.
    penalty: (n,) of the angle between the two rays and of the distance. level: (n,) by how many halvings a capture as
    wide as the frame is finer there.
    """

    photograph: Photograph
    outward: np.ndarray
    distance: np.ndarray
    baseline: float
    penalty: np.ndarray
    level: np.ndarray

    @staticmethod
    def of(photograph: Photograph, pose: np.ndarray, rays: np.ndarray, ranges: np.ndarray) -> _Sight:
        """rays: (3, n) float32 unit directions of a camera at `pose`. ranges: (n,) float32 metres."""
        axes = photograph.pose[:3, :3].T
        apart = axes @ (pose[:3, 3] - photograph.pose[:3, 3])
        rays = (axes @ pose[:3, :3]).astype(np.float32) @ rays
        outward = rays * ranges
        outward += apart.astype(np.float32)[:, None]
        distance = np.sqrt(outward[0] * outward[0] + outward[1] * outward[1] + outward[2] * outward[2])
        np.maximum(distance, np.float32(1e-6), out=distance)
        level = np.log2(ranges / distance)
        rays -= outward / distance
        farther = np.minimum(level, np.float32(0.0))
        penalty = rays[0] * rays[0] + rays[1] * rays[1] + rays[2] * rays[2] + _COARSE * farther * farther
        return _Sight(photograph, outward, distance, float(np.linalg.norm(apart)), penalty, level)

    def project(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places (2, m) float32 of some of the points in an image of RANGE_WIDTH; how far they are seen, 0 ... 1."""
        x, y, z = self.outward[:, chosen]
        u = np.arctan2(x, -z) * np.float32(RANGE_WIDTH / (2 * np.pi)) + np.float32(RANGE_WIDTH / 2)
        v = np.float32(RANGE_WIDTH / 4) - np.arctan2(y, np.hypot(x, z)) * np.float32(RANGE_WIDTH / (2 * np.pi))
        pixels = np.stack([u, v])
        visible = _visible(self.photograph.inverse, pixels, self.distance[chosen], self.baseline)
        if self.photograph.validity is not None:
            visible *= equirectangular.sample(self.photograph.validity, pixels.T)
        return pixels, visible


def _visible(inverse: np.ndarray, pixels: np.ndarray, distance: np.ndarray, baseline: float) -> np.ndarray:
    """Whether a capture sees points, (n,) float32: 0 behind what stands a pixel or more beside them from the camera.

    What stands in between hides nothing from a camera that is at the capture: it would stand there before the camera,
    too. The farther the two are apart, the farther what is near moves before what is far.
    """
    scale = np.float32(inverse.shape[1] / RANGE_WIDTH)
    column, row = (pixels * scale).astype(np.intp)
    column[column >= inverse.shape[1]] = 0
    np.minimum(row, len(inverse) - 1, out=row)
    before = inverse.reshape(-1).take(row * inverse.shape[1] + column) - _SAME / distance
    moved = before * np.float32(baseline * RANGE_WIDTH / (2 * np.pi))
    return np.asarray(1.0 - np.clip(moved - np.float32(0.5), 0.0, 1.0), np.float32)


def nearness(distances: np.ndarray) -> np.ndarray:
    """Weights (n,) of captures at distances (n,), summing to 1: inverse powers, in their limit at distance 0."""
    scaled = np.maximum(distances / max(distances.min(), 1e-9), 1.0)
    if distances.min() == 0.0:
        scaled = np.where(distances == 0.0, 1.0, np.inf)
    weights = scaled**-_FADING
    return np.asarray(weights / weights.sum())


def _bilinear(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(3, n) float32 of an image (H, W, 3) uint8 at places in it, u 0 ... W and v 0 ... H; it ends at the poles."""
    height, width = image.shape[:2]
    x, y = u - np.float32(0.5), v - np.float32(0.5)
    left, top = np.floor(x), np.floor(y)
    across, down = x - left, y - top
    column, row = left.astype(np.intp), top.astype(np.intp)
    following, below = column + 1, np.minimum(row + 1, height - 1) * width
    column[column < 0] += width
    following[following >= width] -= width
    row = np.maximum(row, 0) * width
    texels = image.reshape(-1).view(_TEXEL)

    def at(index: np.ndarray) -> np.ndarray:
        return texels.take(index, mode="clip").view(np.uint8).reshape(-1, 3).T.astype(np.float32, order="C")

    upper, lower = at(row + column), at(below + column)
    upper += across * (at(row + following) - upper)
    lower += across * (at(below + following) - lower)
    lower -= upper
    lower *= down
    upper += lower
    return upper


def _encoded(light: np.ndarray) -> np.ndarray:
    """sRGB 0 ... 255 of linear light."""
    roots = np.sqrt(np.clip(light, 0.0, 1.0))  # nearly as sRGB is: a table of them is as fine in the dark as in light
    return np.asarray(_ENCODED[np.rint(roots * np.float32(8192.0)).astype(np.int32)])


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

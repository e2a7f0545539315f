"""Points seen from a pose as an equirectangular panorama: the geometry pass, and its footprint version for previews.

Every pixel is decided by 64-bit keys, squared range above, point index below; the smallest key wins. A minimum does not
care for order, so the result is the same whatever the blocks and the number of threads. Coordinates go through nothing
but IEEE additions, products, quotients and square roots, so `splat` also gives the same pixels on every machine.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .errors import PointCloudError, PoseError, RenderError

_BLOCK = 1 << 15  # points; a block's temporaries stay in a core's second-level cache
_GAP = 64  # numbers between rows of scratch memory
_FRAGMENTS = 1 << 17  # pixels a footprint pass expands at a time
_POINTS_PER_THREAD = 1 << 16  # below this a further thread costs more than it brings
_MOST_THREADS = 16  # each owns a key buffer of 8 bytes a pixel
_NOTHING = np.iinfo(np.int64).max
_SIGN = np.uint32(1 << 31)
_TINY = np.float32(1e-30)

# atan(t) = t * polynomial(t * t) on [0, 1], minimax, wrong by 2.5e-7 rad at most: 4e-5 pixels of a 1024 pixel panorama.
_ARCTANGENT = (0.999996112, -0.33317368, 0.198078155, -0.132333417, 0.079623665, -0.0336042138, 0.00681179098)


@dataclass(frozen=True)
class GeometryFrame:
    """One panorama of a point cloud.

    colour: (H, W, 3) uint8 sRGB, black where nothing.
    depth: (H, W) float32, Euclidean range in metres, inf where nothing.
    coverage: (H, W) bool.
    source: (H, W) int32, index of the point seen, -1 where nothing.
    """

    colour: np.ndarray
    depth: np.ndarray
    coverage: np.ndarray
    source: np.ndarray

    def rgba(self) -> np.ndarray:
        """Return (H, W, 4) uint8: the colour, with the coverage as alpha 0 or 255."""
        alpha = self.coverage.astype(np.uint8) * np.uint8(255)
        return np.concatenate([self.colour, alpha[..., None]], axis=2)


def splat(
    points: np.ndarray,
    colours: np.ndarray,
    pose: np.ndarray,
    width: int,
    *,
    near: float = 1e-6,
    threads: int | None = None,
) -> GeometryFrame:
    """Render points at one pixel each; the nearest wins, ties go to the lowest index.

    points: (N, 3) float32, metres, world; a point with NaN or infinity, or nearer than `near`, is not seen.
    colours: (N, 3) uint8 sRGB.
    pose: (4, 4) camera-to-world. Its position is kept in two floats, so that far world origins cost no precision
        beyond that of the points themselves.
    width: pixels, even; the height is width / 2.
    near: metres.
    threads: worker threads; None means one a core. The result does not depend on it.
    Raises PointCloudError, PoseError, RenderError where a shape, type or number is impossible.
    Source: DESIGN.md, "Conventions" (geometry pass as the model sees it).
    """
    points, colours = _checked_points(points, colours)
    camera = _Camera.of(pose, width, near)
    keys = _keys(len(points), camera, threads, lambda worker, first, last: worker.splat(points[first:last], first))
    return _resolved(keys, colours, width, threads)


def splat_footprints(
    points: np.ndarray,
    colours: np.ndarray,
    footprint: np.ndarray | float,
    pose: np.ndarray,
    width: int,
    *,
    near: float = 1e-6,
    threads: int | None = None,
    limit: float | None = None,
) -> GeometryFrame:
    """Render points as large as they are: for previews and drafts, never for the model's input.

    A point fills the pixel it falls in and every pixel whose centre lies in the angular square around it: its
    footprint's radius subtends asin(d / 2 r) up and down, and as much to the sides, which near the poles is many
    columns. The nearest wins at the point's own range (the square faces the camera).

    footprint: (N,) float32 or one number: diameter in metres. Not finite or negative counts as zero.
    limit: largest radius in pixels at the equator; None means width / 64.
    The rest is as in `splat`; coverage is a superset of its coverage.
    """
    points, colours = _checked_points(points, colours)
    radii = _checked_radii(footprint, len(points))
    camera = _Camera.of(pose, width, near)
    sine = math.sin(min(math.tau * (width / 64 if limit is None else max(limit, 0.0)) / width, math.pi / 2))

    def work(worker: _Worker, first: int, last: int) -> None:
        worker.splat_footprints(points[first:last], radii[first:last], first, np.float32(sine))

    return _resolved(_keys(len(points), camera, threads, work), colours, width, threads)


@dataclass(frozen=True)
class _Camera:
    """A pose made ready for float32 arithmetic.

    rotation: (3, 3) float32, world to camera.
    coarse, fine: (3,) float32, world; the position is their sum. Subtracting the coarse part from a nearby point is
        exact, so what the fine part corrects is not lost.
    """

    rotation: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    width: int
    near_squared: np.float32

    @classmethod
    def of(cls, pose: np.ndarray, width: int, near: float) -> _Camera:
        pose = np.asarray(pose, dtype=np.float64)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise PoseError("The camera's pose is not a finite 4x4 matrix.")
        if width < 2 or width % 2:
            raise RenderError(f"A panorama {width} pixels wide is impossible.", advice="Choose an even width.")
        if not near >= 0.0:
            raise RenderError(f"The near distance is {near} m.", advice="Choose zero or more.")
        position = pose[:3, 3]
        coarse = position.astype(np.float32)
        return cls(
            rotation=pose[:3, :3].T.astype(np.float32),
            coarse=coarse,
            fine=(position - coarse).astype(np.float32),
            width=width,
            near_squared=np.float32(max(near * near, 1e-37)),
        )


class _Worker:
    """One thread's key buffer and scratch memory.

    keys: (H * W,) int64, squared range as float32 bits << 32 | index; _NOTHING where no point fell.
    """

    def __init__(self, camera: _Camera) -> None:
        self.camera = camera
        self.keys = np.full(camera.width * camera.width // 2, _NOTHING)
        self._offset = _scratch(3)
        self._seen = _scratch(3)
        self._pairs = _scratch(12).reshape(6, 2, -1)
        self._squared = _scratch(4)
        self._whole = _scratch(2, np.int32)
        self._pixel, self._key = _scratch(2, np.int64)
        self._valid = _scratch(2, np.bool_)
        self._index = np.arange(_BLOCK)

    def splat(self, points: np.ndarray, first: int) -> None:
        """Enter a block of points, (n, 3) float32, whose first has index `first`."""
        place, squared, _ = self._project(points)
        column, row = self._pixels(place)
        key = self._packed(squared, first)
        pixel = self._pixel[: len(points)]
        np.multiply(row, np.int32(self.camera.width), out=row)
        np.add(row, column, out=pixel)
        np.minimum.at(self.keys, pixel, key)

    def splat_footprints(self, points: np.ndarray, radii: np.ndarray, first: int, most: np.float32) -> None:
        """Enter a block of points with radii (n,) in metres; `most` is the sine of the largest angular radius."""
        place, squared, flat = self._project(points)
        column, row = self._pixels(place)
        key = self._packed(squared, first)
        pixel = self._pixel[: len(points)]
        np.multiply(row, np.int32(self.camera.width), out=self._offset.view(np.int32)[0, : len(points)])
        np.add(self._offset.view(np.int32)[0, : len(points)], column, out=pixel)
        np.minimum.at(self.keys, pixel, key)

        scale = np.float32(self.camera.width / math.tau)
        sine = np.minimum(radii / np.sqrt(squared), most)
        half_height = np.arcsin(sine) * scale
        cosine = flat / np.sqrt(squared)
        half_width = np.arcsin(np.minimum(sine / np.maximum(cosine, _TINY), np.float32(1.0))) * scale
        half_width[sine >= cosine] = self.camera.width
        large = np.flatnonzero((half_width > 0.5) & (key != _NOTHING))
        if large.size:
            shapes = _Shapes(
                place[0, large], place[1, large], half_width[large], half_height[large], sine[large], key[large]
            )
            shapes.enter(self.keys, self.camera.width)

    def _project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return place (2, n) in pixels (u, v), squared range (n,) and range in the horizontal plane (n,)."""
        n = len(points)
        camera, offset, seen, scratch = self.camera, self._offset[:, :n], self._seen[:, :n], self._squared[:, :n]
        for axis in range(3):
            np.subtract(points[:, axis], camera.coarse[axis], out=offset[axis])
            if camera.fine[axis]:
                np.subtract(offset[axis], camera.fine[axis], out=offset[axis])
        for axis in range(3):
            _weighted_sum(offset, camera.rotation[axis], seen[axis], scratch[0])

        np.multiply(seen, seen, out=scratch[:3])
        flat, squared = scratch[3], scratch[1]
        np.add(scratch[0], scratch[2], out=flat)
        np.add(flat, squared, out=squared)
        np.sqrt(flat, out=flat)
        return self._angles(seen, flat), squared, flat

    def _angles(self, seen: np.ndarray, flat: np.ndarray) -> np.ndarray:
        """Longitude and latitude of directions as pixels: u = W/2 + atan2(x, -z) W/tau, v = H/2 - atan2(y, flat) W/tau.

        Both arctangents are folded into the first octant, where a polynomial serves, and unfolded by their signs;
        angles are in columns throughout (a row is as high as a column is wide).
        """
        n = flat.shape[0]
        opposite, adjacent, ratio, square, angle, sign = self._pairs[:, :, :n]
        turn = self.camera.width
        np.abs(seen[:2], out=opposite)
        np.abs(seen[2], out=adjacent[0])
        adjacent[1] = flat
        np.maximum(opposite, adjacent, out=square)
        np.add(square, _TINY, out=square)  # a quotient at the poles too
        np.minimum(opposite, adjacent, out=ratio)
        np.divide(ratio, square, out=ratio)
        np.multiply(ratio, ratio, out=square)
        _polynomial(square, [np.float32(c * turn / math.tau) for c in _ARCTANGENT], angle)
        np.multiply(angle, ratio, out=angle)

        np.subtract(opposite, adjacent, out=sign)
        _mirror(angle, np.float32(turn / 8), sign)
        sign[0] = seen[2]
        _mirror(angle[0], np.float32(turn / 4), sign[0])
        np.negative(seen[1], out=sign[1])
        sign[0] = seen[0]
        _with_sign(angle, sign)
        angle[0] += np.float32(turn / 2)
        angle[1] += np.float32(turn / 4)
        return angle

    def _pixels(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows (n,) int32 the places fall in; invalid places give any number."""
        whole = self._whole[:, : place.shape[1]]
        np.copyto(whole, place, casting="unsafe")
        column, row = whole
        past_seam = np.equal(column, np.int32(self.camera.width), out=self._valid[0, : len(column)])
        if past_seam.any():
            column[past_seam] = 0
        np.minimum(row, np.int32(self.camera.width // 2 - 1), out=row)
        return column, row

    def _packed(self, squared: np.ndarray, first: int) -> np.ndarray:
        """Keys (n,) of points; _NOTHING for those that are not seen, whose pixels become harmless."""
        n = len(squared)
        key, (valid, finite) = self._key[:n], self._valid[:, :n]
        np.copyto(key, squared.view(np.int32))
        np.left_shift(key, 32, out=key)
        np.add(key, self._index[:n], out=key)
        np.add(key, first, out=key)
        np.greater_equal(squared, self.camera.near_squared, out=valid)
        np.less(squared, np.float32(np.inf), out=finite)
        np.logical_and(valid, finite, out=valid)
        if not valid.all():
            unseen = ~valid
            key[unseen] = _NOTHING
            self._whole[:, :n][:, unseen] = 0
        return key


@dataclass(frozen=True)
class _Shapes:
    """Footprints of more than a pixel: places and half sizes in pixels, sine of the angular radius, keys; (n,) each."""

    column: np.ndarray
    row: np.ndarray
    half_width: np.ndarray
    half_height: np.ndarray
    sine: np.ndarray
    key: np.ndarray

    def enter(self, keys: np.ndarray, width: int) -> None:
        """Enter every pixel of every footprint into `keys`."""
        top, count = _span(self.row, self.half_height)
        bottom = np.minimum(top + count, width // 2)
        top = np.maximum(top, 0)
        count = bottom - top
        for part in _parts(count * np.minimum(2.0 * self.half_width + 2.0, width)):
            self._enter(part, top[part], count[part], keys, width)

    def _enter(self, part: slice, top: np.ndarray, count: np.ndarray, keys: np.ndarray, width: int) -> None:
        shape = np.repeat(np.arange(part.start, part.stop), count)
        row = _counted(top, count)
        half_width = self._half_widths(shape, row, width)
        left, columns = _span(self.column[shape], half_width)
        whole = columns >= width
        left[whole], columns[whole] = 0, width

        span = np.repeat(np.arange(len(row)), columns)
        column = _counted(left, columns)
        column[column < 0] += width
        column[column >= width] -= width
        np.minimum.at(keys, row[span] * width + column, self.key[shape][span])

    def _half_widths(self, shape: np.ndarray, row: np.ndarray, width: int) -> np.ndarray:
        """Half width of each row of each footprint: the square's, cut where its circumscribed circle ends.

        Away from the poles the square lies inside the circle. Around a pole it is the circle that is a sensible shape.
        """
        half_width = self.half_width[shape]
        polar = np.flatnonzero(half_width > 1.2 * self.half_height[shape])
        if polar.size:
            of, scale = shape[polar], math.tau / width
            radius = np.minimum(math.sqrt(2.0) * np.arcsin(self.sine[of].astype(np.float64)), math.pi)
            latitude = math.pi / 2 - self.row[of].astype(np.float64) * scale
            other = math.pi / 2 - (row[polar] + 0.5) * scale
            room = np.maximum(np.cos(latitude) * np.cos(other), 1e-12)
            reach = np.arccos(np.clip((np.cos(radius) - np.sin(latitude) * np.sin(other)) / room, -1.0, 1.0)) / scale
            half_width[polar] = np.where(reach >= width / 2, width, np.minimum(half_width[polar], reach))
        return half_width


def _scratch(rows: int, dtype: type = np.float32) -> np.ndarray:
    """Rows for a block of points, a gap between them: numpy 1.26 takes arrays that touch for arrays that overlap, and
    works on them without vector instructions, five times slower."""
    return np.empty((rows, _BLOCK + _GAP), dtype)


def _checked_points(points: np.ndarray, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    points = np.asarray(points, dtype=np.float32)
    colours = np.asarray(colours)
    if points.ndim != 2 or points.shape[1] != 3:
        raise PointCloudError(f"Points have shape {points.shape}; (N, 3) is wanted.")
    if colours.shape != points.shape or colours.dtype != np.uint8:
        raise PointCloudError(
            f"Colours are {colours.dtype} {colours.shape} beside {len(points)} points; (N, 3) uint8 is wanted."
        )
    if len(points) >= 1 << 31:
        raise PointCloudError(f"{len(points)} points are more than one frame can index (2^31).")
    return points, colours


def _checked_radii(footprint: np.ndarray | float, count: int) -> np.ndarray:
    diameters = np.asarray(footprint, dtype=np.float32)
    if diameters.ndim == 0:
        diameters = np.broadcast_to(diameters, (count,))
    if diameters.shape != (count,):
        raise PointCloudError(f"Footprints have shape {diameters.shape}; one number or ({count},) is wanted.")
    radii = diameters * np.float32(0.5)
    return np.where((radii > 0.0) & (radii < np.inf), radii, np.float32(0.0))


def _keys(
    count: int, camera: _Camera, threads: int | None, work: Callable[[_Worker, int, int], None]
) -> list[np.ndarray]:
    """Run `work` over blocks of `count` points in parallel; return each worker's keys."""
    blocks = deque((first, min(first + _BLOCK, count)) for first in range(0, count, _BLOCK))

    def run(_: int) -> np.ndarray:
        worker = _Worker(camera)
        with np.errstate(all="ignore"):
            while True:
                try:
                    first, last = blocks.popleft()
                except IndexError:
                    return worker.keys
                work(worker, first, last)

    workers = max(1, min(_thread_count(threads), math.ceil(count / _POINTS_PER_THREAD)))
    return _parallel(run, workers)


def _resolved(keys: list[np.ndarray], colours: np.ndarray, width: int, threads: int | None) -> GeometryFrame:
    """Merge the workers' keys and look up what they mean."""
    size = width * width // 2
    colour, depth = np.zeros((size, 3), np.uint8), np.empty(size, np.float32)
    coverage, source = np.empty(size, np.bool_), np.empty(size, np.int32)
    bands = max(1, min(_thread_count(threads), len(keys)))

    def resolve(band: int) -> None:
        part = slice(size * band // bands, size * (band + 1) // bands)
        nearest = keys[0][part]
        for other in keys[1:]:
            np.minimum(nearest, other[part], out=nearest)
        np.not_equal(nearest, _NOTHING, out=coverage[part])
        np.copyto(source[part], nearest, casting="unsafe")  # the low half; that of _NOTHING is -1
        np.right_shift(nearest, 32, out=nearest)
        np.copyto(depth[part].view(np.int32), nearest, casting="unsafe")
        np.sqrt(depth[part], out=depth[part])
        np.copyto(depth[part], np.float32(np.inf), where=~coverage[part])
        if len(colours):
            np.take(colours, source[part], axis=0, mode="clip", out=colour[part])
        colour[part][~coverage[part]] = 0

    _parallel(resolve, bands)
    shape = (width // 2, width)
    return GeometryFrame(
        colour.reshape(*shape, 3), depth.reshape(shape), coverage.reshape(shape), source.reshape(shape)
    )


def _parallel(work: Callable[[int], np.ndarray | None], count: int) -> list:
    """Results of work(0) ... work(count - 1), in as many threads; numpy works outside the interpreter lock."""
    if count == 1:
        return [work(0)]
    with ThreadPoolExecutor(count, thread_name_prefix="pantheon360-splatting") as pool:
        return list(pool.map(work, range(count)))


def _thread_count(threads: int | None) -> int:
    if threads is not None:
        return max(1, threads)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_THREADS)


def _weighted_sum(vectors: np.ndarray, weights: np.ndarray, out: np.ndarray, scratch: np.ndarray) -> None:
    """out = weights @ vectors for three rows; unlike a BLAS it rounds the same everywhere."""
    np.multiply(vectors[0], weights[0], out=out)
    for row in (1, 2):
        np.multiply(vectors[row], weights[row], out=scratch)
        np.add(out, scratch, out=out)


def _polynomial(x: np.ndarray, coefficients: list[np.float32], out: np.ndarray) -> None:
    """out = sum of coefficients[k] x**k, by Horner's rule."""
    np.multiply(x, coefficients[-1], out=out)
    for coefficient in reversed(coefficients[1:-1]):
        np.add(out, coefficient, out=out)
        np.multiply(out, x, out=out)
    np.add(out, coefficients[0], out=out)


def _mirror(angle: np.ndarray, axis: np.float32, sign: np.ndarray) -> None:
    """angle = 2 axis - angle where `sign` (overwritten) is positive, for angles up to `axis`; else unchanged."""
    np.subtract(axis, angle, out=angle)
    _with_sign(angle, sign)
    np.add(angle, axis, out=angle)


def _with_sign(magnitude: np.ndarray, sign: np.ndarray) -> None:
    """magnitude = copysign(magnitude, sign) in place, for magnitudes >= 0; `sign` is overwritten."""
    bits = sign.view(np.uint32)
    np.bitwise_and(bits, _SIGN, out=bits)
    np.bitwise_or(magnitude.view(np.uint32), bits, out=magnitude.view(np.uint32))


def _span(centre: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First pixel and number of the pixels whose centres are within `half` of `centre`, its own pixel included."""
    own = np.floor(centre)
    first = np.minimum(np.ceil(centre - half - 0.5), own)
    last = np.maximum(np.floor(centre + half - 0.5), own)
    return first.astype(np.int64), (last - first + 1.0).astype(np.int64)


def _counted(first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Concatenation of first[k], first[k] + 1, ... of length count[k]."""
    ends = np.cumsum(count)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(first - (ends - count), count)


def _parts(sizes: np.ndarray) -> list[slice]:
    """Cut a list into slices whose sizes sum to about _FRAGMENTS (or hold one item)."""
    part = (np.cumsum(sizes) // _FRAGMENTS).astype(np.int64)
    cuts = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(sizes)]
    return [slice(first, last) for first, last in zip(cuts[:-1], cuts[1:], strict=True)]

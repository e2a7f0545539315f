"""Points seen from a pose as an equirectangular panorama: the geometry pass, and its footprint version for previews.

Every pixel is decided by 64-bit keys, squared range above, point index below; the smallest key wins. A minimum does not
care for order, so the result is the same whatever the blocks. Coordinates go through nothing but IEEE additions,
products, quotients and square roots, so `splat` also gives the same pixels on every machine of a render farm.
One thread does it: numpy's calls on a block are so short that two were measured to lose what they gain by waiting for
the interpreter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np

from ..errors import PointCloudError, RenderError
from ..panorama.cameras import check_pose
from ..panorama.equirectangular import directions, directions_to_pixels
from .projection import ARCTANGENT, TINY, polynomial

_BLOCK = 1 << 15  # points; a block's temporaries stay in a core's second-level cache
_GAP = 64  # numbers between rows of scratch memory
_FRAGMENTS = 1 << 17  # pixels a footprint pass expands at a time
_TEXEL = np.dtype("V3")  # moving the three bytes of a colour together is twice as fast as moving each
_NOTHING = np.iinfo(np.int64).max
_SIGN = np.uint32(1 << 31)
_SAME_SURFACE = np.float32(1.05)  # ranges of neighbours on one surface differ less, but for grazing views


@dataclass(frozen=True)
class GeometryFrame:
    """One panorama of a point cloud.

    colour: (H, W, 3) uint8 sRGB, black where nothing.
    depth: (H, W) float32, Euclidean range in metres, inf where nothing.
    coverage: (H, W) bool.
    source: (H, W) int32, index of the point seen, -1 where nothing.
    confidence: (H, W) float32, 0 to 1, of the point seen, 0 where nothing; None if every point is as sure as can be.
    """

    colour: np.ndarray
    depth: np.ndarray
    coverage: np.ndarray
    source: np.ndarray
    confidence: np.ndarray | None = None

    @property
    def sureness(self) -> np.ndarray:
        """(H, W) float32: the confidence, which is 1 where points are if none was told."""
        return self.coverage.astype(np.float32) if self.confidence is None else self.confidence

    def rgba(self) -> np.ndarray:
        """Return (H, W, 4) uint8: the colour, with the coverage as alpha 0 or 255."""
        alpha = self.coverage.astype(np.uint8) * np.uint8(255)
        return np.concatenate([self.colour, alpha[..., None]], axis=2)


def splat(
    points: np.ndarray, colours: np.ndarray, pose: np.ndarray, width: int, *, near: float = 1e-6
) -> GeometryFrame:
    """Render points at one pixel each; the nearest wins, ties go to the lowest index.

    points: (N, 3) float32, metres, world; a point with NaN or infinity, or nearer than `near`, is not seen.
    colours: (N, 3) uint8 sRGB.
    pose: (4, 4) camera-to-world. Its position is kept in two floats, so that far world origins cost no precision
        beyond that of the points themselves.
    width: pixels, even; the height is width / 2.
    near: metres.
    Raises PointCloudError, PoseError, RenderError if a shape, type or number is impossible.
    Source: docs/architecture.md, "Conventions": the geometry pass as a painter sees it.

    >>> points = np.array([[1, -1, -5], [0.4, -0.4, -2], [3, -1, 1]], np.float32)  # two ahead, one to the right
    >>> frame = splat(points, np.zeros((3, 3), np.uint8), pose=np.eye(4), width=8)
    >>> frame.source[2]  # the row below the horizon: point 1 hides point 0
    array([-1, -1, -1, -1,  1, -1,  2, -1], dtype=int32)
    """
    points, colours = _checked_points(points, colours)
    camera = _Camera.from_pose(pose, width, near)
    raster = _Raster(camera)
    with np.errstate(all="ignore"):
        for block in _blocks(len(points)):
            raster.splat(points[block], block.start)
    return _resolved(raster.keys, colours, width)


def with_confidence(frame: GeometryFrame, confidence: np.ndarray | None) -> GeometryFrame:
    """A frame that `splat` has just made, and how sure the points are that it shows.

    confidence: (N,) float32 of the points that were splatted, or None; what is no number counts as 0. It is looked up
    when all pixels are decided, so that frames of which nobody asks for it take no longer.
    Raises PointCloudError if it has another shape.
    """
    if confidence is None:
        return frame
    if np.ndim(confidence) != 1 or frame.source.max(initial=-1) >= len(confidence):
        raise PointCloudError(f"Confidences have shape {np.shape(confidence)}; one for each point is wanted.")
    if not len(confidence):
        return replace(frame, confidence=np.zeros(frame.source.shape, np.float32))
    seen = confidence.astype(np.float32, copy=False).take(frame.source, mode="clip")
    seen = np.fmin(np.fmax(seen, np.float32(0)), np.float32(1))  # what is no number becomes 0
    return replace(frame, confidence=seen * frame.coverage)


def rolled(frame: GeometryFrame, columns: int) -> GeometryFrame:
    """The frame with every pixel so many columns further to the right, over the seam."""
    arrays: dict[str, np.ndarray | None] = {each.name: getattr(frame, each.name) for each in fields(frame)}
    return replace(frame, **{name: np.roll(each, columns, 1) for name, each in arrays.items() if each is not None})


def resized(frame: GeometryFrame, width: int) -> GeometryFrame:
    """The frame as it is `width` pixels wide: each of its points falls into one pixel, and the nearest wins.

    Raises RenderError if the width is odd or too small.
    """
    if frame.depth.shape[1] == width:
        return frame
    seen = np.flatnonzero(frame.coverage & np.isfinite(frame.depth))
    rays = directions(frame.depth.shape[1]).reshape(-1, 3)[seen]
    points = rays * frame.depth.reshape(-1, 1)[seen]
    small = splat(points, frame.colour.reshape(-1, 3)[seen], np.eye(4), width)
    source = np.where(small.coverage, frame.source.reshape(-1)[seen][small.source], -1) if len(seen) else small.source
    if frame.confidence is not None:
        small = with_confidence(small, frame.confidence.reshape(-1)[seen])
    return replace(small, source=source.astype(np.int32))


def turned(frame: GeometryFrame, rotation: np.ndarray) -> GeometryFrame:
    """The frame as a camera with turned axes sees it: each of its points falls into one pixel, and the nearest wins.

    Where its points lie side by side, pixels that none of them falls into show the nearest one: surfaces stay closed.
    rotation: (3, 3), maps directions of the turned camera to those of the frame's, as in `equirectangular.rotate`.
    Raises PoseError if the rotation is not one.
    """
    width, shape = frame.depth.shape[1], frame.depth.shape
    pose = np.eye(4)
    pose[:3, :3] = rotation
    seen = np.flatnonzero(frame.coverage & np.isfinite(frame.depth))
    points = directions(width).reshape(-1, 3)[seen] * frame.depth.reshape(-1, 1)[seen]
    colours = frame.colour.reshape(-1, 3)
    found = splat(points, colours[seen], pose, width)
    place = np.full(frame.depth.size, -1)
    place[found.coverage.ravel()] = seen[found.source[found.coverage]]

    looking = directions(width).reshape(-1, 3) @ pose[:3, :3].T.astype(np.float32)
    column, row = directions_to_pixels(looking, width).T.astype(np.int64)
    nearest = np.minimum(row, width // 2 - 1) * width + column % width
    closed = (place < 0) & _surrounded(frame.coverage).ravel()[nearest]
    place[closed] = nearest[closed]

    covered = (place >= 0).reshape(shape)
    depth, source = np.full(shape, np.inf, np.float32), np.full(shape, -1, np.int32)
    colour = np.zeros((*shape, 3), np.uint8)
    depth[covered] = frame.depth.ravel()[place[place >= 0]]
    source[covered] = frame.source.ravel()[place[place >= 0]]
    colour[covered] = colours[place[place >= 0]]
    confidence = None
    if frame.confidence is not None:
        confidence = np.zeros(shape, np.float32)
        confidence[covered] = frame.confidence.ravel()[place[place >= 0]]
    return GeometryFrame(colour, depth, covered, source, confidence)


def _surrounded(coverage: np.ndarray) -> np.ndarray:
    """Covered pixels with at least six of their eight neighbours covered, (H, W) bool; none at the poles."""
    count = np.zeros(coverage.shape, np.int8)
    for rows in (-1, 0, 1):
        for columns in (-1, 0, 1):
            count += np.roll(coverage, (rows, columns), axis=(0, 1))
    inside: np.ndarray = coverage & (count >= 7)
    inside[[0, -1]] = False
    return inside


def splat_footprints(
    points: np.ndarray,
    colours: np.ndarray,
    footprint: np.ndarray | float,
    pose: np.ndarray,
    width: int,
    *,
    near: float = 1e-6,
    limit: float | None = None,
) -> GeometryFrame:
    """Render points as large as they are: for previews and drafts, never for the model's input.

    A point stands for a square patch of side d, its footprint, of unknown orientation. It fills the pixel it falls in
    and every pixel whose centre lies in the disc around the patch, of angular radius asin(d / (sqrt(2) r)); near the
    poles that is many columns wide. Points on a grid of spacing d close their surface from every side. The nearest
    point wins, at its own range: the disc faces the camera. A pixel into which a point of that surface falls shows the
    point, not a neighbour's disc: seen from where it was taken, a capture is sharp.

    footprint: (N,) float32 or one number: metres. Not finite or negative counts as zero.
    limit: largest radius in pixels at the equator; None means width / 64.
    The rest is as in `splat`; coverage is a superset of its coverage.
    """
    points, colours = _checked_points(points, colours)
    radii = _checked_radii(footprint, len(points))
    camera = _Camera.from_pose(pose, width, near)
    if limit is not None and not limit >= 0.0:
        raise RenderError(f"The largest footprint is {limit} pixels.", advice="Choose zero or more.")
    most = math.tau / 64 if limit is None else math.tau * limit / width
    sine = np.float32(math.sin(min(most, math.pi / 2)))
    raster = _Raster(camera)
    with np.errstate(all="ignore"):
        for block in _blocks(len(points)):
            raster.splat_footprints(points[block], radii[block], block.start, sine)
    discs = _resolved(raster.keys, colours, width)
    return _sharpened(discs, splat(points, colours, pose, width, near=near))


@dataclass(frozen=True)
class _Camera:
    """A pose made ready for float32 arithmetic.

    camera_from_world: (3, 3) float32, the rotation.
    coarse, fine: (3,) float32, world; the position is their sum. Subtracting the coarse part from a nearby point is
        exact, so what the fine part corrects is not lost.
    """

    camera_from_world: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    width: int
    near_squared: np.float32

    @classmethod
    def from_pose(cls, pose: np.ndarray, width: int, near: float) -> _Camera:
        pose = check_pose(pose)
        if width < 2 or width % 2:
            raise RenderError(f"A panorama {width} pixels wide is impossible.", advice="Choose an even width.")
        if not near >= 0.0:
            raise RenderError(f"The near distance is {near} m.", advice="Choose zero or more.")
        position = pose[:3, 3]
        coarse = position.astype(np.float32)
        return cls(
            camera_from_world=pose[:3, :3].T.astype(np.float32),
            coarse=coarse,
            fine=(position - coarse).astype(np.float32),
            width=width,
            near_squared=np.float32(max(near * near, 1e-37)),
        )


class _Raster:
    """The key of every pixel, and the scratch memory that blocks of points share.

    keys: (H * W,) int64, squared range as float32 bits << 32 | index; _NOTHING where no point fell.
    """

    def __init__(self, camera: _Camera) -> None:
        self.camera = camera
        self.keys = np.full(camera.width * camera.width // 2, _NOTHING)
        self._offset = _scratch(3)
        self._product = _scratch(9).reshape(3, 3, -1)
        self._pairs = _scratch(6).reshape(3, 2, -1)
        self._whole = _scratch(2, np.int32)
        self._pixel, self._key = _scratch(2, np.int64)
        self._flags = _scratch(1, np.bool_)
        self._index = np.arange(_BLOCK)

    def splat(self, points: np.ndarray, first: int) -> None:
        """Enter a block of points, (n, 3) float32, whose first has index `first`."""
        place, squared, _ = self._project(points)
        self._enter_pixels(place, squared, first)

    def splat_footprints(self, points: np.ndarray, radii: np.ndarray, first: int, most: np.float32) -> None:
        """Enter a block of points with radii (n,) in metres; `most` is the sine of the largest angular radius."""
        place, squared, flat = self._project(points)
        self._enter_pixels(place, squared, first)
        distance = np.sqrt(squared)
        radius = np.arcsin(np.minimum(radii / distance, most)) * np.float32(self.camera.width / math.tau)
        key = self._key[: len(points)]
        large = np.flatnonzero((radius * distance > 0.5 * flat) & (key != _NOTHING))
        _Discs(place[0, large], place[1, large], radius[large], key[large]).enter(self.keys, self.camera.width)

    def _enter_pixels(self, place: np.ndarray, squared: np.ndarray, first: int) -> None:
        column, row = self._pixels(place)
        key = self._packed(squared, first)
        pixel = self._pixel[: len(key)]
        np.multiply(row, np.int32(self.camera.width), out=row)
        np.add(row, column, out=pixel)
        np.minimum.at(self.keys, pixel, key)

    def _project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return place (2, n) in pixels (u, v), squared range (n,) and range in the horizontal plane (n,)."""
        n = len(points)
        camera, offset, product = self.camera, self._offset[:, :n], self._product[:, :, :n]
        for axis in range(3):
            np.subtract(points[:, axis], camera.coarse[axis], out=offset[axis])
            if camera.fine[axis]:
                np.subtract(offset[axis], camera.fine[axis], out=offset[axis])
        np.multiply(offset[:, None], camera.camera_from_world.T[:, :, None], out=product)
        seen, square = product[0], product[1]
        np.add(seen, product[1], out=seen)
        np.add(seen, product[2], out=seen)

        np.multiply(seen, seen, out=square)
        flat, squared = square[0], square[1]
        np.add(flat, square[2], out=flat)
        np.add(flat, squared, out=squared)
        np.sqrt(flat, out=flat)
        return self._angles(seen, flat), squared, flat

    def _angles(self, seen: np.ndarray, flat: np.ndarray) -> np.ndarray:
        """Directions as pixels (2, n): u = W/2 + atan2(x, -z) W/tau, v = H/2 - atan2(y, flat) W/tau.

        Angles are in columns throughout (a row is as high as a column is wide). Within a quarter turn
        atan(o / a) = tau/8 + atan((o - a) / (o + a)), which needs no octants; the signs put it into its quarter.
        `seen` (3, n) is overwritten.
        """
        turn, n = self.camera.width, len(flat)
        pairs: np.ndarray = self._pairs[:, :, :n]
        opposite, adjacent, ratio = pairs
        np.abs(seen[:2], out=opposite)
        np.abs(seen[2], out=adjacent[0])
        np.add(adjacent[0], TINY, out=adjacent[0])  # a quotient at the poles too
        np.copyto(adjacent[1], flat)
        np.subtract(opposite, adjacent, out=ratio)
        np.add(opposite, adjacent, out=opposite)
        np.divide(ratio, opposite, out=ratio)
        square: np.ndarray = pairs[0]
        angle: np.ndarray = pairs[1]
        np.multiply(ratio, ratio, out=square)
        polynomial(square, [np.float32(c * turn / math.tau) for c in ARCTANGENT], angle)
        np.multiply(angle, ratio, out=angle)

        sign, (u, v) = seen.view(np.uint32), angle
        np.bitwise_and(sign, _SIGN, out=sign)
        np.subtract(np.float32(turn / 8), u, out=u)  # from the sideways axis: positive
        np.bitwise_or(u.view(np.uint32), sign[2], out=u.view(np.uint32))
        np.add(u, np.float32(turn / 4), out=u)  # from straight ahead
        np.add(v, np.float32(turn / 8), out=v)  # from the horizon
        np.bitwise_or(angle.view(np.uint32), sign[:2], out=angle.view(np.uint32))
        np.add(u, np.float32(turn / 2), out=u)
        np.subtract(np.float32(turn / 4), v, out=v)
        return angle

    def _pixels(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows (n,) int32 the places fall in; invalid places give any number."""
        whole = self._whole[:, : place.shape[1]]
        np.copyto(whole, place, casting="unsafe")
        column, row = whole
        past_seam = np.equal(column, np.int32(self.camera.width), out=self._flags[0, : len(column)])
        if past_seam.any():
            column[past_seam] = 0
        np.minimum(row, np.int32(self.camera.width // 2 - 1), out=row)
        return column, row

    def _packed(self, squared: np.ndarray, first: int) -> np.ndarray:
        """Keys (n,) of points; _NOTHING for those that are not seen, whose pixels become harmless."""
        n, near, inf = len(squared), self.camera.near_squared, np.float32(np.inf)
        key: np.ndarray = self._key[:n]
        np.copyto(key, squared.view(np.int32))
        np.left_shift(key, 32, out=key)
        np.add(key, self._index[:n], out=key)
        np.add(key, first, out=key)
        if not (squared.min() >= near and squared.max() < inf):
            unseen = ~((squared >= near) & (squared < inf))
            key[unseen] = _NOTHING
            self._whole[:, :n][:, unseen] = 0
        return key


@dataclass(frozen=True)
class _Discs:
    """Footprints of more than a pixel; (n,) each: centre column and row, radius in pixels at the equator, key."""

    column: np.ndarray
    row: np.ndarray
    radius: np.ndarray
    key: np.ndarray

    def enter(self, keys: np.ndarray, width: int) -> None:
        """Enter every pixel of every disc into `keys`: discs are cut into rows, and rows into pixels."""
        top, count = _span(self.row, self.radius)
        bottom = np.minimum(top + count, width // 2)
        top = np.maximum(top, 0)
        count = bottom - top
        slimmest = np.sin(np.clip(np.minimum(top, width // 2 - bottom) + 0.5, 0.5, None) * (math.tau / width))
        for part in _parts(count * np.minimum(2.0 * self.radius / slimmest + 1.0, width)):
            self._enter(part, top[part], count[part], keys, width)

    def _enter(self, part: slice, top: np.ndarray, count: np.ndarray, keys: np.ndarray, width: int) -> None:
        disc = np.repeat(np.arange(part.start, part.stop), count)
        row = _counted(top, count)
        left, columns = _span(self.column[disc], self._half_chords(disc, row, width))
        whole = columns >= width
        left[whole], columns[whole] = 0, width

        chord = np.repeat(np.arange(len(row)), columns)
        column = _counted(left, columns)
        column[column < 0] += width
        column[column >= width] -= width
        np.minimum.at(keys, row[chord] * width + column, self.key[disc][chord])

    def _half_chords(self, disc: np.ndarray, row: np.ndarray, width: int) -> np.ndarray:
        """Half the columns of each row of each disc; 0 where a row's centre is outside.

        In the row of the disc's centre it is the diameter, wherever in that row the centre is. Discs near a pole are
        cut on the sphere, all others on the plane that touches it.
        """
        scale = math.tau / width
        radius, centre = self.radius[disc], self.row[disc]
        rise = np.where(np.floor(centre) == row, np.float32(0.0), row + np.float32(0.5) - centre)
        breadth = np.sin((np.arange(width // 2) + 0.5) * scale).astype(np.float32)  # of each row, 1 at the equator
        half: np.ndarray = np.sqrt(np.maximum(radius * radius - rise * rise, 0.0)) / breadth[row]
        polar = np.flatnonzero(np.minimum(centre, width / 2 - centre) < 4.0 * radius + 2.0)
        if polar.size:
            from_pole, reach = (centre[polar] * scale).astype(np.float64), radius[polar].astype(np.float64) * scale
            row_from_pole = np.where(rise[polar] == 0.0, from_pole, (row[polar] + 0.5) * scale)
            room = np.maximum(np.sin(from_pole) * np.sin(row_from_pole), 1e-12)
            cosine = (np.cos(reach) - np.cos(from_pole) * np.cos(row_from_pole)) / room
            half[polar] = np.arccos(np.clip(cosine, -1.0, 1.0)) / scale
        return half


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
            f"Colors are {colours.dtype} {colours.shape} beside {len(points)} points; (N, 3) uint8 is wanted."
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
    radii = diameters * np.float32(math.sqrt(0.5))
    return np.where((radii > 0.0) & (radii < np.inf), radii, np.float32(0.0))


def _blocks(count: int) -> Iterator[slice]:
    return (slice(first, min(first + _BLOCK, count)) for first in range(0, count, _BLOCK))


def _resolved(keys: np.ndarray, colours: np.ndarray, width: int) -> GeometryFrame:
    """Look up what the keys of all pixels mean."""
    size = width * width // 2
    colour, depth = np.zeros((size, 3), np.uint8), np.full(size, np.inf, np.float32)
    coverage, source = np.empty(size, np.bool_), np.full(size, -1, np.int32)
    for part in _blocks(size):
        nearest = keys[part]
        np.not_equal(nearest, _NOTHING, out=coverage[part])
        seen = np.flatnonzero(coverage[part])
        key = nearest[seen]
        index = key.astype(np.int32)  # the lower half
        source[part][seen] = index
        depth[part][seen] = np.sqrt((key >> 32).astype(np.int32).view(np.float32))
        colour[part].view(_TEXEL)[seen] = np.take(colours, index, axis=0).view(_TEXEL)
    shape = (width // 2, width)
    return GeometryFrame(
        colour.reshape(*shape, 3), depth.reshape(shape), coverage.reshape(shape), source.reshape(shape)
    )


def _sharpened(discs: GeometryFrame, pixels: GeometryFrame) -> GeometryFrame:
    """The discs, with the pixels' own points where those lie on the same surface as the disc that covers them."""
    own = pixels.depth <= discs.depth * _SAME_SURFACE
    own &= pixels.coverage
    return GeometryFrame(
        np.where(own[..., None], pixels.colour, discs.colour),
        np.where(own, pixels.depth, discs.depth),
        discs.coverage,
        np.where(own, pixels.source, discs.source),
    )


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
    return np.asarray(np.arange(total) + np.repeat(first - (ends - count), count))


def _parts(sizes: np.ndarray) -> list[slice]:
    """Cut a list into slices whose sizes sum to about _FRAGMENTS (or hold one item)."""
    part = (np.cumsum(sizes) // _FRAGMENTS).astype(np.int64)
    cuts = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(sizes)]
    return [slice(first, last) for first, last in pairwise(cuts)]

"""The draft painter: a full panorama from a geometry frame and the captures, with no model and no randomness.

Pixels a point covers keep its colour. If it is known how far away is what each capture sees, they take the captures'
own pixels instead (image_based.py), on surfaces that are closed and smooth (filled_range.py). The others show the
captures as if they were infinitely far away (only rotated), which is exact for the sky. A capture does so only in
directions in which it sees nothing that the frame shows elsewhere: what is near stands somewhere else from here. What
no capture shows, such as the ground under the photographer, is filled from around, and so are pinholes in surfaces.

Of many captures those nearest to the camera are held and used, as many as fit into MEMORY.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import RenderError
from ..panorama import equirectangular
from ..panorama.cameras import check_pose
from ..panorama.capture import Capture, UnreadCapture
from . import origin
from .bands import in_bands
from .filled_range import filled
from .image_based import WHOLE, Photograph, at_infinity, matched, nearness, seen
from .pull_push import halves, pull_push
from .splatting import GeometryFrame

Ranges = Callable[[int], np.ndarray]
"""A capture's place in the list to what the cache shows from its pose: (h, w) float32 metres, of footprint splats."""

MEMORY = 512 << 20
"""Bytes of captures that are held at a time, in either process: 85 of 2048 x 1024 pixels without masks."""
_BORDER = 1 / 128  # share of the width over which a capture fades out beside what is not valid
_FALLBACK = 1.0  # metres: nearer differences of distance hardly matter to what stands in for an invalid part
_SHOWN = 0.5  # share of a pixel from which on it counts as photographed
_PINHOLE = 2  # pixels: reach of the neighbourhood that tells a pinhole from open sky
_NEAR_WIDTH = 512  # pixels of the maps of what is near
_PARALLAX = np.radians(1.0)  # between camera and capture, from which on a thing stands elsewhere


@dataclass(frozen=True)
class Painted:
    """A frame of the draft. image: (H, W, 3) uint8 sRGB. origin: (H, W) uint8, what origin.py calls its pixels."""

    image: np.ndarray
    origin: np.ndarray


class DraftPainter:
    """Paints the frames of one shot; keeps what is the same from frame to frame.

    A capture's weight falls with the camera's distance from it, smoothly, so that a moving camera fades from one to the
    next; a camera that stands on a capture sees nothing but it. Equal input gives equal frames.
    """

    def __init__(self, captures: Sequence[Capture | UnreadCapture], width: int, ranges: Ranges | None = None) -> None:
        """width: of the frames in pixels. ranges: None keeps the points' colours, which is faster."""
        self.width = width
        self._captures = captures
        self._ranges = ranges
        self._sizes: dict[int, int] = {}
        self._held: dict[int, _Held] = {}
        self._chosen: list[int] = []
        self._matched: tuple[list[int], list[Photograph]] = [], []

    def load(self, frame: GeometryFrame, pose: np.ndarray) -> Iterator[str]:
        """Read what `paint` needs for a frame; yields the name of each capture before it is read.

        `paint` does the same by itself, in one go. Raises what reading raises.
        """
        if self._ranges is not None or not frame.coverage.all():
            yield from self._load(pose)

    def paint(self, frame: GeometryFrame, pose: np.ndarray) -> np.ndarray:
        """Paint the frame seen from `pose`, (4, 4) camera-to-world: the picture of `painted`, which see."""
        return self.painted(frame, pose).image

    def painted(self, frame: GeometryFrame, pose: np.ndarray) -> Painted:
        """Paint the frame seen from `pose`, (4, 4) camera-to-world, and tell where its pixels are from.

        The frame's surfaces where it is covered, the captures and fill elsewhere.
        Raises PoseError if the pose is not a finite rigid transform, RenderError if the frame's width is not this
        painter's.
        """
        pose = check_pose(pose)
        if frame.colour.shape[1] != self.width:
            raise RenderError(f"A frame {frame.colour.shape[1]} pixels wide came to a painter of {self.width}.")
        for _ in self.load(frame, pose):
            pass
        photographs = self._photographs()
        seen_by = np.where(frame.coverage, np.uint8(origin.POINT), np.uint8(origin.MADE_UP))
        if photographs is not None:
            frame, seen_by = _photographed(frame, pose, photographs)
        result = frame.colour.copy()
        if not frame.coverage.all():
            known = self._with_sky(result, frame, pose, photographs)
            seen_by[~frame.coverage & (known > _SHOWN)] = origin.PHOTOGRAPH
            if known.min() < 1.0:
                _close(result, known)
        return Painted(result, seen_by)

    def _photographs(self) -> list[Photograph] | None:
        """The captures that are chosen, with gains by which they agree; None if surfaces show points."""
        if self._ranges is None:
            return None
        if self._matched[0] != self._chosen:
            held = [self._held[index].photograph for index in self._chosen]
            self._matched = list(self._chosen), matched([each for each in held if each is not None])
        return self._matched[1]

    def _with_sky(
        self, result: np.ndarray, frame: GeometryFrame, pose: np.ndarray, photographs: Sequence[Photograph] | None
    ) -> np.ndarray:
        """Put what is at infinity into the holes of a picture; how far each pixel is known, (H, W) float32 in 0...1."""
        if photographs is None:
            skies = [each for index in self._chosen if (each := self._held[index].sky) is not None]
            surroundings = _Surroundings.from_frame(frame, pose)
            near = [surroundings.elsewhere(sky.pose) for sky in skies]
        flat, known = result.reshape(-1, 3), np.ones(frame.coverage.shape, np.float32)

        def paint(rows: slice) -> None:
            holes = np.flatnonzero(~frame.coverage[rows])
            looking = equirectangular.directions_of_rows(self.width, rows.start, rows.stop).reshape(-1, 3)[holes]
            if photographs is None:
                colour, weight = _at_infinity(skies, near, looking, pose)
            else:
                found = at_infinity(looking, pose, photographs, self.width)
                colour, weight = found.colour, found.trust
            known[rows].reshape(-1)[holes] = weight * (1.0 - _enclosure(frame.coverage, rows)[holes])
            flat[rows.start * self.width + holes] = np.clip(np.rint(colour), 0, 255).astype(np.uint8)

        in_bands(len(known), self.width, paint)
        return known

    def _load(self, pose: np.ndarray) -> Iterator[str]:
        """Hold the captures nearest to a camera, as many as fit, the nearest whatever its size; names as of `load`.

        Which they are depends on the captures and the pose alone: a job that goes on later paints the same.
        """
        distances = [float(np.linalg.norm(pose[:3, 3] - capture.pose[:3, 3])) for capture in self._captures]
        nearest = sorted(range(len(distances)), key=distances.__getitem__)
        chosen: list[int] = []
        left = MEMORY
        for index in nearest:
            if index not in self._sizes:  # how large it is shows when it is read
                yield self._captures[index].name
                self._read(index, chosen, nearest)
            left -= self._sizes[index]
            if chosen and left < 0:
                break
            if index not in self._held:
                yield self._captures[index].name
                self._read(index, chosen, nearest)
            chosen.append(index)
        self._chosen = sorted(chosen)

    def _read(self, index: int, chosen: Sequence[int], nearest: Sequence[int]) -> None:
        """Read a capture, and let go of the furthest that are not chosen until all but the new one fit into MEMORY."""
        self._chosen, self._matched = [], ([], [])
        for other in reversed(nearest):
            if sum(held.size for held in self._held.values()) <= MEMORY:
                break
            if other not in chosen:
                self._held.pop(other, None)
        capture = self._captures[index]
        read = capture.read() if isinstance(capture, UnreadCapture) else capture
        held = _Held.of(read, self.width, None if self._ranges is None else self._ranges(index))
        self._held[index], self._sizes[index] = held, held.size


def _photographed(
    frame: GeometryFrame, pose: np.ndarray, photographs: Sequence[Photograph]
) -> tuple[GeometryFrame, np.ndarray]:
    """The frame with closed surfaces in the captures' own pixels, a point's colour where no capture sees it; and where
    its pixels are from, as of Painted.
    """
    depth = filled(frame.depth)
    covered, colour = np.isfinite(depth), np.zeros_like(frame.colour)
    seen_by = np.full(depth.shape, origin.MADE_UP, np.uint8)

    def look(rows: slice) -> None:
        found = seen(depth, pose, photographs, rows)
        covered[rows] &= frame.coverage[rows] | (found.trust > _SHOWN)
        seen_by[rows][covered[rows]] = origin.POINT
        seen_by[rows][covered[rows] & (found.trust > _SHOWN)] = origin.PHOTOGRAPH
        mixed = covered[rows] & frame.coverage[rows] & (found.trust < 1)  # what no capture quite sees
        share = found.trust[mixed][:, None]
        shown = found.colour
        shown[mixed] = frame.colour[rows][mixed] * (1 - share) + shown[mixed] * share
        shown += np.float32(0.5)
        np.copyto(colour[rows], shown, where=covered[rows][..., None], casting="unsafe")

    in_bands(len(depth), depth.shape[1], look)
    return GeometryFrame(colour, depth, covered, frame.source), seen_by


def _at_infinity(
    skies: Sequence[_Sky], near: Sequence[np.ndarray], looking: np.ndarray, pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (n, 3) and how far they are to be trusted (n,) in 0...1, of the captures in directions (n, 3).

    near: of each capture, as of `_Surroundings.elsewhere`.
    Each capture paints by its weight times its validity. What that leaves open, the others fill whose weight alone
    would have let a nearly invisible capture decide: a second blend with milder weights lies behind the first.
    """
    colour, trust = np.zeros((len(looking), 3), np.float32), np.zeros(len(looking), np.float32)
    if not skies:
        return colour, trust
    distances = np.array([np.linalg.norm(pose[:3, 3] - sky.pose[:3, 3]) for sky in skies])
    weights, mild = nearness(distances), 1.0 / (distances + _FALLBACK)
    behind, behind_weight, most = np.zeros_like(colour), np.zeros_like(trust), np.zeros_like(trust)
    for sky, hidden, weight, fallback in zip(skies, near, weights, mild, strict=True):
        found, valid = sky.seen(looking, pose, hidden)
        colour += found * (valid * np.float32(weight))[:, None]
        trust += valid * np.float32(weight)
        behind += found * (valid * np.float32(fallback))[:, None]
        behind_weight += valid * np.float32(fallback)
        np.maximum(most, valid, out=most)
    behind /= np.maximum(behind_weight, np.float32(1e-6))[:, None]
    colour += behind * (1.0 - trust)[:, None]
    return colour, most


def _close(result: np.ndarray, known: np.ndarray) -> None:
    """Fill a picture (H, W, 3) uint8 from around where it is not known, (H, W) in 0...1: from its half size on."""
    height, width = known.shape
    coarse = pull_push(*halves(result, known)) if height % 2 == 0 else pull_push(result, known)
    scale = np.float32(coarse.shape[1] / width)

    def close(rows: slice) -> None:
        part, share = result[rows], known[rows]
        row, column = np.nonzero(share < 1.0)
        pixels = np.stack([column + 0.5, row + (rows.start + 0.5)], axis=1).astype(np.float32) * scale
        around = equirectangular.sample(coarse, pixels)
        weight = share[row, column][:, None]
        filled = around + (part[row, column] - around) * (1 - np.square(1 - weight))
        part[row, column] = np.clip(np.rint(filled), 0, 255).astype(np.uint8)

    in_bands(height, width, close)


@dataclass(frozen=True)
class _Surroundings:
    """What a frame shows: points (n, 3) float32 in the world, and unit directions (n, 3) to them from its camera."""

    points: np.ndarray
    directions: np.ndarray

    @staticmethod
    def from_frame(frame: GeometryFrame, pose: np.ndarray) -> _Surroundings:
        step = max(1, frame.depth.shape[1] // _NEAR_WIDTH)
        depth = frame.depth[step // 2 :: step, step // 2 :: step]
        rays = equirectangular.directions(frame.depth.shape[1])[step // 2 :: step, step // 2 :: step]
        known = np.isfinite(depth) & (depth > 0)
        directions = rays[known] @ pose[:3, :3].T.astype(np.float32)
        return _Surroundings(directions * depth[known, None] + pose[:3, 3].astype(np.float32), directions)

    def elsewhere(self, pose: np.ndarray) -> np.ndarray:
        """Where a capture at `pose` sees them in clearly other directions, (H, W) float32: 1 there, 0 elsewhere."""
        near = np.zeros((_NEAR_WIDTH // 4, _NEAR_WIDTH // 2), np.float32)
        outward: np.ndarray = self.points - pose[:3, 3].astype(np.float32)
        distance = np.linalg.norm(outward, axis=1)
        moved = (distance > 0) & ((outward * self.directions).sum(axis=1) < np.cos(_PARALLAX) * distance)
        seen = outward[moved] @ pose[:3, :3].astype(np.float32)
        pixels = equirectangular.directions_to_pixels(seen, near.shape[1])
        rows = np.clip(pixels[:, 1].astype(np.intp), 0, len(near) - 1)
        near[rows, pixels[:, 0].astype(np.intp) % near.shape[1]] = 1.0
        return np.asarray(np.minimum(9.0 * _box_mean(near, 1), 1.0))


@dataclass(frozen=True)
class _Held:
    """What is kept of a capture: for what is at infinity alone, or for all that it shows, if ranges are known."""

    sky: _Sky | None
    photograph: Photograph | None

    @staticmethod
    def of(capture: Capture, width: int, depth: np.ndarray | None) -> _Held:
        if depth is None:
            return _Held(_Sky.from_capture(capture, width), None)
        return _Held(None, Photograph.of(capture, filled(depth), width))

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return sum(each.size for each in (self.sky, self.photograph) if each is not None)


@dataclass(frozen=True)
class _Sky:
    """A capture at the size of the frames: colours (H, W, 3) uint8, validity (H, W) float32 0...1, None if it is 1."""

    colours: np.ndarray
    validity: np.ndarray | None
    pose: np.ndarray

    @staticmethod
    def from_capture(capture: Capture, width: int) -> _Sky:
        image = equirectangular.resize(capture.image, width) if capture.image.shape[1] > width else capture.image
        validity = None if capture.valid is None else _softened(capture.valid, image.shape[1])
        return _Sky(image, validity, capture.pose)

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return self.colours.nbytes + (0 if self.validity is None else self.validity.nbytes)

    def seen(self, looking: np.ndarray, pose: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colours (n, 3) and validity (n,) in directions (n, 3) of a camera at `pose`.

        near: (h, w), 1 where the capture shows what is not at infinity, and so is not valid.
        """
        capture_from_camera = (self.pose[:3, :3].T @ pose[:3, :3]).astype(np.float32)
        pixels = equirectangular.directions_to_pixels(looking @ capture_from_camera.T, self.colours.shape[1])
        valid = np.ones(len(looking), np.float32)
        if self.validity is not None:
            valid = equirectangular.sample(self.validity, pixels)
        if near.any():
            scaled = pixels * np.float32(near.shape[1] / self.colours.shape[1])
            valid *= 1.0 - np.clip(equirectangular.sample(near, scaled), 0.0, 1.0)
        return equirectangular.sample(self.colours, pixels), valid


def _enclosure(coverage: np.ndarray, rows: slice) -> np.ndarray:
    """How far pixels of rows (n * W,) are shut in by covered ones: 0 up to a straight silhouette, 1 in pinholes."""
    wanted = np.arange(len(coverage))[rows]
    around = np.clip(np.arange(wanted[0] - _PINHOLE, wanted[-1] + _PINHOLE + 1), 0, len(coverage) - 1)
    share = _box_mean(coverage[around].astype(np.float32), _PINHOLE)[_PINHOLE:-_PINHOLE]
    return np.clip(5.0 * share.reshape(-1) - 3.5, 0.0, 1.0)


def _softened(valid: np.ndarray, width: int) -> np.ndarray:
    """Validity (H, W) in 0...1 at `width`: 0 wherever anything is invalid, rising to 1 within the border."""
    share = equirectangular.resize(valid.astype(np.float32), width) if valid.shape[1] != width else valid
    reach = max(1, round(width * _BORDER))
    inside = share.astype(np.float32)
    sums = _box_mean(_box_mean((inside > WHOLE).astype(np.float32), reach), reach)
    return np.asarray(np.clip(2.0 * sums - 1.0, 0.0, 1.0) * inside)


def _box_mean(image: np.ndarray, reach: int) -> np.ndarray:
    """Mean over (2 reach + 1)^2 pixels, wrapping at the seam, repeating at the poles."""
    size = 2 * reach + 1
    padded = np.pad(np.pad(image, ((0, 0), (reach, reach)), mode="wrap"), ((reach, reach), (0, 0)), mode="edge")
    for axis in (0, 1):
        sums = np.cumsum(padded, axis=axis, dtype=np.float64)
        lead = np.take(sums, np.arange(size - 1, sums.shape[axis]), axis=axis)
        lag = np.take(sums, np.arange(0, sums.shape[axis] - size), axis=axis)
        zero = np.zeros_like(np.take(sums, [0], axis=axis))
        padded = (lead - np.concatenate([zero, lag], axis=axis)) / size
    return padded.astype(np.float32)

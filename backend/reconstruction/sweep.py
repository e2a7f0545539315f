"""Dense range maps of posed panoramas, without a model: sweep, propagate, agree, grow planes.

From coarse to fine: at the coarsest width spheres round each capture are swept and aggregated semi-globally; planes
then propagate at each width, first by their looks alone, then also by agreement with the other captures' maps. Between
widths the range that the captures confirm is fitted by the place's large planes, which grow over plain surfaces and are
offered to propagation as a prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pantheon360_blender.core import equirectangular
from pantheon360_blender.core.cameras import invert
from pantheon360_blender.core.capture import Capture
from pantheon360_blender.core.errors import CaptureError
from pantheon360_blender.core.progress import Job, Progress

from . import planes as surfaces
from .consistency import confirmations
from .cube_map import CubeMap, cube_map
from .depth_map import DepthMap
from .matching import Sources
from .propagation import judge, propagate
from .semiglobal import aggregate, sweep
from .sky import sky_mask

DEFAULT_CONFIDENCE = 0.5
"""Points below this confidence are left out unless asked for."""

_REACH = 0.06
"""Share of the width that a plane grows over a plain surface before it is trusted no more."""

_PATCH_REACH = 4  # pixels from a patch's centre to its side
_STEP = 0.12  # natural log of range within a patch that makes an edge
_OWN_TEXTURE = 5.0  # grey levels a pixel


@dataclass(frozen=True)
class DenseOptions:
    """width: pixels, working size of the finest level. labels: spheres swept at the coarsest.

    nearest, farthest: metres, None takes them from the distances between the captures. sources: captures that each is
    matched against. seed: of the perturbations.
    """

    width: int = 1024
    labels: int = 128
    nearest: float | None = None
    farthest: float | None = None
    sources: int = 4
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _Judgement:
    """What is known of a view's estimate, (H, W) each: see judge() and confirmations(). sure: seen and confirmed."""

    looks: np.ndarray
    distinct: np.ndarray
    agree: np.ndarray
    deny: np.ndarray
    parallax: np.ndarray
    sure: np.ndarray


class _View:
    """One capture at one width, and its estimate."""

    def __init__(self, colour: np.ndarray, valid: np.ndarray, sky: np.ndarray, pose: np.ndarray) -> None:
        self.pose = pose
        self._full = (colour, valid, sky)
        self.planes = np.zeros((0, 0, 3), np.float32)
        self.support = np.zeros((0, 0), np.float32)

    def at(self, width: int) -> None:
        """Go to another width, taking planes along."""
        colour, valid, sky = self._full
        self.colour = equirectangular.resize(colour, width)
        self.valid = equirectangular.resize(valid, width)
        self.sky = equirectangular.resize(sky, width)
        self.grey = (self.colour.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.float32)
        self.active = self.valid & ~self.sky
        self.cube: CubeMap = cube_map(self.grey, self.valid)
        self.rays = equirectangular.directions(width)
        self.costs = np.full(self.active.shape, 2.0, np.float32)
        if self.planes.size:
            scale = width // self.planes.shape[1]
            self.planes = np.ascontiguousarray(self.planes.repeat(scale, axis=0).repeat(scale, axis=1))
            self._keep_in_front()
        self.prior = np.zeros((*self.active.shape, 3), np.float32)

    def _keep_in_front(self) -> None:
        """A plane taken to a neighbouring ray may lie behind it: turn it to face the ray."""
        rho = self.rho()
        behind = rho <= 0
        size = np.linalg.norm(self.planes, axis=-1)
        self.planes[behind] = (self.rays * np.maximum(size, 1e-6)[..., None])[behind]

    def adopt(self, unsure: np.ndarray) -> None:
        """Take the prior where it is trusted and nothing better is known."""
        taken = unsure & (self.support > 0.3)
        self.planes[taken] = self.prior[taken]

    def rho(self) -> np.ndarray:
        """Inverse range of the planes, (H, W) float32."""
        return np.asarray(np.einsum("hwc,hwc->hw", self.planes, self.rays))

    def known_rho(self) -> np.ndarray:
        """Inverse range where this view is active, 0 elsewhere."""
        return np.where(self.active, np.maximum(self.rho(), 0), 0).astype(np.float32)


def dense(captures: Sequence[Capture], options: DenseOptions | None = None) -> Job[list[DepthMap]]:
    """Range and confidence of every capture from all of them; a job.

    captures: at least two, with poses in metres (Blender world), at different places; pixels that their masks leave
    out are neither matched nor estimated. Returns a map for each, in their order, at options.width.
    Raises CaptureError where there are fewer than two captures or all were taken at one place.
    """
    options = options or DenseOptions()
    yield Progress("Preparing captures", 0, len(captures))
    positions = np.array([capture.pose[:3, 3] for capture in captures]).reshape(-1, 3)
    limits = _limits(positions, options)
    views = []
    for index, capture in enumerate(captures):
        views.append(_view(capture, options.width))
        yield Progress("Preparing captures", index + 1, len(captures))
    neighbours = [_neighbours(positions, index, options.sources) for index in range(len(captures))]
    widths = [width for width in (options.width // 4, options.width // 2, options.width) if width >= 64]
    for level, width in enumerate(widths):
        yield from _level(views, neighbours, limits, width, level == 0, options)
    for index, view in enumerate(views):
        yield Progress("Filling plain surfaces", index, len(views))
        view.adopt(_offer_planes(view, _judged(views, neighbours[index], index), options))
    maps = []
    for index, view in enumerate(views):
        yield Progress("Judging confidence", index, len(views))
        maps.append(_finished(view, _judged(views, neighbours[index], index), len(neighbours[index])))
    return maps


def _view(capture: Capture, width: int) -> _View:
    colour = equirectangular.resize(capture.image, width)
    valid = np.ones(colour.shape[:2], np.bool_)
    if capture.valid is not None:
        valid = equirectangular.resize(capture.valid, width)
    return _View(colour, valid, sky_mask(colour) & valid, capture.pose)


def _limits(positions: np.ndarray, options: DenseOptions) -> tuple[float, float]:
    """Least and largest inverse range, 1/m."""
    if len(positions) < 2:
        raise CaptureError(
            "Dense points need at least two captures with poses.",
            advice="Register another capture, or build the cache from a proxy or a depth image.",
        )
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    apart[np.arange(len(positions)), np.arange(len(positions))] = np.inf
    closest = apart.min(axis=1)
    if not np.median(closest) > 0 or not (closest > 1e-6).any():
        raise CaptureError(
            "All captures were taken at one place: nothing moves between them.",
            advice="Solve or enter their poses first.",
        )
    step = float(np.median(closest[closest > 1e-6]))
    nearest = options.nearest if options.nearest is not None else 0.25 * step
    farthest = options.farthest if options.farthest is not None else 200.0 * step
    return 1.0 / farthest, 1.0 / nearest


def _neighbours(positions: np.ndarray, index: int, count: int) -> list[int]:
    apart = np.linalg.norm(positions - positions[index], axis=1)
    apart[index] = np.inf
    order = [int(other) for other in np.argsort(apart) if 1e-6 < apart[other] < np.inf]
    return order[:count]


def _sources(views: list[_View], index: int, others: list[int], geometric: float) -> Sources:
    relative = [invert(views[other].pose) @ views[index].pose for other in others]
    return Sources(
        np.stack([views[other].cube.faces for other in others]),
        np.stack([views[other].cube.valid for other in others]),
        np.ascontiguousarray(np.stack([matrix[:3, :3] for matrix in relative]), np.float32),
        np.ascontiguousarray(np.stack([matrix[:3, 3] for matrix in relative]), np.float32),
        np.stack([views[other].known_rho() if geometric else np.zeros((1, 1), np.float32) for other in others]),
        np.float32(views[index].cube.focal),
        np.float32(geometric),
    )


def _level(
    views: list[_View],
    neighbours: list[list[int]],
    limits: tuple[float, float],
    width: int,
    first: bool,
    options: DenseOptions,
) -> Job[None]:
    for view in views:
        view.at(width)
    phase = f"Matching at {width} x {width // 2}"
    rounds = 3 if first else 2
    total = rounds * len(views)
    if first:
        for index, view in enumerate(views):
            yield Progress("Sweeping", index, len(views))
            _start(view, _sources(views, index, neighbours[index], 0.0), limits, options)
    for number in range(rounds):
        geometric = 0.0 if first and number == 0 else 0.2
        for index, view in enumerate(views):
            yield Progress(phase, number * len(views) + index, total)
            if geometric:
                _offer_planes(view, _judged(views, neighbours[index], index), options)
            sources = _sources(views, index, neighbours[index], geometric)
            iterations = 3 if first else (2 if number == 0 else 1)
            for iteration in range(iterations):
                spread = 0.3 / 2 ** (iteration + 2 * number) / (1 if first else 4)
                propagate(
                    view.cube,
                    view.rays,
                    view.active,
                    sources,
                    limits,
                    view.planes,
                    view.costs,
                    view.prior,
                    stride=2.0,
                    spread=spread,
                    seed=options.seed + 100 * number + iteration + width,
                    fresh=iteration == 0,
                )
                yield Progress(phase, number * len(views) + index, total)


def _start(view: _View, sources: Sources, limits: tuple[float, float], options: DenseOptions) -> None:
    spheres = np.linspace(limits[0], limits[1], options.labels).astype(np.float32)
    costs = sweep(view.cube, view.rays, view.active, sources, spheres, 2.0)
    label, _ = aggregate(costs, view.grey)
    rho = np.interp(label, np.arange(options.labels), spheres).astype(np.float32)
    view.planes = np.ascontiguousarray(view.rays * rho[..., None])


def _confirmed(
    views: list[_View], others: list[int], index: int, pixels: float, relative: float
) -> tuple[np.ndarray, ...]:
    view = views[index]
    relative_poses = [invert(views[other].pose) @ view.pose for other in others]
    return confirmations(
        view.known_rho(),
        view.rays,
        np.stack([views[other].known_rho() for other in others]),
        np.ascontiguousarray(np.stack([matrix[:3, :3] for matrix in relative_poses])),
        np.ascontiguousarray(np.stack([matrix[:3, 3] for matrix in relative_poses])),
        float(view.cube.focal),
        pixels,
        relative,
    )


def _judged(views: list[_View], others: list[int], index: int) -> _Judgement:
    view = views[index]
    looks, distinct = judge(
        view.cube, view.rays, view.active, _sources(views, index, others, 0.0), view.planes, stride=2.0, share=0.08
    )
    agree, deny, parallax = _confirmed(views, others, index, 2.0, 0.05)
    distinct = np.where(_borrowed(view), 0, distinct)
    sure = (agree >= min(2, len(others))) & (distinct > 0.12) & (looks < 0.5)
    return _Judgement(looks, distinct, agree, deny, parallax, sure)


def _borrowed(view: _View) -> np.ndarray:
    """Plain pixels beside a step in range, (H, W) bool: what their patches match is the edge, not they themselves."""
    logs = np.log(np.maximum(view.known_rho(), 1e-6))
    size = (2 * _PATCH_REACH + 1, 2 * _PATCH_REACH + 1)
    step = ndimage.maximum_filter(logs, size, mode="wrap") - ndimage.minimum_filter(logs, size, mode="wrap")
    return np.asarray((step > _STEP) & (surfaces.slopes(view.colour, 0.7) < _OWN_TEXTURE))


def _offer_planes(view: _View, judged: _Judgement, options: DenseOptions) -> np.ndarray:
    """Set the prior of a view, and how far it is to be trusted, from the planes of what others confirm.

    Returns where the looks do not tell the range, (H, W) bool.
    """
    rho = view.known_rho()
    planes, labels = surfaces.dominant_planes(rho, judged.sure, view.rays, options.seed)
    view.prior[:] = 0
    view.support = np.zeros(rho.shape, np.float32)
    if len(planes):
        other_surface = judged.sure & (labels < 0)
        grown, cost = surfaces.grow(planes, labels, ~view.active | other_surface, view.colour, view.rays)
        reach = view.active.shape[1] * _REACH
        grown = np.where(view.active & (cost < reach), grown, -1).astype(np.int32)
        view.prior[...] = surfaces.with_planes(planes, grown)
        view.support = np.where(grown >= 0, 0.6 * np.clip(1 - cost / reach, 0, 1), 0).astype(np.float32)
    regions, count = surfaces.plain_regions(view.colour, view.active)
    plane, support = surfaces.region_planes(rho, judged.sure, view.rays, regions, count, options.seed)
    better = (support > 0.5) & ~judged.sure
    view.prior[better] = plane[better]
    view.support[better] = support[better]
    return np.asarray(~judged.sure)


def _finished(view: _View, judged: _Judgement, sources: int) -> DepthMap:
    rho = view.known_rho()
    seen = np.clip((0.8 - judged.looks) / 0.5, 0, 1) * np.clip(judged.distinct / 0.2, 0, 1)
    expected = np.einsum("hwc,hwc->hw", view.prior, view.rays)
    on_plane = (expected > 0) & (np.abs(expected - rho) < 0.02 * expected)
    grown = np.where(on_plane, view.support, 0)
    few = 0.8 if sources == 1 else 0.5
    own = np.select([judged.agree >= 2, judged.agree == 1], [1.0, few], 0.2)
    confidence = np.maximum(own * seen, own * 0.9 * grown**2) * np.where(judged.deny > judged.agree, 0.4, 1.0)
    confidence = np.where(view.active & (rho > 0), confidence, 0).astype(np.float32)
    distance = np.where(rho > 0, 1 / np.maximum(rho, 1e-9), np.inf).astype(np.float32)
    return DepthMap(distance, confidence, view.sky)

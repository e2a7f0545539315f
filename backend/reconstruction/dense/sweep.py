"""Dense range maps of posed panoramas, without a model: sweep, propagate, agree, label.

At the coarsest width spheres round each capture are swept and aggregated semi-globally. Planes then propagate at each
width, first by photometric cost alone, then also by agreement with the other captures' maps. After each width the large
planes of the place compete for its pixels. Those that win are the next width's prior, and fill plain surfaces at last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import set_parallel_chunksize
from scipy import ndimage

from pantheon360_blender.core.errors import CaptureError
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.progress import Job, Progress

from ..depth_map import DepthMap
from ..edges import gradient_magnitude
from ..kept import KeptSteps
from ..sky import sky_mask
from . import steps
from .consistency import confirmations
from .matching import Sources
from .place import PlaneSet, label
from .propagation import evaluate, propagate
from .semiglobal import aggregate, sweep
from .steps import Step
from .surfaces import Surfaces, is_far, proven
from .view import DenseView, relative_poses, sources, taken

_ROWS = 8  # that a thread takes at a time: halves of a panorama, one of them sky, would keep it waiting for another
_SEEN = 128  # width from which on an estimate is worth a look: at 64 next to nothing is sure
_ENOUGH = 2  # panoramas that agree
_DISTINCT, _ALIKE = (
    0.12,
    0.5,
)  # photometric cost that other ranges add, and that a reliable one has, at the least and most
_EVEN = 0.25  # margin of labelling at which the confidence is one half; measured on rendered scenes
_RELIABLE = 0.2  # margin that a pixel has by the pictures alone where these tell its range and others confirm it
_PATCH_REACH = 4  # pixels from a patch's centre to its side
_STEP = 0.12  # natural log of range within a patch that makes an edge
_NEAREST, _NEAREST_SHARE, _FARTHEST_SHARE = 0.8, 0.25, 200.0  # metres, and of the distance between captures
_EVEN_SPAN = _FARTHEST_SHARE / _NEAREST_SHARE  # the most that spheres of even inverse ranges span
_NEAR_RATIO = 1.05  # between nearer spheres
_ONE_PLACE = 1e-6  # metres: captures of one tripod tell each other no range
_OWN_TEXTURE = 5.0  # grey levels a pixel


@dataclass(frozen=True)
class DenseOptions:
    """width: of the finest level, pixels. labels: spheres swept at the coarsest level.

    nearest, farthest: metres, None takes them from the distances between captures. sources: captures that each one is
    matched against. seed: of all random choices.
    """

    width: int = 1024
    labels: int = 128
    nearest: float | None = None
    farthest: float | None = None
    sources: int = 4
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _Evaluation:
    """What is known of a view's estimate, (H, W) each, from evaluate() and confirmations().

    reliable: the pictures tell the range and other views confirm it.
    """

    photometric_cost: np.ndarray
    agree: np.ndarray
    deny: np.ndarray
    reliable: np.ndarray


@dataclass(frozen=True, eq=False)
class Estimate:
    """The captures' views at their full width, estimated, and for each the others that it is matched against.

    surfaces: what is proven of those whose others stand far off, None of the rest.
    """

    views: list[DenseView]
    neighbours: list[list[int]]
    surfaces: list[Surfaces | None]

    def depth_map(self, index: int) -> DepthMap:
        """Range and confidence of one capture, judged by the others."""
        view, others = self.views[index], self.neighbours[index]
        evaluation = _evaluated(self.views, others, index)
        found = _finished(view, evaluation, len(others))
        surfaces = self.surfaces[index]
        if surfaces is None:
            return found
        return _with_surfaces(found, view, surfaces, evaluation.agree >= _ENOUGH)


def dense(captures: Sequence[Capture], options: DenseOptions | None = None) -> Job[list[DepthMap]]:
    """A map for each capture, in their order: the maps of `estimate`. Raises as it does."""
    found = yield from estimate(captures, options or DenseOptions())
    maps = []
    for index in range(len(captures)):
        yield Progress("Judging confidence", index, len(captures))
        maps.append(found.depth_map(index))
    return maps


Look = Callable[[Estimate], Job[None]]
"""Shows an estimate that is not at its full width yet, which it leaves as it is."""


def estimate(
    captures: Sequence[Capture], options: DenseOptions, kept: KeptSteps | None = None, look: Look | None = None
) -> Job[Estimate]:
    """Estimate what every capture sees, from all of them.

    captures: two or more at different places, with poses in metres (Blender world). Masked pixels are neither matched
    nor estimated. kept: where each step is kept, and gone on from; None keeps nothing. look: called with what is known
    at each width from 128 on but the last.
    Returns what has a map for each capture, at options.width.
    Raises CaptureError if there are fewer than two captures or all were taken at one place; FileError.
    """
    set_parallel_chunksize(_ROWS)
    yield Progress("Preparing range maps", 0, len(captures))
    positions = np.array([capture.pose[:3, 3] for capture in captures]).reshape(-1, 3)
    limits = _limits(positions, options)
    views = []
    for index, capture in enumerate(captures):
        views.append(_view(capture, options.width))
        yield Progress("Preparing range maps", index + 1, len(captures))
    neighbours = [_neighbours(positions, index, options.sources) for index in range(len(captures))]
    plane_set, plan = PlaneSet(options.seed), steps.plan(len(captures), options.width)
    first = 0 if kept is None else steps.take_up(kept, plan, views, plane_set)
    for number, step in enumerate(plan[first:], first):
        if number == first or step.width != plan[number - 1].width:
            _go_to(views, step.width)
        if step.view is None:
            yield from _label(plane_set, views, neighbours, min(step.width, options.width // 2), step)
        else:
            yield from _improve(step, views, neighbours[step.view], limits, options)
        if kept is not None:
            steps.keep(kept, plan, number, views, plane_set)
        if look is not None and step.view is None and _SEEN <= step.width < options.width:
            yield from look(_so_far(views, neighbours))
    if first == len(plan):
        _go_to(views, options.width)
    for view in views:
        view.adopt()
    surfaces: list[Surfaces | None] = [None] * len(views)
    far = [is_far(views, index, others) for index, others in enumerate(neighbours)]
    if any(far):
        every = yield from proven(views, neighbours)
        surfaces = [each if wide else None for each, wide in zip(every, far, strict=True)]
    return Estimate(views, neighbours, surfaces)


def _so_far(views: list[DenseView], neighbours: list[list[int]]) -> Estimate:
    """The views as they are, finished as if theirs were the full width."""
    width = views[0].active.shape[1]
    copies = [view.smaller(width) for view in views]
    for copy in copies:
        copy.adopt()
    return Estimate(copies, neighbours, [None] * len(copies))


def _go_to(views: list[DenseView], width: int) -> None:
    for view in views:
        view.at(width)


def _label(
    plane_set: PlaneSet, views: list[DenseView], neighbours: list[list[int]], width: int, step: Step
) -> Job[None]:
    """Label the views with the planes of the place, at `width` or at their own if that is smaller."""
    yield step.labelling(0)
    for index, view in enumerate(views):
        evaluation = _evaluated(views, neighbours[index], index)
        view.reliable, view.photometric_cost = evaluation.reliable, evaluation.photometric_cost
    full = views[0].active.shape[1]
    smaller = views if full == width else [view.smaller(width) for view in views]
    for number in label(plane_set, smaller, neighbours, step.rounds):
        yield step.labelling(number + 1)
    for view, small in zip(views, smaller, strict=True):
        view.prior, view.trust = taken(small.prior, full), taken(small.trust, full)


def _view(capture: Capture, width: int) -> DenseView:
    colour = equirectangular.resize(capture.image, width)
    valid = np.ones(colour.shape[:2], np.bool_)
    if capture.valid is not None:
        valid = equirectangular.resize(capture.valid, width)
    return DenseView(colour, valid, sky_mask(colour) & valid, capture.pose)


def _limits(positions: np.ndarray, options: DenseOptions) -> tuple[float, float]:
    """Least and largest inverse range, 1/m."""
    if len(positions) < 2:
        raise CaptureError(
            "Dense points need at least two captures with poses.",
            advice="Register another capture, or build the cache from a proxy or a depth image.",
        )
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    apart[apart <= _ONE_PLACE] = np.inf
    closest = apart.min(axis=1)
    if not np.isfinite(closest).any():
        raise CaptureError(
            "All captures were taken at one place: nothing moves between them.",
            advice="Solve or enter their poses first.",
        )
    step = float(np.median(closest[np.isfinite(closest)]))
    nearest = options.nearest if options.nearest is not None else min(_NEAREST_SHARE * step, _NEAREST)
    farthest = options.farthest if options.farthest is not None else _FARTHEST_SHARE * step
    return 1.0 / farthest, 1.0 / nearest


def _neighbours(positions: np.ndarray, index: int, count: int) -> list[int]:
    apart = np.linalg.norm(positions - positions[index], axis=1)
    apart[index] = np.inf
    order = [int(other) for other in np.argsort(apart) if _ONE_PLACE < apart[other] < np.inf]
    return order[:count]


def _improve(
    step: Step, views: list[DenseView], others: list[int], limits: tuple[float, float], options: DenseOptions
) -> Job[None]:
    """Sweep a view, or let its planes spread."""
    assert step.view is not None
    told = step.progress(len(views))
    yield told
    view = views[step.view]
    if step.number < 0:
        return _start(view, sources(views, step.view, others), limits, options)
    geometric = 0.0 if step.first and step.number == 0 else 0.2
    against = sources(views, step.view, others, geometric=geometric)
    prior = view.preferred()
    iterations = 3 if step.first else (2 if step.number == 0 else 1)
    for iteration in range(iterations):
        spread = 0.3 / 2 ** (iteration + 2 * step.number) / (1 if step.first else 4)
        propagate(
            view.cube,
            view.rays,
            view.active,
            against,
            limits,
            view.planes,
            view.costs,
            prior,
            stride=2.0,
            spread=spread,
            seed=options.seed + 100 * step.number + iteration + step.width,
            fresh=iteration == 0,
        )
        yield told


def _start(view: DenseView, against: Sources, limits: tuple[float, float], options: DenseOptions) -> None:
    spheres = _spheres(limits, options.labels)
    costs = sweep(view.cube, view.rays, view.active, against, spheres, 2.0)
    label, _ = aggregate(costs, view.grey)
    rho = np.interp(label, np.arange(len(spheres)), spheres).astype(np.float32)
    view.planes = np.ascontiguousarray(view.rays * rho[..., None])


def _spheres(limits: tuple[float, float], labels: int) -> np.ndarray:
    """Inverse ranges, (D,) float32: even ones, as pictures move by them; nearer, where they move less, even ratios."""
    even = min(limits[1], _EVEN_SPAN * limits[0])
    near = np.geomspace(even, limits[1], 1 + math.ceil(math.log(limits[1] / even) / math.log(_NEAR_RATIO)))[1:]
    return np.concatenate([np.linspace(limits[0], even, labels), near]).astype(np.float32)


def _with_surfaces(found: DepthMap, view: DenseView, surfaces: Surfaces, confirmed: np.ndarray) -> DepthMap:
    """The map with the ranges of surfaces where these are surer.

    confirmed: (H, W) bool, where enough others say the same as a pixel; elsewhere what it says has to be proven.
    """
    rho = np.einsum("hwc,hwc->hw", surfaces.planes, view.rays)
    confidence = np.where(confirmed, 1, surfaces.own) * found.confidence
    better = view.active & (rho > 0) & (surfaces.confidence > confidence)
    ranges = np.where(better, 1 / np.maximum(rho, 1e-9), found.range).astype(np.float32)
    proved = np.where(better, surfaces.confidence, confidence).astype(np.float32)
    return DepthMap(ranges, proved, found.sky, np.where(better, proved, found.confidence).astype(np.float32))


def _evaluated(views: list[DenseView], others: list[int], index: int) -> _Evaluation:
    view = views[index]
    photometric_cost, distinct = evaluate(
        view.cube, view.rays, view.active, sources(views, index, others), view.planes, stride=2.0, share=0.08
    )
    ranges = np.stack([views[other].known_rho() for other in others])
    other_from_view = relative_poses(views, index, others)
    focal = float(view.cube.focal)
    agree, deny = confirmations(view.known_rho(), view.rays, ranges, *other_from_view, focal, 2.0, 0.05)
    distinct = np.where(_borrowed(view), 0, distinct)
    reliable = (agree >= min(_ENOUGH, len(others))) & (distinct > _DISTINCT) & (photometric_cost < _ALIKE)
    return _Evaluation(photometric_cost, agree, deny, reliable)


def _borrowed(view: DenseView) -> np.ndarray:
    """Plain pixels beside a step in range, (H, W) bool: their patches match by the edge, not by the pixel."""
    logs = np.log(np.maximum(view.known_rho(), 1e-6))
    size = (2 * _PATCH_REACH + 1, 2 * _PATCH_REACH + 1)
    step = ndimage.maximum_filter(logs, size, mode="wrap") - ndimage.minimum_filter(logs, size, mode="wrap")
    return np.asarray((step > _STEP) & (gradient_magnitude(view.colour, 0.7) < _OWN_TEXTURE))


def _finished(view: DenseView, evaluation: _Evaluation, sources: int) -> DepthMap:
    """Range, and the margin of the label as confidence, which falls with every panorama that does not agree."""
    rho = view.known_rho()
    enough = min(_ENOUGH, sources)
    weight = np.select([evaluation.agree >= enough, evaluation.agree > 0, evaluation.deny == 0], [1.0, 0.4, 0.15], 0.05)
    margin = weight * np.where(view.as_labelled(), view.trust, 0) + np.where(evaluation.reliable, _RELIABLE, 0)
    confidence = np.where(view.active & (rho > 0), margin / (margin + _EVEN), 0).astype(np.float32)
    distance = np.where(rho > 0, 1 / np.maximum(rho, 1e-9), np.inf).astype(np.float32)
    return DepthMap(distance, confidence, view.sky)

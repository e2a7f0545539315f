"""The large surfaces of a place, of which plain things take their range: proposed, labelled, proposed again.

What was seen proposes planes; labelling gives plain walls to them; where a labelled surface then ends at an edge of
colour something else begins, and these edges propose further planes: the foot of a wall on the floor proposes the wall,
the tops of the walls propose the ceiling.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from scipy import ndimage

from ..edges import edge_maxima, row_widths
from .labelling import EXCLUDED, data_costs, solve_labels
from .plane_hypotheses import (
    Evidence,
    distinct,
    fitted,
    into_camera,
    into_world,
    level,
    level_planes,
    merged,
    seen_by,
    upright,
    upright_planes,
)
from .planes import dominant_planes
from .view import DenseView, sources, taken

_LARGEST_COUNT = 10  # planes that each view proposes
_LEVEL_COUNT, _UPRIGHT_COUNT = 8, 12  # planes proposed in a round
_SMALLEST_SHARE = 0.001  # of the sphere that a plane is kept for
_SURE_OWN, _UNSURE_OWN = -0.5, 0.4
_EDGE = 3.0  # grey levels a pixel
_HIGHEST = 0.3  # cosine of the latitude from which on pixels are too narrow to tell an edge
_CERTAIN = 0.2  # margin
_SMALL = 256  # pixels, width
_NEARBY = 4  # pixels of the small width
_MEMORY = 2 << 30  # bytes for the views that are labelled at once; one always is
_MOST = 160  # planes that compete in one view, the nearest: more than a few captures propose
_FEW = 5  # views, of a capture and those that it is matched against, of which the mean share counts
_BYTES = 48  # of a label at a pixel: costs, depths, messages
_KEPT = 1 << 30  # bytes for costs that are kept from round to round


@dataclass(eq=False)
class PlaneSet:
    """The planes of a place.

    seed: of the random trials. planes: (P, 4) in the world, see `plane_hypotheses`. edges: edges of colour on what was
    labelled last, None before.
    """

    seed: int
    planes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    edges: Evidence | None = None


@dataclass(frozen=True, eq=False)
class _Labelled:
    """chosen: (H, W), index of a plane, or P for a pixel's own. rho, margin: (H, W). planes: (P, 3), in the camera."""

    chosen: np.ndarray
    rho: np.ndarray
    margin: np.ndarray
    planes: np.ndarray


@dataclass(eq=False)
class _KnownCosts:
    """What planes cost in one view, from round to round. planes: (N, 4) in the world. costs: (H, W, N) float32."""

    planes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    costs: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))

    def of(self, planes: np.ndarray, price: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Costs (H, W, P) of planes (P, 4), which are known afterwards; `price` gives those of planes that are not."""
        row = _row_of(planes, self.planes)
        new = row < 0
        priced = price(planes[new])
        costs = priced
        if not new.all():
            costs = np.empty((*priced.shape[:2], len(planes)), np.float32)
            costs[..., new] = priced
            costs[..., ~new] = self.costs[..., row[~new]]
        self.planes, self.costs = planes, costs
        return costs


def label(
    plane_set: PlaneSet, views: Sequence[DenseView], neighbours: Sequence[Sequence[int]], rounds: int
) -> Iterator[int]:
    """Set the prior and the trust of every view, and improve the planes. Yields each round's number, from 0.

    views: all of one width, with photometric_cost and reliable set. neighbours: for each view, those that it is matched
    against. rounds: at least one.
    Planes are proposed and tried at a small width. At the views' own width only those compete that won nearby.
    """
    random = np.random.default_rng(plane_set.seed)
    width = views[0].active.shape[1]
    small = list(views) if width <= _SMALL else [view.smaller(_SMALL) for view in views]
    positions = np.array([view.pose[:3, 3] for view in views])
    for view in views:
        planes = dominant_planes(
            view.known_rho(), view.reliable & view.active, view.rays, _LARGEST_COUNT, plane_set.seed
        )
        plane_set.planes = merged(into_world(planes, view.pose), plane_set.planes, positions)
    reliable = evidence(views, [view.reliable & view.active for view in views], [view.known_rho() for view in views])
    fitting = reliable.one_a_cell(random)
    seen = [reliable] if plane_set.edges is None else [reliable, plane_set.edges]
    fits = 4 * small[0].active.size * _MOST * len(views) < _KEPT
    known, at_rest = [_KnownCosts() for _ in views] if fits else [], plane_set.planes[:0]
    for number in range(rounds):
        for part in seen:
            _propose(plane_set, part, positions, random, edges=part is not reliable)
        moving = _row_of(plane_set.planes, at_rest) < 0
        plane_set.planes[moving] = fitted(plane_set.planes[moving], fitting)
        at_rest = plane_set.planes
        labelled = _labelled(plane_set, small, neighbours, None, known)
        seen = [_edges(small, labelled)]
        shares = _shares(plane_set, small, labelled)
        used = shares > _SMALLEST_SHARE
        plane_set.planes = plane_set.planes[used]
        yield number
    plane_set.planes = distinct(plane_set.planes, shares[used], positions)
    labelled = _labelled(plane_set, small, neighbours, None, known)
    if width > _SMALL:
        coarse = labelled
        labelled = _labelled(plane_set, views, neighbours, coarse)
        for each, rough in zip(labelled, coarse, strict=True):
            np.minimum(each.margin, taken(rough.margin, width), out=each.margin)  # against all the planes
    plane_set.edges = _edges(views, labelled)
    for view, each in zip(views, labelled, strict=True):
        padded = np.concatenate([each.planes, np.zeros((1, 3), np.float32)])  # a pixel's own has no plane
        view.prior = np.ascontiguousarray(padded[each.chosen])
        view.trust = np.where(view.active, each.margin, 0).astype(np.float32)


def _nearby(labelled: _Labelled, numbers: np.ndarray, width: int) -> np.ndarray:
    """Which of the planes of these numbers (N,) won within some pixels of each, (width / 2, width, N) bool."""
    near = np.zeros((*labelled.chosen.shape, len(numbers)), np.bool_)
    for index, number in enumerate(numbers):
        won = labelled.chosen == number
        near[..., index] = ndimage.maximum_filter(won, 2 * _NEARBY + 1, mode=("nearest", "wrap"))
    return taken(near, width)


def _propose(
    plane_set: PlaneSet, seen: Evidence, positions: np.ndarray, random: np.random.Generator, *, edges: bool
) -> None:
    """Add planes that would explain what is seen. An edge on a floor may be the foot of a wall, its texture is not."""
    left = seen.off(plane_set.planes[level(plane_set.planes)])
    plane_set.planes = merged(plane_set.planes, level_planes(left, _LEVEL_COUNT, random), positions)
    explained = upright(plane_set.planes) | (level(plane_set.planes) & (not edges))
    few = seen.one_a_cell(random).off(plane_set.planes[explained])
    plane_set.planes = merged(plane_set.planes, upright_planes(few, _UPRIGHT_COUNT, random), positions)


def _labelled(
    plane_set: PlaneSet,
    views: Sequence[DenseView],
    neighbours: Sequence[Sequence[int]],
    coarse: Sequence[_Labelled] | None,
    known: Sequence[_KnownCosts] = (),
) -> list[_Labelled]:
    """coarse: of a smaller width; only planes that won nearby there compete. None: all do.

    known: of the views; empty if nothing is to be kept.
    """
    seen = [np.where(view.reliable, view.known_rho(), 0).astype(np.float32) for view in views]
    size = _BYTES * views[0].active.size * (min(len(plane_set.planes), _MOST) + 1)
    workers = int(np.clip(_MEMORY // size, 1, os.cpu_count() or 1))
    solved: list[Future[_Labelled]] = []
    with ThreadPoolExecutor(workers) as pool:
        for index, view in enumerate(views):
            near = _nearest(plane_set.planes, view.pose[:3, 3])
            competing = plane_set.planes[near]
            price = partial(_costs, views, index, neighbours[index], seen)
            if coarse is None:
                costs = (known[index] if known else _KnownCosts()).of(competing, price)
            else:
                costs = price(competing, _nearby(coarse[index], near, view.active.shape[1]))
            if index >= workers:
                solved[index - workers].result()
            planes = into_camera(plane_set.planes, view.pose)
            solved.append(pool.submit(_solved, view, planes, near, costs, coarse is None))
    return [each.result() for each in solved]


def _costs(
    views: Sequence[DenseView],
    index: int,
    others: Sequence[int],
    seen: Sequence[np.ndarray],
    planes: np.ndarray,
    allowed: np.ndarray | None = None,
) -> np.ndarray:
    """What planes (P, 4) cost in one view, (H, W, P), told by the `others`, which surely see inverse ranges `seen`.

    allowed: (H, W, P) bool, where a plane competes; None for everywhere.
    """
    view = views[index]
    return np.asarray(
        data_costs(
            view.cube.faces.ravel(),
            view.rays,
            view.active,
            sources(views, index, others, plain=1.0),
            np.stack([seen[other] for other in others]),
            into_camera(planes, view.pose),
            np.ones((*view.active.shape, len(planes)), np.bool_) if allowed is None else allowed,
            2.0,
        )
    )


def _row_of(planes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which row of `known` (N, 4) each of the planes (P, 4) is, to the last bit; -1 for none."""
    same = (planes[:, None] == known[None]).all(axis=-1)
    return np.where(same.any(axis=1), same.argmax(axis=1) if len(known) else 0, -1)


def _nearest(planes: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Which planes (P, 4) compete in a view at `position`: beyond so many nearer ones none matters."""
    distance = np.abs(planes[:, :3] @ position - planes[:, 3])
    return np.sort(np.argsort(distance, kind="stable")[:_MOST])


def _solved(view: DenseView, planes: np.ndarray, near: np.ndarray, costs: np.ndarray, all_compete: bool) -> _Labelled:
    """One view's labels: of planes (P, 3) those of the numbers `near` (N,), at costs (H, W, N), or a pixel's own
    estimate.

    all_compete: False where `costs` exclude planes that might win.
    """
    own = np.where(view.reliable, _SURE_OWN, 0.5 * np.minimum(view.photometric_cost, 1) + _UNSURE_OWN)[..., None]
    rho = np.concatenate([view.rays @ planes[near].T, view.rho()[..., None]], axis=-1).astype(np.float32, copy=False)
    chosen, margin = solve_labels(
        np.concatenate([costs, own.astype(np.float32)], axis=-1), rho, view.colour, active=view.active
    )
    if all_compete:
        alone = (costs >= EXCLUDED).all(axis=-1)  # no plane is there: an estimate is as good as its looks
        margin = np.where(alone, np.maximum(_UNSURE_OWN - own[..., 0], 0), margin)
    picked = np.take_along_axis(rho, chosen[..., None], axis=-1)[..., 0]
    chosen = np.append(near, len(planes)).astype(np.int32)[chosen]
    return _Labelled(chosen, np.where(view.active, np.maximum(picked, 0), 0), margin, planes)


def _shares(plane_set: PlaneSet, views: Sequence[DenseView], labelled: Sequence[_Labelled]) -> np.ndarray:
    """Share of the sphere that took each plane, (P,), mean of the few views that took most of it."""
    used = np.zeros((len(views), len(plane_set.planes) + 1))
    for row, view, each in zip(used, views, labelled, strict=True):
        area = np.broadcast_to(row_widths(len(each.rho))[:, None], each.rho.shape)
        row += np.bincount(each.chosen.ravel(), (area * view.active / area.sum()).ravel(), len(row))
    return np.asarray(np.sort(used[:, :-1], axis=0)[-_FEW:].mean(axis=0))


def evidence(views: Sequence[DenseView], masks: Sequence[np.ndarray], rhos: Sequence[np.ndarray]) -> Evidence:
    """What views see where `masks` (H, W) bool are set, at inverse ranges `rhos` (H, W)."""
    return seen_by([view.pose for view in views], views[0].rays, masks, rhos)


def _edges(views: Sequence[DenseView], labelled: Sequence[_Labelled]) -> Evidence:
    """Edges of colour on what was labelled."""
    masks = []
    for view, each in zip(views, labelled, strict=True):
        slope = edge_maxima(view.colour, 0.7)
        wide = row_widths(len(slope))[:, None] > _HIGHEST
        certain = (each.margin > _CERTAIN) & (each.chosen < len(each.planes))
        masks.append((slope > _EDGE) & wide & certain & view.active)
    return evidence(views, masks, [each.rho for each in labelled])

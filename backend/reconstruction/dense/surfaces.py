"""Which surfaces of a place captures far apart prove, and how surely: whole regions are judged, not pixels.

From ten metres on a single pixel proves nothing: what it shows is seen too differently, and something else somewhere
along its ray looks as much alike. A plane that carries one picture into the other over a whole region, with all the
texture in it, is no accident. So the place's planes compete for the pixels once more, compared at the scale of the
capture that sees less, and with them the pixel's own estimate and "nothing is known", which wins where nothing is told.
Of each region that a plane has won it is then asked how much texture agrees, whether the plane farther or nearer would
do as well, and whether the others see the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.progress import Job, Progress

from ..edges import row_widths
from .labelling import EXCLUDED, solve_labels
from .level_sweep import level_planes_swept
from .plane_hypotheses import into_camera, into_world, level, merged, upright
from .view import DenseView, relative_poses, taken
from .warps import WINDOW, Pyramid, likeness, pyramid

_WIDTH = 512  # pixels, at which regions are judged
_MOST = 24  # planes that compete
_SMALLEST = 0.003  # share of a view that a plane is tried for
_ANGLE, _OFFSET = float(np.cos(np.radians(4.0))), 0.04  # within which planes are the same
_GRAZING = 0.03
_TEXTURED = 3.0  # grey levels of deviation at which a window tells half
_NEUTRAL, _UNKNOWN = 0.5, 0.42  # costs: of what tells nothing, and of knowing nothing
_OWN, _UNPROVEN = 0.12, 0.35  # what a pixel's own estimate costs more, and if its parallax is large
_IN_THE_SKY = 0.5  # what a plane costs where another capture sees the sky
_TILTED = 0.08  # what a plane costs that is neither level nor upright
_WON, _BY = 0.3, 0.1  # cost of a pixel that speaks for a plane, and what others cost more there
_FEWEST = 0.004  # share of the sphere that speaks for a plane, at the least
_SAME = 0.06  # natural log of range within which two say the same
_STEPS = (0.16, 0.22, 0.29, 0.36, 0.44, 0.52, 0.6)  # natural log of distance, of planes that have to be worse
_RIVALS = tuple(float(np.exp(sign * step)) for sign in (-1, 1) for step in _STEPS)
_SEEN = 0.2  # share of what a region tells that has to be seen of a rival
_AGREEING = 0.6  # correlation of a window that agrees
_CELLS = 32  # of the width, in which what is not on planes is judged
_WINDOWS, _GAP, _SHARE = 25.0, 0.03, 0.5  # prove a region: windows that agree, correlation, share of others' pixels
_EVEN = 0.25  # margin of the labels at which confidence is one half
_FAR = 3.0  # metres
_SOURCES = 2  # others, the nearest, that planes are compared with
_PARALLAX = 30.0  # degrees between two captures' rays, from which on one pixel's match proves less; 15 on, nothing


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What is proven of a view.

    planes: (H, W, 3), 0 where none has won. confidence: (H, W) float32 of these, 0 to 1. own: (H, W) float32, 0 to 1,
    how far the pixel's own estimate is to be believed: not at all where it has not won.
    """

    planes: np.ndarray
    confidence: np.ndarray
    own: np.ndarray


@dataclass(frozen=True, eq=False)
class _Scene:
    """views at the width at which they are judged; neighbours, see `proven`. planes: (P, 4) in the world."""

    views: list[DenseView]
    pyramids: list[Pyramid]
    neighbours: Sequence[Sequence[int]]
    planes: np.ndarray

    def like(self, index: int, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Correlation (NaN if none sees it) and texture of planes (3,) or (H, W, 3): of the two captures that fit best,
        the mean."""
        others = self.neighbours[index]
        rotations, offsets = relative_poses(self.views, index, others)
        found = [
            likeness(self.pyramids[index], self.pyramids[other], self.views[index].active, planes, rotation, offset)
            for other, rotation, offset in zip(others, rotations, offsets, strict=True)
        ]
        texture = np.max([each.texture for each in found], axis=0)
        if len(found) == 1:
            return found[0].correlation, texture
        seen = np.sort(np.nan_to_num(np.stack([each.correlation for each in found]), nan=-2.0), axis=0)
        first, second = seen[-1], seen[-2]
        return np.where(first < -1, np.nan, np.where(second < -1, first, (first + second) / 2)), texture

    def half(self) -> _Scene:
        """The same at half the width, where a plane may be twice as far off and is still alike."""
        small = [view.smaller(view.active.shape[1] // 2) for view in self.views]
        return replace(self, views=small, pyramids=[pyramid(view.grey, view.valid) for view in small])

    def in_camera(self, index: int) -> np.ndarray:
        """The planes (P, 3) float32, X . m = 1, in a view's frame."""
        return into_camera(self.planes, self.views[index].pose)

    def compared(self, index: int, planes: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """`like` of several planes."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda plane: self.like(index, plane), planes))

    def costs(self, index: int) -> np.ndarray:
        """Of each plane at each pixel of a view, (H, W, P) float32."""
        view, camera = self.views[index], self.in_camera(index)
        straight = level(self.planes) | upright(self.planes)
        skies = [ndimage.minimum_filter(each.sky, 3, mode=("nearest", "wrap")) for each in self.views]
        out = np.empty((*view.active.shape, len(camera)), np.float32)
        for number, each in enumerate(self.compared(index, list(camera))):
            rho = view.rays @ camera[number]
            cost = _cost(*each) + (0 if straight[number] else _TILTED)
            for other in self.neighbours[index]:
                row, column, _ = _projected(view, self.views[other], rho)
                cost += np.where(skies[other][row, column], _IN_THE_SKY, 0)
            out[..., number] = np.where(rho > _GRAZING * np.linalg.norm(camera[number]), cost, EXCLUDED)
        return out

    def votes(self, costs: Sequence[np.ndarray]) -> np.ndarray:
        """Share of the sphere that speaks for each plane alone, (P,), the sum of all views."""
        votes = np.zeros(len(self.planes))
        for index, (view, cost) in enumerate(zip(self.views, costs, strict=True)):
            if not len(votes):
                break
            logs = np.log(np.maximum(view.rays @ self.in_camera(index).T, 1e-6))
            first = cost.argmin(axis=-1)
            apart = np.abs(logs - np.take_along_axis(logs, first[..., None], -1)) > _SAME
            second, least = np.where(apart, cost, EXCLUDED).min(axis=-1), cost.min(axis=-1)
            won = view.active & (least < _WON) & (second - least > _BY)
            area = _areas(won)
            votes += np.bincount(first[won], area[won], len(votes)) / area.sum()
        return votes


@dataclass(frozen=True, eq=False)
class _Labels:
    """chosen: (H, W) index of a plane, P for the pixel's own, P + 1 for nothing. rho, margin: (H, W)."""

    chosen: np.ndarray
    rho: np.ndarray
    margin: np.ndarray


def proven(views: Sequence[DenseView], neighbours: Sequence[Sequence[int]]) -> Job[list[Surfaces]]:
    """The surfaces of each view.

    views: of one width, estimated and labelled. neighbours: for each view, those that it is matched against, from the
    nearest on.
    """
    width = views[0].active.shape[1]
    small = [view if width <= _WIDTH else view.smaller(_WIDTH) for view in views]
    neighbours = [others[:_SOURCES] for others in neighbours]
    world = np.zeros((0, 4))
    positions = np.array([view.pose[:3, 3] for view in views])
    for index, found in enumerate(level_planes_swept(small, neighbours)):
        world = merged(world, found, positions)
        yield Progress("Proving surfaces", index + 1, 4 * len(views))
    world = merged(world, _labelled_planes(small), positions, _ANGLE, _OFFSET)[:_MOST]
    scene = _Scene(small, [pyramid(view.grey, view.valid) for view in small], neighbours, world)
    costs = []
    for index in range(len(small)):
        yield Progress("Proving surfaces", len(small) + index, 4 * len(small))
        costs.append(scene.costs(index))
    kept = np.flatnonzero(scene.votes(costs) > _FEWEST)
    scene = replace(scene, planes=world[kept])
    labels = []
    for index in range(len(small)):
        yield Progress("Proving surfaces", 2 * len(small) + index, 4 * len(small))
        labels.append(_labels(scene, index, costs[index][..., kept]))
    half, evidence = scene.half(), []
    for index in range(len(small)):
        yield Progress("Proving surfaces", 3 * len(small) + index, 4 * len(small))
        planes = [(plane, plane) for plane in scene.in_camera(index)]
        planes.append((scene.views[index].planes, half.views[index].planes))
        agrees = _agreement(scene, index, labels)
        evidence.append(
            [_evidence(scene, half, index, labels[index], agrees, number, each) for number, each in enumerate(planes)]
        )
    of_all = [_of_all([each[number] for each in evidence]) for number in range(len(kept))]
    out = []
    for index, view in enumerate(small):
        confidence, own = _confidence(labels[index], view, evidence[index], of_all)
        camera = np.concatenate([scene.in_camera(index), np.zeros((2, 3), np.float32)])
        parts = camera[labels[index].chosen], confidence, own * near_parallax(small, index, neighbours[index])
        out.append(Surfaces(*(taken(each.astype(np.float32), width) for each in parts)))
    return out


def _labelled_planes(views: Sequence[DenseView]) -> np.ndarray:
    """The planes (P, 4) of the world that views were labelled with, the largest first."""
    planes, shares = [np.zeros((0, 4))], [np.zeros(0)]
    for view in views:
        labelled = (view.prior != 0).any(axis=-1) & view.active
        area = _areas(view.active)
        each, number = np.unique(view.prior[labelled].round(5), axis=0, return_inverse=True)
        if len(each):
            planes.append(into_world(each.astype(np.float64), view.pose))
            shares.append(np.bincount(number.ravel(), area[labelled]) / area.sum())
    share = np.concatenate(shares)
    order = np.argsort(-share, kind="stable")
    return np.asarray(np.concatenate(planes)[order[share[order] > _SMALLEST]])


def _areas(mask: np.ndarray) -> np.ndarray:
    return np.broadcast_to(row_widths(len(mask))[:, None], mask.shape)


def _tells(texture: np.ndarray) -> np.ndarray:
    """How much a window tells, 0 to 1."""
    return np.asarray(texture**2 / (texture**2 + _TEXTURED**2))


def _cost(correlation: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """Cost of what is like this: 0 of a likeness, 1 of none, _NEUTRAL where nothing is told."""
    told = _tells(texture) * (np.nan_to_num(correlation) - _NEUTRAL)
    return np.asarray(np.where(np.isnan(correlation), _NEUTRAL, _NEUTRAL - told), np.float32)


def _projected(view: DenseView, other: DenseView, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row and column of pixels at inverse ranges (H, W) in another view, and their inverse range there."""
    places = view.rays / np.maximum(rho, 1e-6)[..., None]
    inside = (places @ view.pose[:3, :3].T + view.pose[:3, 3] - other.pose[:3, 3]) @ other.pose[:3, :3]
    distance = np.linalg.norm(inside, axis=-1)
    inside[distance == 0] = (0.0, 0.0, -1.0)
    height, width = other.active.shape
    pixels = equirectangular.directions_to_pixels(inside, width)
    row = np.clip(np.floor(pixels[..., 1]).astype(np.int64), 0, height - 1)
    return row, np.floor(pixels[..., 0]).astype(np.int64) % width, 1 / np.maximum(distance, 1e-6)


def _labels(scene: _Scene, index: int, costs: np.ndarray) -> _Labels:
    """What wins each pixel of a view. costs: (H, W, P), of planes."""
    view = scene.views[index]
    own = view.known_rho()
    near = near_parallax(scene.views, index, scene.neighbours[index])
    looks = _cost(*scene.like(index, view.planes)) + _OWN + _UNPROVEN * (1 - near)
    nothing = np.full_like(own, _UNKNOWN)
    every = np.concatenate([costs, looks[..., None], nothing[..., None]], axis=-1).astype(np.float32)
    every[~view.active] = 0
    planes = view.rays @ scene.in_camera(index).T
    rho = np.concatenate([planes, own[..., None], np.zeros_like(own)[..., None]], axis=-1).astype(np.float32)
    chosen, margin = solve_labels(every, rho, view.colour)
    picked = np.take_along_axis(rho, chosen[..., None], -1)[..., 0]
    return _Labels(chosen, np.where(view.active, np.maximum(picked, 0), 0), margin)


def is_far(views: Sequence[DenseView], index: int, others: Sequence[int]) -> bool:
    """Whether a view's nearest other stands so far off that single pixels are not enough."""
    place = views[index].pose[:3, 3]
    return min(float(np.linalg.norm(views[other].pose[:3, 3] - place)) for other in others) > _FAR


def near_parallax(views: Sequence[DenseView], index: int, others: Sequence[int]) -> np.ndarray:
    """How far a match of single pixels is to be believed by the angle between rays, (H, W), 1 to 0.

    Of two or more others the second best counts.
    """
    view = views[index]
    points = view.rays / np.maximum(view.known_rho(), 1e-6)[..., None]
    angles = []
    for other in others:
        centre = np.linalg.inv(view.pose)[:3] @ views[other].pose[:, 3]
        from_there = points - centre
        cosine = (from_there * view.rays).sum(axis=-1) / np.maximum(np.linalg.norm(from_there, axis=-1), 1e-9)
        angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    angle = np.sort(angles, axis=0)[min(1, len(angles) - 1)]
    return np.asarray(np.clip(1 - (angle - _PARALLAX) / 15, 0, 1))


@dataclass(frozen=True, eq=False)
class _Evidence:
    """What speaks for regions that a label has won in a view; (N,) each, of regions 1 on, 0 is what has not been won.

    windows: of those with texture how many agree. share: of the others' pixels that say the same or look through it.
    better: how much more it correlates there than farther or nearer. told: how much the windows tell.
    """

    windows: np.ndarray
    share: np.ndarray
    better: np.ndarray
    told: np.ndarray


def _evidence(
    scene: _Scene,
    half: _Scene,
    index: int,
    labels: _Labels,
    agrees: np.ndarray,
    number: int,
    planes: tuple[np.ndarray, ...],
) -> _Evidence:
    """labels, agrees: of the view, see _agreement. planes: of the label, (3,) or (H, W, 3), at the views' width and at
    half of it."""
    regions, count = _won(labels, scene.views[index], number, planes[0].ndim > 1)
    numbers = np.arange(count + 1)
    if not count:
        return _Evidence(*np.zeros((4, 1)))
    area = _areas(regions)
    correlation, texture = scene.like(index, planes[0])
    agreeing = _tells(texture) * area * (np.nan_to_num(correlation) > _AGREEING)
    windows = ndimage.sum(agreeing, regions, numbers) / WINDOW
    yes, no = (ndimage.sum(area * mask, regions, numbers) for mask in (agrees > 0, agrees < 0))
    small = taken(regions, regions.shape[1] // 2)
    return _Evidence(
        windows, yes / np.maximum(yes + no, 1e-9), *_better_than_rivals(half, index, planes[1], small, numbers)
    )


def _better_than_rivals(
    scene: _Scene, index: int, plane: np.ndarray, regions: np.ndarray, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much more regions (H, W) of these numbers (N,) correlate on a plane than on farther and nearer ones, and how
    much they tell, (N,) each.

    What repeats is alike on several planes. plane: (3,) or (H, W, 3).
    """
    area = _areas(regions)

    def told(compared: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """How much the windows of each region tell, and their mean correlation."""
        weights = np.where(np.isnan(compared[0]), 0, _tells(compared[1])) * area
        total = ndimage.sum(weights, regions, numbers)
        mean = ndimage.sum(weights * np.nan_to_num(compared[0]), regions, numbers) / np.maximum(total, 1e-9)
        return total, mean

    whole, alike = told(scene.like(index, plane))
    rival = np.full(len(numbers), -1.0)
    for beside in scene.compared(index, [plane * np.float32(factor) for factor in _RIVALS]):
        total, mean = told(beside)
        rival = np.maximum(rival, np.where(total > _SEEN * whole, mean, -1.0))
    return alike - rival, whole


def _of_all(evidence: Sequence[_Evidence]) -> float:
    """How much better one plane is than farther and nearer ones, of all views."""
    told = np.concatenate([each.told[1:] for each in evidence])
    better = np.concatenate([each.better[1:] for each in evidence])
    return float((told * better).sum() / max(float(told.sum()), 1e-9))


def _confidence(
    labels: _Labels, view: DenseView, evidence: Sequence[_Evidence], of_all: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Confidence of what planes have won and proof of what the pixels' own estimates have, (H, W) float32 each.

    evidence: of each plane, and of the view's own estimates at last. of_all: of each plane, see _of_all.
    """
    sure = labels.margin / (labels.margin + _EVEN)
    planes, own = np.zeros((2, *labels.rho.shape), np.float32)
    for number, each in enumerate(evidence):
        is_own = number == len(of_all)
        regions, _ = _won(labels, view, number, is_own)
        better = each.better if is_own else (each.better + of_all[number]) / 2
        enough = np.ones_like(better) if is_own else each.windows / _WINDOWS
        proof = np.clip(np.minimum.reduce([enough, better / _GAP, each.share / _SHARE]), 0, 1)
        (own if is_own else planes)[regions > 0] = (proof[regions] * (1 if is_own else sure))[regions > 0]
    return planes, own


def _won(labels: _Labels, view: DenseView, number: int, in_cells: bool) -> tuple[np.ndarray, int]:
    """The regions that a label has won: numbers (H, W) from 1 on, and how many. in_cells: regions are cells of it."""
    mask = (labels.chosen == number) & view.active
    if not in_cells:
        return _regions(mask)
    height, width = mask.shape
    size = max(width // _CELLS, 1)
    rows, columns = np.arange(height) // size, np.arange(width) // size
    cells = 1 + rows[:, None] * (columns[-1] + 1) + columns
    return np.where(mask, cells, 0), int(cells.max())


def _regions(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected regions of a mask, over the seam: numbers (H, W) from 1 on, and how many."""
    regions, count = ndimage.label(mask)
    seam = np.flatnonzero(mask[:, 0] & mask[:, -1])
    for row in seam:
        first, last = regions[row, 0], regions[row, -1]
        if first != last:
            regions[regions == last] = first
    return regions, count


def _agreement(scene: _Scene, index: int, labels: Sequence[_Labels]) -> np.ndarray:
    """Whether the others' labels say the same, (H, W): how many do less how many look through it."""
    view, each = scene.views[index], labels[index]
    out = np.zeros(each.rho.shape, np.int32)
    for other in scene.neighbours[index]:
        row, column, expected = _projected(view, scene.views[other], each.rho)
        there = labels[other].rho[row, column]
        apart = np.log(np.maximum(there, 1e-6)) - np.log(expected)
        known = (each.rho > 0) & (there > 0)
        out += np.where(known & (np.abs(apart) < _SAME), 1, 0) - np.where(known & (apart < -2 * _SAME), 1, 0)
    return out

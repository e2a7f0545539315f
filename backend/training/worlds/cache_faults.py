"""The 3D cache that a reconstruction makes of captures, from what is true: points with the faults that ours have.

Ranges are wrong by a smooth field that differs from capture to capture, some points lie anywhere, glancing, plain and
distant surfaces and their edges have none, and only a part of the points is left. In some caches nothing is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from pantheon360_blender.core.points import equirectangular_depth

from .rays import Directions


@dataclass(frozen=True)
class Faults:
    """smooth: relative range error (standard deviation), in fields of `cells` cells round the horizon; rough: of each
    point on its own; shift: metres that a capture is off. outliers: share of points. glancing: least cosine with the
    surface; plain: share of the plainest surface without points; edges: whether depth jumps have none; farthest:
    metres.
    kept: share of points that is left, in blobs or evenly. fused: each surface is left to the capture nearest to it,
    and what another capture looks through is dropped, as `backend/reconstruction/dense/fusion.py` does.
    """

    smooth: float = 0.0
    cells: int = 8
    rough: float = 0.0
    shift: float = 0.0
    outliers: float = 0.0
    glancing: float = 0.0
    plain: float = 0.0
    edges: bool = False
    farthest: float = math.inf
    kept: float = 1.0
    blobs: bool = False
    fused: bool = False


@dataclass(frozen=True, eq=False)
class CaptureView:
    """What one capture knows: colours (h, w, 3) uint8, ranges (h, w) float32 metres, position (3,) metres."""

    colours: torch.Tensor
    ranges: torch.Tensor
    position: np.ndarray


class CachePoints(NamedTuple):
    """points: (N, 3) float32 metres, world. colours: (N, 3) uint8. footprint: (N,) float32 metres."""

    points: torch.Tensor
    colours: torch.Tensor
    footprint: torch.Tensor


def random_faults(random: np.random.Generator) -> Faults:
    """Faults of one cache: exact but thinned in three of ten."""
    kept = float(np.exp(random.uniform(math.log(0.02), 0)))
    blobs = bool(random.random() < 0.4)
    if random.random() < 0.3:
        return Faults(kept=kept, blobs=blobs)
    return Faults(
        smooth=float(np.exp(random.uniform(math.log(0.001), math.log(0.03)))),
        cells=int(random.integers(4, 17)),
        rough=float(np.exp(random.uniform(math.log(0.0005), math.log(0.008)))),
        shift=float(np.exp(random.uniform(math.log(0.001), math.log(0.02)))),
        outliers=float(random.choice([0.0, random.uniform(0, 0.02)])),
        glancing=float(random.uniform(0, 0.15)),
        plain=float(random.choice([0.0, random.uniform(0, 0.4)])),
        edges=bool(random.random() < 0.7),
        farthest=float(np.exp(random.uniform(math.log(12), math.log(90)))),
        kept=kept,
        blobs=blobs,
        fused=bool(random.random() < 0.7),
    )


def cache(views: Sequence[CaptureView], grid: Directions, faults: Faults, random: np.random.Generator) -> CachePoints:
    """The points that are made of captures.

    grid: the directions of all views' pixels; a view may have every second or so of its rows and columns.
    """
    found = []
    for view in views:
        its = _points(view, grid, faults, random)
        if faults.fused:
            left = torch.ones(len(its.points), dtype=torch.bool, device=its.points.device)
            for other in views:
                if other is not view:
                    left &= ~_answered(its.points, view.position, other, grid.orientation)
            its = CachePoints(*(values[left] for values in its))
        found.append(its)
    return CachePoints(*(torch.cat(values) for values in zip(*found, strict=True)))


def _points(view: CaptureView, grid: Directions, faults: Faults, random: np.random.Generator) -> CachePoints:
    """The points of one capture. Thinning leaves footprints what they were."""
    step = grid.width // view.ranges.shape[1]
    ranges, directions = view.ranges, grid.world[::step, ::step]
    seen = torch.isfinite(ranges) & (ranges < faults.farthest)
    if faults.glancing or faults.edges:
        seen &= ~_glancing(ranges, directions, faults)
    if faults.plain:
        seen &= ~_plain(view.colours, seen, faults.plain)
    seen &= _kept(seen, faults, random)
    wrong = _errors(ranges.shape, faults, random, ranges.device)
    shifted = view.position + random.normal(0, faults.shift, 3)
    origin = torch.tensor(shifted, dtype=torch.float32, device=ranges.device)
    points = origin + directions[seen] * (ranges * wrong)[seen][:, None]
    footprint = torch.from_numpy(equirectangular_depth.footprints(ranges.cpu().numpy())).to(ranges.device)
    return CachePoints(points, view.colours[seen], footprint[seen])


def _answered(points: torch.Tensor, position: np.ndarray, other: CaptureView, orientation: np.ndarray) -> torch.Tensor:
    """(N,) bool: points that another capture sees from nearer than theirs did, and those that it looks through."""
    device = points.device
    own, others = (torch.tensor(at, dtype=torch.float32, device=device) for at in (position, other.position))
    seen = (points - others) @ torch.tensor(orientation, dtype=torch.float32, device=device)
    distance = seen.norm(dim=1).clamp_min(1e-3)
    height, width = other.ranges.shape
    column = ((torch.atan2(seen[:, 0], -seen[:, 2]) / math.tau + 0.5) * width).long() % width
    row = (torch.acos((seen[:, 1] / distance).clamp(-1, 1)) / math.pi * height).long().clamp_max(height - 1)
    there = other.ranges[row, column]
    same = (there - distance).abs() < 0.05 * distance
    nearer = distance < 0.9 * (points - own).norm(dim=1)
    return (same & nearer) | (torch.isfinite(there) & (there > 1.15 * distance))


def smooth_field(shape: tuple[int, int], cells: int, random: np.random.Generator) -> np.ndarray:
    """(h, w) float32, mean 0 and standard deviation about 1, smooth over 1 / `cells` of the width; it has no seam."""
    height, width = shape
    rows = max(3, cells // 2)
    grid = random.standard_normal((rows, cells))
    x, y = np.arange(width) / width * cells, (np.arange(height) + 0.5) / height * (rows - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    share_x, share_y = (_eased(values - np.floor(values)) for values in (x, y))
    across = grid[:, left % cells] * (1 - share_x) + grid[:, (left + 1) % cells] * share_x
    field = across[top] * (1 - share_y)[:, None] + across[np.minimum(top + 1, rows - 1)] * share_y[:, None]
    return np.asarray(field * 1.3, np.float32)


def _eased(share: np.ndarray) -> np.ndarray:
    return np.asarray(share * share * (3 - 2 * share))


def _errors(shape: torch.Size, faults: Faults, random: np.random.Generator, device: torch.device) -> torch.Tensor:
    """(h, w): what ranges are multiplied by."""
    size = (shape[0], shape[1])
    error = np.ones(size, np.float32)
    if faults.smooth:
        error += faults.smooth * smooth_field(size, faults.cells, random)
    if faults.rough:
        error += faults.rough * random.standard_normal(size, np.float32)
    if faults.outliers:
        wild = random.random(size, np.float32) < faults.outliers
        error[wild] *= np.exp(random.normal(0, 0.4, int(wild.sum()))).astype(np.float32)
    return torch.from_numpy(error.clip(0.2, 5)).to(device)


def _glancing(ranges: torch.Tensor, directions: torch.Tensor, faults: Faults) -> torch.Tensor:
    """(h, w) bool: surfaces that are seen at too small an angle, and depth jumps if those have no points."""
    width = ranges.shape[1]
    right, down = ranges.roll(-1, 1), torch.cat([ranges[1:], ranges[-1:]])
    level = directions[..., :2].norm(dim=2).clamp_min(0.05)
    steps = torch.stack([(right - ranges).abs() / level, (down - ranges).abs()]).amax(dim=0)
    slope = steps / (ranges * (2 * math.pi / width))
    limit = 1 / max(faults.glancing, 0.02)
    glancing = slope > limit
    if faults.edges:
        jump = (steps > 0.12 * ranges) | ~torch.isfinite(steps)
        glancing |= jump | jump.roll(1, 1) | jump.roll(1, 0)
    return glancing


def _plain(colours: torch.Tensor, seen: torch.Tensor, share: float) -> torch.Tensor:
    """(h, w) bool: the plainest part of what is seen, by the contrast in squares of 8 pixels."""
    grey = colours.float().mean(dim=2)
    change = (grey - grey.roll(1, 1)).abs() + (grey - grey.roll(1, 0)).abs()
    pooled = torch.nn.functional.avg_pool2d(change[None], 8)[0]
    contrast = pooled.repeat_interleave(8, 0).repeat_interleave(8, 1)
    if not bool(seen.any()):
        return torch.zeros_like(seen)
    values = contrast[seen].sort().values
    return contrast <= values[int(share * (len(values) - 1))]


def _kept(seen: torch.Tensor, faults: Faults, random: np.random.Generator) -> torch.Tensor:
    """(h, w) bool: which points are left, evenly on the sphere or where a smooth confidence is high."""
    size = (seen.shape[0], seen.shape[1])
    if faults.kept >= 1:
        return torch.ones_like(seen)
    draw = random.random(size, np.float32)
    if faults.blobs:
        confidence = smooth_field(size, int(random.integers(6, 25)), random) + random.normal(0, 0.25, size)
        limit = np.quantile(confidence, 1 - math.sqrt(faults.kept))
        kept = (confidence > limit) & (draw < math.sqrt(faults.kept))
    else:
        kept = draw < faults.kept
    return torch.from_numpy(kept).to(seen.device)

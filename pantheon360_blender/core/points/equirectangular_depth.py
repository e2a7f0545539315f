"""Equirectangular range images: merged from the depth of crops, and turned into coloured points.

A range image is (H, W) float32, W = 2 H: the Euclidean distance in metres along each pixel's ray, inf if there is
nothing or nothing is known. Confidence is (H, W) float32 from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ImageError
from ..panorama import equirectangular
from ..panorama.capture import Capture
from .point_cloud import PointCloud

_AGREEMENT = 0.1  # natural log of range: crops further apart than this show different surfaces
_BORDER = 0.25  # share of a crop's half width over which its weight falls to nothing


@dataclass(frozen=True, eq=False)
class CropDepth:
    """Depth of one perspective crop of a panorama.

    range: (h, w) float, metres along each pixel's ray from the common centre; inf or NaN where nothing is known. A
    model's depth along the crop's axis becomes range by range_from_z.
    rotation: (3, 3), crop camera axes to panorama camera axes (Blender's: -Z forward, +Y up).
    fov: horizontal field of view in radians. confidence: (h, w) 0 to 1, or None for all the same.
    """

    range: np.ndarray
    rotation: np.ndarray
    fov: float
    confidence: np.ndarray | None = None


def range_from_z(depth: np.ndarray, fov: float) -> np.ndarray:
    """Range (h, w) float32 of depth along a crop's axis (h, w), horizontal field of view `fov` in radians."""
    looking = equirectangular.perspective_directions((depth.shape[1], depth.shape[0]), fov)
    return np.asarray(depth * np.linalg.norm(looking, axis=-1), np.float32)


def merge_crops(crops: Sequence[CropDepth], width: int) -> tuple[np.ndarray, np.ndarray]:
    """One range image from the depth of overlapping crops, without visible crop borders.

    Each crop's weight falls smoothly to nothing towards its border. Where crops agree, logarithms of range are
    averaged; if they do not (one sees past an edge that the other places a pixel off), the weighted median decides
    which surface is there and only crops that show it are averaged, so that edges stay edges.
    crops: already of one scale and centre. width: of the result.
    Returns range (H, W) float32 metres, inf where no crop knows, and confidence (H, W) float32.
    Raises ImageError if a crop has shapes that do not fit together.
    """
    shape = (equirectangular.height_of(width), width)
    logs = np.full((len(crops), *shape), np.nan, np.float32)
    weights = np.zeros((len(crops), *shape), np.float32)
    sure = np.zeros((len(crops), *shape), np.float32)
    for index, crop in enumerate(crops):
        logs[index], weights[index], sure[index] = _seen_from_panorama(crop, width)
    total = weights.sum(axis=0)
    middle = _weighted_median(logs, weights)
    with np.errstate(invalid="ignore"):
        weights = np.where(np.abs(logs - middle) < _AGREEMENT, weights, 0)
    share = weights.sum(axis=0)
    known = share > 0
    divisor = np.where(known, share, 1)
    average = np.where(weights > 0, weights * logs, 0).sum(axis=0) / divisor
    confidence = (weights * sure).sum(axis=0) / divisor * share / np.where(total > 0, total, 1)
    return (
        np.where(known, np.exp(average), np.inf).astype(np.float32),
        np.where(known, confidence, 0).astype(np.float32),
    )


def depth_edges(depth: np.ndarray, ratio: float = 0.05) -> np.ndarray:
    """Where a range image (H, W) tears: (H, W) bool, from the spread of second differences within 3 x 3 pixels.

    Inverse range is linear across a plane however steeply it is seen; a pixel is an edge if its inverse range is
    off the mean of its opposite neighbours by more than `ratio` of its own, on either axis. What borders on nothing
    (inf) is an edge as well.
    """
    known = np.isfinite(depth) & (depth > 0)
    inverse = np.where(known, 1 / np.where(known, depth, 1), 0)
    over = np.concatenate(
        [np.roll(inverse[:1], len(depth), axis=1), inverse, np.roll(inverse[-1:], len(depth), axis=1)]
    )
    torn = np.zeros(depth.shape, np.bool_)
    for first, second in ((np.roll(inverse, 1, axis=1), np.roll(inverse, -1, axis=1)), (over[:-2], over[2:])):
        torn |= np.abs(first + second - 2 * inverse) > 2 * ratio * inverse
    return np.asarray(torn & known)


def cloud_from_depth(
    capture: Capture,
    depth: np.ndarray,
    confidence: np.ndarray | None = None,
    *,
    least_confidence: float = 0.0,
    edge_ratio: float | None = 0.05,
    source: int = -1,
) -> PointCloud:
    """Coloured world points of what a capture sees.

    depth: (H, W) float32 range; may be smaller or larger than the capture's image, whose colours are resized to it.
    confidence: (H, W) or None. least_confidence: points below it are left out. edge_ratio: see depth_edges; None keeps
    edges. source: the capture's index, kept with each point.
    A point's footprint is the diameter of what its pixel covers, range * pixel angle / cos(incidence), at most four
    times what a surface seen head-on would have.
    Returns the cloud, world coordinates; pixels outside the capture's mask give no points.
    Raises ImageError if shapes do not fit together.
    """
    _check_map(depth, "range")
    if confidence is not None and confidence.shape != depth.shape:
        raise ImageError(f"The confidence is {confidence.shape}, the range {depth.shape}: they must be alike.")
    width = depth.shape[1]
    keep = np.isfinite(depth) & (depth > 0)
    if capture.valid is not None:
        keep &= equirectangular.resize(capture.valid, width)
    if confidence is not None:
        keep &= confidence >= least_confidence
    if edge_ratio is not None:
        keep &= ~depth_edges(depth, edge_ratio)
    rays = equirectangular.directions(width)
    local = rays[keep] * depth[keep, None]
    points = local.astype(np.float64) @ capture.pose[:3, :3].T + capture.pose[:3, 3]
    return PointCloud(
        points.astype(np.float32),
        np.ascontiguousarray(equirectangular.resize(capture.image, width)[keep]),
        None if confidence is None else confidence[keep].astype(np.float32),
        np.full(len(points), source, np.int32),
        footprints(depth)[keep],
    )


def footprints(depth: np.ndarray, most: float = 4.0) -> np.ndarray:
    """Diameter in metres of the surface that each pixel of a range image covers, (H, W) float32.

    The incidence is that of the surface through the neighbouring pixels; most: cap of 1 / cos(incidence).
    0 where the range is not known.
    """
    _check_map(depth, "range")
    width = depth.shape[1]
    known = np.isfinite(depth) & (depth > 0)
    safe = np.where(known, depth, 1.0).astype(np.float32)
    rays = equirectangular.directions(width)
    inverse = 1 / safe
    # On a surface the slope of log range along an angle is the tangent of incidence.
    angle = 2 * np.pi / width
    level = np.maximum(np.hypot(rays[..., 0], rays[..., 2]), 1e-3)
    across = (np.roll(inverse, -1, axis=1) - np.roll(inverse, 1, axis=1)) / (2 * angle * level * inverse)
    down = np.gradient(inverse, axis=0) / (angle * inverse)
    steep = np.sqrt(1 + across**2 + down**2)
    return np.where(known, safe * angle * np.minimum(steep, most), 0).astype(np.float32)


def _seen_from_panorama(crop: CropDepth, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log range, blending weight and confidence of a crop at the panorama's pixels, (H, W) each; NaN and 0 outside."""
    high, wide = crop.range.shape
    if crop.confidence is not None and crop.confidence.shape != crop.range.shape:
        raise ImageError(f"A crop's confidence is {crop.confidence.shape}, its range {crop.range.shape}.")
    panorama_from_crop = np.asarray(crop.rotation, np.float64)
    local = equirectangular.directions(width).astype(np.float64) @ panorama_from_crop
    ahead = local[..., 2] < -1e-6
    forward = np.where(ahead, -local[..., 2], 1.0)
    focal = wide / (2 * np.tan(crop.fov / 2))
    u = local[..., 0] / forward * focal + wide / 2
    v = -local[..., 1] / forward * focal + high / 2
    inside = ahead & (u >= 0) & (u < wide) & (v >= 0) & (v < high)
    border = np.minimum(np.minimum(u, wide - u) / (wide / 2), np.minimum(v, high - v) / (high / 2))
    ramp = np.clip(border / _BORDER, 0, 1)
    usable = np.isfinite(crop.range) & (crop.range > 0)
    logs = np.log(np.where(usable, crop.range, 1.0))
    value, known = _bilinear(logs, usable, u[inside], v[inside])
    out = np.full(inside.shape, np.nan, np.float32)
    weight = np.zeros(inside.shape, np.float32)
    sure = np.zeros(inside.shape, np.float32)
    out[inside] = np.where(known, value, np.nan)
    trusted = np.ones(crop.range.shape) if crop.confidence is None else crop.confidence
    column = np.clip(u[inside].astype(np.intp), 0, wide - 1)
    row = np.clip(v[inside].astype(np.intp), 0, high - 1)
    sure[inside] = np.where(known, trusted[row, column], 0)
    smooth = ramp * ramp * (3 - 2 * ramp)
    weight[inside] = np.where(known, (smooth[inside] + 1e-4) * (0.05 + trusted[row, column]), 0)
    return out, weight, sure


def _bilinear(logs: np.ndarray, usable: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log range between pixels of one surface; across an edge that of the nearest pixel. Values, and if known."""
    high, wide = logs.shape
    x, y = np.clip(u - 0.5, 0, wide - 1), np.clip(v - 0.5, 0, high - 1)
    left, top = np.minimum(x.astype(np.intp), max(wide - 2, 0)), np.minimum(y.astype(np.intp), max(high - 2, 0))
    right, low = np.minimum(left + 1, wide - 1), np.minimum(top + 1, high - 1)
    fx, fy = x - left, y - top
    near_row, near_column = np.where(fy < 0.5, top, low), np.where(fx < 0.5, left, right)
    nearest = logs[near_row, near_column]
    total, weighted = np.zeros_like(x), np.zeros_like(x)
    for row, column, share in (
        (top, left, (1 - fx) * (1 - fy)),
        (top, right, fx * (1 - fy)),
        (low, left, (1 - fx) * fy),
        (low, right, fx * fy),
    ):
        value = logs[row, column]
        share = np.where(usable[row, column] & (np.abs(value - nearest) < _AGREEMENT), share, 0)
        total += share
        weighted += share * value
    known = usable[near_row, near_column]
    return np.where(known, weighted / np.where(total > 0, total, 1), 0), known


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Median over the first axis of (N, H, W), NaN with weight 0 left out; NaN where all are."""
    order = np.argsort(np.where(weights > 0, values, np.inf), axis=0)
    ranked = np.take_along_axis(values, order, axis=0)
    summed = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0)
    middle = np.argmax(summed >= summed[-1:] / 2, axis=0)
    return np.where(summed[-1] > 0, np.take_along_axis(ranked, middle[None], axis=0)[0], np.nan)


def _check_map(depth: np.ndarray, name: str) -> None:
    if depth.ndim != 2 or depth.shape[1] != 2 * depth.shape[0]:
        raise ImageError(f"A {name} image is {depth.shape}; (H, 2 H) is wanted.")

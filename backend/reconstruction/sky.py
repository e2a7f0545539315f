"""Sky without a model: blue or neutral and bright, smooth, reached from the top of the panorama.

Sky spreads over blue up to edges of the blue channel, which roofs have and haze has not, and over white that fades
softly. A white area behind a sharp edge is a cloud if sky surrounds most of it. Light tells an overcast sky from a
ceiling: sky is the brightest part of an outdoor picture. What is known to be near is no sky.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .edges import blurred, gradients

_LOWEST = 0.56  # share of the height below which no sky is looked for: a level capture's horizon is at one half
_BLUE = 14.0  # grey levels by which a clear sky's blue exceeds its red
_DARKEST_BLUE, _DARKEST_CLOUD = 70.0, 120.0
_DARKEST_SHARE = 0.6  # of the blue light overhead that sky lower down has at least
_WARMEST_CLOUD = 22.0  # grey levels by which a cloud's red may exceed its blue
_PURPLE = 5.0  # grey levels by which green may stay below red and blue: sky is never purple
_SUN = 235.0
_SOFT = 9.0  # grey levels of blue that sky may change from one pixel to the next
_DEEP_BLUE = 40.0  # as _BLUE, of what is sky even where it borders sharply on white
_SOFT_CLOUD = 16.0  # the same of any colour within a cloud
_SURROUNDED = 0.75  # share of an area's outline that is sky where the area is a cloud
_SMALLEST_HOLE = 0.002  # share of the image below which something amidst the sky is sky: a bird, a smear, a wire
_BLUE_SKY, _BRIGHT_SKY = 0.05, 190.0
_NEAR = 60.0  # metres: closer than this is no sky, where range is known


def sky_mask(image: np.ndarray, depth: np.ndarray | None = None) -> np.ndarray:
    """Where a roughly level panorama shows sky.

    image: (H, W, 3) uint8 sRGB, W = 2 H. depth: (H, W) float range in metres, inf or NaN if unknown, or None.
    Returns (H, W) bool; all False indoors.
    """
    smooth = blurred(image, 0.8)
    upper = np.arange(len(image))[:, None] < _LOWEST * len(image)
    blue, cloud = _blue(smooth) & upper, _cloud(smooth) & upper
    if depth is not None:
        near = np.isfinite(depth) & (depth < _NEAR)
        blue, cloud = blue & ~near, cloud & ~near
    bright = smooth[..., 2] > _DARKEST_SHARE * np.percentile(smooth[..., 2][: len(image) // 4], 25)
    blue, cloud = blue & bright, cloud & bright
    slope = gradients(smooth)
    soft = slope.max(axis=-1) < _SOFT_CLOUD
    deep = smooth[..., 2] - smooth[..., 0] > _DEEP_BLUE
    passable = (blue & (soft | deep) & (slope[..., 2] < _SOFT)) | (cloud & soft)
    sky = _from_top(passable)
    if not _plausible(smooth, blue, sky):
        return np.zeros(image.shape[:2], np.bool_)
    sky = _with_clouds(sky, cloud | blue)
    rim = ndimage.binary_dilation(sky, iterations=max(1, image.shape[1] // 340)) & (blue | cloud)
    return _without_holes(_closed(sky | rim) & upper)


def _blue(smooth: np.ndarray) -> np.ndarray:
    red, green, bluest = np.moveaxis(smooth, -1, 0)
    return np.asarray((bluest - red > _BLUE) & (bluest > green) & (green > red - _PURPLE) & (bluest > _DARKEST_BLUE))


def _cloud(smooth: np.ndarray) -> np.ndarray:
    red, green, bluest = np.moveaxis(smooth, -1, 0)
    neutral = (red - bluest < _WARMEST_CLOUD) & (green > np.minimum(red, bluest) - _PURPLE)
    least = smooth.min(axis=-1)
    return np.asarray((least > _DARKEST_CLOUD) & neutral | (least > _SUN))


def _from_top(passable: np.ndarray) -> np.ndarray:
    """What of `passable` hangs together with the topmost rows, over the seam as well."""
    width = passable.shape[1]
    labels, _ = ndimage.label(np.concatenate([passable, passable], axis=1))
    top = np.unique(labels[: max(2, len(passable) // 40)])
    reached = np.isin(labels, top[top > 0])
    return np.asarray(reached[:, :width] | reached[:, width:])


def _plausible(smooth: np.ndarray, blue: np.ndarray, sky: np.ndarray) -> bool:
    """Whether what was reached from the top is outdoors: partly blue, or brighter than nearly all below it."""
    if sky.mean() < 0.01:
        return False
    if (blue & sky).sum() > _BLUE_SKY * sky.sum() and (blue & sky).mean() > 0.01:
        return True
    light = smooth.mean(axis=-1)
    rest = light[~sky]
    return bool(np.median(light[sky]) > max(_BRIGHT_SKY, float(np.percentile(rest, 90)) if len(rest) else 0.0))


def _with_clouds(sky: np.ndarray, cloud: np.ndarray) -> np.ndarray:
    for _ in range(3):
        labels, count = ndimage.label(cloud & ~sky)
        if not count:
            break
        index = np.arange(1, count + 1)
        inside = ndimage.binary_dilation(sky)
        outline = (labels > 0) & ~ndimage.binary_erosion(labels > 0, border_value=1)
        whole = ndimage.sum(outline, labels, index)
        touching = ndimage.sum(outline & inside, labels, index)
        taken = np.concatenate([[False], touching > _SURROUNDED * whole])
        if not taken.any():
            break
        sky = sky | taken[labels]
    return sky


def _closed(sky: np.ndarray) -> np.ndarray:
    wide = np.concatenate([sky[:, -4:], sky, sky[:, :4]], axis=1)
    return np.asarray(ndimage.binary_closing(np.pad(wide, ((4, 4), (0, 0)), mode="edge"), iterations=2)[4:-4, 4:-4])


def _without_holes(sky: np.ndarray) -> np.ndarray:
    """Small things wholly amidst the sky become sky, small patches of sky amidst other things do not stay."""
    labels, count = ndimage.label(~sky)
    sizes = ndimage.sum(~sky, labels, np.arange(count + 1))
    filled = sky | (sizes < _SMALLEST_HOLE * sky.size)[labels]
    labels, count = ndimage.label(filled)
    sizes = ndimage.sum(filled, labels, np.arange(count + 1))
    return np.asarray(filled & (sizes > _SMALLEST_HOLE * sky.size)[labels])

"""Equirectangular depth images: whatever their values stand for, as Euclidean range in metres.

A depth image has the layout of a panorama (see equirectangular): twice as wide as high, its centre looking along the
camera's -Z. Programs store 16-bit integers of some unit, floats, depth or its inverse, along the ray or along an axis.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import ImageError
from . import equirectangular

MEASURES = ("range", "cube", "horizontal")

MILLIMETRES = 0.001
"""Metres of one step of an integer image whose scale nobody stated."""

_DEPTH_CHANNELS = ("Z", "DEPTH", "D", "DISTANCE", "RANGE", "Y", "V", "R")
_NOTHING_FROM = 1e9  # metres: renderers write 1e10 and more where nothing is


def to_range(
    values: np.ndarray, scale: float | None = None, *, inverse: bool = False, measure: str = "range"
) -> np.ndarray:
    """Euclidean range of a depth image.

    values: (H, 2 H), integers or floats. 0, NaN, infinity, the largest integer and what is farther than a renderer's
    background mean that nothing is there.
    scale: metres of one step of the values; if `inverse`, 1 / metres of one step. None: 0.001 for integers, 1 for
    floats.
    Returns (H, 2 H) float32 metres, infinite where nothing is.
    Raises ImageError if the image is no equirectangular depth, or the measure is unknown.

    >>> to_range(np.array([[0, 2500]], np.uint16))  # millimetres; 0 is nothing
    array([[inf, 2.5]], dtype=float32)
    """
    if values.ndim != 2 or values.shape[1] != 2 * values.shape[0] or not values.size:
        raise ImageError(
            f"The depth image is {' x '.join(map(str, values.shape[1::-1]))}: a full panorama is twice as wide as high."
        )
    if measure not in MEASURES:
        raise ImageError(f"A depth image cannot be measured {measure!r}.", advice=f"Give one of {', '.join(MEASURES)}.")
    whole = values.dtype.kind in "iu"
    depth = values.astype(np.float32)
    nothing = ~np.isfinite(depth) | (depth <= 0)
    if whole:
        nothing |= values == np.iinfo(values.dtype).max
    depth *= np.float32(scale if scale is not None else MILLIMETRES if whole else 1.0)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if inverse:
            np.divide(1.0, depth, out=depth)
        if measure != "range":
            depth /= _share_of_range(values.shape[1], measure)
    nothing |= ~(depth < _NOTHING_FROM)
    depth[nothing] = np.inf
    return depth


def only_channel(image: np.ndarray, name: str) -> np.ndarray:
    """(H, W) of a decoded image that holds one quantity: grey, or grey saved as colour.

    Raises ImageError if its channels differ: a depth shown in false colours cannot be read back.
    """
    if image.ndim == 2:
        return image
    shown = image[..., : 1 if image.shape[2] == 2 else 3]
    if (shown != shown[..., :1]).any():
        raise ImageError(
            f"{name} is a picture in colors, not a depth image.", advice="Export the depth as 16-bit gray."
        )
    return np.asarray(shown[..., 0])


def depth_channel(channels: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """(H, W) of the channel of an OpenEXR image that holds depth: Z or its like, in any layer, else the only one.

    Raises ImageError if none of the channels does, or several could.
    """
    for wanted in _DEPTH_CHANNELS:
        found = [label for label in channels if label.rsplit(".", 1)[-1].upper() == wanted]
        if wanted == "Z" and len(found) > 1:  # "Normal.Z" is a direction
            found = [label for label in found if "DEPTH" in label.upper()] or found
        if wanted == "R" and len(channels) > 1 and not _all_equal(channels):
            continue
        if len(found) == 1 and "NORMAL" not in found[0].upper():
            return channels[found[0]]
    if len(channels) == 1:
        return next(iter(channels.values()))
    raise ImageError(
        f"{name} holds no depth, or several: {', '.join(sorted(channels)[:12])}.",
        advice="Save the depth pass alone, in a channel Z.",
    )


def _all_equal(channels: Mapping[str, np.ndarray]) -> bool:
    shown = [values for label, values in channels.items() if label.rsplit(".", 1)[-1].upper() != "A"]
    return all(np.array_equal(shown[0], other, equal_nan=True) for other in shown[1:])


def _share_of_range(width: int, measure: str) -> np.ndarray:
    """(H, W) float32: how much of the range along a pixel's ray the measure sees, 0 to 1."""
    rays = equirectangular.directions(width)
    if measure == "cube":
        return np.asarray(np.abs(rays).max(axis=2))
    return np.asarray(np.hypot(rays[..., 0], rays[..., 2]))

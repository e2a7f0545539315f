"""How large what a network saw is, and what of it is sky: the part that follows every learned reconstructor.

A network's unit is open, unless it tells metres. Points that posing found tell it, captures that stand apart tell it,
and so does the height of the camera. Networks that see one picture at a time have a unit for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture

from . import alignment
from .depth_map import DepthMap
from .reconstruction import Reconstruction
from .sky import sky_mask

_NEVER_SKY = 4.0
"""Learned ranges are this much less telling of what is not sky than measured ones."""
_BY_METRES, _BY_POINTS = 0.25, 0.05
"""Standard deviations, of natural logs, of a unit that the network tells and of one that points tell."""


def scaled(result: Reconstruction, options: dict[str, Any], *, apart: bool) -> Reconstruction:
    """The reconstruction in metres, or with a note that its scale is open.

    apart: whether every capture has a unit of its own.
    Options: points (M, 3) in the captures' world; camera_height in metres; poses "given" if the captures stand where
    they were.
    """
    told = _by_points(result, options.get("points"))
    stand_still = options.get("poses", "given") != "model"
    if apart and stand_still:
        agreed = _by_one_another(result, told)
        if agreed is not None:
            return agreed
    if result.scale_known:
        return result
    height = options.get("camera_height")
    if not any(told) and height:
        told = [
            None if seen is None else alignment.by_height(pose, seen, float(height))
            for pose, seen in zip(result.poses, result.maps, strict=True)
        ]
    known = [factor for factor in told if factor]
    if not known:
        what = "Every capture has a scale of its own" if apart and len(result.maps) > 1 else "The scale is open"
        note = f"{what}: the model does not tell it. State the camera's height, or scale by two points."
        return replace(result, notes=[*result.notes, note])
    common = float(np.median(known))
    return _times(result, [(factor or common) if apart else common for factor in told], move=not stand_still)


def without_sky(capture: Capture, seen: DepthMap, metric: bool) -> DepthMap:
    """The map without what looks like sky. Only what lies close by is surely none: a white ceiling.

    metric: whether ranges are metres.
    """
    depth = seen.range * _NEVER_SKY if metric else None
    sky = seen.sky | sky_mask(equirectangular.resize(capture.image, seen.range.shape[1]), depth)
    return DepthMap(np.where(sky, np.float32(np.inf), seen.range), np.where(sky, np.float32(0), seen.confidence), sky)


def _by_one_another(result: Reconstruction, told: Sequence[float | None]) -> Reconstruction | None:
    """Each capture by a factor of its own, so that they put surfaces in one place; None if they do not tell.

    told: factors that points tell.
    """
    which = [index for index, seen in enumerate(result.maps) if seen is not None]
    common = float(np.median([told[index] for index in which if told[index]] or [1.0]))
    start = {index: told[index] or common for index in which}
    anchored = any(told[index] for index in which)
    firm = [
        _BY_POINTS**-2 if told[index] else (_BY_METRES**-2 if result.scale_known or anchored else 0.0)
        for index in which
    ]
    ranges = [result.maps[index].range * start[index] for index in which]  # type: ignore[union-attr]
    factors = alignment.to_one_another(
        result.poses[which], ranges, firm, common=not anchored and not result.scale_known
    )
    if factors is None:
        return None
    used = [1.0] * len(result.maps)
    for index, factor in zip(which, factors, strict=True):
        used[index] = start[index] * float(factor)
    return _times(result, used, move=False)


def _by_points(result: Reconstruction, points: Any) -> list[float | None]:
    """Metres per unit of each capture, from points (M, 3) in the world, or None."""
    factors: list[float | None] = []
    for pose, seen in zip(result.poses, result.maps, strict=True):
        factors.append(None)
        if seen is None or points is None or not len(points):
            continue
        factors[-1] = alignment.by_points(pose, seen, points)
    return factors


def _times(result: Reconstruction, factors: Sequence[float], *, move: bool) -> Reconstruction:
    """Each map by its factor, in metres by then. move: whether captures move apart by the same, from the first."""
    poses = result.poses.copy()
    if move:
        placed = np.array(result.registered)
        pivot = poses[placed][0, :3, 3].copy()
        poses[placed, :3, 3] = pivot + factors[int(np.argmax(placed))] * (poses[placed, :3, 3] - pivot)
    maps = [
        None if seen is None else replace(seen, range=seen.range * np.float32(factor))
        for seen, factor in zip(result.maps, factors, strict=True)
    ]
    return replace(result, poses=poses, maps=maps, scale_known=True)

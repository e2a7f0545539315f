"""Room layouts of single photographs against the exact ranges of the evaluation's rendered scenes.

A part of `make evaluate-cache`, which runs it in the backend's environment. Writes out/room-layouts.jpg: photograph,
what was found, the truth.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 512
NEAR_ENOUGH = 0.15
"""Relative error of a range that counts as right."""
SHOWN = 4
"""One scene in so many is in the picture."""
_NEAREST, _FARTHEST = 0.5, 50.0  # metres: black and white


def evaluate(scenes: Path, sheet: Path) -> dict[str, dict[str, float]]:
    """Figures of the first photograph of every clip: median error and pixels within NEAR_ENOUGH, both in %.

    Pixels are those that show no sky, weighed by solid angle. The height of the camera is told.
    """
    found, rows = {}, []
    for number, file in enumerate(importlib.import_module("backend.evaluation.clips").find(scenes)):
        known = file.read().known[0]
        image, ranges = known.capture.image, known.range
        figures, row = against_truth(image, nearest(ranges, (WIDTH // 2, WIDTH)))
        found[file.name] = figures
        print(f"[evaluate-cache] one photograph, {file.name}: {figures}", flush=True)
        if number % SHOWN == 0:
            rows.append(row)
    write_sheet(rows, sheet)
    right = [each["within_15_percent"] for each in found.values()]
    median = [each["depth_error_percent"] for each in found.values()]
    found["all"] = {
        "depth_error_percent": round(float(np.mean(median)), 1),
        "within_15_percent": round(float(np.mean(right)), 1),
        "scenes_half_right": sum(each <= 100 * NEAR_ENOUGH for each in median),
    }
    return found


def against_truth(image: np.ndarray, truth: np.ndarray) -> tuple[dict[str, float], list[np.ndarray]]:
    """Figures of a photograph, and its row of the sheet. truth: (H, W) metres, inf in the sky."""
    equirectangular = importlib.import_module("pantheon360_blender.core.panorama.equirectangular")
    layouts = importlib.import_module("backend.reconstruction.room_layout.room_layout")
    elevation = np.pi * (0.5 - (np.arange(len(truth)) + 0.5) / len(truth))
    down = elevation < np.radians(-75)
    eye = float(np.median(truth[down] * np.sin(-elevation[down])[:, None]))
    small = equirectangular.resize(image, WIDTH)
    layout = layouts.estimate(image, eye)
    depth = layout.depth_map(importlib.import_module("backend.reconstruction.sky").sky_mask(small))
    solid = np.isfinite(truth)
    error = np.abs(np.where(np.isfinite(depth.range), depth.range, 1e9)[solid] / truth[solid] - 1)
    weight = np.broadcast_to(np.cos(elevation)[:, None], truth.shape)[solid]
    order = np.argsort(error)
    sums = np.cumsum(weight[order])
    figures = {
        "depth_error_percent": round(100 * float(error[order][np.searchsorted(sums, sums[-1] / 2)]), 1),
        "within_15_percent": round(100 * float(weight[error < NEAR_ENOUGH].sum() / weight.sum()), 1),
    }
    return figures, [small, shaded(depth.range), shaded(truth)]


def nearest(ranges: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Ranges at another size; those of two surfaces have no meaningful mean."""
    rows = ((np.arange(shape[0]) + 0.5) * ranges.shape[0] / shape[0]).astype(int)
    columns = ((np.arange(shape[1]) + 0.5) * ranges.shape[1] / shape[1]).astype(int)
    return np.asarray(ranges[np.ix_(rows, columns)])


def shaded(ranges: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: near is black, far is white."""
    share = np.log(np.clip(ranges, _NEAREST, _FARTHEST) / _NEAREST) / np.log(_FARTHEST / _NEAREST)
    return np.asarray(np.repeat((255 * share).astype(np.uint8)[..., None], 3, axis=2))


def write_sheet(rows: Sequence[Sequence[np.ndarray]], target: Path) -> None:
    image: Any = importlib.import_module("PIL.Image")
    target.parent.mkdir(exist_ok=True)
    image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in rows])).save(target, quality=90)

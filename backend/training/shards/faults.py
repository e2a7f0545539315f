"""Why a training clip is dropped: each fault with its limit, found before anything learns from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...evaluation.metrics.known_pixels import known_pixel_correlation
from ...evaluation.metrics.seam import seam_ratio
from ..training_clip import TrainingClip


@dataclass(frozen=True)
class Limits:
    """What a clip must have.

    least_way, most_way: length of the camera's path over the median range of what it sees. most_jump: the longest step
    over the median one. least_contrast: standard deviation of grey levels. most_cut: mean change of grey levels
    between frames. least_correlation: of the cache's pixels with the frames. most_seam: gradient across the seam over
    that elsewhere. least_coverage: share of a frame's pixels that the cache covers.
    """

    least_way: float = 0.03
    most_way: float = 8.0
    most_jump: float = 6.0
    least_contrast: float = 12.0
    most_cut: float = 60.0
    least_correlation: float = 0.65
    most_seam: float = 3.0
    least_coverage: float = 0.002


def first_fault(clip: TrainingClip, limits: Limits) -> str | None:
    """Why a clip is dropped, with the figure; None if it is kept."""
    checks: tuple[Callable[[TrainingClip, Limits], str | None], ...] = (_picture, _path, _seam, _cache)
    return next((fault for check in checks if (fault := check(clip, limits))), None)


def _picture(clip: TrainingClip, limits: Limits) -> str | None:
    grey = _images(clip.frames).mean(axis=-1)
    contrast = float(grey.std(axis=(1, 2)).min())
    if contrast < limits.least_contrast:
        return f"a frame shows next to nothing: contrast {contrast:.1f} of {limits.least_contrast:g} grey levels"
    change = float(np.abs(np.diff(grey, axis=0)).mean(axis=(1, 2)).max())
    if change > limits.most_cut:
        return f"there is a cut: {change:.0f} grey levels from one frame to the next, of {limits.most_cut:g}"
    return None


def _path(clip: TrainingClip, limits: Limits) -> str | None:
    steps = np.linalg.norm(np.diff(clip.cameras[:, :3, 3], axis=0), axis=1)
    near = clip.depth[clip.coverage]
    if not len(near):
        return "its cache is never seen"
    way = float(steps.sum() / near.median())
    if way < limits.least_way:
        return f"the camera stands still: its path is {way:.3f} of the median range, of {limits.least_way:g}"
    if way > limits.most_way:
        return f"the camera is too fast: its path is {way:.1f} of the median range, of {limits.most_way:g}"
    jump = float(steps.max() / max(float(np.median(steps)), 1e-9))
    if jump > limits.most_jump:
        return f"the camera jumps: one step is {jump:.1f} times the median one, of {limits.most_jump:g}"
    return None


def _seam(clip: TrainingClip, limits: Limits) -> str | None:
    seam = seam_ratio(_images(clip.frames))
    return f"it is not closed at the seam: {seam:.1f} of {limits.most_seam:g}" if seam > limits.most_seam else None


def _cache(clip: TrainingClip, limits: Limits) -> str | None:
    covered = clip.coverage.numpy()
    share = float(covered.mean(axis=(1, 2)).min())
    if share < limits.least_coverage:
        return f"its cache covers {100 * share:.2f} % of a frame, of {100 * limits.least_coverage:g} %"
    inner = slice(1, -1)  # the ends made the cache
    known = known_pixel_correlation(_images(clip.frames[inner]), _images(clip.geometry[inner]), covered[inner])
    if not known >= limits.least_correlation:
        return f"its cache does not fit: correlation {known:.2f} of {limits.least_correlation:g}"
    return None


def _images(pictures: object) -> np.ndarray:
    """(F, H, W, 3) uint8."""
    return np.ascontiguousarray(pictures.permute(0, 2, 3, 1).numpy())  # type: ignore[attr-defined]

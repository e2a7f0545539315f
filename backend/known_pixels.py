"""How far a painting keeps to what was known: its correlation with the points that the geometry pass shows.

A painter that follows the geometry has nearly 1 there, one that ignores it what chance gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pantheon360_blender.core.formats import png
from pantheon360_blender.core.jobs import painting_record
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.progress import Job, Progress
from pantheon360_blender.core.render.splatting import GeometryFrame

WEAK = 0.65
"""Correlation below which a painting is told not to follow the geometry."""

_MOST_FRAMES = 64
"""Frames of a shot that are compared at most, evenly spread: decoding thousands would take longer than it tells."""
_FEWEST_PIXELS = 100


class Correlation:
    """Pearson's correlation of painted and known values, gathered frame by frame; all channels together.

    A pixel counts as much as its point is sure: leaving what is only guessed is no fault of a painter.
    """

    def __init__(self) -> None:
        self._count = 0.0
        self._sums, self._products = np.zeros(2), np.zeros((2, 2))

    def add(self, painted: np.ndarray, known: GeometryFrame) -> None:
        """Compare a frame where points are. painted: (H, W, 3) uint8, of the size of the geometry frame."""
        pairs = np.stack([painted[known.coverage].ravel(), known.colour[known.coverage].ravel()]).astype(np.float64)
        weights = np.repeat(known.sureness[known.coverage].astype(np.float64), 3)
        self._count += float(weights.sum())
        self._sums += pairs @ weights
        self._products += (pairs * weights) @ pairs.T

    @property
    def value(self) -> float | None:
        """-1 to 1; None if too few pixels were known, or all of them were of one colour."""
        if self._count < 3 * _FEWEST_PIXELS:
            return None
        covariance = self._products / self._count - np.outer(self._sums, self._sums) / self._count**2
        spread = float(covariance[0, 0] * covariance[1, 1])
        return float(covariance[0, 1] / np.sqrt(spread)) if spread > 1e-9 else None


def warning(value: float | None, what: str) -> str | None:
    """What the artist is told of a correlation; None if it is none to worry about. what: of which part of the shot."""
    if value is None or value >= WEAK:
        return None
    return f"{what} keeps to the known points weakly (correlation {value:.2f}; {WEAK:g} and more is well)."


def compare(folder: PaintFolder) -> Job[float | None]:
    """Compare a finished shot with its geometry pass, and note the outcome in `painting.json`.

    Frames at which the camera stands on a capture do not count. Raises PantheonError if a frame cannot be read.
    """
    anchored = {anchor["frame"] for anchor in folder.job.anchors}
    frames = _spread([frame for frame in folder.job.frames if frame not in anchored])
    found = Correlation()
    for index, frame in enumerate(frames):
        yield Progress("Comparing with what is known", index, len(frames))
        found.add(png.read(folder.frame_file(frame)), folder.read_geometry("geometry", frame))
    value = found.value
    entries = painting_record.read(folder.painting_file, folder.made_of)
    if value is not None:
        entries["made_of"] = folder.made_of
        entries["known_pixels"] = {"correlation": round(value, 4), "frames": len(frames)}
        folder.output.write_json(folder.painting_file, entries)
    told = warning(value, "The shot")
    yield Progress("Comparing with what is known", len(frames), len(frames), warning=told or "")
    return value


def _spread(frames: Sequence[int]) -> list[int]:
    """At most _MOST_FRAMES of the frames, evenly spread."""
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), _MOST_FRAMES)).round().astype(int)
    return [frames[index] for index in chosen]

"""The rows of the tables: who paints, seeing what. Who sees two captures never stands beside who sees one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pantheon360_blender.core.points.point_cloud import PointCloud

from . import caches, methods
from .caches import DENSE, NONE, RECONSTRUCTED, SPARSE
from .clips import EvaluationClip, KnownFrame
from .methods import Method, Situation

ONE, TWO = "one capture", "two captures"
SHARES = (0.75, 0.5, 0.25, 0.1)
STEPS = (1, 10)
CONFIGURATIONS = ("single", "single+fusion", "dual", "dual+fusion")


@dataclass(frozen=True)
class Row:
    """table: ONE or TWO, captures seen. method, regime: as the tables name them. paint: what paints.

    poses: whether the clip's poses are needed. brief: measured by the quick measures alone. videos:
    whether it counts for FVD. share: of the regime's points that are kept.
    """

    table: str
    method: str
    regime: str
    paint: Method
    poses: bool = True
    brief: bool = False
    videos: bool = True
    share: float = 1.0

    def suits(self, clip: EvaluationClip) -> bool:
        """Whether the clip has what the row needs: poses, and ranges of its captures for caches of the truth."""
        if self.regime in (SPARSE, DENSE) and any(each.range is None for each in clip.known):
            return False
        return clip.cameras is not None or not self.poses


@dataclass(frozen=True)
class EvaluatedModel:
    """A model that paints. path: its name or folder. label: what tables call it.

    trained: as its card says. steps: that it paints in as its card says, None if it says nothing. draft_share: of the
    draft that stays in its frames as its card says.
    """

    path: str
    label: str
    trained: bool
    steps: int | None = None
    draft_share: float = 0.0

    @property
    def usual_steps(self) -> int:
        """Steps of the rows that are no ablation."""
        return self.steps or STEPS[-1]


def rows(model: EvaluatedModel | None) -> list[Row]:
    """Every row; without a model those that need none."""
    found = []
    for table in (ONE, TWO):
        found += [
            Row(table, "the truth itself", NONE, methods.truth, poses=False, videos=False),
            Row(table, "hold the nearest anchor still", NONE, methods.hold, poses=False),
            Row(table, "nearest anchor, turned", NONE, methods.turned, videos=False),
        ]
        if table == TWO:
            found.append(Row(table, "cross-fade of the anchors", NONE, methods.cross_fade, poses=False))
        for regime in (SPARSE, DENSE) if table == ONE else (SPARSE, RECONSTRUCTED, DENSE):
            found.append(Row(table, "geometry only", regime, methods.geometry_only, videos=regime == SPARSE))
            found.append(Row(table, "draft", regime, methods.draft))
        found += [
            Row(table, f"draft, {share:.0%} of the cache", DENSE, methods.draft, brief=True, videos=False, share=share)
            for share in SHARES
        ]
        if model is not None:
            found += _of_model(table, model)
    return found


def _of_model(table: str, model: EvaluatedModel) -> list[Row]:
    """The paper's ablation on the thinned truth; without geometry, in the other regimes and through thinner caches the
    fullest configuration alone, in as many steps as the model usually paints in.

    An untrained model paints noise, whatever it sees: it is shown one regime, and measured briefly.
    """
    configurations = CONFIGURATIONS if table == TWO else CONFIGURATIONS[:1]
    fullest, usual = configurations[-1], model.usual_steps
    settings = {"model": model.path} | ({} if model.trained else {"guidance": 1})

    def row(regime: str, configuration: str, steps: int) -> Row:
        paint = methods.model({**settings, "steps": steps, "anchors": configuration})
        method = f"{model.label}, {configuration}, {steps} step{'s' if steps > 1 else ''}"
        return Row(table, method, regime, paint, brief=not model.trained, videos=model.trained and steps == usual)

    steps = sorted({*STEPS, usual})
    ablation = [row(SPARSE, configuration, count) for configuration in configurations for count in steps]
    blind = replace(row(NONE, fullest, usual), method=f"{model.label}, no geometry", poses=False)
    if not model.trained:
        return [blind, *ablation]
    regimes = [row(regime, fullest, usual) for regime in ([DENSE] if table == ONE else [RECONSTRUCTED, DENSE])]
    dense = regimes[-1]
    thinner = [
        replace(dense, method=f"{dense.method}, {share:.0%} of the cache", brief=True, videos=False, share=share)
        for share in SHARES
    ]
    alone = []
    if model.draft_share:
        paint = methods.model({**settings, "steps": usual, "anchors": fullest, "draft_share": 0.0})
        seen = [SPARSE, *(each.regime for each in regimes)]
        alone = [Row(table, f"{model.label}, no share of the draft", regime, paint, videos=False) for regime in seen]
    return [blind, *ablation, *regimes, *alone, *thinner]


class Situations:
    """What the rows of one clip may know; caches are made once."""

    def __init__(self, clip: EvaluationClip) -> None:
        self._clip = clip
        self._made: dict[tuple[str, str, float], Situation] = {}

    def of(self, row: Row) -> Situation:
        """What a row may know. Raises CaptureError if there is no reconstruction."""
        key = (row.table, row.regime, row.share)
        if key not in self._made:
            known = self._clip.known[:1] if row.table == ONE else (self._clip.known[0], self._clip.known[-1])
            cloud = None if row.regime == NONE else self._cloud(row, known)
            self._made[key] = Situation(self._clip, known, cloud)
        return self._made[key]

    def _cloud(self, row: Row, known: tuple[KnownFrame, ...]) -> PointCloud:
        if row.regime == RECONSTRUCTED:
            return caches.reconstructed(known)
        cloud = caches.dense(known)
        if row.regime == SPARSE:
            frames = range(1, len(self._clip.images) - 1, 3)
            return caches.sparse(cloud, np.stack([self._clip.pose(frame) for frame in frames]), self._clip.width)
        return caches.thinned(cloud, row.share)

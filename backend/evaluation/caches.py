"""The 3D caches that rows see a clip through: the regimes of the tables, and caches that were thinned out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pantheon360_blender.core.points.equirectangular_depth import cloud_from_depth
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.progress import run_to_end
from pantheon360_blender.core.render import coverage, splatting

from .clips import KnownFrame

DENSE = "dense truth"
SPARSE = "thinned truth"
RECONSTRUCTED = "own reconstruction"
NONE = "any"
"""The regime of rows that see no cache: they are the same in every one."""
SPARSE_COVERAGE = 0.2
"""Share of the sphere that the thinned truth covers, at most, as the mean along the path."""


def dense(known: Sequence[KnownFrame]) -> PointCloud:
    """A point for every pixel of the captures at its exact range."""
    clouds = [
        cloud_from_depth(each.capture, each.range, edge_ratio=None, source=index)
        for index, each in enumerate(known)
        if each.range is not None
    ]
    return _joined(clouds)


def thinned(cloud: PointCloud, share: float, seed: int = 0) -> PointCloud:
    """A share of the points, drawn at random; their footprints stay what they were."""
    count = round(share * len(cloud))
    return _taken(cloud, np.sort(np.random.default_rng(seed).permutation(len(cloud))[:count]))


def sparse(cloud: PointCloud, poses: np.ndarray, width: int, most: float = SPARSE_COVERAGE) -> PointCloud:
    """The cloud thinned until it covers `most` of the sphere, one pixel a point, as the mean over some poses."""
    low, high = 0.0, 1.0
    if _covered(cloud, poses, width) <= most:
        return cloud
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if _covered(thinned(cloud, middle), poses, width) <= most else (low, middle)
    return thinned(cloud, low)


def reconstructed(known: Sequence[KnownFrame]) -> PointCloud:
    """The project's own cache of the captures: range maps by its sweep, from the true poses. Raises CaptureError."""
    from pantheon360_blender.core.jobs.reconstruct_settings import DEFAULT_CONFIDENCE

    from ..reconstruction import fusion
    from ..reconstruction.dense import sweep

    captures = [each.capture for each in known]
    width = min(sweep.DenseOptions().width, *(each.image.shape[1] for each in captures))
    maps = run_to_end(sweep.dense(captures, sweep.DenseOptions(width=width)))
    return run_to_end(fusion.fuse(captures, maps, DEFAULT_CONFIDENCE))


def _covered(cloud: PointCloud, poses: np.ndarray, width: int) -> float:
    seen = [splatting.splat(cloud.points, cloud.colours, pose, width).coverage for pose in poses]
    return float(np.mean([coverage.covered_share(each) for each in seen]))


def _taken(cloud: PointCloud, chosen: np.ndarray) -> PointCloud:
    footprint = None if cloud.footprint is None else cloud.footprint[chosen]
    return PointCloud(cloud.points[chosen], cloud.colours[chosen], footprint=footprint)


def _joined(clouds: Sequence[PointCloud]) -> PointCloud:
    if not clouds:
        return PointCloud.empty()
    footprints = [_footprints(each) for each in clouds]
    return PointCloud(
        np.concatenate([each.points for each in clouds]),
        np.concatenate([each.colours for each in clouds]),
        footprint=np.concatenate(footprints),
    )


def _footprints(cloud: PointCloud) -> np.ndarray:
    """(N,) float32 footprints of a cloud, 0 if it knows none."""
    return np.zeros(len(cloud), np.float32) if cloud.footprint is None else cloud.footprint

"""FVD, the Fréchet video distance between two sets of videos, by the I3D network.

Source: T. Unterthiner et al., "Towards Accurate Generative Models of Video", 2018. With few videos the distance is
biased upwards and depends on their number: compare only rows of the same number, which every table says.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from torch.nn import functional

from .i3d import SIZE, I3d


def video_features(network: I3d, videos: np.ndarray) -> np.ndarray:
    """(N, 400) of (N, T, H, W, 3) uint8, resized to 224 x 224 (bilinear) whatever their shape, as FVD's code does."""
    found = []
    for video in videos:
        frames = torch.from_numpy(video).permute(0, 3, 1, 2).float() / 127.5 - 1
        frames = functional.interpolate(frames, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        found.append(network.features(frames.permute(1, 0, 2, 3)[None])[0])
    return np.stack(found)


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Fréchet distance of two Gaussians fitted to features, (N, D) and (M, D) float64; NaN below two each.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), covariances with N - 1.
    """
    if min(len(first), len(second)) < 2:
        return float("nan")
    apart = first.mean(axis=0) - second.mean(axis=0)
    one, other = (np.atleast_2d(np.cov(values, rowvar=False)) for values in (first, second))
    return float(apart @ apart + np.trace(one) + np.trace(other) - 2 * _trace_of_root(one, other))


def _trace_of_root(one: np.ndarray, other: np.ndarray) -> float:
    """Trace of (C1 C2)^(1/2): the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric."""
    values, vectors = scipy.linalg.eigh(one)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return float(np.sqrt(np.clip(scipy.linalg.eigvalsh(root @ other @ root), 0, None)).sum())

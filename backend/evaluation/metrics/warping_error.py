"""STWE, the short-term warping error: how much a video differs from itself a frame later, along the flow.

Source: W.-S. Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018. Images are in [0, 1]; the mean over
pairs of frames of sum(M (V_t - warp(V_{t+1}))^2) / sum(M), all channels together; reported x 1e-3, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .flow import consistent, dis_flow, warped

Flow = tuple[np.ndarray, np.ndarray]
"""A flow to the next frame, and the pixels that are seen in both."""


def warping_error(images: np.ndarray, flows: Sequence[Flow]) -> float:
    """STWE x 1000 of (F, H, W, 3) uint8 along F - 1 flows; NaN if nothing is seen twice."""
    errors = []
    for index, (flow, visible) in enumerate(flows):
        if visible.any():
            difference = images[index].astype(np.float32) - warped(images[index + 1], flow)
            errors.append(float(((difference[visible] / 255) ** 2).sum(axis=-1).mean()))
    return 1000.0 * float(np.mean(errors)) if errors else float("nan")


def dis_flows(images: np.ndarray) -> list[Flow]:
    """The flows of a video as OpenCV's DIS estimates them, with the pixels at which they are consistent."""
    flows = []
    for first, second in pairwise(images):
        forward, backward = dis_flow(first, second), dis_flow(second, first)
        flows.append((forward, consistent(forward, backward)))
    return flows

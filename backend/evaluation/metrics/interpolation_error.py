"""IE, the interpolation error: how far each frame is from what its two neighbours let expect. It needs no truth.

The paper's IE takes a frame interpolation network that it does not name. This one is `IE (DIS)`: both neighbours warped
half way by OpenCV's DIS flow between them, and averaged; its values compare with no other interpolation's.
"""

from __future__ import annotations

import numpy as np

from .flow import dis_flow, warped


def interpolation_error(images: np.ndarray) -> float:
    """Root mean squared difference, grey levels, of frames from their interpolation, mean over the inner frames.

    images: (F, H, W, 3) uint8. NaN if there are fewer than three.
    """
    errors = [
        float(np.sqrt(((middle - _between(before, after)) ** 2).mean()))
        for before, middle, after in zip(images[:-2], images[1:-1].astype(np.float32), images[2:], strict=True)
    ]
    return float(np.mean(errors)) if errors else float("nan")


def _between(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The frame half way. The flow from either neighbour, halved, stands for that from the middle."""
    forward, backward = dis_flow(before, after), dis_flow(after, before)
    return np.asarray((warped(after, forward / 2) + warped(before, backward / 2)) / 2)

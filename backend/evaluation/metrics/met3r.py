"""MEt3R, the multi-view consistency of the paper's tables. Its networks are the user's own: none is shipped or fetched.

Source: M. Asim et al., "MEt3R: Measuring Multi-View Consistency in Generated Images", CVPR 2025 (package `met3r`, which
brings MASt3R, DINO and FeatUp; licence CC BY-NC-SA of MASt3R's weights).
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np

from pantheon360_blender.core.errors import BackendError

SIZE = 256


class Met3r:
    """The user's own MEt3R, on perspective crops."""

    def __init__(self, device: str = "cpu") -> None:
        """Raises BackendError if the package is not there."""
        if importlib.util.find_spec("met3r") is None:
            raise BackendError(
                "MEt3R needs weights: its package, with MASt3R's, DINO's and FeatUp's, is not in this Python.",
                advice="Install github.com/mohammadasim98/met3r with its weights, or evaluate without --met3r.",
                code="missing-package",
            )
        self._device = device
        self._network: Any = importlib.import_module("met3r").MEt3R(img_size=SIZE, use_norm=True).to(device)

    def of_pairs(self, first: np.ndarray, second: np.ndarray) -> float:
        """Mean score of pairs of crops, (N, S, S, 3) uint8 each; 0 is the most consistent."""
        import torch

        pairs = np.stack([first, second], axis=1)
        images = torch.from_numpy(pairs).permute(0, 1, 4, 2, 3).float().to(self._device) / 127.5 - 1
        with torch.no_grad():
            score, *_ = self._network(images=images)
        return float(score.mean())

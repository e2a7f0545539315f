"""DA360: disparity of a whole panorama, up to a scale, without a seam.

Jiang et al., "Depth Anything in 360°: Towards Scale Invariance in the Wild", 2025. What upstream states (test.py,
datasets/ and networks/da360.py of https://github.com/antigravity-tech/DA360 at a0e9d33): a picture of 1036 x 518,
normalised as ImageNet's; `pred_disp` is the inverse of range up to one factor, greater than 0. Weights are pickles in
hljiang/DA360 and are converted; the network is in _da360_network.py. DA360_base.pth and DA360_large.pth work from a
folder, too: they were made of Depth Anything V2 Base and Large, which are under CC BY-NC 4.0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ._panoramic import PanoramicAnswer, PanoramicDepth, normalized
from ._torch import Device, array

PLUGIN = {
    "title": "DA360",
    "summary": "Depth of whole panoramas, one by one; points, other captures or the eye height tell lengths",
    "needs": [
        ("torch", "torch", "the network's arithmetic"),
        ("transformers", "transformers", "the network"),
        ("safetensors", "safetensors", "weights"),
    ],
    "models": [
        ("hljiang/DA360", "MIT, on Depth Anything V2 Small (Apache-2.0)", True, 0.1, 2.0, "DA360_small.pth"),
    ],
    "sees": "panorama",
    "homepage": "https://github.com/antigravity-tech/DA360",
}


class DA360(PanoramicDepth):
    """Disparity of whole panoramas."""

    height = 518
    patch = 14

    def load(self, folder: str, device: Device) -> Any:
        from safetensors.torch import load_file

        from . import _da360_network

        tensors: dict[str, Any] = {}
        for file in sorted(Path(folder).glob("*.safetensors")):
            tensors |= load_file(file)
        return _da360_network.DA360(tensors).to(device.kind).eval()

    def look(self, model: Any, picture: np.ndarray, device: Device) -> PanoramicAnswer:
        with device.autocast():
            disparity = array(model(normalized(picture, device)))[0]
        return PanoramicAnswer(1 / np.maximum(disparity, 1e-6))


RECONSTRUCTOR = DA360(__name__, PLUGIN)

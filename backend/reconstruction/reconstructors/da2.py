"""DA2: distances of a whole panorama, up to a scale.

Li et al., "DA²: Depth Anything in Any Direction", 2025. What upstream states (src/da2/model/spherevit.py, sphere.py and
vit_w_esphere.py, src/da2/utils/io.py, infer.py and configs/ of https://github.com/EnVision-Research/DA-2 at d659838):
a picture (B, 3, H, W) in 0 to 1, which it normalises and brings to 580,000 to 620,000 pixels by itself, as 1092 x 546
has; distances (B, H, W), scale-invariant, arithmetic under autocast. Its package is imported without its initializer,
which asks for what draws and saves.
"""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from typing import Any

import numpy as np

from ._imports import without_initializer
from ._panoramic import PanoramicAnswer, PanoramicDepth
from ._torch import Device, array

PLUGIN = {
    "title": "DA2",
    "summary": "Depth of whole panoramas, one by one; points, other captures or the eye height tell lengths",
    "needs": [
        ("torch", "torch", "the network's arithmetic"),
        ("torchvision", "torchvision", "pictures"),
        ("einops", "einops", "the network's arithmetic"),
        (
            "da2",
            "--no-deps git+https://github.com/EnVision-Research/DA-2@d659838585f2bc9967c7e9367af573795271dbbb"
            "#subdirectory=src",
            "the model",
        ),
    ],
    "models": [("haodongli/DA-2", "Apache-2.0", True, 1.4, 5.0)],
    "sees": "panorama",
    "homepage": "https://github.com/EnVision-Research/DA-2",
}
_CONFIG: dict[str, Any] = {
    "env": {"seed": 42, "verbose": False},
    "inference": {"min_pixels": 580_000, "max_pixels": 620_000},
    "spherevit": {
        "vit_w_esphere": {
            "input_dims": [1024, 1024, 1024, 1024],
            "hidden_dim": 512,
            "num_heads": 8,
            "expansion": 4,
            "num_layers_head": [2, 2, 2],
            "dropout": 0.0,
            "layer_scale": 0.0001,
            "out_dim": 64,
            "kernel_size": 3,
            "num_prompt_blocks": 1,
            "use_norm": False,
        },
        "sphere": {"width": 1092, "height": 546, "hfov": 6.2832, "vfov": 3.1416},
    },
}
"""What upstream's configuration says of the network that was published."""


class DA2(PanoramicDepth):
    """Distances of whole panoramas."""

    height = 546

    def load(self, folder: str, device: Device) -> Any:
        without_initializer("da2")
        model = importlib.import_module("da2.model.spherevit").SphereViT
        return model.from_pretrained(folder, config=_CONFIG, local_files_only=True).to(device.kind).eval()

    def look(self, model: Any, picture: np.ndarray, device: Device) -> PanoramicAnswer:
        with device.autocast() if device.kind != "mps" else nullcontext():
            distances = array(model(device.pictures(picture[None])))[0]
        return PanoramicAnswer(distances)


RECONSTRUCTOR = DA2(__name__, PLUGIN)

"""MoGe-2: metric depth of each crop by itself, told the crop's field of view.

Wang et al., "MoGe-2: Accurate Monocular Geometry with Metric Scale and Sharp Details", 2025. What upstream states
(moge/model/v2.py of https://github.com/microsoft/MoGe at 637e23e): pictures (B, 3, H, W) in 0 to 1 and the horizontal
field of view in degrees; `depth` (B, H, W) along the axis in metres, infinite outside `mask`, where there is sky or
nothing. Weights are pickles with their `model_config`, and are converted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pantheon360_blender.core import budget, inputs

from . import Reconstructor
from ._torch import Device, array
from ._weights import SETTINGS

if TYPE_CHECKING:
    from ..crops.from_crops import CropGeometry, CropViews

_BATCH = 4

PLUGIN = {
    "title": "MoGe-2",
    "summary": "Metric depth of each crop by itself",
    "needs": [
        ("torch", "torch", "the network's arithmetic"),
        ("scipy", "scipy", "the model"),
        (
            "utils3d",
            "--no-deps git+https://github.com/EasternJournalist/utils3d@3913c65d81e05e47b9f367250cf8c0f7462a0900",
            "the model",
        ),
        (
            "moge",
            "--no-deps git+https://github.com/microsoft/MoGe@637e23e250bf761f2a7a5b5e2f642996331e02f4",
            "the model",
        ),
    ],
    "models": [
        ("Ruicheng/moge-2-vitl-normal", "MIT", True, 1.3, 4.0, "model.pt"),
        ("Ruicheng/moge-2-vitb-normal", "MIT", True, 0.4, 2.0, "model.pt"),
        ("Ruicheng/moge-2-vits-normal", "MIT", True, 0.1, 1.5, "model.pt"),
    ],
    "sees": "crop",
    "homepage": "https://github.com/microsoft/MoGe",
}


class MoGe(Reconstructor):
    """Metric depth of each crop by itself."""

    several_views = False

    def load(self, folder: str, device: Device) -> Any:
        from moge.model.v2 import MoGeModel as Model
        from safetensors.torch import load_file

        model = Model(**inputs.read_json(Path(folder) / SETTINGS, budget.CARD_FILE)["model_config"])
        model.load_state_dict(load_file(Path(folder) / "model.safetensors"), strict=False)
        return model.to(device.kind).eval()

    def predict(self, model: Any, views: CropViews, device: Device) -> CropGeometry:
        from ..crops.from_crops import CropGeometry

        pictures, depth = views.pictures(), []
        for start in range(0, len(pictures), _BATCH):
            answer = model.infer(
                device.pictures(pictures[start : start + _BATCH]),
                fov_x=float(np.degrees(views.layout.fov)),
                use_fp16=device.half,
            )
            depth.append(array(answer["depth"]))
        return CropGeometry(
            values=np.concatenate(depth).reshape(views.images.shape[:4]), metric=True, shared_scale=False
        )


RECONSTRUCTOR = MoGe(__name__, PLUGIN)

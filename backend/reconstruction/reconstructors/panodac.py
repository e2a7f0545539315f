"""Depth Any Camera, by the package panodac: metric range of a whole panorama.

Guo et al., "Depth Any Camera: Zero-Shot Metric Depth Estimation from Any Camera", CVPR 2025. What the package does with
a panorama is as in its predictor.py (0.1.1): a picture as high as the model's img_size says, at most 512, and twice as
wide; normalised as ImageNet's; metres back; the seam blended by its own seam_blending. The package would unpickle the
weights: here its network is filled with converted ones.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core import budget, inputs
from pantheon360_blender.core.errors import PantheonError

from ._panoramic import PanoramicAnswer, PanoramicDepth, normalized
from ._torch import Device, array
from ._weights import SETTINGS

PLUGIN = {
    "title": "Depth Any Camera",
    "summary": "Depth of whole panoramas, one by one, in meters; its models are for outdoors or for indoors",
    "needs": [
        ("torch", "torch", "the network's arithmetic"),
        ("timm", "timm", "the network's parts"),
        ("einops", "einops", "the network's arithmetic"),
        ("cv2", "opencv-python-headless", "pictures"),
        ("scipy", "scipy", "the seam"),
        ("panodac", "--no-deps panodac==0.1.1", "the model"),
    ],
    "models": [("yuliangguo/depth-any-camera", "MIT", True, 0.5, 3.0, "dac_resnet101_outdoor.pt")],
    "sees": "panorama",
    "homepage": "https://github.com/yuliangguo/depth_any_camera",
}
_HIGHEST = 512


class PanoDac(PanoramicDepth):
    """Metric range of whole panoramas."""

    height = _HIGHEST
    metric = True

    def load(self, folder: str, device: Device) -> Any:
        from panodac.models import IDisc
        from safetensors.torch import load_file

        config = inputs.read_json(Path(folder) / SETTINGS, budget.CARD_FILE)
        if not isinstance(config, dict) or "pixel_encoder" not in config.get("model", {}):
            raise PantheonError(
                f"{folder} lacks the model's configuration.",
                advice="Download the .json that lies beside the weights, into the same folder.",
                code="reconstructor-missing",
            )
        config = copy.deepcopy(config)
        config["model"]["pixel_encoder"]["pretrained"] = False  # else the encoder's own weights are downloaded
        model = IDisc.build(config)
        tensors = load_file(Path(folder) / "model.safetensors")
        names = {name.replace("module.", ""): each for name, each in tensors.items() if not name.startswith("loss")}
        left = model.load_state_dict(names, strict=False).missing_keys
        if left:
            raise PantheonError(f"{folder} lacks the weights {', '.join(left[:3])}.", advice="Get the model again.")
        model.image_height = min(int(config["model"]["pixel_encoder"]["img_size"][1]), _HIGHEST)
        return model.to(device.kind).eval()

    def look(self, model: Any, picture: np.ndarray, device: Device) -> PanoramicAnswer:
        import cv2
        from panodac.seam_blending import fix_panorama_seam

        size = (2 * model.image_height, model.image_height)
        shown = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        ranges = array(model(normalized(shown, device)))[0, 0]
        return PanoramicAnswer(fix_panorama_seam(ranges, blend_width=max(8, size[0] // 32)))


RECONSTRUCTOR = PanoDac(__name__, PLUGIN)

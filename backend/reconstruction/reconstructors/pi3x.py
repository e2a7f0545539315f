"""Pi3X: Pi3 that can be told rays and poses, and answers in metres, approximately.

What it expects and answers is as in the package's pi3/models/pi3x.py: rays (B, N, H, W, 3) unit length and poses
(B, N, 4, 4) camera-to-world, both in OpenCV's camera axes; poses need rays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import Reconstructor
from ._torch import Device
from .pi3 import answered

if TYPE_CHECKING:
    from ..crops.from_crops import CropGeometry, CropViews


PLUGIN = {
    "title": "Pi3X",
    "summary": "Poses and depth from pictures, the rig's exact rays, and poses where they are known",
    "needs": [("torch", "torch", "the network's arithmetic"), ("pi3", "git+https://github.com/yyfz/Pi3", "the model")],
    "models": [
        ("yyfz233/Pi3X", "CC BY-NC 4.0", False, 5.5, 8.0),
    ],
    "sees": "crops",
    "homepage": "https://github.com/yyfz/Pi3",
}


class Pi3X(Reconstructor):
    """Poses and depth from pictures, the rig's exact rays, and poses if they are known."""

    size = 504
    most_pixels = 255_000
    accepts_poses = True
    gb_fixed = 6.0

    def load(self, folder: str, device: Device) -> Any:
        from pi3.models.pi3x import Pi3X as Model

        return Model.from_pretrained(folder, local_files_only=True).to(device.kind).eval()

    def predict(self, model: Any, views: CropViews, device: Device) -> CropGeometry:
        pictures, rays = views.pictures(), views.rays()
        given = {"rays": device.tensor(np.broadcast_to(rays, (1, len(pictures), *rays.shape)))}
        poses = views.known_poses()
        if poses is not None:
            given["poses"] = device.tensor(poses[None])
        with device.autocast():
            answer = model(imgs=device.pictures(pictures)[None], **given)
        return answered(answer, views, metric=True)


RECONSTRUCTOR = Pi3X(__name__, PLUGIN)

"""Pi3: geometry of any number of pictures, without a reference view.

Wang et al., "Pi3: Permutation-Equivariant Visual Geometry Learning", 2025. What the package expects and answers is as
in its pi3/models/pi3.py and pi3/utils/basic.py: pictures (B, N, 3, H, W) in 0 to 1, sides multiples of 14, at most
255,000 pixels; local_points in OpenCV's camera axes, camera_poses camera-to-world, confidence as logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import Reconstructor
from ._torch import Device, array, sigmoid

if TYPE_CHECKING:
    from ..crops.from_crops import CropGeometry, CropViews


PLUGIN = {
    "title": "Pi3",
    "summary": "Poses and depth from pictures alone",
    "needs": [("torch", "torch", "the network's arithmetic"), ("pi3", "git+https://github.com/yyfz/Pi3", "the model")],
    "models": [
        ("yyfz233/Pi3", "CC BY-NC 4.0", False, 3.8, 6.0),
    ],
    "sees": "crops",
    "homepage": "https://github.com/yyfz/Pi3",
}


class Pi3(Reconstructor):
    """Poses and depth from pictures alone."""

    size = 504
    most_pixels = 255_000

    def load(self, folder: str, device: Device) -> Any:
        from pi3.models.pi3 import Pi3 as Model

        return Model.from_pretrained(folder, local_files_only=True).to(device.kind).eval()

    def predict(self, model: Any, views: CropViews, device: Device) -> CropGeometry:
        with device.autocast():
            answer = model(device.pictures(views.pictures())[None])
        return answered(answer, views, metric=False)


def answered(answer: dict[str, Any], views: CropViews, *, metric: bool) -> CropGeometry:
    """Pi3's and Pi3X's answer: depth is local_points' z, so that rays can be the rig's own."""
    from ..crops.from_crops import CropGeometry

    shape = views.images.shape[:4]
    return CropGeometry(
        values=array(answer["local_points"])[0, ..., 2].reshape(shape),
        confidence=sigmoid(array(answer["conf"])[0, ..., 0]).reshape(shape),
        poses=array(answer["camera_poses"], float)[0].reshape(*shape[:2], 4, 4),
        metric=metric,
    )


RECONSTRUCTOR = Pi3(__name__, PLUGIN)

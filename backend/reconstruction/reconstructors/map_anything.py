"""MapAnything: metric geometry from pictures, rays and poses.

Keetha et al., "MapAnything: Universal Feed-Forward Metric 3D Reconstruction", 2025. What the package expects and
answers is as in its README and mapanything/models/mapanything/model.py: one dict a view, with img (1, 3, H, W) as
preprocess_inputs makes it, ray_directions (1, H, W, 3) and camera_poses (1, 4, 4) camera-to-world, OpenCV's axes; one
dict a view back, with depth_z, conf from 1 up, mask and camera_poses, in metres.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import Reconstructor
from ._torch import Device, array, from_one_up

if TYPE_CHECKING:
    from ..crops.from_crops import CropGeometry, CropViews


PLUGIN = {
    "title": "MapAnything",
    "summary": "Poses and depth from pictures, the rig's exact rays, and poses where they are known",
    "needs": [
        ("torch", "torch", "the network's arithmetic"),
        ("mapanything", "git+https://github.com/facebookresearch/map-anything", "the model"),
    ],
    "models": [
        ("facebook/map-anything-apache", "Apache-2.0", True, 4.9, 8.0),
        ("facebook/map-anything", "CC BY-NC 4.0", False, 4.9, 8.0),
    ],
    "sees": "crops",
    "homepage": "https://github.com/facebookresearch/map-anything",
}


class MapAnything(Reconstructor):
    """Poses and depth from pictures, the rig's exact rays, and poses if they are known."""

    accepts_poses = True
    gb_fixed = 6.0
    gb_per_view = 0.15

    def load(self, folder: str, device: Device) -> Any:
        from mapanything.models import MapAnything as Model

        return Model.from_pretrained(folder, local_files_only=True).to(device.kind).eval()

    def predict(self, model: Any, views: CropViews, device: Device) -> CropGeometry:
        from ..crops.from_crops import CropGeometry

        answers = model.infer(
            self._inputs(views),
            memory_efficient_inference=True,
            use_amp=device.half,
            amp_dtype={"bfloat16": "bf16", "float16": "fp16"}.get(device.dtype, "fp32"),
            apply_mask=True,
            mask_edges=True,
            apply_confidence_mask=False,
        )
        shape = views.images.shape[:4]
        kept = np.stack([array(answer["mask"], bool)[0, ..., 0] for answer in answers])
        depth = np.stack([array(answer["depth_z"])[0, ..., 0] for answer in answers])
        confidence = np.stack([array(answer["conf"])[0] for answer in answers])
        poses = np.stack([array(answer["camera_poses"], float)[0] for answer in answers])
        return CropGeometry(
            values=np.where(kept, depth, np.nan).reshape(shape),
            confidence=from_one_up(confidence).reshape(shape),
            poses=poses.reshape(*shape[:2], 4, 4),
            metric=True,
        )

    def _inputs(self, views: CropViews) -> list[dict[str, Any]]:
        """Views as the package prepares them; square crops of 518 pixels pass through unchanged.

        Rays are given themselves: intrinsics would leave it open whether pixel centres lie at 0 or at a half.
        """
        import torch
        from mapanything.utils.image import preprocess_inputs

        size = views.layout.size
        prepared = preprocess_inputs(
            [{"img": picture} for picture in views.pictures()], resize_mode="fixed_size", size=(size, size)
        )
        poses = views.known_poses()
        for index, view in enumerate(prepared):
            view["ray_directions"] = torch.from_numpy(views.rays().copy())[None]
            if poses is not None:
                view["camera_poses"] = torch.from_numpy(poses[index].copy())[None]
                view["is_metric_scale"] = torch.tensor([True])
        return list(prepared)


RECONSTRUCTOR = MapAnything(__name__, PLUGIN)

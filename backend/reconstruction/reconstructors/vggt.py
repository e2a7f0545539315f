"""VGGT: cameras and depth of up to hundreds of pictures.

Wang et al., "VGGT: Visual Geometry Grounded Transformer", CVPR 2025. What the package expects and answers is as in its
README, vggt/models/vggt.py and vggt/utils/load_fn.py: pictures (B, S, 3, H, W) in 0 to 1, 518 pixels wide, sides
multiples of 14; depth (B, S, H, W, 1), its confidence from 1 up, and an encoded world-to-camera pose. Its depth, put
on the cameras' rays, is more accurate than its point head, as its README says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import Reconstructor
from ._torch import Device, array, from_one_up

if TYPE_CHECKING:
    from ..crops.from_crops import CropGeometry, CropViews


PLUGIN = {
    "title": "VGGT",
    "summary": "Poses and depth from pictures alone; it accepts neither poses nor intrinsics",
    "needs": [
        ("torch", "torch", "the network's arithmetic"),
        ("vggt", "git+https://github.com/facebookresearch/vggt", "the model"),
    ],
    "models": [
        ("facebook/VGGT-1B", "CC BY-NC 4.0", False, 5.0, 9.0),
        ("facebook/VGGT-1B-Commercial", "VGGT license, on request", True, 5.0, 9.0),
    ],
    "sees": "crops",
    "homepage": "https://github.com/facebookresearch/vggt",
}


class Vggt(Reconstructor):
    """Poses and depth from pictures alone; it accepts neither poses nor intrinsics."""

    gb_fixed = 7.0

    def load(self, folder: str, device: Device) -> Any:
        from vggt.models.vggt import VGGT

        model = VGGT.from_pretrained(folder, local_files_only=True)
        model.point_head = None  # neither is read: their memory and time are saved
        model.track_head = None
        return model.to(device.kind).eval()

    def predict(self, model: Any, views: CropViews, device: Device) -> CropGeometry:
        from vggt.utils.pose_enc import pose_encoding_to_extri_intri

        from ..crops.from_crops import CropGeometry

        shape = views.images.shape[:4]
        pictures = device.pictures(views.pictures())
        with device.autocast():
            answer = model(pictures[None])
        extrinsic, _ = pose_encoding_to_extri_intri(answer["pose_enc"].float(), pictures.shape[-2:])
        return CropGeometry(
            values=array(answer["depth"])[0, ..., 0].reshape(shape),
            confidence=from_one_up(array(answer["depth_conf"])[0]).reshape(shape),
            poses=world_from_camera(array(extrinsic, float)[0]).reshape(*shape[:2], 4, 4),
        )


def world_from_camera(extrinsics: np.ndarray) -> np.ndarray:
    """(N, 4, 4) camera-to-world of world-to-camera matrices (N, 3, 4) or (N, 4, 4)."""
    camera_from_world = np.tile(np.eye(4), (len(extrinsics), 1, 1))
    camera_from_world[:, :3] = extrinsics[:, :3]
    return np.asarray(np.linalg.inv(camera_from_world))


RECONSTRUCTOR = Vggt(__name__, PLUGIN)

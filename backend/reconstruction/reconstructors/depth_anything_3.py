"""Depth Anything 3: depth and cameras of any number of pictures, conditioned on poses if they are known.

Lin et al., "Depth Anything 3: Recovering the Visual Space from Any Views", 2025. What the package expects and answers
is as in its docs/API.md and src/depth_anything_3/api.py: a list of pictures, world-to-camera extrinsics (N, 4, 4) and
intrinsics (N, 3, 3) in OpenCV's axes; a Prediction with depth (N, H, W), conf from 1 up, extrinsics, sky.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import Reconstructor
from ._imports import instead_of
from ._torch import Device, array, from_one_up
from .vggt import world_from_camera

if TYPE_CHECKING:
    from ..crops.from_crops import CropGeometry, CropViews

_METRIC_FOCAL = 300.0
"""DA3METRIC-LARGE answers metres times this over the focal length in pixels (README, FAQ)."""


PLUGIN = {
    "title": "Depth Anything 3",
    "summary": "Poses and depth from pictures, and poses where known; also its monocular and metric models",
    "needs": [
        ("torch", "torch", "the network's arithmetic"),
        ("torchvision", "torchvision", "pictures"),
        ("einops", "einops", "the network's arithmetic"),
        ("omegaconf", "omegaconf", "the network's configuration"),
        ("addict", "addict", "the network's answers"),
        ("cv2", "opencv-python-headless", "pictures"),
        ("imageio", "imageio", "pictures"),
        ("evo", "--no-deps evo==1.38.1", "poses that are given"),
        ("depth_anything_3", "--no-deps depth-anything-3==0.1.1", "the model"),
    ],
    "models": [
        ("depth-anything/DA3-BASE", "Apache-2.0", True, 0.5, 4.0),
        ("depth-anything/DA3-SMALL", "Apache-2.0", True, 0.3, 3.5),
        ("depth-anything/DA3MONO-LARGE", "Apache-2.0", True, 1.4, 5.0),
        ("depth-anything/DA3METRIC-LARGE", "Apache-2.0", True, 1.4, 5.0),
        ("depth-anything/DA3-LARGE", "CC BY-NC 4.0", False, 1.4, 5.0),
        ("depth-anything/DA3-GIANT", "CC BY-NC 4.0", False, 4.6, 9.0),
    ],
    "sees": "crops",
    "homepage": "https://github.com/ByteDance-Seed/Depth-Anything-3",
}


class DepthAnything3(Reconstructor):
    """Poses and depth from pictures, and poses if known; also its monocular and metric models."""

    size = 504
    accepts_poses = True
    gb_fixed = 3.0
    gb_per_view = 0.2

    def load(self, folder: str, device: Device) -> Any:
        return upstream().from_pretrained(folder, local_files_only=True).to(device.kind).eval()

    def predict(self, model: Any, views: CropViews, device: Device) -> CropGeometry:
        from ..crops.from_crops import CropGeometry

        shape = views.images.shape[:4]
        given, notes = self._cameras(views)
        answer = model.inference(
            list(views.pictures()), process_res=views.layout.size, process_res_method="upper_bound_resize", **given
        )
        values = array(answer.depth).reshape(shape)
        metric = bool(getattr(answer, "is_metric", 0)) and not given
        if "metric" in str(getattr(model, "model_name", "")) and answer.extrinsics is None:
            values, metric = values * (views.layout.intrinsics[0, 0] / _METRIC_FOCAL), True
        return CropGeometry(
            values=values,
            confidence=None if answer.conf is None else from_one_up(array(answer.conf)).reshape(shape),
            poses=None
            if answer.extrinsics is None
            else world_from_camera(array(answer.extrinsics, float)).reshape(*shape[:2], 4, 4),
            metric=metric,
            shared_scale=answer.extrinsics is not None,
            sky=None if answer.sky is None else array(answer.sky, bool).reshape(shape),
            notes=notes,
        )

    def _cameras(self, views: CropViews) -> tuple[dict[str, np.ndarray], list[str]]:
        """Extrinsics and intrinsics to give, or none if upstream's alignment to them would fail.

        It fits the positions to its own with Umeyama's method, which fails for cameras in one place or on one line
        (upstream issues 88 and 241).
        """
        poses = views.known_poses()
        if poses is None:
            return {}, []
        positions = poses[:, :3, 3].astype(np.float64)
        spread = np.linalg.svd(positions - positions.mean(axis=0), compute_uv=False)
        if spread[1] < 0.02 * max(spread[0], 1e-12):
            return {}, ["Depth Anything 3 was not told the poses: it accepts none for captures on one line."]
        extrinsics = np.linalg.inv(_normalised(poses))
        intrinsics = np.tile(views.layout.intrinsics, (len(poses), 1, 1))
        return {"extrinsics": extrinsics.astype(np.float32), "intrinsics": intrinsics.astype(np.float32)}, []


def upstream() -> Any:
    """The package's class of all its models. What writes files for viewers is left out: it asks for much else."""
    with instead_of("depth_anything_3.utils.export", {"export": None}):
        from depth_anything_3.api import DepthAnything3 as Model
    return Model


def _normalised(poses: np.ndarray) -> np.ndarray:
    """The same poses with the unit in which upstream leaves them as they are.

    Upstream divides positions by their median distance from the first camera, or by 0.1 if that is less. Crops share
    centres: their median may be 0, and 0.1 would put the captures ten times as far apart as it is used to.
    """
    poses = poses.astype(np.float64)
    away = np.linalg.norm(poses[:, :3, 3] - poses[0, :3, 3], axis=1)
    median = float(np.sort(away)[(len(away) - 1) // 2])
    poses[:, :3, 3] *= 1 / median if median > 0 else 0.1 / float(away.max())
    return poses


RECONSTRUCTOR = DepthAnything3(__name__, PLUGIN)

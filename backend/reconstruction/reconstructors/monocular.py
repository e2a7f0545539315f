"""Monocular depth by `transformers`: Depth Anything V2, Depth Pro, ZoeDepth, DPT and whatever else it loads.

Each crop is estimated alone; crops are then aligned where they overlap, by a scale, and by a shift of inverse depth for
models that know depth only up to both. Poses must be known.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pantheon360_blender.core import budget, inputs
from pantheon360_blender.core.errors import PantheonError

from . import Reconstructor
from ._torch import Device, array

if TYPE_CHECKING:
    from ..crops.from_crops import CropGeometry, CropViews

_METRES = ("depth_pro", "zoedepth", "glpn")
_DISPARITY = ("dpt",)
_TYPED = ("depth_anything", "prompt_depth_anything")
"""Kinds of transformers' depth models by what they answer: `_TYPED` say it in depth_estimation_type."""
_BATCH = 4


PLUGIN = {
    "title": "Monocular Depth",
    "summary": "Depth of each crop by itself; the lightest, and the one for a single capture",
    "needs": [("torch", "torch", "the network's arithmetic"), ("transformers", "transformers", "the model")],
    "models": [
        ("depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf", "Apache-2.0", True, 0.1, 1.0),
        ("depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf", "Apache-2.0", True, 0.1, 1.0),
    ],
    "sees": "crop",
    "homepage": "https://huggingface.co/models?pipeline_tag=depth-estimation&library=transformers",
}


class Monocular(Reconstructor):
    """Depth of each crop by itself; the lightest, and the one for a single capture."""

    several_views = False

    def load(self, folder: str, device: Device) -> Any:
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        kind_of(inputs.read_json(Path(folder) / "config.json", budget.CARD_FILE))
        model = AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        return processor, model.to(device.kind).eval()

    def predict(self, model: Any, views: CropViews, device: Device) -> CropGeometry:
        from ..crops.from_crops import DEPTH, DISPARITY, CropGeometry

        processor, network = model
        metric, disparity = kind_of(network.config.to_dict())
        pictures = views.pictures()
        depth = [
            self._estimate(processor, network, pictures[start : start + _BATCH], views, device)
            for start in range(0, len(pictures), _BATCH)
        ]
        return CropGeometry(
            values=np.concatenate(depth).reshape(views.images.shape[:4]),
            metric=metric,
            shared_scale=False,
            kind=DISPARITY if disparity else DEPTH,
        )

    def _estimate(
        self, processor: Any, network: Any, pictures: np.ndarray, views: CropViews, device: Device
    ) -> np.ndarray:
        import torch

        inputs = processor(images=list(pictures), return_tensors="pt").to(device.kind)
        with device.autocast():
            outputs = network(**inputs)
        outputs.predicted_depth = outputs.predicted_depth.float()
        if getattr(outputs, "field_of_view", None) is not None:
            # Depth Pro guesses the field of view and scales metres by it; the rig knows it.
            outputs.field_of_view = torch.full_like(outputs.field_of_view.float(), np.degrees(views.layout.fov))
        sizes = [pictures.shape[1:3]] * len(pictures)
        padded = {"source_sizes": sizes} if network.config.model_type == "zoedepth" else {}
        answers = processor.post_process_depth_estimation(outputs, target_sizes=sizes, **padded)
        return np.stack([array(answer["predicted_depth"]) for answer in answers])


def kind_of(config: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a depth model's config promises metres, and whether it answers inverse depth up to scale and shift.

    Raises PantheonError for models that answer something else.
    """
    model = str(config.get("model_type", ""))
    if model in _METRES:
        return True, False
    if model in _DISPARITY:
        return False, True
    if model in _TYPED:
        metric = config.get("depth_estimation_type", "relative") == "metric"
        return metric, not metric
    raise PantheonError(
        f"It is not known what a {model or 'nameless'} model's depth means.",
        advice=f"Choose a model of one of these kinds: {', '.join((*_METRES, *_DISPARITY, *_TYPED))}.",
        code="reconstructor-failed",
    )


RECONSTRUCTOR = Monocular(__name__, PLUGIN)

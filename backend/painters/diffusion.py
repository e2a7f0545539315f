"""The diffusion painter: panoramic Stable Video Diffusion conditioned on the geometry pass."""

from __future__ import annotations

from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.jobs.paint_settings import SETTINGS_KEY, PaintOptions
from pantheon360_blender.core.progress import Job, Progress

from ..diffusion import quiet_imports

PLUGIN = {
    "title": "Diffusion",
    "summary": "Stable Video Diffusion conditioned on the geometry pass; needs a model and a Python with torch",
    "needs": [
        ("torch", "torch", "the networks' arithmetic, on the GPU if there is one"),
        ("diffusers", "diffusers", "U-Net, VAE and schedulers"),
        ("transformers", "transformers", "CLIP's image encoder"),
        ("accelerate", "accelerate", "networks that do not fit into the GPU"),
        ("safetensors", "safetensors", "weights"),
        ("huggingface_hub", "huggingface-hub", "models that were downloaded"),
    ],
    "number": 1,
    "settings": "diffusion",
}


def paint(folder: PaintFolder) -> Job[None]:
    """Paint clip after clip with a model of the person's own."""
    PaintOptions.from_json(folder.job.settings.get(SETTINGS_KEY, {}))  # before torch, which takes its time to start
    yield Progress("Starting torch")
    quiet_imports.ask()
    from ..diffusion.shot import long_path

    yield from long_path.paint(folder)

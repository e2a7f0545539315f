"""The diffusion painter: panoramic Stable Video Diffusion conditioned on the geometry pass."""

from __future__ import annotations

import importlib.util
import sys

from pantheon360_blender.core import progress
from pantheon360_blender.core.errors import BackendError
from pantheon360_blender.core.jobs.job_folder import JobFolder

from ..diffusion import quiet_imports
from . import Description, Requirement


class Diffusion:
    """Paints clip after clip with a model of the person's own."""

    name = "diffusion"

    def describe(self) -> Description:
        return Description(
            label="Diffusion",
            summary="Photographic panoramas by Stable Video Diffusion, conditioned on the geometry pass",
            needs=(
                Requirement("torch", "torch", "the networks' arithmetic, on the GPU where there is one"),
                Requirement("diffusers", "diffusers", "U-Net, VAE and schedulers"),
                Requirement("transformers", "transformers", "CLIP's image encoder"),
                Requirement("accelerate", "accelerate", "networks that do not fit into the GPU"),
                Requirement("safetensors", "safetensors", "weights"),
                Requirement("huggingface_hub", "huggingface-hub", "models that were downloaded"),
            ),
        )

    def paint(self, folder: JobFolder) -> progress.Job[None]:
        missing = [need.package for need in self.describe().needs if importlib.util.find_spec(need.module) is None]
        if missing:
            raise BackendError(
                f"The diffusion painter needs {', '.join(missing)}, which {sys.executable} does not have.",
                advice=f'"{sys.executable}" -m pip install {" ".join(missing)}',
                code="missing-package",
            )
        yield progress.Progress("Starting torch")
        quiet_imports.ask()
        from ..diffusion.shot import long_path

        yield from long_path.paint(folder)


PAINTER = Diffusion()

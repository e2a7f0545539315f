"""Packages beyond numpy that a reconstruction needs, stage by stage, and how a person gets them.

Both processes ask here: Blender before it writes anything, the backend before it begins.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import plugins
from . import reconstruct_settings
from .reconstruct_settings import ReconstructionSettings

STAGES = {
    "solving poses": {"pycolmap": "pycolmap", "cv2": "opencv-python-headless", "scipy": "scipy"},
    "dense points": {"numba": "numba", "scipy": "scipy"},
    "completing surfaces": {"scipy": "scipy"},
}
"""Stage -> module that is imported and package that is installed."""


def stages(settings: ReconstructionSettings) -> list[str]:
    """Those of STAGES that a reconstruction from the start goes through."""
    found = []
    if settings.poses == reconstruct_settings.SOLVE:
        found.append("solving poses")
    if settings.dense != reconstruct_settings.NONE:
        found.append("dense points")
    if settings.guesses:
        found.append("completing surfaces")
    return found


def packages(of: Sequence[str]) -> dict[str, str]:
    """Module -> package of everything that these stages need."""
    return {module: package for stage in of for module, package in STAGES[stage].items()}


def of_reconstruction(settings: ReconstructionSettings) -> dict[str, str]:
    """Module -> package of everything that a reconstruction from the start needs, a learned model's own included."""
    needed = packages(stages(settings))
    if settings.reconstructor:
        plugin = plugins.find(plugins.RECONSTRUCTORS).get(settings.reconstructor)
        needed |= {need.module: need.package for need in (plugin.needs if plugin else ())}
    return needed


def how_to_get(wanted: Sequence[str]) -> str:
    """What a person does to give the backend a Python that has these packages."""
    return (
        "Make an environment with Python 3.11 or newer (python -m venv pantheon360-backend), install into it "
        f"(pip install {' '.join(wanted)}), and choose its Python as Backend Python in the add-on's preferences, "
        "or name it in the environment variable PANTHEON360_BACKEND_PYTHON."
    )

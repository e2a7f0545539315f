"""Packages beyond numpy that a reconstruction needs, stage by stage, and how a person gets them.

Both processes ask here: Blender before it writes anything, the backend before it begins.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import plugins
from ..jobs import reconstruct_settings
from ..jobs.reconstruct_settings import ReconstructionSettings
from ..plain_text import filled
from . import parts

ALONE = "--no-deps"
"""Begins a package that is installed by itself: it asks for versions of others that would take the place of ours."""
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
    if settings.learned:
        plugin = plugins.find(plugins.RECONSTRUCTORS).get(settings.learned)
        needed |= {need.module: need.package for need in (plugin.needs if plugin else ())}
    return needed


def how_to_get(wanted: Sequence[str]) -> str:
    """What a person does to give the backend a Python that has these packages."""
    alone = [package for package in wanted if package.startswith(ALONE)]
    together = [package for package in wanted if package not in alone]
    commands = [f"pip install {' '.join(together)}", *(f"pip install {package}" for package in alone)]
    found, left = parts.bringing(map(called, wanted))
    engine = "" if left else f"Install the engine's {parts.titles(found)} in the add-on's preferences. Or make"
    return (
        f"{engine or 'Make'} an environment with Python 3.11 or newer (python -m venv pantheon360-backend), install "
        f"into it ({'; '.join(commands)}), and choose its Python as Backend Python in the add-on's preferences, "
        "or name it in the environment variable PANTHEON360_BACKEND_PYTHON."
    )


def lacking(packages: Sequence[str]) -> str:
    """What to do about packages that are not there, in a line for a panel.

    >>> lacking(["panodac", "scipy"])
    "Install the engine's part Learned Depth first: it brings panodac, scipy"
    >>> lacking(["MoGe", "scipy"])
    'Name a Python that has MoGe in the preferences: the engine does not bring it'
    """
    found, left = parts.bringing(packages)
    if left:
        named = ", ".join(left)
        return filled(
            "Name a Python that has {packages} in the preferences: the engine does not bring it", packages=named
        )
    titles, listed = parts.titles(found), ", ".join(packages)
    if len(found) == 1:
        return filled("Install the engine's {parts} first: it brings {packages}", parts=titles, packages=listed)
    return filled("Install the engine's {parts} first: they bring {packages}", parts=titles, packages=listed)


def called(package: str) -> str:
    """What people call a package that pip is given as `package`: "torch", "MoGe".

    >>> called("--no-deps git+https://github.com/microsoft/MoGe@637e23e"), called("panodac==0.1.1")
    ('MoGe', 'panodac')
    """
    stem = package.removeprefix(ALONE).strip().partition("#")[0]
    if stem.startswith("git+"):
        return stem.partition("@")[0].rpartition("/")[2].removesuffix(".git")
    return stem.partition("==")[0].partition("[")[0].strip()

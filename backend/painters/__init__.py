"""Painters turn the geometry of a job folder into panoramas. Each is one file here, a plug-in (core/plugins.py).

A painter's file assigns PLUGIN and defines

    def paint(folder: PaintFolder) -> Job[None]:

which writes every frame of the job that is not finished yet. It yields Progress at least once a frame, and once a
denoising step if there are some: between two steps the job can be cancelled, which closes the generator. The same
folder gives the same bytes, also if it is done in several goes. It raises PantheonError.

The file is imported when it paints, not to be listed.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Protocol, cast

from pantheon360_blender.core import plugins, progress
from pantheon360_blender.core.errors import BackendError
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.plugins import Plugin


class Painter(Protocol):
    """A painter's module."""

    def paint(self, folder: PaintFolder) -> progress.Job[None]:
        """Write every frame of the job that is not finished yet, see above."""


def described() -> dict[str, Plugin]:
    """Every painter there is, by name. No painter is imported."""
    return plugins.find(plugins.PAINTERS)


def named(name: str) -> Painter:
    """The painter of this name, ready to paint. Raises BackendError if there is none, or a package is missing."""
    known = described()
    if name not in known:
        raise BackendError(
            f"This backend has no painter called {name!r}.",
            advice=f"Choose one of: {', '.join(known)}; or update the Pantheon360 extension.",
            code="unknown-painter",
        )
    missing = [need.package for need in known[name].needs if importlib.util.find_spec(need.module) is None]
    if missing:
        raise BackendError(
            f"The {name} painter needs {', '.join(missing)}, which {sys.executable} does not have.",
            advice=f'"{sys.executable}" -m pip install {" ".join(missing)}',
            code="missing-package",
        )
    return cast(Painter, importlib.import_module(f"{__name__}.{name}"))

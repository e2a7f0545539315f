"""Painters turn the geometry of a job folder into panoramas. Each is one module here, found by its name.

A module defines `PAINTER`, a Painter, and imports without any package beyond numpy: what a painter needs is listed in
its description and imported when it paints, so that `doctor` can tell what is missing.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Protocol, cast

from pantheon360_blender.core import progress
from pantheon360_blender.core.errors import BackendError
from pantheon360_blender.core.jobs.job_folder import JobFolder


@dataclass(frozen=True)
class Requirement:
    """A package a painter needs. module: what is imported; package: what is installed; purpose: what for."""

    module: str
    package: str
    purpose: str


@dataclass(frozen=True)
class Description:
    """A painter for people. label: its name; summary: a sentence; needs: packages it cannot work without."""

    label: str
    summary: str
    needs: tuple[Requirement, ...]


class Painter(Protocol):
    """What paints."""

    name: str

    def describe(self) -> Description:
        """Say what it is and needs; imports nothing heavy."""

    def paint(self, folder: JobFolder) -> progress.Job[None]:
        """Write every frame of the job that is not finished yet.

        Yields at least once a frame, and once a denoising step where there are some: between two steps the job can be
        cancelled by closing the generator. The same folder gives the same bytes, also when it is done in several goes.
        Raises PantheonError.
        """


def names() -> list[str]:
    """Every painter there is."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def named(name: str) -> Painter:
    """The painter of this name. Raises BackendError where there is none."""
    if name not in names():
        raise BackendError(
            f"This backend has no painter called {name!r}.",
            advice=f"Choose one of: {', '.join(names())}; or update the Pantheon360 extension.",
            code="unknown-painter",
        )
    return cast(Painter, importlib.import_module(f"{__name__}.{name}").PAINTER)

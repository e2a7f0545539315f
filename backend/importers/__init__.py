"""Bringing in what other programs made, with every library of the backend's environment.

`open_source` is core's with more kinds of files (LAS, LAZ, COPC, E57) and more kinds of pictures, videos and OpenEXR.
`python -m backend.importers PATH FOLDER` does it from a shell.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pantheon360_blender.core import importers
from pantheon360_blender.core.importers import Imported, ImportedCapture, Options, Source, SourceError
from pantheon360_blender.core.progress import Job

from . import decoders, e57, las

__all__ = ["SOURCES", "Imported", "ImportedCapture", "Options", "Source", "SourceError", "open_source"]

SOURCES: tuple[Source, ...] = (*importers.SOURCES, las.SOURCE, e57.SOURCE)
"""What can be read in the backend's environment."""


def open_source(path: Path, **options: Any) -> Job[Imported]:
    """Read a file or folder of another program; arguments, result and errors as of core's open_source."""
    options.setdefault("decoders", decoders.DECODERS)
    return importers.open_source(path, sources=SOURCES, **options)

"""Bringing in what other programs made: points, and pictures with poses.

`open_source` looks at a file or folder and reads it by the first `Source` that recognises its content. The sources here
need numpy alone; the backend adds those that need a library.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import inputs
from ..errors import FileError
from ..formats.media_files import reading
from ..plain_text import filled
from ..progress import Job, Progress
from ..unexpected import boundary
from . import clouds, colmap, depth, transforms, vipe
from .imported import Decoders, Imported, ImportedCapture, MissingLibraryError, Options, Source, SourceError

__all__ = [
    "SOURCES",
    "Decoders",
    "Imported",
    "ImportedCapture",
    "MissingLibraryError",
    "Options",
    "Source",
    "SourceError",
    "open_source",
    "source_of",
]

SOURCES: tuple[Source, ...] = (
    colmap.SOURCE,
    transforms.SOURCE,
    vipe.SOURCE,
    clouds.PLY,
    clouds.NPZ,
    depth.PNG,
    depth.EXR,
)
"""What can be read with numpy alone."""

_START = 4096
_BY_LIBRARIES = {b"LASF": ("a LAS or LAZ point cloud", "laspy[lazrs]"), b"ASTM-E57": ("an E57 scan", "pye57")}
"""Kinds that need a library: their first bytes, what they are, and the package."""


def open_source(path: Path, *, sources: Sequence[Source] = SOURCES, **options: Any) -> Job[Imported]:
    """Read a file or folder of another program, choosing the reader by content.

    options: the fields of Options. Yields progress; closing the generator cancels.
    Raises FileError if it cannot be opened, SourceError if its kind is not known (the error lists those that are)
    or it is damaged; ImageError and PointCloudError from the readers of pictures and point clouds.
    """
    chosen = Options(**options)
    path = Path(path)
    source = source_of(path, sources)
    yield Progress(filled("Reading {format}", format=source.title.split(" (")[0]), text=path.name)
    with boundary(f"Reading {path}"):
        try:
            return (yield from source.read(path, chosen))
        except OSError as error:
            raise FileError(f"{error.filename or path} cannot be read: {inputs.why(error)}.") from error
        except MemoryError as error:
            raise SourceError(f"{path} does not fit into memory.", advice="Thin it out first.") from error


def source_of(path: Path, sources: Sequence[Source] = SOURCES) -> Source:
    """The source that recognises a file or folder. Raises FileError and SourceError as open_source does.

    MissingLibraryError is raised for kinds that the backend's sources alone read.
    """
    start = _first_bytes(path)
    for source in sources:
        if source.recognises(path, start):
            return source
    for mark, (what, package) in _BY_LIBRARIES.items():
        if start.startswith(mark):
            raise MissingLibraryError(
                f"{path} is {what}, which {package} reads.", advice=f"Import it with a backend that has {package}."
            )
    kinds = "; ".join(source.title for source in sources)
    raise SourceError(f"{path} is of no known kind.", advice=f"These can be imported: {kinds}.")


def _first_bytes(path: Path) -> bytes:
    """Empty for a folder."""
    if inputs.is_folder(path):
        return b""
    with reading(path) as (file, _length):
        return file.read(_START)

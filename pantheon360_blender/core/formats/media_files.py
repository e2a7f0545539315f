"""Photographs and videos as files: opening them, and knowing a camera's raw recording before anything is parsed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .. import inputs
from ..errors import FileError, MetadataError

_CAMERA_ORIGINALS = {
    ".insp": ("an Insta360 photograph as the camera stores it", "Export it as a 360° JPEG with Insta360 Studio."),
    ".insv": ("an Insta360 video as the camera stores it", "Export it as a 360° MP4 with Insta360 Studio."),
    ".360": ("a GoPro MAX video as the camera stores it", "Export it as an equirectangular MP4 with GoPro Player."),
}

_INSTA360_END = b"8db42d694ccc418790edff439fe026bf"


@contextmanager
def reading(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file and give it with its length in bytes.

    Raises FileError if it is missing, empty, no regular file, or cannot be read, also when that shows in the block.
    """
    try:
        with inputs.open_regular(path) as file:
            length = file.seek(0, 2)
            file.seek(0)
            if not length:
                raise FileError(f"{path} is empty.", advice="Copy or export it again.")
            yield file, length
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist.", advice="Check the path, or find the file again.") from error
    except IsADirectoryError as error:
        raise FileError(f"{path} is a folder.", advice="Choose a file in it.") from error
    except PermissionError as error:
        # Windows answers thus for a folder, too.
        what = "is a folder" if Path(path).is_dir() else "cannot be read: its permissions do not allow it"
        raise FileError(f"{path} {what}.", advice="Change its permissions or choose another file.") from error
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error


def refuse_camera_original(path: Path) -> None:
    """Raise MetadataError for recordings that are not equirectangular yet, telling how to export them."""
    kind = _CAMERA_ORIGINALS.get(Path(path).suffix.lower())
    if kind:
        what, advice = kind
        raise MetadataError(f"{path} is {what}, not an equirectangular picture.", advice=advice, code="camera-original")


def ends_as_insta360(file: BinaryIO, length: int) -> bool:
    """Whether an Insta360 camera's data end the file, as they do in raw recordings, renamed ones too."""
    file.seek(max(length - len(_INSTA360_END), 0))
    return file.read() == _INSTA360_END

"""Photographs and videos as files that are opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .. import inputs
from ..errors import FileError


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

"""Folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pantheon360_blender.core import files
from pantheon360_blender.core.errors import ModelError


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` that becomes it when the block ends without an exception, and is gone otherwise.

    Raises ModelError if something is there already, FileError if it cannot be written.
    """
    if target.exists():
        raise ModelError(f"{target} is there already.", advice="Choose another place or remove it.")
    with files.explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield scratch
        with files.explained(target):
            scratch.chmod(0o755)
            scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
